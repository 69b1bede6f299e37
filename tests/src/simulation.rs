//! Whole clusters on one thread, from one seed.
//!
//! The nodes and the client library are the real ones; network, disk, clock and randomness are
//! simulated, and so one seed is one history. Clients write, read and administer while everything
//! breaks that may break; then judges decide from what the clients were told, and from what the
//! nodes have left on their disks, whether the promises were kept.

pub mod oracle;
pub mod sometimes;
pub mod workload;
