//! Scopes that are aimed: each is so narrow that one thing which must not happen is near.
//!
//! With a rule of the protocol broken it does happen within some hundred or thousand states; with
//! the rule kept all states can be looked at. What makes them narrow is that in every view or epoch
//! some nodes are cut off for certain.

mod group;
mod partition;

use super::Scope;

pub(super) fn all() -> impl Iterator<Item = Scope> {
    partition::SCOPES.iter().chain(group::SCOPES).copied()
}
