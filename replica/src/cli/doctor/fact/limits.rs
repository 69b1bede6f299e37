use rustix::process::{Resource, getrlimit};

/// What this process may have; `None` is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Open files. It is the hard limit: a node raises its soft one to that.
    pub(crate) files: Option<u64>,
    /// Bytes of memory that may be locked.
    pub(crate) locked_bytes: Option<u64>,
}

impl Limits {
    pub(super) fn of_process() -> Self {
        Self {
            files: getrlimit(Resource::Nofile).maximum,
            locked_bytes: getrlimit(Resource::Memlock).current,
        }
    }
}
