//! Scopes that are aimed: each is so narrow that one thing which must not happen is near.
//!
//! With a rule of the protocol broken it does happen after some hundred or thousand states. With
//! the rule kept there are mostly so few states that all can be looked at. What makes these scopes
//! narrow is that in every view or epoch some nodes are cut off for certain.

mod group;
mod partition;

use super::Scope;

pub(super) fn all() -> impl Iterator<Item = Scope> {
    partition::SCOPES.iter().chain(group::SCOPES).copied()
}
