//! The client against nodes that do what a test says, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "scripted/administering.rs"]
mod administering;
#[path = "scripted/cluster.rs"]
mod cluster;
#[path = "scripted/connecting.rs"]
mod connecting;
#[path = "scripted/consuming.rs"]
mod consuming;
#[path = "scripted/failing.rs"]
mod failing;
#[path = "scripted/looking_up.rs"]
mod looking_up;
#[path = "scripted/partition.rs"]
mod partition;
#[path = "scripted/producing.rs"]
mod producing;
#[path = "scripted/world.rs"]
mod world;
