//! Could the operations of the control plane have happened one after the other?
//!
//! The control plane promises that every operation takes effect at one instant between its
//! invocation and its answer. Topics and nodes are told apart: what is true of each of them alone
//! is true of all. So each has a small history, and a search looks for an order of it.
//!
//! An operation whose outcome is not known may take effect at any later time, or never.

mod member;
mod search;
mod topic;

use std::collections::BTreeMap;
use std::fmt;

use quorate_jepsen::Moment;

pub use member::{Member, MemberAction};
pub use search::{Operation, Stuck};
pub use topic::{Topic, TopicAction};

use member::Members;
use topic::Topics;

/// What the clients of a run asked of the control plane, and were told.
#[derive(Clone, Debug, Default)]
pub struct ControlHistory {
    /// By the names of topics.
    pub topics: BTreeMap<String, Vec<Operation<TopicAction>>>,
    /// By the ids of nodes.
    pub members: BTreeMap<u16, Vec<Operation<MemberAction>>>,
    /// The nodes that belong to the cluster from the beginning.
    pub founders: Vec<u16>,
}

/// A topic or a node whose operations have no order that explains the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inexplicable {
    /// The topic or the node.
    pub what: String,
    /// The answer to which there is no way, or that there are too many ways to look at all.
    pub why: String,
}

impl ControlHistory {
    /// Notes what came of an operation on a topic. `completed` is `None` if that is not known.
    pub fn note_topic(
        &mut self,
        name: &str,
        action: TopicAction,
        invoked: Moment,
        completed: Option<Moment>,
    ) {
        let operations = self.topics.entry(name.to_owned()).or_default();
        operations.push(Operation {
            action,
            invoked,
            completed,
        });
    }

    /// Notes what came of an operation on a node. `completed` is `None` if that is not known.
    pub fn note_member(
        &mut self,
        id: u16,
        action: MemberAction,
        invoked: Moment,
        completed: Option<Moment>,
    ) {
        let operations = self.members.entry(id).or_default();
        operations.push(Operation {
            action,
            invoked,
            completed,
        });
    }

    /// All topics and nodes whose operations cannot be explained.
    pub fn check(&self) -> Vec<Inexplicable> {
        let mut found = Vec::new();
        for (name, operations) in &self.topics {
            if let Err(stuck) = search::linearize(&Topics::of(operations), None, operations) {
                found.push(Inexplicable {
                    what: format!("topic \"{name}\""),
                    why: stuck.to_string(),
                });
            }
        }
        for (id, operations) in &self.members {
            let initial = match self.founders.contains(id) {
                true => Member::Present,
                false => Member::Absent,
            };
            if let Err(stuck) = search::linearize(&Members, initial, operations) {
                found.push(Inexplicable {
                    what: format!("node {id}"),
                    why: stuck.to_string(),
                });
            }
        }
        found.extend(self.repeated_ids());
        found
    }

    /// An id of a partition is never used again, by whatever topic.
    fn repeated_ids(&self) -> Vec<Inexplicable> {
        let mut owners: BTreeMap<u64, (&str, bool)> = BTreeMap::new();
        let mut found = Vec::new();
        for (name, operations) in &self.topics {
            for operation in operations {
                let Some((id, is_created)) = operation.action.id() else {
                    continue;
                };
                let owner = owners.entry(id).or_insert((name, false));
                let is_twice = owner.1 && is_created;
                if owner.0 != name || is_twice {
                    let why = format!("partition {id} was made for topic \"{}\" before", owner.0);
                    let what = format!("topic \"{name}\"");
                    found.push(Inexplicable { what, why });
                }
                owner.1 |= is_created;
            }
        }
        found
    }
}

impl fmt::Display for Inexplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(id: u64) -> TopicAction {
        TopicAction::Created(Topic {
            id: Some(id),
            partitions: 1,
            is_compacted: false,
            retention: (None, None),
        })
    }

    #[test]
    fn topics_and_nodes_are_judged_by_themselves() {
        let mut history = ControlHistory {
            founders: vec![1],
            ..ControlHistory::default()
        };
        history.note_topic("a", created(1), Moment(1), Some(Moment(2)));
        history.note_topic("b", created(2), Moment(1), Some(Moment(2)));
        let (seen, at) = (MemberAction::Seen(Member::Present), Some(Moment(2)));
        history.note_member(1, seen.clone(), Moment(1), at);
        assert_eq!(history.check(), []);
        history.note_topic("b", TopicAction::Seen(None), Moment(3), Some(Moment(4)));
        history.note_member(2, seen, Moment(1), at);
        let found = history.check().into_iter().map(|it| it.what);
        assert_eq!(found.collect::<Vec<_>>(), ["topic \"b\"", "node 2"]);
    }

    #[test]
    fn id_that_is_used_again_is_found() {
        let mut history = ControlHistory::default();
        history.note_topic("a", created(1), Moment(1), Some(Moment(2)));
        history.note_topic("a", TopicAction::Deleted, Moment(3), Some(Moment(4)));
        history.note_topic("a", created(2), Moment(5), Some(Moment(6)));
        assert_eq!(history.check(), []);
        let mut again = history.clone();
        again.note_topic("a", TopicAction::Deleted, Moment(7), Some(Moment(8)));
        again.note_topic("a", created(1), Moment(9), Some(Moment(10)));
        assert_eq!(again.check().len(), 1);
        history.note_topic("b", created(2), Moment(7), Some(Moment(8)));
        assert_eq!(history.check().len(), 1);
    }
}
