//! Whole clusters on one thread, from one seed.
//!
//! The nodes and the client library are the real ones; network, disk, clock and randomness are
//! simulated, and so one seed is one history. Clients write, read and administer while everything
//! breaks that may break; then judges decide from what the clients were told, and from what the
//! nodes have left on their disks, whether the promises were kept.
//!
//! ```
//! use std::time::Duration;
//!
//! use quorate_client::{Client, ClientConfig};
//! use quorate_tests::simulation::{Cluster, Shape, host_name};
//!
//! # fn main() -> Result<(), quorate_tests::simulation::Failure> {
//! let mut cluster = Cluster::new(7, &Shape::default());
//! let config = ClientConfig::new(cluster.bootstrap());
//! cluster.spawn(|platform| async move {
//!     let client = Client::connect(platform.clone(), config).await;
//!     let created = client.expect("connected").create_topic("orders", 4, 3).await;
//!     platform.note(format!("created: {created:?}"));
//! });
//! cluster.run_for(Duration::from_secs(5))?;
//! cluster.crash(2);
//! cluster.network().partition(host_name(1), host_name(3));
//! cluster.run_for(Duration::from_secs(2))?;
//! cluster.network().repair(host_name(1), host_name(3));
//! cluster.start(2);
//! cluster.run_for(Duration::from_secs(10))?;
//! assert_eq!(cluster.ended(), []);
//! # Ok(())
//! # }
//! ```
//!
//! * **Workloads** are tasks of the clients' host ([`Cluster::spawn`]), each given a
//!   [`SimPlatform`]; they tell of themselves through cells that they share with whoever steps the
//!   cluster, and note results in the trace ([`SimPlatform::note`]), so that these are hashed too.
//! * **Faults** are made between steps ([`Cluster::step`], [`Cluster::run_for`],
//!   [`Cluster::run_until`]): [`Cluster::crash`] is a loss of power and [`Cluster::kill`] the end
//!   of a process, after both of which [`Cluster::start`] starts the node again;
//!   [`Cluster::stop`] ends it in order, [`Cluster::pause`] and [`Cluster::resume`] halt it,
//!   [`Cluster::replace_disk`] loses its disk, [`Cluster::wall_clock`] makes its clock wrong, and
//!   [`Cluster::network`] cuts, holds and slows links. A fault that only a handle of the network or
//!   of a disk knows of is noted by whoever makes it ([`Cluster::note`]).
//! * **Judges** look at [`Cluster::disk`], at what the workloads were told and at
//!   [`Cluster::ended`]: a node that ended with an error is off until somebody starts it, which is
//!   right after a fault of its disk and wrong otherwise. A panic, in whatever task, fails the run
//!   by itself ([`Failure`]).
//! * **Same seed, same run**: [`Trace::hash`] covers every read and write of a stream or of a file,
//!   with time, length and checksum. What is written over this must draw from
//!   [`quorate_platform::Tasks::random`] or from a stream of its own that the seed determines, and
//!   never ask the process for time, threads or randomness.
//!
//! What turmoil does not do: lost bytes are not sent again (see `network`), a write is one message
//! however long it is, and the streams of a host that crashes end in order, unless it was cut off
//! before.

pub mod atlas;
pub mod campaign;
mod cluster;
pub mod disk;
pub mod nemesis;
mod network;
mod node;
pub mod oracle;
mod platform;
mod rarity;
pub mod run;
pub mod sometimes;
pub mod story;
pub mod swarm;
mod tasks;
mod trace;
pub mod workload;

pub use cluster::{Cluster, Ended, Failure, Shape, host_name, partition_folder};
pub use network::{SimListener, SimReader, SimWriter};
pub use platform::{Panic, SimPlatform, TracedFile};
pub use tasks::{EPOCH_MS, WallClock};
pub use trace::{Action, CLIENTS, Operation, Trace};
