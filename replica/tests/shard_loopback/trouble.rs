use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use quorate_platform::{
    BufResult, Compio, CompioFile, CompioListener, CompioReader, CompioWriter, Disk, Entry, File,
    Instant, IoBuf, IoBufMut, Network, OpenHow, Tasks,
};

/// What is wrong with a node's disk; the test decides, while the node runs.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// The bytes that the file system says are free.
    pub(crate) available_bytes: AtomicU64,
    /// Whether nothing can be made durable.
    pub(crate) fails_to_sync: AtomicBool,
}

/// The real platform, but for a disk in trouble.
#[derive(Clone)]
pub(crate) struct Troubled {
    pub(crate) trouble: Arc<Trouble>,
}

#[derive(Clone)]
pub(crate) struct TroubledFile {
    file: CompioFile,
    trouble: Arc<Trouble>,
}

impl Default for Trouble {
    fn default() -> Self {
        let (available_bytes, fails_to_sync) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
        Self {
            available_bytes,
            fails_to_sync,
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
        let (file, trouble) = (Compio.open(path, how).await?, Arc::clone(&self.trouble));
        Ok(TroubledFile { file, trouble })
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
        self.file.write_all_at(buffer, position).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        if self.trouble.fails_to_sync.load(Ordering::SeqCst) {
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
