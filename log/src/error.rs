use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::Flaw;

/// What went wrong with files of the log, and where.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// The operating system refused an operation.
    ///
    /// After a failed write or sync nobody knows what is on the disk: the log is poisoned, and
    /// the node must stop rather than try again.
    Io {
        /// What was being done: "write", "sync", …
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file system has no room left, or the quota is used up.
    DiskFull {
        /// What was being done.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Bytes that were durable are not what was written, or are gone. The rest of the log goes on.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        position: u64,
        /// The offset of the first record that is affected.
        offset: u64,
        /// What is wrong there.
        flaw: Flaw,
    },
    /// A small file of facts is damaged in a way that a crash does not explain.
    FactsDamaged {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        position: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A file was written by a version that this one does not know.
    Version {
        /// The file.
        path: PathBuf,
        /// The version found.
        got: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// A write or a sync failed earlier; nothing is written any more.
    Poisoned {
        /// The error of then.
        first: String,
    },
    /// The log was to be cut in the middle of a batch.
    NotABoundary {
        /// The folder of the partition.
        folder: PathBuf,
        /// The offset asked for.
        offset: u64,
    },
    /// The log was cut while it was being read; read again.
    Superseded,
}

impl LogError {
    /// The error of `operation` on `path`; tells a full disk from all else.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                operation,
                path,
                source,
            },
            _ => Self::Io {
                operation,
                path,
                source,
            },
        }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                operation,
                path,
                source,
            } => write!(f, "cannot {operation} {}: {source}", path.display()),
            Self::DiskFull {
                operation,
                path,
                source,
            } => write!(
                f,
                "cannot {operation} {}: {source}; free some space there",
                path.display()
            ),
            Self::Damaged {
                path,
                position,
                offset,
                flaw,
            } => write!(
                f,
                "{} is damaged at byte {position}, where offset {offset} should be: {flaw}",
                path.display()
            ),
            Self::FactsDamaged {
                path,
                position,
                reason,
            } => write!(
                f,
                "{} is damaged at byte {position}: {reason}",
                path.display()
            ),
            Self::Version { path, got, known } => write!(
                f,
                "{} has format version {got}, this program knows versions up to {known}; \
                 run a newer program on this data",
                path.display()
            ),
            Self::Poisoned { first } => write!(
                f,
                "nothing is written any more since an earlier write failed ({first}); \
                 restart the node once the cause is gone"
            ),
            Self::NotABoundary { folder, offset } => write!(
                f,
                "the log in {} cannot be cut at offset {offset}, which lies inside of a batch",
                folder.display()
            ),
            Self::Superseded => f.write_str("the log was cut while it was being read"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } | Self::DiskFull { source, .. } => Some(source),
            Self::Damaged { flaw, .. } => Some(flaw),
            Self::FactsDamaged { .. }
            | Self::Version { .. }
            | Self::Poisoned { .. }
            | Self::NotABoundary { .. }
            | Self::Superseded => None,
        }
    }
}
