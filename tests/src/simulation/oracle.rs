//! The judges of a simulated run, which know nothing of how the nodes work.
//!
//! - What clients were told of records is judged by [`quorate_jepsen::check`], the judge of real
//!   clusters.
//! - [`replicas`] reads the bytes that the nodes have left on their disks, by a reader of its own,
//!   and compares the copies of a partition.
//! - [`control`] searches an order in which the operations of the control plane could have
//!   happened one after the other.
//! - [`facts`] holds what leaders said of their partitions against what was said before.
//!
//! [`Verdict`] has them all look at one run.

pub mod control;
pub mod facts;
pub mod replicas;
mod verdict;

pub use verdict::Verdict;
