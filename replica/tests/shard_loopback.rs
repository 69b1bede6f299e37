//! Whole shards, each on a thread of its own with real sockets and files, without a control plane:
//! the tests publish the metadata by hand, and speak to the shards in raw frames.
//!
//! Nothing waits for time to pass. What takes a while is asked for until it is so.

#[path = "shard_loopback/client.rs"]
mod client;
#[path = "shard_loopback/rig.rs"]
mod rig;
#[path = "shard_loopback/trouble.rs"]
mod trouble;

#[path = "shard_loopback/compacting.rs"]
mod compacting;
#[path = "shard_loopback/damage.rs"]
mod damage;
#[path = "shard_loopback/failing_disk.rs"]
mod failing_disk;
#[path = "shard_loopback/fetching.rs"]
mod fetching;
#[path = "shard_loopback/hostile.rs"]
mod hostile;
#[path = "shard_loopback/leadership.rs"]
mod leadership;
#[path = "shard_loopback/looking_up.rs"]
mod looking_up;
#[path = "shard_loopback/moving.rs"]
mod moving;
#[path = "shard_loopback/producing.rs"]
mod producing;
#[path = "shard_loopback/restarting.rs"]
mod restarting;
#[path = "shard_loopback/retaining.rs"]
mod retaining;
