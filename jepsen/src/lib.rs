//! Real processes, real disks, real faults, and a judge.
//!
//! This room starts the built `quorate` binary as a user would, breaks it as a machine would, and
//! decides from what clients were told whether the promise was kept: *what was acknowledged is
//! there, once, in order*. It sees the product only from outside: its command line, its files
//! and its processes. It will never know how the nodes work, so it cannot share their mistakes.
//!
//! - [`Cluster`] starts `quorate up` in a folder of its own and kills, pauses and restarts its
//!   nodes.
//! - [`Workload`] feeds producers with values that name themselves, and reads along.
//! - [`History`] is what the clients saw, in one monotonic time.
//! - [`check`] is the judge. Offsets are the witness order, so nothing has to be searched: every
//!   check is a sort or a scan.

mod binary;
mod checker;
mod cluster;
mod error;
mod history;
mod nemesis;
mod ports;
mod rules;
mod trial;
mod value;
mod verdict;
mod wait;
mod workload;

pub use binary::quorate_binary;
pub use checker::{Anomaly, Kind, check};
pub use cluster::{
    Cluster, CommandLine, Finished, NodeDescription, NodeStatus, Options, PATIENCE,
    PartitionDescription, Process, ReplicaDescription, Usage, finish,
};
pub use error::Failure;
pub use history::{Append, History, Moment, Outcome, Payload, Read, Record};
pub use nemesis::{Fault, FaultEvent};
pub use ports::free_block;
pub use rules::{Deletion, Keys, Rules};
pub use trial::{Trial, run};
pub use value::{Damage, Value};
pub use verdict::Verdict;
pub use wait::wait_until;
pub use workload::{Shape, Workload, read_partition};
