use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

use quorate_platform::{
    BufResult, Compio, CompioFile, CompioListener, CompioReader, CompioWriter, Disk, Entry, File,
    Instant, IoBuf, IoBufMut, Network, OpenHow, OpenMode, Tasks,
};

/// What is wrong with a node's disk; the test decides, while the node runs.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// The bytes that the file system says are free.
    pub(crate) available_bytes: AtomicU64,
    /// Whether nothing can be made durable.
    pub(crate) fails_to_sync: AtomicBool,
    /// The system's number of the error with which every write fails; 0 if none does.
    pub(crate) fails_to_write: AtomicI32,
    /// Whether there is no room for a new file.
    pub(crate) fails_to_create: AtomicBool,
    /// Whether there is no more room than the node has set aside.
    pub(crate) is_full: AtomicBool,
}

/// The real platform, but for a disk in trouble.
#[derive(Clone)]
pub(crate) struct Troubled {
    pub(crate) trouble: Arc<Trouble>,
    /// What the node has set aside.
    pub(crate) reserve: PathBuf,
}

#[derive(Clone)]
pub(crate) struct TroubledFile {
    file: CompioFile,
    disk: Troubled,
}

impl Troubled {
    fn check_write(&self) -> io::Result<()> {
        let Trouble {
            fails_to_write,
            is_full,
            ..
        } = &*self.trouble;
        match fails_to_write.load(Ordering::SeqCst) {
            0 if is_full.load(Ordering::SeqCst) && self.reserve.exists() => {
                Err(io::ErrorKind::StorageFull.into())
            }
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            available_bytes: AtomicU64::new(u64::MAX),
            fails_to_sync: AtomicBool::new(false),
            fails_to_write: AtomicI32::new(0),
            fails_to_create: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
        }
    }
}

impl Network for Troubled {
    type Listener = CompioListener;
    type Reader = CompioReader;
    type Writer = CompioWriter;

    async fn listen(&self, address: SocketAddr) -> io::Result<CompioListener> {
        Compio.listen(address).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<(CompioReader, CompioWriter)> {
        Compio.connect(address).await
    }
}

impl Tasks for Troubled {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        Compio.spawn(task);
    }

    fn now(&self) -> Instant {
        Compio.now()
    }

    fn wall_clock_ms(&self) -> i64 {
        Compio.wall_clock_ms()
    }

    async fn sleep(&self, duration: Duration) {
        Compio.sleep(duration).await;
    }

    fn random(&self) -> u64 {
        Compio.random()
    }
}

impl Disk for Troubled {
    type File = TroubledFile;
    type Lock = std::fs::File;

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<TroubledFile> {
        let how = how.into();
        if how.mode == OpenMode::CreateNew {
            self.check_write()?;
            if self.trouble.fails_to_create.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let (file, disk) = (Compio.open(path, how).await?, self.clone());
        Ok(TroubledFile { file, disk })
    }

    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        Compio.create_folder(path).await
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        Compio.sync_folder(path).await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        Compio.list(path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Compio.rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        Compio.remove_file(path).await
    }

    async fn remove_folder(&self, path: &Path) -> io::Result<()> {
        Compio.remove_folder(path).await
    }

    fn available_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.trouble.available_bytes.load(Ordering::SeqCst))
    }

    fn lock(&self, path: &Path) -> io::Result<std::fs::File> {
        Compio.lock(path)
    }
}

impl File for TroubledFile {
    async fn read_at<B: IoBufMut>(&self, buffer: B, position: u64) -> BufResult<usize, B> {
        self.file.read_at(buffer, position).await
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        match self.disk.check_write() {
            Ok(()) => self.file.write_all_at(buffer, position).await,
            Err(error) => BufResult(Err(error), buffer),
        }
    }

    async fn sync_data(&self) -> io::Result<()> {
        if self.disk.trouble.fails_to_sync.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is broken"));
        }
        self.file.sync_data().await
    }

    fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    async fn len(&self) -> io::Result<u64> {
        self.file.len().await
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).await
    }
}
