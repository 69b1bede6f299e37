//! What was committed, and the checks that follow from it.

use std::collections::BTreeMap;

use quorate_vsr::partition::{Facts, Message};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::node::{Batch, Node};

/// Every batch that any replica has ever called committed, in the order of offsets.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    committed: Vec<(Batch, Epoch)>,
    openers: BTreeMap<Epoch, NodeId>,
    watermarks: BTreeMap<NodeId, Offset>,
    facts: BTreeMap<NodeId, Facts>,
    /// The greatest epoch to which each node has ever told anybody a promise.
    promises: BTreeMap<NodeId, Epoch>,
}

impl Ledger {
    pub(crate) fn next_offset(&self) -> Offset {
        self.committed
            .last()
            .map_or(Offset(0), |entry| entry.0.end())
    }

    /// A node says that everything below `to` is committed.
    pub(crate) fn on_committed(&mut self, at: usize, to: Offset, nodes: &[Node]) {
        let node = &nodes[at];
        let replica = node
            .replica
            .as_ref()
            .expect("a node that is down commits nothing");
        let known = self.next_offset();
        let count = node.log.partition_point(|batch| batch.end() <= to);
        assert!(
            count == 0 && to == Offset(0) || node.log[count - 1].end() == to,
            "the high watermark {to} of {:?} is not between batches of its log",
            node.id
        );
        for (batch, (entry, _)) in node.log[..count].iter().zip(&self.committed) {
            assert_eq!(batch, entry, "{:?} calls committed what is not", node.id);
        }
        for batch in &node.log[self.committed.len().min(count)..count] {
            let is_there = |node: &&Node| node.durable_log().contains(batch);
            let holders = nodes.iter().filter(is_there).count();
            assert!(
                2 * holders > nodes.len(),
                "{batch:?} is called committed, but only {holders} nodes have it on disk"
            );
            self.committed.push((batch.clone(), replica.epoch()));
        }
        if to > known {
            for later in nodes {
                if later
                    .replica
                    .as_ref()
                    .is_some_and(|r| r.is_open() && r.epoch() > replica.epoch())
                {
                    self.check_holds_all(later);
                }
            }
        }
        let still_there = node.waiting.iter().filter(|batch| batch.end() <= to);
        for batch in still_there {
            let is_committed = self.committed.iter().any(|(entry, _)| entry == batch);
            assert!(
                is_committed,
                "{batch:?} is acknowledged, and something else was committed"
            );
        }
    }

    /// A node speaks. It keeps every promise that it has told, whatever it has forgotten since.
    pub(crate) fn on_said(&mut self, node: &Node, message: &Message) {
        let epoch = message.epoch();
        let promised = self.promises.entry(node.id).or_default();
        assert!(
            epoch >= *promised,
            "{:?} promised {promised:?} and says {message:?}",
            node.id
        );
        if let Message::Promise(promise) = message {
            *promised = epoch;
            assert!(
                node.log_on_disk >= promise.next_offset,
                "{promise:?} counts on memory"
            );
        }
    }

    fn check_holds_all(&self, node: &Node) {
        for (at, (entry, _)) in self.committed.iter().enumerate() {
            assert_eq!(
                node.log.get(at),
                Some(entry),
                "the leader {:?} lacks a commit",
                node.id
            );
        }
    }

    /// A node opens an epoch. It must hold all that was committed in older ones.
    pub(crate) fn on_opened(&mut self, node: &Node, epoch: Epoch) {
        let before = self.openers.insert(epoch, node.id);
        assert_eq!(
            before, None,
            "{epoch:?} was opened twice, now by {:?}",
            node.id
        );
        let older = self.committed.iter().take_while(|entry| entry.1 < epoch);
        for (at, (entry, _)) in older.enumerate() {
            assert_eq!(
                node.durable_log().get(at),
                Some(entry),
                "{:?} opens {epoch:?} without it",
                node.id
            );
        }
    }

    /// Whatever a disk has lost by a crash or a cut, a majority still has all that was committed.
    pub(crate) fn check_majority_holds(&self, nodes: &[Node]) {
        let is_held = |node: &&Node| {
            let log = node.durable_log();
            log.len() >= self.committed.len()
                && log
                    .iter()
                    .zip(&self.committed)
                    .all(|(batch, (entry, _))| batch == entry)
        };
        let holders = nodes.iter().filter(is_held).count();
        assert!(
            2 * holders > nodes.len(),
            "only {holders} nodes still have all that is committed"
        );
    }

    /// What must hold of a node after each of its steps.
    pub(crate) fn check_node(&mut self, node: &Node) {
        let Some(replica) = &node.replica else {
            // Across a crash only the lower bound on disk stays.
            self.watermarks
                .insert(node.id, node.facts_on_disk.high_watermark);
            return;
        };
        let watermark = self.watermarks.entry(node.id).or_default();
        assert!(
            *watermark <= replica.high_watermark(),
            "{:?}: watermark fell",
            node.id
        );
        *watermark = replica.high_watermark();
        assert!(
            *watermark <= node.next_offset(),
            "{:?}: watermark beyond the log",
            node.id
        );
        assert_eq!(
            replica.next_offset(),
            node.next_offset(),
            "{:?} miscounts its log",
            node.id
        );
        assert!(
            replica.durable_offset() <= node.log_on_disk,
            "{:?} trusts memory",
            node.id
        );
        let facts = self.facts.entry(node.id).or_default();
        let now = node.facts_on_disk;
        assert!(
            facts.promised <= now.promised,
            "{:?}: a promise fell",
            node.id
        );
        assert!(
            facts.log_epoch <= now.log_epoch,
            "{:?}: log_epoch fell",
            node.id
        );
        assert!(
            facts.high_watermark <= now.high_watermark,
            "{:?}: bound fell",
            node.id
        );
        *facts = now;
    }

    /// At the end: everybody has the same log, and all of it is committed.
    pub(crate) fn check_converged(&self, nodes: &[Node]) {
        for node in nodes {
            let log: Vec<&Batch> = node.log.iter().collect();
            let committed: Vec<&Batch> = self.committed.iter().map(|entry| &entry.0).collect();
            assert_eq!(log, committed, "{:?} has not converged", node.id);
            let replica = node.replica.as_ref().expect("every node is up");
            assert_eq!(
                replica.high_watermark(),
                self.next_offset(),
                "{:?} lags",
                node.id
            );
        }
    }
}
