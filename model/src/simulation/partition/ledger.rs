//! What was committed, and the checks that follow from it.

use quorate_vsr::partition::{Facts, Message};
use quorate_vsr::{Epoch, NodeId, Offset, quorum};

use super::batch::Batch;
use super::control::Assignment;
use super::node::Node;

/// Every batch that any replica has ever called committed, in the order of offsets.
#[derive(Debug)]
pub(crate) struct Ledger {
    committed: Vec<(Batch, Epoch)>,
    /// The one node that opened each epoch.
    openers: Vec<(Epoch, NodeId)>,
    nodes: Vec<Known>,
    /// The greatest log start that a leader has decided.
    decided: Offset,
    /// The greatest log start that a majority was known to have, and in which epoch.
    settled: (Epoch, Offset),
}

/// What is known of one node.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    watermark: Offset,
    facts: Facts,
    /// The greatest epoch to which it has ever told anybody a promise.
    promised: Epoch,
}

impl Ledger {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            committed: Vec::new(),
            openers: Vec::new(),
            nodes: vec![Known::default(); nodes],
            decided: Offset(0),
            settled: (Epoch(0), Offset(0)),
        }
    }

    pub(crate) fn next_offset(&self) -> Offset {
        let last = self.committed.last();
        last.map_or(Offset(0), |(batch, _)| batch.end())
    }

    /// The epoch in which the last record was committed.
    pub(crate) fn last_epoch(&self) -> Epoch {
        self.committed.last().map_or(Epoch(0), |(_, epoch)| *epoch)
    }

    /// A node says that everything below `to` is committed. True if nobody had said so before.
    pub(crate) fn on_committed(
        &mut self,
        at: usize,
        to: Offset,
        nodes: &[Node],
        assignments: &[Assignment],
    ) -> bool {
        let node = &nodes[at];
        let replica = node.replica.as_ref();
        let replica = replica.expect("a node that is down commits nothing");
        if replica.is_beginning_anew() {
            // What it is told of has expired, and was committed before that.
            self.expired(to);
            return false;
        }
        let (count, known) = (node.batches_below(to), self.committed.len());
        let end = count.checked_sub(1).map(|last| node.log[last].end());
        assert_eq!(
            end.unwrap_or_default(),
            to,
            "the high watermark of {:?} is not between batches of its log",
            node.id
        );
        if let Some(last) = known.min(count).checked_sub(1) {
            assert!(
                node.holds(last, &self.committed[last].0),
                "{:?} calls committed what is not",
                node.id
            );
        }
        let index = replica.epoch().0 as usize - 1;
        for (place, batch) in node.log.iter().enumerate().take(count).skip(known) {
            let has_held = |id: NodeId| of(nodes, id).has_ever_held(place, batch);
            assert!(
                assignments[index].electorate.has_majority(has_held),
                "{batch:?} is called committed, but no majority has it on disk"
            );
            self.committed.push((*batch, replica.epoch()));
        }
        if count > known {
            self.check_later_leaders(replica.epoch(), nodes);
        }
        count > known
    }

    /// A leader of a later epoch has what only now turns out to be committed.
    fn check_later_leaders(&self, epoch: Epoch, nodes: &[Node]) {
        let Some((batch, _)) = self.committed.last() else {
            return;
        };
        let last = self.committed.len() - 1;
        for node in nodes {
            let replica = node.replica.as_ref();
            let is_later =
                replica.is_some_and(|replica| replica.is_open() && replica.epoch() > epoch);
            assert!(
                !is_later || node.holds(last, batch),
                "the leader {:?} lacks a commit",
                node.id
            );
        }
    }

    /// A client is told that its batch is safe.
    pub(crate) fn on_acknowledged(&self, batch: &Batch) {
        let place = self
            .committed
            .partition_point(|(known, _)| known.end() < batch.end());
        let known = self.committed.get(place);
        assert!(
            known.is_some_and(|(known, _)| known == batch),
            "{batch:?} is acknowledged, and something else was committed"
        );
    }

    /// A node speaks. It keeps every promise that it has told, whatever it has forgotten since.
    pub(crate) fn on_said(&mut self, at: usize, node: &Node, message: &Message) {
        let epoch = message.epoch();
        let promised = &mut self.nodes[at].promised;
        assert!(
            epoch >= *promised,
            "{:?} promised {promised:?} and says {message:?}",
            node.id
        );
        match message {
            Message::Promise(promise) => {
                *promised = epoch;
                assert!(
                    node.facts_on_disk.promised >= epoch,
                    "{:?} promises {epoch:?} from memory",
                    node.id
                );
                assert!(
                    node.log_on_disk >= promise.next_offset,
                    "{promise:?} counts on memory"
                );
                assert_eq!(
                    promise.is_uncertain,
                    node.facts_on_disk.is_uncertain(),
                    "{promise:?} hides a loss"
                );
            }
            Message::Ack(ack) => {
                assert!(node.log_on_disk >= ack.durable, "{ack:?} counts on memory");
                let facts = node.facts_on_disk;
                assert!(
                    !ack.adopted || facts.log_epoch >= epoch && !facts.is_uncertain(),
                    "{ack:?} counts on facts in memory"
                );
            }
            Message::RequestPromise { .. }
            | Message::Pull { .. }
            | Message::Adopt(_)
            | Message::Lost { .. }
            | Message::RequestRepair { .. }
            | Message::Commit { .. } => {}
        }
    }

    /// A node opens an epoch. It must hold all that was committed in older ones.
    pub(crate) fn on_opened(&mut self, node: &Node, epoch: Epoch) {
        let before = self.openers.iter().find(|known| known.0 == epoch);
        assert_eq!(before, None, "{:?} opens {epoch:?} once more", node.id);
        self.openers.push((epoch, node.id));
        let older = self.committed.partition_point(|(_, known)| *known < epoch);
        if let Some(last) = older.checked_sub(1) {
            assert!(
                node.holds_on_disk(last, &self.committed[last].0),
                "{:?} opens {epoch:?} without what was committed",
                node.id
            );
        }
    }

    /// Whatever was lost by a crash, a cut or a change of voters, a majority of those who count
    /// still has all that was committed, or has lost it by a fault of its disk.
    pub(crate) fn check_majority_holds(&self, nodes: &[Node], last: &Assignment) {
        let Some((batch, _)) = self.committed.last() else {
            return;
        };
        let place = self.committed.len() - 1;
        let base = last.base().iter();
        let holders = base.filter(|id| of(nodes, **id).has_held(place, batch));
        assert!(
            holders.count() >= quorum::majority(last.base().len()),
            "a majority has lost what was committed"
        );
    }

    /// A leader lets what is before `before` expire; all of it was committed.
    pub(crate) fn on_expired(&mut self, before: Offset) {
        self.expired(before);
        self.decided = self.decided.max(before);
    }

    /// The committed batches before an offset.
    pub(crate) fn expired(&self, before: Offset) -> Vec<Batch> {
        let batches = self.committed.iter().map(|(batch, _)| *batch);
        let expired: Vec<_> = batches.take_while(|batch| batch.end() <= before).collect();
        let end = expired.last().map_or(Offset(0), Batch::end);
        assert_eq!(end, before, "what has expired was not committed");
        expired
    }

    /// Only what a leader has decided expires, and once that is settled no later leader begins
    /// before it.
    pub(crate) fn check_log_starts(&mut self, at: usize, nodes: &[Node]) {
        let Some(replica) = &nodes[at].replica else {
            return;
        };
        let id = nodes[at].id;
        assert!(
            replica.log_start() <= self.decided,
            "{id:?} begins where nobody has decided it"
        );
        let epoch = replica.epoch();
        if let Some(settled) = replica.settled_log_start()
            && settled > self.settled.1
        {
            self.settled = (epoch, settled);
        }
        for other in nodes.iter().filter_map(|node| node.replica.as_ref()) {
            let is_later = other.is_open() && other.epoch() > self.settled.0;
            assert!(
                !is_later || other.log_start() >= self.settled.1,
                "a later leader shows again what was deleted"
            );
        }
    }

    /// Whether a majority is known to have a log start.
    pub(crate) fn is_anything_settled(&self) -> bool {
        self.settled.1 > Offset(0)
    }

    /// A node has nothing left but its promise.
    pub(crate) fn on_begun_anew(&mut self, at: usize) {
        let known = &mut self.nodes[at];
        known.facts = Facts::default();
        known.watermark = Offset(0);
    }

    /// What must hold of a node after each of its steps.
    pub(crate) fn check_node(&mut self, at: usize, node: &Node) {
        let known = &mut self.nodes[at];
        let id = node.id;
        let Some(replica) = &node.replica else {
            // Across a crash only the lower bound on disk stays.
            known.watermark = node.facts_on_disk.high_watermark.min(node.next_offset());
            return;
        };
        let watermark = replica.high_watermark();
        assert!(known.watermark <= watermark, "{id:?}: watermark fell");
        known.watermark = watermark;
        let facts = (known.facts, node.facts_on_disk);
        assert!(
            facts.0.log_start <= facts.1.log_start,
            "{id:?}: a log start fell"
        );
        if replica.is_beginning_anew() {
            // What it tells of is not there yet.
            return;
        }
        let next_offset = node.next_offset();
        assert!(watermark <= next_offset, "{id:?}: watermark beyond the log");
        assert_eq!(
            replica.next_offset(),
            next_offset,
            "{id:?} miscounts its log"
        );
        assert!(
            replica.durable_offset() <= node.log_on_disk,
            "{id:?} trusts memory"
        );
        let (facts, now) = (known.facts, node.facts_on_disk);
        assert!(facts.promised <= now.promised, "{id:?}: a promise fell");
        assert!(facts.log_epoch <= now.log_epoch, "{id:?}: log_epoch fell");
        assert!(
            facts.high_watermark <= now.high_watermark,
            "{id:?}: bound fell"
        );
        assert!(facts.losses <= now.losses, "{id:?}: a loss was forgotten");
        known.facts = now;
    }

    /// At the end: all who take part have the same log, and all of it is committed.
    pub(crate) fn check_converged(&self, nodes: &[Node], last: &Assignment) {
        let count = self.committed.len();
        for node in nodes.iter().filter(|node| last.names(node.id)) {
            assert_eq!(node.log.len(), count, "{:?} has another log", node.id);
            if let Some((batch, _)) = self.committed.last() {
                assert!(
                    node.holds(count - 1, batch),
                    "{:?} has another log",
                    node.id
                );
            }
            let watermark = node
                .replica
                .as_ref()
                .map(|replica| replica.high_watermark());
            assert_eq!(watermark, Some(self.next_offset()), "{:?} lags", node.id);
        }
    }
}

fn of(nodes: &[Node], id: NodeId) -> &Node {
    &nodes[usize::from(id.0) - 1]
}
