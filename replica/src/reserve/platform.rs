//! The platform of a node, with its reserve behind all that takes room.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quorate_platform::{
    BufResult, Disk, Entry, File, Instant, IoBuf, IoBufMut, Network, OpenHow, Platform, Tasks,
};

use super::Reserve;

/// A platform whose disk gives the reserve back when it finds no room.
#[derive(Clone, Debug)]
pub struct Reserved<P> {
    platform: P,
    reserve: Arc<Reserve>,
}

/// A file on such a disk.
#[derive(Clone, Debug)]
pub struct ReservedFile<F> {
    file: F,
    reserve: Arc<Reserve>,
}

impl<P: Platform> Reserved<P> {
    /// `platform`, with `reserve` behind it.
    pub const fn new(platform: P, reserve: Arc<Reserve>) -> Self {
        Self { platform, reserve }
    }
}

impl<P: Platform> Disk for Reserved<P> {
    type File = ReservedFile<P::File>;
    type Lock = P::Lock;

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<Self::File> {
        let how = how.into();
        let mut opened = self.platform.open(path, how).await;
        if self.reserve.has_made_room(&opened) {
            opened = self.platform.open(path, how).await;
        }
        let (file, reserve) = (opened?, Arc::clone(&self.reserve));
        Ok(ReservedFile { file, reserve })
    }

    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        let created = self.platform.create_folder(path).await;
        match self.reserve.has_made_room(&created) {
            true => self.platform.create_folder(path).await,
            false => created,
        }
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.platform.sync_folder(path).await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.platform.list(path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let renamed = self.platform.rename(from, to).await;
        match self.reserve.has_made_room(&renamed) {
            true => self.platform.rename(from, to).await,
            false => renamed,
        }
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.platform.remove_file(path).await
    }

    async fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.platform.remove_folder(path).await
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        let available = self.platform.available_bytes(path)?;
        Ok(self.reserve.available_of(available))
    }

    fn lock(&self, path: &Path) -> io::Result<Self::Lock> {
        self.platform.lock(path)
    }
}

impl<F: File> File for ReservedFile<F> {
    async fn read_at<B: IoBufMut>(&self, buffer: B, position: u64) -> BufResult<usize, B> {
        self.file.read_at(buffer, position).await
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        let BufResult(result, buffer) = self.file.write_all_at(buffer, position).await;
        match self.reserve.has_made_room(&result) {
            true => self.file.write_all_at(buffer, position).await,
            false => BufResult(result, buffer),
        }
    }

    /// It is done again as a whole: the bytes are written anew before they are synced, so nothing
    /// is believed of what a sync that has failed may have left.
    async fn write_durable_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        let BufResult(result, buffer) = self.file.write_durable_at(buffer, position).await;
        match self.reserve.has_made_room(&result) {
            true => self.file.write_durable_at(buffer, position).await,
            false => BufResult(result, buffer),
        }
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().await
    }

    fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    async fn len(&self) -> io::Result<u64> {
        self.file.len().await
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        let cut = self.file.set_len(len).await;
        match self.reserve.has_made_room(&cut) {
            true => self.file.set_len(len).await,
            false => cut,
        }
    }
}

impl<P: Platform> Network for Reserved<P> {
    type Listener = P::Listener;
    type Reader = P::Reader;
    type Writer = P::Writer;

    async fn listen(&self, address: SocketAddr) -> io::Result<P::Listener> {
        self.platform.listen(address).await
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<(P::Reader, P::Writer)> {
        self.platform.connect(address).await
    }
}

impl<P: Platform> Tasks for Reserved<P> {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.platform.spawn(task);
    }

    fn now(&self) -> Instant {
        self.platform.now()
    }

    fn wall_clock_ms(&self) -> i64 {
        self.platform.wall_clock_ms()
    }

    async fn sleep(&self, duration: Duration) {
        self.platform.sleep(duration).await;
    }

    fn random(&self) -> u64 {
        self.platform.random()
    }

    fn rarely(&self, point: &'static str) -> bool {
        self.platform.rarely(point)
    }
}
