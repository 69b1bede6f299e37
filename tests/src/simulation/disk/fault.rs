use std::time::Duration;

/// How likely each fault is, for every operation that it can befall, and how long operations take.
///
/// Everything is off by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiskFaults {
    /// A read fails, and the next one may succeed.
    pub read_error: f64,
    /// A sector that is read fails from now on, until it is written.
    pub latent_error: f64,
    /// A write fails; it may have happened all the same.
    pub write_error: f64,
    /// A sync fails. What it was for is in part lost, and no later sync knows.
    pub sync_error: f64,
    /// With a sync, something durable of some file changes.
    pub rot: f64,
    /// A durable write, or a sync, says that it is done and is not.
    pub lost_write: f64,
    /// An operation takes up to [`DiskFaults::slow_max`].
    pub slow: f64,
    /// The longest that a slow operation takes.
    pub slow_max: Duration,
    /// An operation does not end before [`SimDisk::release`](super::SimDisk::release).
    pub stuck: f64,
}
