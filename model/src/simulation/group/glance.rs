//! What is seen of a replica before and after each step, to tell what the step did.

use quorate_vsr::group::{DiskId, Effect, Member, Replica, Status, Timer};
use quorate_vsr::{OpNumber, ViewNumber};

use super::checker::Change;
use super::sometimes::Sometimes;
use super::world::World;

/// A replica at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    view: ViewNumber,
    status: Status,
    is_primary: bool,
    /// Whether it is a primary that votes no longer.
    is_leaver: bool,
    op_number: OpNumber,
    commit_number: OpNumber,
    is_damaged: bool,
    /// How many entries are.
    faulty: usize,
    has_state: bool,
}

impl Glance {
    pub(crate) fn at(replica: &Replica) -> Self {
        Self {
            view: replica.view(),
            status: replica.status(),
            is_primary: replica.is_primary(),
            is_leaver: replica.is_primary() && !replica.membership().is_voter(replica.member()),
            op_number: replica.op_number(),
            commit_number: replica.commit_number(),
            is_damaged: replica.is_damaged(),
            faulty: replica.faulty_ops().count(),
            has_state: replica.lost_checkpoint().is_none(),
        }
    }
}

impl World {
    /// Notes what a commit has done to the members.
    pub(crate) fn saw_change(&mut self, change: Change) {
        match change {
            Change::None => {}
            Change::Lost => self.tally.saw(Sometimes::ChangeLost),
            Change::Made => {
                self.tally.saw(Sometimes::MembersChanged);
                let members = self.checker.agreement.members.committed();
                let voters = members.voters();
                let (is_even, founders) = (voters.len().is_multiple_of(2), self.swarm.voters);
                let is_back =
                    |voter: &Member| voter.disk != DiskId(0) && self.operator.had_lost(voter.node);
                let is_new = |voter: &Member| voter.node.0 > founders;
                let tally = &mut self.tally;
                tally.saw_if(is_even, Sometimes::EvenVoters);
                tally.saw_if(voters.iter().any(is_back), Sometimes::DiskRecovered);
                tally.saw_if(voters.iter().any(is_new), Sometimes::StandbyPromoted);
            }
        }
    }

    /// Notes what of interest a step has done.
    pub(crate) fn saw_step(&mut self, at: usize, before: Glance) {
        let Some(replica) = &self.nodes[at].replica else {
            return;
        };
        let after = Glance::at(replica);
        let is_primary_to_be =
            after.status == Status::ViewChange && replica.primary() == replica.config().me;
        let tally = &mut self.tally;
        tally.saw_if(
            after.commit_number > before.commit_number,
            Sometimes::Committed,
        );
        tally.saw_if(after.op_number < before.op_number, Sometimes::TailCut);
        tally.saw_if(
            is_primary_to_be && after.op_number > before.op_number,
            Sometimes::LogTaken,
        );
        let is_cut = after.op_number < before.op_number;
        let is_less = after.faulty < before.faulty;
        tally.saw_if(is_less && !is_cut, Sometimes::EntryMended);
        tally.saw_if(is_less && is_cut, Sometimes::EntryDropped);
        tally.saw_if(
            after.has_state && !before.has_state,
            Sometimes::StateReplaced,
        );
        tally.saw_if(before.is_damaged && !after.is_damaged, Sometimes::Repaired);
        tally.saw_if(
            before.is_primary && after.view > before.view,
            Sometimes::PrimaryDeposed,
        );
        tally.saw_if(
            before.is_leaver && after.view > before.view,
            Sometimes::LeaverHandedOver,
        );
        let (now, id) = (self.calendar.now(), self.nodes[at].id);
        self.timeline.note(now, || {
            format!(
                "    {id:?} {:?} {} log {} op {} commit {} executed {}{}",
                replica.status(),
                replica.view(),
                replica.log_view(),
                replica.op_number(),
                replica.commit_number(),
                replica.executed(),
                if after.is_damaged { " damaged" } else { "" }
            )
        });
    }

    pub(crate) fn saw_timeout(&mut self, at: usize, timer: Timer) {
        let tally = &mut self.tally;
        match timer {
            Timer::ViewChangeStalled => tally.saw(Sometimes::ViewStalled),
            Timer::QuorumSilent => {
                tally.saw_if(self.nodes[at].is_primary(), Sometimes::QuorumSilent);
            }
            Timer::Transfer => {
                tally.saw_if(self.nodes[at].is_primary(), Sometimes::HandoverGivenUp);
            }
            Timer::DiskSilent => tally.saw(Sometimes::Abdicated),
            Timer::Prepare
            | Timer::Commit
            | Timer::PrimarySilent
            | Timer::ViewChangeResend
            | Timer::GetState
            | Timer::Repair
            | Timer::LeaseEven
            | Timer::LeaseOdd
            | Timer::LeaseOver => {}
            Timer::LeaseWait => tally.saw(Sometimes::LeaseAwaited),
        }
    }

    /// A request was answered at once, because it had been executed before.
    pub(crate) fn saw_repetitions(&mut self, at: usize) {
        let Some(replica) = &self.nodes[at].replica else {
            return;
        };
        let replies = self.effects.iter().filter_map(|effect| match effect {
            Effect::Reply {
                client,
                request_number,
                ..
            } => Some((*client, *request_number)),
            _ => None,
        });
        for (client, request_number) in replies {
            let executed = self.checker.requests.get(client, request_number);
            let is_older = executed.is_some_and(|executed| executed.view < replica.view());
            self.tally.saw_if(is_older, Sometimes::Deduplicated);
        }
    }
}
