use io_uring::{IoUring, Probe};
use rustix::io::Errno;

use crate::cli::doctor::operation::OPERATIONS;

/// Whether there is an io_uring, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ring {
    Ready {
        /// Whether a wait can have a deadline (since Linux 5.11).
        has_deadlines: bool,
        /// Whether resources are tagged. Nothing here uses that; it came with Linux 5.13, together
        /// with polls that report more than once, which no other mark tells of.
        has_tags: bool,
        /// Names of the operations of [`OPERATIONS`] that this kernel lacks or forbids.
        missing: Vec<&'static str>,
    },
    Refused(Refusal),
}

/// Why there is no io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What the kernel answered, or whoever answers for it.
    pub(crate) errno: Errno,
    /// The setting `kernel.io_uring_disabled`, where the kernel has it (since Linux 6.6).
    pub(crate) disabled: Option<u8>,
    /// Whether this process is under a filter of system calls.
    pub(crate) is_filtered: bool,
}

impl Ring {
    pub(super) fn try_out() -> Self {
        match Self::probe() {
            Ok(ring) => ring,
            Err(error) => Self::Refused(Refusal {
                // The library reports nothing but what the kernel said.
                errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
                disabled: setting("/proc/sys/kernel/io_uring_disabled"),
                is_filtered: is_filtered(),
            }),
        }
    }

    fn probe() -> std::io::Result<Self> {
        let ring = IoUring::new(2)?;
        // Nothing is handed in; but a filter may forbid this call and none of the others.
        ring.submit()?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let missing = OPERATIONS
            .iter()
            .filter(|operation| !probe.is_supported(operation.code));
        Ok(Self::Ready {
            has_deadlines: ring.params().is_feature_ext_arg(),
            has_tags: ring.params().is_feature_resource_tagging(),
            missing: missing.map(|operation| operation.name).collect(),
        })
    }
}

fn setting(path: &str) -> Option<u8> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn is_filtered() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"));
    // 1 allows next to nothing, and nobody gets this far under it.
    mode.is_some_and(|mode| mode.trim() == "2")
}
