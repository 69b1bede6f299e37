//! Links between nodes: who dials, how a link introduces itself, and when to try again.
//!
//! A link goes one way. The node that has something to say dials, introduces itself with a
//! [`PeerHello`] and then sends frames; nothing comes back on the same stream, so its end means
//! that the other side is gone. What was on the way when a link broke is lost, which the protocols
//! above expect.

mod backoff;
mod hello;
mod link;

pub use backoff::Backoff;
pub use hello::{HelloRefused, PeerHello};
pub use link::{Dialled, dial};
