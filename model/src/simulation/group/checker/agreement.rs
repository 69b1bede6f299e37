//! One log: nobody commits, executes, prepares or serves anything that contradicts anybody else.

use quorate_vsr::group::{Checksum, Member, Prepare, Replica};
use quorate_vsr::{NodeId, OpNumber, ViewNumber, quorum};

use super::super::node::Node;
use super::members::{Change, Members};

#[derive(Debug, Default)]
pub(crate) struct Agreement {
    /// The one prepare of each number that any replica called committed, from number 1 on, and the
    /// view in which the first one did.
    committed: Vec<(Checksum, ViewNumber)>,
    /// The state machine after each operation; 0 where none was executed.
    states: Vec<u64>,
    /// What was prepared in each view, in the order of the views' first prepares.
    prepared: Vec<Prepared>,
    primaries: Vec<(ViewNumber, NodeId)>,
    pub(crate) members: Members,
    /// The voters who have committed the last operation.
    electorate: Vec<Member>,
}

/// The prepares to which one view has given numbers.
#[derive(Debug)]
struct Prepared {
    view: ViewNumber,
    first: OpNumber,
    checksums: Vec<Checksum>,
}

impl Agreement {
    pub(crate) fn committed(&self) -> OpNumber {
        OpNumber(self.committed.len() as u64)
    }

    /// Whether anything got a number and was replaced by something else.
    pub(crate) fn has_lost_prepares(&self) -> bool {
        let is_lost = |prepared: &Prepared| {
            let committed = self.committed.iter().skip(prepared.first.0 as usize - 1);
            let mut pairs = prepared.checksums.iter().zip(committed);
            pairs.any(|(prepared, (committed, _))| prepared != committed)
        };
        self.prepared.iter().any(is_lost)
    }

    /// A replica calls committed what it did not call so before. Says what that means for the
    /// members.
    pub(crate) fn committed_from(&mut self, first: OpNumber, at: usize, nodes: &[Node]) -> Change {
        let mut change = Change::None;
        let Some(replica) = &nodes[at].replica else {
            return change;
        };
        for op in first.0..=replica.commit_number().0 {
            let Some(prepare) = replica.prepare(OpNumber(op)) else {
                continue;
            };
            let id = nodes[at].id;
            let place = op as usize - 1;
            if let Some((agreed, _)) = self.committed.get(place) {
                assert_eq!(
                    *agreed, prepare.checksum,
                    "{id:?} disagrees about the committed op {op}"
                );
            } else {
                assert_eq!(
                    self.committed.len(),
                    place,
                    "{id:?} commits op {op} before others"
                );
                check_majority_holds(prepare, replica, nodes);
                check_later_primaries(prepare, replica, nodes);
                self.committed.push((prepare.checksum, replica.view()));
                self.electorate = replica.membership().voters().to_vec();
                change = change.max(self.members.on_committed(prepare));
            }
        }
        change
    }

    /// Whatever a crash has taken from the disks, a majority still has what was committed.
    pub(crate) fn check_majority_holds(&self, nodes: &[Node]) {
        if let Some((checksum, _)) = self.committed.last() {
            let op = self.committed();
            assert!(
                is_held_by_majority(op, *checksum, &self.electorate, nodes),
                "a majority has lost the committed {op:?}"
            );
        }
    }

    /// A primary that has just begun to serve has everything that was committed in earlier views.
    ///
    /// True if it has indeed just begun.
    pub(crate) fn serves(&mut self, id: NodeId, replica: &Replica) -> bool {
        let view = replica.view();
        let known = self.primaries.iter().rev().find(|known| known.0 == view);
        if let Some((_, known)) = known {
            assert_eq!(*known, id, "two primaries in {view:?}");
            return false;
        }
        self.primaries.push((view, id));
        for (op, (checksum, committed_in)) in (1..).map(OpNumber).zip(&self.committed) {
            assert!(
                *committed_in >= view || has(replica, op, *checksum),
                "{id:?} starts {view:?} without {op:?}, which was committed in {committed_in:?}"
            );
        }
        true
    }

    /// A prepare was written or sent: there is only one for its number and view.
    pub(crate) fn prepared(&mut self, prepare: &Prepare) {
        let mut views = self.prepared.iter_mut().rev();
        let Some(known) = views.find(|known| known.view == prepare.view) else {
            assert!(prepare.is_sound(), "a prepare is what its checksum says");
            self.prepared.push(Prepared {
                view: prepare.view,
                first: prepare.op,
                checksums: vec![prepare.checksum],
            });
            return;
        };
        let place = prepare.op.0.checked_sub(known.first.0);
        let place = place.expect("a view gives out its numbers in order") as usize;
        if place == known.checksums.len() {
            assert!(prepare.is_sound(), "a prepare is what its checksum says");
            known.checksums.push(prepare.checksum);
        }
        assert_eq!(
            known.checksums.get(place),
            Some(&prepare.checksum),
            "two prepares for {:?} in {:?}",
            prepare.op,
            prepare.view
        );
    }

    /// A replica executed an operation and reached a state.
    pub(crate) fn executed(&mut self, id: NodeId, op: OpNumber, state: u64) {
        let place = op.0 as usize;
        if self.states.len() <= place {
            self.states.resize(place + 1, 0);
        }
        let known = &mut self.states[place];
        if *known == 0 {
            *known = state;
        }
        assert_eq!(*known, state, "{id:?} reached another state at {op:?}");
    }
}

/// Whether a replica holds a prepare, in its journal or covered by a checkpoint.
fn has(replica: &Replica, op: OpNumber, checksum: Checksum) -> bool {
    match replica.prepare(op) {
        Some(prepare) => prepare.checksum == checksum,
        None => op <= replica.checkpoint_op(),
    }
}

/// A primary of a later view has what only now turns out to be committed.
fn check_later_primaries(prepare: &Prepare, replica: &Replica, nodes: &[Node]) {
    for later in nodes.iter().filter_map(|node| node.replica.as_ref()) {
        let is_later = later.is_primary() && later.view() > replica.view();
        assert!(
            !is_later || has(later, prepare.op, prepare.checksum),
            "the primary of {:?} lacks {:?}, which is committed in {:?}",
            later.view(),
            prepare.op,
            replica.view()
        );
    }
}

fn check_majority_holds(prepare: &Prepare, replica: &Replica, nodes: &[Node]) {
    let (op, voters) = (prepare.op, replica.membership().voters());
    assert!(
        is_held_by_majority(op, prepare.checksum, voters, nodes),
        "{op:?} is called committed, and is not on the disks of a majority"
    );
}

fn is_held_by_majority(
    op: OpNumber,
    checksum: Checksum,
    voters: &[Member],
    nodes: &[Node],
) -> bool {
    // What a damaged disk has lost it held, and the group knows. Who has lost the whole disk counts
    // for what it was given to keep: the group has to do without it.
    let holds = |voter: &&Member| {
        let node = &nodes[usize::from(voter.node.0) - 1];
        node.member() != **voter || node.disk.may_have_held(op, checksum)
    };
    voters.iter().filter(holds).count() >= quorum::majority(voters.len())
}
