//! The platform of one start of a simulated host.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use quorate_platform::{BufResult, Disk, Entry, File, IoBuf, IoBufMut, OpenHow};

use super::disk::SimDisk;
use super::network::Wires;
use super::rarity::Rarities;
use super::tasks::{Life, Pause, WallClock};
use super::trace::{Action, Operation, Trace};

/// What a node or a client of a simulation is given; clones share it.
///
/// It belongs to one start of its host: after a crash the host gets another, with other random
/// numbers and the same disk.
#[derive(Clone, Debug)]
pub struct SimPlatform {
    host: Rc<Host>,
    life: Rc<Life>,
    disk: SimDisk,
}

/// What of a host outlives its crashes.
#[derive(Debug)]
pub(super) struct Host {
    /// The node's id, or [`CLIENTS`](super::trace::CLIENTS).
    pub(super) id: u16,
    pub(super) disk: RefCell<SimDisk>,
    pub(super) clock: WallClock,
    pub(super) pause: Pause,
    pub(super) trace: Trace,
    pub(super) wires: Wires,
    pub(super) rarities: Rc<Rarities>,
    /// What panicked, on any host.
    pub(super) panics: Rc<RefCell<Vec<Panic>>>,
}

/// A bug that a run has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panic {
    /// When.
    pub at: Duration,
    /// The node's id, or [`CLIENTS`](super::trace::CLIENTS).
    pub host: u16,
    /// What was said, and where in the code.
    pub message: String,
}

impl SimPlatform {
    /// Begins another life of `host`, on its runtime.
    pub(super) fn begin(host: Rc<Host>, seed: u64, start: u32) -> Self {
        let life = Rc::new(Life::begin(seed, host.id, start));
        let disk = host.disk.borrow().clone();
        Self { host, life, disk }
    }

    /// Simulated time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.life.elapsed()
    }

    /// Notes something in the run's trace.
    pub fn note(&self, what: impl Into<String>) {
        self.host.trace.event(self.elapsed(), self.host.id, what);
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    pub(super) fn panicked(&self, message: String) {
        let (at, host) = (self.elapsed(), self.host.id);
        self.note(format!("panicked: {message}"));
        self.host
            .panics
            .borrow_mut()
            .push(Panic { at, host, message });
    }

    pub(super) fn trace(&self, operation: Operation) {
        let trace = &self.host.trace;
        trace.operation(self.elapsed(), self.host.id, operation);
    }

    /// Notes an operation on `path` that has no bytes of its own.
    fn trace_path<T>(
        &self,
        action: Action,
        path: &Path,
        position: u64,
        result: io::Result<T>,
    ) -> io::Result<T> {
        self.trace(Operation {
            action,
            on: path_sum(path),
            position,
            bytes: 0,
            sum: error_sum(&result),
        });
        result
    }
}

fn path_sum(path: &Path) -> u32 {
    crc32c::crc32c(path.as_os_str().as_encoded_bytes())
}

/// 0 for what went well, another number for an error.
pub(super) fn error_sum<T>(result: &io::Result<T>) -> u32 {
    match result {
        Ok(_) => 0,
        Err(error) => crc32c::crc32c(error.to_string().as_bytes()) | 1,
    }
}

impl Disk for SimPlatform {
    type File = TracedFile;
    type Lock = <SimDisk as Disk>::Lock;

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<TracedFile> {
        let how = how.into();
        let opened = self.disk.open(path, how).await;
        let file = self.trace_path(Action::Open, path, how.mode as u64, opened)?;
        let (platform, path) = (self.clone(), path_sum(path));
        Ok(TracedFile {
            file,
            platform,
            path,
        })
    }

    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        let created = self.disk.create_folder(path).await;
        self.trace_path(Action::Folder, path, 1, created)
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let synced = self.disk.sync_folder(path).await;
        self.trace_path(Action::Folder, path, 2, synced)
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let listed = self.disk.list(path).await;
        self.trace_path(Action::Folder, path, 3, listed)
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let renamed = self.disk.rename(from, to).await;
        let renamed = self.trace_path(Action::Folder, from, 4, renamed);
        self.trace_path(Action::Folder, to, 5, renamed)
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let removed = self.disk.remove_file(path).await;
        self.trace_path(Action::Folder, path, 6, removed)
    }

    async fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let removed = self.disk.remove_folder(path).await;
        self.trace_path(Action::Folder, path, 7, removed)
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.available_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Self::Lock> {
        self.disk.lock(path)
    }
}

/// A file of a simulated disk, all uses of which are noted.
#[derive(Clone, Debug)]
pub struct TracedFile {
    file: <SimDisk as Disk>::File,
    platform: SimPlatform,
    path: u32,
}

impl TracedFile {
    fn trace(&self, action: Action, position: u64, bytes: usize, sum: u32) {
        self.platform.trace(Operation {
            action,
            on: self.path,
            position,
            bytes,
            sum,
        });
    }

    fn trace_bytes<B: IoBuf>(
        &self,
        action: Action,
        position: u64,
        result: &io::Result<()>,
        buffer: &B,
    ) {
        let bytes = buffer.as_init();
        let sum = match result {
            Ok(()) => crc32c::crc32c(bytes),
            Err(_) => error_sum(result),
        };
        self.trace(action, position, bytes.len(), sum);
    }
}

impl File for TracedFile {
    async fn read_at<B: IoBufMut>(&self, buffer: B, position: u64) -> BufResult<usize, B> {
        let BufResult(result, buffer) = self.file.read_at(buffer, position).await;
        let bytes = *result.as_ref().unwrap_or(&0);
        let sum = match &result {
            Ok(bytes) => crc32c::crc32c(&buffer.as_init()[..*bytes]),
            Err(_) => error_sum(&result),
        };
        self.trace(Action::Read, position, bytes, sum);
        BufResult(result, buffer)
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        let BufResult(result, buffer) = self.file.write_all_at(buffer, position).await;
        self.trace_bytes(Action::Write, position, &result, &buffer);
        BufResult(result, buffer)
    }

    async fn write_durable_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        let BufResult(result, buffer) = self.file.write_durable_at(buffer, position).await;
        self.trace_bytes(Action::WriteDurable, position, &result, &buffer);
        BufResult(result, buffer)
    }

    async fn sync_data(&self) -> io::Result<()> {
        let result = self.file.sync_data().await;
        self.trace(Action::Sync, 0, 0, error_sum(&result));
        result
    }

    fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    async fn len(&self) -> io::Result<u64> {
        let result = self.file.len().await;
        let len = *result.as_ref().unwrap_or(&0);
        self.trace(Action::Length, len, 0, error_sum(&result));
        result
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        let result = self.file.set_len(len).await;
        self.trace(Action::Length, len, 1, error_sum(&result));
        result
    }
}
