use std::io;
use std::path::Path;

/// What was done on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskOperation {
    /// A file was opened.
    Open,
    /// A folder was created.
    CreateFolder,
    /// The names of a folder were made durable.
    SyncFolder,
    /// A folder was listed.
    List,
    /// A file or folder got another name; the path is the new one.
    Rename,
    /// A file was removed.
    RemoveFile,
    /// A folder was removed.
    RemoveFolder,
    /// Bytes were read.
    Read,
    /// Bytes were written.
    Write,
    /// Bytes were written durably.
    WriteDurable,
    /// A file was made durable.
    Sync,
    /// A file's length was asked for.
    Len,
    /// A file was cut or extended; the position is its new length.
    SetLen,
}

/// One operation that has ended.
#[derive(Clone, Copy, Debug)]
pub struct DiskEvent<'a> {
    /// What was done.
    pub operation: DiskOperation,
    /// To which file or folder; that under which it was opened.
    pub path: &'a Path,
    /// Where in the file.
    pub position: u64,
    /// How many bytes.
    pub bytes: usize,
    /// How it failed, if it did.
    pub error: Option<io::ErrorKind>,
}
