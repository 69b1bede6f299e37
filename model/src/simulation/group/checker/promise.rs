//! What is said is on the disk, and stays true.

use quorate_vsr::ViewNumber;
use quorate_vsr::group::{Head, Message, Replica};

use super::super::node::Node;

/// The greatest view that each node has promised to anybody.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    views: Vec<ViewNumber>,
}

impl Promises {
    /// A replica starts from its disk: its view is no older than what it promised.
    pub(crate) fn started(&mut self, at: usize, node: &Node, replica: &Replica) {
        if self.views.len() <= at {
            self.views.resize(at + 1, ViewNumber::default());
        }
        let promised = self.views[at];
        assert!(
            replica.view() >= promised,
            "{:?} forgot that it promised {promised:?}",
            node.id
        );
    }

    /// A node has lost its disk; what it promised was promised by another member.
    pub(crate) fn forget(&mut self, at: usize) {
        if let Some(view) = self.views.get_mut(at) {
            *view = ViewNumber::default();
        }
    }

    /// A node speaks.
    pub(crate) fn said(&mut self, at: usize, node: &Node, message: &Message) {
        let id = node.id;
        match message {
            Message::DoViewChange { view, promise } => {
                let superblock = node.disk.superblock();
                let is_durable = superblock.is_some_and(|block| block.view >= *view);
                assert!(is_durable, "{id:?} promises {view:?} from memory");
                let Head { op, checksum } = promise.sound;
                let has_log = op.0 == 0 || node.disk.holds(op, checksum);
                assert!(has_log, "{id:?} offers {op:?} from memory");
                self.views[at] = self.views[at].max(*view);
            }
            Message::PrepareOk { view, op, .. } => {
                let superblock = node.disk.superblock();
                let has_view = superblock.is_some_and(|block| block.log_view == *view);
                assert!(has_view, "{id:?} acknowledges in {view:?} from memory");
                let replica = node.replica.as_ref();
                let prepare = replica.and_then(|replica| replica.prepare(*op));
                let holds = prepare.is_none_or(|it| node.disk.holds(*op, it.checksum));
                assert!(holds, "{id:?} acknowledges {op:?} from memory");
            }
            Message::Prepare { .. }
            | Message::Commit { .. }
            | Message::StartViewChange { .. }
            | Message::StartView { .. }
            | Message::Recovery { .. }
            | Message::RecoveryResponse { .. }
            | Message::GetPrepares { .. }
            | Message::NewPrepares { .. }
            | Message::GetState { .. }
            | Message::NewState { .. }
            | Message::GetCheckpoint { .. }
            | Message::CheckpointPiece { .. } => {}
        }
    }
}
