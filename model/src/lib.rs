//! A model checker over the protocol cores that really run.
//!
//! The replicas here are those of production: no second description of the protocol that could be
//! right where the code is wrong. What is modelled is everything around them, as hostile as their
//! contracts allow: a network on which anything said may arrive at any time, any number of times or
//! never; disks that confirm late, and of which a crash keeps any part of what was not confirmed;
//! timers that may run out whenever they are armed.
//!
//! Within its bounds a check is exhaustive: it looks at every state that can be reached. Beyond
//! them it says nothing, so what is reached is itself a property. And a check that finds nothing
//! proves something only if it can find: drivers that lie are among its tests.

mod broken;
mod check;
mod group;
mod interned;
mod network;
mod partition;
mod simulation;
mod walk;

pub use check::{Finding, Picture, check};
pub use group::{Bounds as GroupBounds, GroupModel, Lie as GroupLie};
pub use partition::{Bounds as PartitionBounds, Lie as PartitionLie, PartitionModel};
pub use simulation::{Campaign, Outcome, Protocol, simulate};
pub use walk::{Pace, walk};
