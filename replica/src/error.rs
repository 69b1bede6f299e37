use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use quorate_log::LogError;
use quorate_vsr::NodeId;

/// Why a node did not start, or had to end.
#[derive(Debug)]
pub enum NodeError {
    /// The configuration cannot be used; the text names the key and what is allowed.
    Config(String),
    /// The data folder is not ours to use; the text says why and what to do.
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// An address cannot be listened on.
    Listen {
        /// The address.
        address: SocketAddr,
        /// What for.
        purpose: String,
        /// Why not.
        error: io::Error,
    },
    /// A file or folder could not be read, written or made durable.
    File {
        /// What was tried, as in "write" or "make durable".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// The content of a file is not what we wrote.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// A partition's log failed; the error names the file.
    Log(Box<dyn std::error::Error + Send + Sync>),
    /// A thread of the node could not be started.
    Thread {
        /// Its name.
        name: String,
        /// What the operating system said.
        error: io::Error,
    },
    /// A thread of the node panicked: a bug.
    Panicked {
        /// Its name.
        name: String,
        /// What it said.
        message: String,
    },
}

impl NodeError {
    /// A failed operation on a file or folder.
    pub fn file(action: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            error,
        }
    }

    /// A damaged file.
    pub fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }

    /// A damaged file that held what the node has promised to the others.
    pub fn forgotten(path: &Path, node: NodeId, problem: impl fmt::Display) -> Self {
        let problem = format!(
            "{problem}. The node has forgotten what it promised to the others and will not start \
             without it. Keep its data folder for analysis, start it with an empty one, and have \
             the others take it back: `quorate cluster recover --node {node}`"
        );
        Self::damaged(path, problem)
    }

    /// A file of a format that this program does not know.
    pub fn version(path: &Path, version: u16) -> Self {
        let problem = format!(
            "it is written in format {version}, which this program does not know: use the release \
             that wrote it, or a newer one"
        );
        Self::file("read", path, io::Error::other(problem))
    }

    /// Whether the file system had no room for something, or the quota did not.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::File { error, .. } => is_no_room(error.kind()),
            Self::Log(error) => error
                .downcast_ref()
                .is_some_and(|error| matches!(error, LogError::DiskFull { .. })),
            Self::Config(_)
            | Self::Folder { .. }
            | Self::Listen { .. }
            | Self::Damaged { .. }
            | Self::Thread { .. }
            | Self::Panicked { .. } => false,
        }
    }

    /// A failure of a partition's log.
    pub fn log(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Log(Box::new(error))
    }
}

/// Whether something did not take place for want of room, of which nothing else is wrong.
pub(crate) const fn is_no_room(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(problem) => f.write_str(problem),
            Self::Folder { folder, problem } => {
                write!(
                    f,
                    "the data folder {} cannot be used: {problem}",
                    folder.display()
                )
            }
            Self::Listen {
                address,
                purpose,
                error,
            } => {
                write!(f, "cannot listen on {address} ({purpose}): {error}")?;
                if error.kind() == io::ErrorKind::AddrInUse {
                    f.write_str("; stop the process that uses this port, or configure another")?;
                }
                Ok(())
            }
            Self::File {
                action,
                path,
                error,
            } => {
                write!(f, "cannot {action} {}: {error}", path.display())?;
                if is_no_room(error.kind()) {
                    f.write_str("; free some space there")?;
                }
                Ok(())
            }
            Self::Damaged { path, problem } => {
                write!(f, "{} is damaged: {problem}", path.display())
            }
            Self::Log(error) => error.fmt(f),
            Self::Thread { name, error } => {
                write!(f, "the thread \"{name}\" cannot be started: {error}")
            }
            Self::Panicked { name, message } => {
                write!(
                    f,
                    "the thread \"{name}\" has failed, which is a bug: {message}"
                )
            }
        }
    }
}

impl std::error::Error for NodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } | Self::File { error, .. } | Self::Thread { error, .. } => {
                Some(error)
            }
            Self::Log(error) => Some(error.as_ref()),
            Self::Config(_)
            | Self::Folder { .. }
            | Self::Damaged { .. }
            | Self::Panicked { .. } => None,
        }
    }
}
