//! What can be seen without measuring anything, within a few milliseconds.
//!
//! Facts are asked for here and judged elsewhere ([`super::verdict`]), so that the judgement can be
//! tested for machines that nobody has at hand. What the kernel does not tell is `None`, never a
//! guess.

mod block_device;
mod clock;
mod folder;
mod limits;
mod mount;
mod release;
mod ring;

use std::path::Path;

pub(crate) use block_device::{BlockDevice, WriteCache};
pub(crate) use clock::Clock;
pub(crate) use folder::{DirectFiles, FileSystem, Folder};
pub(crate) use limits::Limits;
pub(crate) use mount::Mount;
pub(crate) use release::Release;
pub(crate) use ring::{Refusal, Ring};

/// Everything that a node wants to know of its machine before it starts.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) release: Release,
    pub(crate) ring: Ring,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) cores: usize,
    pub(crate) folder: Folder,
}

impl Facts {
    /// Looks at the machine, and at the file system that holds `data_dir` or is going to.
    pub(crate) fn gather(data_dir: &Path) -> Self {
        Self {
            release: Release::of_kernel(),
            ring: Ring::try_out(),
            limits: Limits::of_process(),
            clock: Clock::look(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            folder: Folder::try_out(data_dir),
        }
    }
}
