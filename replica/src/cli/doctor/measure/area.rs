use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags};
use rustix::io::Errno;

/// What is written to. It makes a difference to a file system whether it has to give out blocks,
/// and whether it has to note that a block holds data now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Area {
    /// Blocks that have been written before.
    Prewritten,
    /// The end of a file that grows.
    Growing,
    /// Blocks that were given out by `fallocate` and have not been written.
    Allocated,
}

impl Area {
    pub(super) const ALL: [Self; 3] = [Self::Prewritten, Self::Growing, Self::Allocated];

    pub(super) const fn file_name(self) -> &'static str {
        match self {
            Self::Prewritten => "prewritten",
            Self::Growing => "growing",
            Self::Allocated => "allocated",
        }
    }

    pub(super) const fn submit_step(self) -> &'static str {
        match self {
            Self::Prewritten => "handing in writes to blocks written in advance",
            Self::Growing => "handing in appends",
            Self::Allocated => "handing in writes to allocated blocks",
        }
    }

    pub(super) const fn sync_step(self) -> &'static str {
        match self {
            Self::Prewritten => "syncing blocks written in advance",
            Self::Growing => "syncing a growing file",
            Self::Allocated => "syncing allocated blocks",
        }
    }
}

/// A file of a kind, as long as it is or may become.
#[derive(Debug)]
pub(super) struct AreaFile {
    pub(super) area: Area,
    pub(super) bytes: u64,
    file: File,
}

impl AreaFile {
    /// Creates the file, or empties the one that is there.
    pub(super) fn create(folder: &Path, area: Area, is_direct: bool) -> io::Result<Self> {
        let flags = match is_direct {
            true => OFlags::DIRECT.bits().cast_signed(),
            false => 0,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags)
            .open(folder.join(area.file_name()))?;
        Ok(Self {
            area,
            bytes: 0,
            file,
        })
    }

    pub(super) const fn as_file(&self) -> &File {
        &self.file
    }

    /// Gives the file its blocks; false if the file system cannot.
    pub(super) fn allocate(&self) -> io::Result<bool> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Where the operation of this number goes: one after the other, and from the beginning again
    /// at the end.
    pub(super) fn position(&self, operation: u32, bytes: u32) -> u64 {
        let places = (self.bytes / u64::from(bytes)).max(1);
        u64::from(operation) % places * u64::from(bytes)
    }
}
