//! A model checker over the protocol cores that really run.
//!
//! The replicas here are those of production: no second description of the protocol that could be
//! right where the code is wrong. What is modelled is everything around them, as hostile as their
//! contracts allow: a network on which anything said may arrive at any time, any number of times or
//! never; disks that confirm late, and of which a crash keeps any part of what was not confirmed;
//! timers that may run out whenever they are armed.
//!
//! Within its bounds a check is exhaustive: it looks at every state that can be reached. Beyond
//! them it says nothing, so what is reached is itself a rule. And a check that finds nothing proves
//! something only if it can find: with each rule of the protocols broken on purpose, it must.
//!
//! # Why no symmetry is made use of
//!
//! States that are the same but for the names of the nodes could be looked at once. Here hardly any
//! are. A view names its primary, and the voters take turns in the order of their numbers; the
//! control plane names the leader of an epoch, and a scope says which one; of equal logs the
//! leader's own is taken, and then the greater node's; and most scopes say who is cut off and who
//! may crash. A permutation of the nodes that respects all of that is the identity, and with one
//! that does not, a representative would stand for states that behave differently: the check would
//! miss some. Clients and records could be permuted, but there is one client, with one request
//! after the other, and records are numbered in the order in which they are appended.
//!
//! What makes states few is something else. A message is in the network or not, however often it
//! was said; what nobody listens to any more is dropped, after the production code was asked; and a
//! timer that cannot run out any more is no part of a state.

mod broken;
mod group;
mod interned;
mod network;
mod order;
mod partition;
mod report;
mod rule;
mod scope;
mod search;
mod simulation;
mod story;
mod thinned;
mod walk;

pub use group::{Bounds as GroupBounds, Change, GroupModel};
pub use partition::{Assignment, Bounds as PartitionBounds, PartitionModel};
pub use report::{End, Report, Violation};
pub use rule::{Judged, Rule, Taken, Told};
pub use scope::{Bounds, Preset, Scope};
pub use search::{Direction, Limits, search};
pub use simulation::{Campaign, Failure, Finding, Outcome, Protocol, simulate};
pub use walk::walk;
