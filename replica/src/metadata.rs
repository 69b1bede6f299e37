//! What the control plane decides: the nodes, the topics, and who leads which partition.
//!
//! The [`Catalog`] is the replicated state. Every node applies the same [`Operation`]s in the same
//! order and so holds the same catalog; nothing in it depends on a clock, on chance or on the node
//! that applies it. Where choices are to be made (which nodes hold a new partition, who takes over
//! a dead node's leaderships) they are made by pure functions, in files of their own.
//!
//! [`Metadata`] is one immutable state of the catalog together with what a node knows about the
//! group's view. The control thread publishes it, everybody else reads it without locks.

mod apply;
mod balance;
mod catalog;
mod electorate;
mod member;
mod operation;
mod outcome;
mod partition;
mod placement;
mod published;
mod registration;
mod snapshot;
#[cfg(test)]
mod tests;
mod told;
mod topic;
mod voter_change;

use std::sync::Arc;

use quorate_vsr::group::Membership;
use quorate_vsr::{NodeId, ViewNumber};
use quorate_wire::ClusterId;

pub use balance::{MOVES_MAX, balance, fill_vacancies, relieve};
pub use catalog::{Catalog, MemberRecord, NodeRecord, TopicRecord};
pub use electorate::{electorate, majority, wanted_voters};
pub use operation::{Founder, Move, NotUnderstood, Operation, Step};
pub use outcome::Outcome;
pub use partition::{PartitionRecord, Stage};
pub use placement::{Placement, place};
pub use published::Published;
pub use topic::{PARTITIONS_MAX, TOPIC_PARTITIONS_MAX, TOPICS_MAX};

/// What a node knows of its cluster at one moment. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The cluster.
    pub cluster: ClusterId,
    /// The view of the control-plane group, as far as this node knows.
    pub view: ViewNumber,
    /// The primary of that view.
    pub primary: NodeId,
    /// Who belongs to the group, as far as this node knows.
    pub membership: Membership,
    /// Which disk this node has; `None` before its control thread has looked.
    pub disk: Option<u64>,
    /// The replicated state, as far as this node has applied it.
    pub catalog: Arc<Catalog>,
}

impl Metadata {
    /// What a node knows before it has heard or read anything.
    pub fn empty(cluster: ClusterId, primary: NodeId) -> Self {
        Self {
            cluster,
            view: ViewNumber(0),
            primary,
            membership: Membership::default(),
            disk: None,
            catalog: Arc::new(Catalog::default()),
        }
    }
}
