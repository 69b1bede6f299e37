//! What must hold of all replicas together.

use std::collections::BTreeMap;

use quorate_vsr::group::{Checksum, Content, Prepare, Replica};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};

/// What was seen of the whole group so far.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// The one prepare of each number that any replica called committed.
    committed: BTreeMap<OpNumber, Checksum>,
    /// The state machine after each operation.
    states: BTreeMap<OpNumber, u64>,
    /// The one prepare that was given a number in a view.
    prepared: BTreeMap<(ViewNumber, OpNumber), Checksum>,
    primaries: BTreeMap<ViewNumber, NodeId>,
    /// How far each replica was, since its last start.
    progress: BTreeMap<NodeId, Progress>,
    /// The number and the result of each request that was executed.
    requests: BTreeMap<(u128, u64), OpNumber>,
    replies: BTreeMap<(u128, u64), Vec<u8>>,
}

#[derive(Debug, Default)]
struct Progress {
    view: ViewNumber,
    log_view: ViewNumber,
    commit_number: OpNumber,
    executed: OpNumber,
}

impl Checker {
    pub(crate) fn committed(&self) -> OpNumber {
        self.committed
            .keys()
            .next_back()
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn views(&self) -> usize {
        self.primaries.len()
    }

    /// A replica starts from its disk: its view and its log are no older than what it promised.
    pub(crate) fn started(&mut self, node: NodeId, replica: &Replica, promised: ViewNumber) {
        assert!(
            replica.view() >= promised,
            "{node:?} forgot that it promised {promised:?}"
        );
        self.progress.insert(node, Progress::default());
        self.stepped(node, replica);
    }

    pub(crate) fn stepped(&mut self, node: NodeId, replica: &Replica) {
        let before = self.progress.entry(node).or_default();
        assert!(
            replica.view() >= before.view,
            "{node:?} went back to an earlier view"
        );
        assert!(
            replica.log_view() >= before.log_view,
            "{node:?} went back to an earlier log"
        );
        assert!(
            replica.commit_number() >= before.commit_number,
            "{node:?} commits backwards"
        );
        assert!(
            replica.executed() >= before.executed,
            "{node:?} executes backwards"
        );
        let first = before.commit_number.next();
        *before = Progress {
            view: replica.view(),
            log_view: replica.log_view(),
            commit_number: replica.commit_number(),
            executed: replica.executed(),
        };
        for op in first.0..=replica.commit_number().0 {
            self.committed_by(node, replica, OpNumber(op));
        }
        if replica.is_primary() {
            self.serves(node, replica);
        }
    }

    fn committed_by(&mut self, node: NodeId, replica: &Replica, op: OpNumber) {
        let Some(prepare) = replica.prepare(op) else {
            return;
        };
        let agreed = *self.committed.entry(op).or_insert(prepare.checksum);
        assert_eq!(
            agreed, prepare.checksum,
            "{node:?} disagrees about the committed {op:?}"
        );
    }

    /// A primary that has just begun to serve has everything that was ever committed.
    fn serves(&mut self, node: NodeId, replica: &Replica) {
        let known = self.primaries.insert(replica.view(), node);
        if let Some(known) = known {
            assert_eq!(known, node, "two primaries in {:?}", replica.view());
            return;
        }
        let missing = self.committed().max(replica.op_number());
        assert_eq!(
            missing,
            replica.op_number(),
            "{node:?} starts {:?} too short",
            replica.view()
        );
        for (op, checksum) in &self.committed {
            if let Some(prepare) = replica.prepare(*op) {
                assert_eq!(
                    prepare.checksum, *checksum,
                    "{node:?} starts without {op:?}"
                );
            }
        }
    }

    /// A prepare was written or sent: there is only one for its number and view.
    pub(crate) fn prepared(&mut self, prepare: &Prepare) {
        assert!(prepare.is_sound());
        let place = (prepare.view, prepare.op);
        let known = *self.prepared.entry(place).or_insert(prepare.checksum);
        assert_eq!(known, prepare.checksum, "two prepares for {place:?}");
    }

    /// A replica executed an operation and reached a state.
    pub(crate) fn executed(&mut self, node: NodeId, replica: &Replica, op: OpNumber, state: u64) {
        let known = *self.states.entry(op).or_insert(state);
        assert_eq!(known, state, "{node:?} reached another state at {op:?}");
        let content = replica.prepare(op).map(|prepare| prepare.content.clone());
        if let Some(Content::Request {
            client,
            request_number,
            ..
        }) = content
        {
            let known = *self.requests.entry((client, request_number)).or_insert(op);
            assert_eq!(
                known, op,
                "request {request_number} of {client} was executed twice"
            );
        }
    }

    /// A client was told a result.
    pub(crate) fn replied(&mut self, client: u128, request_number: u64, reply: &[u8]) {
        let request = (client, request_number);
        let op = self.requests.get(&request);
        let op = op.unwrap_or_else(|| panic!("{request:?} was answered but never executed"));
        assert!(
            self.committed.contains_key(op),
            "{request:?} was answered but not committed"
        );
        let known = self
            .replies
            .entry(request)
            .or_insert_with(|| reply.to_vec());
        assert_eq!(known, reply, "{request:?} was answered in two ways");
    }
}
