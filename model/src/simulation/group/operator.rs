//! Somebody who changes the members, and moves the primary about.
//!
//! He is told nothing that a person could not know: which disks are lost. He takes no majority away
//! from those who have theirs, for nothing could bring the group back then.

use quorate_vsr::NodeId;
use quorate_vsr::group::{Event, Member, Membership, NotNow};

use super::sometimes::Sometimes;
use super::world::{Happening, World};

/// More voters than this bring nothing.
const VOTERS_MAX: usize = 5;
/// Of a thousand changes so many are cut off together with the primary that makes them, in a world
/// where that happens.
const CUT_OFF: u32 = 200;

/// What the operator has begun.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    /// The nodes that were voters when they lost their disks.
    lost: Vec<NodeId>,
    /// Who is to be the primary.
    transferring: Option<NodeId>,
}

impl Operator {
    /// Whether a node was a voter when it lost its disk.
    pub(crate) fn had_lost(&self, node: NodeId) -> bool {
        self.lost.contains(&node)
    }
}

impl World {
    pub(crate) fn operate(&mut self) {
        if self.is_calm() {
            return;
        }
        if let Some(at) = self.primary() {
            if self.dice.happens(250) {
                self.transfer(at);
            } else {
                self.change_members(at);
            }
        }
        let gap = self.dice.between(1..=self.swarm.operate_gap);
        self.calendar.plan(gap, Happening::Operate);
    }

    /// Whoever takes itself for the primary; of several any one.
    pub(crate) fn primary(&mut self) -> Option<usize> {
        let count = self.nodes.len();
        let first = self.dice.below(count);
        let mut order = (first..first + count).map(|at| at % count);
        order.find(|at| self.nodes[*at].is_primary() && self.pause_left(*at as u8) == 0)
    }

    fn transfer(&mut self, at: usize) {
        let Some(replica) = &self.nodes[at].replica else {
            return;
        };
        let voters = replica.membership().voting_nodes();
        if voters.is_empty() {
            return;
        }
        let to = self.dice.pick(&voters);
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline
            .note(now, || format!("{id:?} is to hand over to {to:?}"));
        self.operator.transferring = (to != id).then_some(to);
        self.step(at, Event::Transfer { to });
    }

    /// A node begins to serve a view.
    pub(crate) fn saw_primary(&mut self, id: NodeId) {
        let is_wanted = self.operator.transferring == Some(id);
        if is_wanted {
            self.operator.transferring = None;
        }
        self.tally.saw_if(is_wanted, Sometimes::Transferred);
    }

    fn change_members(&mut self, at: usize) {
        let Some(replica) = &self.nodes[at].replica else {
            return;
        };
        let present = replica.membership().clone();
        let next = match self.dice.below(2) {
            0 => self.recovering(&present),
            _ => None,
        };
        let next = next.or_else(|| self.any_step(&present));
        if let Some(next) = next {
            self.reconfigure(at, next);
            if self.swarm.cuts_off_changes && self.dice.happens(CUT_OFF) {
                // Others may make another change of the same members meanwhile.
                self.isolate(at);
                self.tally.saw(Sometimes::ChangeCutOff);
            }
        }
    }

    pub(crate) fn reconfigure(&mut self, at: usize, next: Membership) {
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline
            .note(now, || format!("{id:?} is to have {next:?}"));
        let replica = self.nodes[at].replica.as_ref();
        let is_behind =
            replica.is_some_and(|replica| replica.may_reconfigure(&next) == Err(NotNow::Behind));
        self.tally.saw_if(is_behind, Sometimes::StandbyBehind);
        self.step(at, Event::Reconfigure { membership: next });
    }

    /// The next step on the way back of nodes that have lost their disks.
    pub(crate) fn recovering(&mut self, present: &Membership) -> Option<Membership> {
        let is_lost = |member: &&Member| !self.has_disk(**member);
        if let Some(voter) = present.voters().iter().find(is_lost) {
            if !self.operator.lost.contains(&voter.node) {
                self.operator.lost.push(voter.node);
            }
            return self.bearable(present.demoting(voter.node));
        }
        if let Some(standby) = present.standbys().iter().find(is_lost) {
            let node = &self.nodes[usize::from(standby.node.0) - 1];
            return present.replacing_disk(node.member());
        }
        let is_back = |member: &&Member| self.operator.lost.contains(&member.node);
        let back = present.standbys().iter().find(is_back)?;
        self.bearable(present.promoting(back.node))
    }

    /// Some step, wise or not.
    fn any_step(&mut self, present: &Membership) -> Option<Membership> {
        let at = self.dice.below(self.nodes.len());
        let node = &self.nodes[at];
        let (id, member) = (node.id, node.member());
        let may_grow = present.voters().len() < VOTERS_MAX;
        let next = match self.dice.below(6) {
            0 => present.dropping(id),
            1 => present.replacing_disk(member),
            2 => present.demoting(id),
            _ if may_grow => present.promoting(id),
            _ => None,
        };
        self.bearable(next.or_else(|| present.adding(member)))
    }

    /// These members, if a majority of those who are to vote have their disks.
    fn bearable(&self, next: Option<Membership>) -> Option<Membership> {
        next.filter(|next| self.has_majority(next, |_| true))
    }

    /// The nodes that are or may be members, as bits; not who has lost its disk.
    pub(crate) fn members(&self) -> u8 {
        let live = self.checker.agreement.members.live();
        let members = live.flat_map(Membership::members);
        let intact = members.filter(|member| self.has_disk(*member));
        intact.fold(0, |all, member| all | 1 << (member.node.0 - 1))
    }

    /// Whether all who are or may be members have their disks.
    pub(crate) fn have_members_disks(&self) -> bool {
        let mut live = self.checker.agreement.members.live();
        live.all(|membership| membership.members().all(|member| self.has_disk(member)))
    }
}
