//! Random runs of both protocols in bad worlds, each told by its seed.

#![expect(
    clippy::unwrap_used,
    reason = "a simulation that cannot go on has failed"
)]

mod group;
mod partition;

pub use group::{deafen_group, simulate_group};
pub use partition::{Seen, simulate_partition};
