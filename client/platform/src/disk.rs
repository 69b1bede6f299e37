use std::future::Future;
use std::io;
use std::path::Path;

use compio_buf::{BufResult, IoBuf, IoBufMut};

/// Files and folders.
///
/// A created, renamed or removed name is durable only after [`Disk::sync_folder`] of its folder.
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: File;
    /// An exclusive lock, held until it is dropped or the process ends.
    type Lock: 'static;

    /// Opens the file at `path`; an [`OpenMode`] says how, or [`OpenMode::direct`] of one.
    fn open(
        &self,
        path: &Path,
        how: impl Into<OpenHow>,
    ) -> impl Future<Output = io::Result<Self::File>>;

    /// Creates the folder at `path` and all that lead to it, durably; an existing one is fine.
    fn create_folder(&self, path: &Path) -> impl Future<Output = io::Result<()>>;

    /// Makes the names in the folder at `path` durable.
    fn sync_folder(&self, path: &Path) -> impl Future<Output = io::Result<()>>;

    /// The entries of the folder at `path`, sorted by name.
    fn list(&self, path: &Path) -> impl Future<Output = io::Result<Vec<Entry>>>;

    /// Gives the file or folder `from` the name `to`, replacing a file of that name.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>>;

    /// Removes the file at `path`.
    fn remove_file(&self, path: &Path) -> impl Future<Output = io::Result<()>>;

    /// Removes the folder at `path` with all that is in it.
    fn remove_folder(&self, path: &Path) -> impl Future<Output = io::Result<()>>;

    /// Bytes that this process may still write to the file system that holds `path`.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Takes the exclusive lock named `path` (created if missing); `WouldBlock` if it is held.
    fn lock(&self, path: &Path) -> io::Result<Self::Lock>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file exists.
    Read,
    /// For reading and writing; the file exists.
    Write,
    /// For reading and writing; created if missing, its content is kept.
    CreateOrWrite,
    /// For reading and writing; the file is new (`AlreadyExists` if it is not).
    CreateNew,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHow {
    /// What for.
    pub mode: OpenMode,
    /// Whether to pass by the system's page cache, where the file system can.
    pub is_direct: bool,
}

impl OpenMode {
    /// The same, passing by the system's page cache; see [`File::is_direct`].
    pub const fn direct(self) -> OpenHow {
        OpenHow {
            mode: self,
            is_direct: true,
        }
    }
}

impl From<OpenMode> for OpenHow {
    fn from(mode: OpenMode) -> Self {
        Self {
            mode,
            is_direct: false,
        }
    }
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name, without the folder. A name that is not UTF-8 is not ours and is left out.
    pub name: String,
    /// Whether the name is that of a folder.
    pub is_folder: bool,
}

#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks whether a file is empty"
)]
/// An open file; clones share it. Positions and lengths are in bytes.
pub trait File: Clone + 'static {
    /// Reads at most the buffer's capacity from `position`; fewer bytes only at the file's end.
    fn read_at<B: IoBufMut>(
        &self,
        buffer: B,
        position: u64,
    ) -> impl Future<Output = BufResult<usize, B>>;

    /// Writes the whole buffer at `position`. Not durable before [`File::sync_data`] has returned.
    fn write_all_at<B: IoBuf>(
        &self,
        buffer: B,
        position: u64,
    ) -> impl Future<Output = BufResult<(), B>>;

    /// Writes the whole buffer at `position`, and is durable once it has returned.
    ///
    /// It speaks for these bytes only, and for what it takes to find them again: other writes wait
    /// for [`File::sync_data`] still. A failure is final, as there.
    fn write_durable_at<B: IoBuf>(
        &self,
        buffer: B,
        position: u64,
    ) -> impl Future<Output = BufResult<(), B>> {
        async move {
            let BufResult(result, buffer) = self.write_all_at(buffer, position).await;
            match result {
                Ok(()) => BufResult(self.sync_data().await, buffer),
                Err(error) => BufResult(Err(error), buffer),
            }
        }
    }

    /// Makes all completed writes durable. A failure is final: what was written is unknown.
    fn sync_data(&self) -> impl Future<Output = io::Result<()>>;

    /// Whether reads and writes pass by the system's page cache.
    ///
    /// Then positions and lengths are multiples of [`BLOCK_BYTES`](crate::BLOCK_BYTES), and buffers
    /// are [`AlignedBuffer`](crate::AlignedBuffer)s. A file that was opened for it on a file system
    /// that cannot do it is an ordinary one, for which all that is as good.
    ///
    /// A file that is to be written so is best written with zeros in advance, in pieces of 1 MiB,
    /// one after the other: on ext4 that was 1.2 to 1.5 GiB/s, and 0.4 GiB/s in pieces of 64 KiB.
    /// Larger pieces were no better. Four at once, into space that was allocated before, were a
    /// quarter faster; either without the other was not.
    fn is_direct(&self) -> bool;

    /// The file's length.
    fn len(&self) -> impl Future<Output = io::Result<u64>>;

    /// Cuts or extends (with zeros) the file to `len`.
    fn set_len(&self, len: u64) -> impl Future<Output = io::Result<()>>;
}
