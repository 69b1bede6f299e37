//! State transfer: a journal, or the state itself, from another member (paper, sections 5.1 and
//! 5.2).
//!
//! Who lacks something sends places of its own journal; the answer begins after the last one that
//! both have. Because prepares are chained, that place is exactly where the two journals part. If
//! the other journal no longer reaches back to any of the places, the answer is the first piece of
//! a checkpoint (see `checkpoint_transfer`).
//!
//! Only members in the same view answer, and only with a log that cannot change under the asker's
//! hands: the settled log of the view, or the log that was promised to the view's new primary.

use super::{
    Checkpoint, Effect, Head, Member, Membership, Message, Phase, Prepare, Replica, Status, Timer,
};
use crate::{NodeId, OpNumber, ViewNumber};

/// How often everybody who has the chosen log is asked in vain before the choice is made anew.
const ROUNDS_MAX: usize = 2;

/// State that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fetch {
    /// Who has it; the first one was asked last.
    pub(crate) donors: Vec<NodeId>,
    /// How far the journal has to reach.
    target: OpNumber,
    /// Up to here the journal was found to be the donor's. The next question names this place, or
    /// an answer that is shorter than the way to where the two part would be given over and over.
    shared: OpNumber,
    /// How often in a row the timer ran out.
    pub(crate) silences: usize,
}

/// A checkpoint on its way to the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writing {
    checkpoint: Checkpoint,
    membership: Membership,
    /// Whether it came from another member, and is ahead of this one's state.
    is_foreign: bool,
    /// The superblock that first names it; `None` while it is being written itself.
    named_by: Option<u64>,
}

impl Replica {
    /// Asks for the journal up to `target`, unless it was asked for already.
    pub(super) fn fetch_state(
        &mut self,
        donors: Vec<NodeId>,
        target: OpNumber,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(fetch) = &mut self.fetch {
            fetch.target = fetch.target.max(target);
            return;
        }
        assert!(!donors.is_empty(), "somebody has what this replica lacks");
        self.fetch = Some(Fetch {
            donors,
            target,
            shared: OpNumber(0),
            silences: 0,
        });
        self.send_get_state(effects);
    }

    fn send_get_state(&mut self, effects: &mut Vec<Effect>) {
        let Some(fetch) = &self.fetch else { return };
        let donor = fetch.donors[0];
        effects.push(Effect::Arm(Timer::GetState));
        if !self.may_ask_for_state() {
            return;
        }
        if self.transfer.is_some() {
            self.begin_round(donor, effects);
        } else {
            self.ask_for_state(effects);
        }
    }

    /// Asks the next donor for what follows the journal, whatever has come of a checkpoint.
    pub(super) fn ask_for_state(&self, effects: &mut Vec<Effect>) {
        let Some(fetch) = &self.fetch else { return };
        let view = self.view;
        let message = match self.lacks_room() {
            // A checkpoint that covers more than this replica has executed.
            true => Message::GetCheckpoint {
                view,
                head: Head {
                    op: self.executed.next(),
                    ..Head::default()
                },
                position: 0,
            },
            false => Message::GetState {
                view,
                known: self.journal.places([self.commit_number, fetch.shared]),
            },
        };
        self.send(fetch.donors[0], message, effects);
    }

    /// A checkpoint that is being installed changes what is asked for.
    ///
    /// What is damaged is asked for in any case: as long as it lasts the journal gets no shorter.
    pub(super) fn may_ask_for_state(&self) -> bool {
        let is_of_use = self.may_fetch_more() || self.is_damaged() || self.lacks_room();
        !self.is_installing() && self.may_change_journal() && is_of_use
    }

    pub(super) fn on_get_state_timeout(&mut self, effects: &mut Vec<Effect>) {
        if self.is_fetched() {
            // It came by another way, as prepares do.
            self.fetch = None;
        }
        let are_silent = self.fetch.as_mut().is_some_and(|fetch| {
            fetch.donors.rotate_left(1);
            fetch.silences += 1;
            fetch.silences >= ROUNDS_MAX * fetch.donors.len()
        });
        if are_silent && self.may_choose_anew() {
            self.choose_anew(effects);
        } else if self.transfer.is_some() && self.may_take_pieces() {
            self.take_turn(effects);
        } else {
            self.send_get_state(effects);
        }
    }

    pub(super) fn on_get_state(
        &mut self,
        from: Member,
        view: ViewNumber,
        known: &[Head],
        effects: &mut Vec<Effect>,
    ) {
        let is_settled = self.status == Status::Normal;
        let is_promised_to_sender =
            self.phase == Some(Phase::Waiting) && from.node == self.primary();
        if view != self.view || !(is_settled || is_promised_to_sender) {
            return;
        }
        if let Some(after) = known.iter().find(|head| self.journal.has(**head)) {
            let prepares = self.prepares_after(*after);
            self.send(
                from.node,
                Message::NewState {
                    view,
                    after: *after,
                    prepares,
                },
                effects,
            );
        } else {
            self.send_piece(from.node, 0, effects);
        }
    }

    /// As many prepares as one message may carry, and one in any case.
    fn prepares_after(&self, after: Head) -> Vec<Prepare> {
        let mut bytes = 0;
        let mut prepares = Vec::new();
        for prepare in self.journal.after(after.op) {
            bytes += prepare.bytes();
            if bytes > self.config.limits.state_transfer_bytes_max && !prepares.is_empty() {
                break;
            }
            prepares.push(prepare.clone());
        }
        prepares
    }

    pub(super) fn on_new_state(
        &mut self,
        from: Member,
        view: ViewNumber,
        after: Head,
        prepares: Vec<Prepare>,
        effects: &mut Vec<Effect>,
    ) {
        if !self.awaits_state(from, view) || !self.journal.has(after) {
            return;
        }
        let Some(shared) = self.merge(after, prepares, effects) else {
            let why = "its log parts from this one before what was committed, or within a view";
            effects.push(Effect::Distrust { from, why });
            return;
        };
        if self.is_fetched() {
            self.fetch = None;
            effects.push(Effect::Disarm(Timer::GetState));
        } else if let Some(fetch) = self.fetch.as_mut().filter(|fetch| fetch.shared < shared) {
            fetch.shared = shared;
            fetch.silences = 0;
            // There is a journal that makes a checkpoint superfluous.
            self.transfer = None;
            // Without progress the timer asks again: a repeated answer must not beget a repeated
            // question.
            self.send_get_state(effects);
        }
    }

    /// Whether there is room for more of the log.
    ///
    /// The log with which a view starts has to fit in any case. It is not fetched before the disk
    /// has taken the view itself, so a disk that hangs does not gather it.
    fn may_fetch_more(&self) -> bool {
        self.status != Status::Normal || !self.is_journal_full()
    }

    fn awaits_state(&self, from: Member, view: ViewNumber) -> bool {
        let is_asked = self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.donors.contains(&from.node));
        let is_ready = !self.is_installing() && self.may_change_journal();
        view == self.view && is_asked && is_ready
    }

    /// Whether the disk says all that it has to say before the journal becomes the log of this
    /// view.
    ///
    /// A disk that is new or damaged was marked as such. And the view is durable, so that after a
    /// crash in the middle this replica does not go on in the view to whose log its journal
    /// belonged before.
    pub(super) fn may_change_journal(&self) -> bool {
        let is_marked = self.superblocks.durable >= self.superblocks.first;
        is_marked && self.superblocks.promised == self.view
    }

    /// The disk says so now: what was to be asked for can be asked for.
    pub(super) fn on_superblock_durable_fetch(&mut self, effects: &mut Vec<Effect>) {
        if self.may_change_journal() && !self.is_fetched() {
            self.send_get_state(effects);
        }
    }

    /// Puts `prepares`, which follow `after` in the log of the view, in the place of whatever the
    /// journal has there instead; up to where the journal is that log then. `None` if no sound
    /// member has such a log: two logs in one view, or two that part below what is committed.
    fn merge(
        &mut self,
        after: Head,
        prepares: Vec<Prepare>,
        effects: &mut Vec<Effect>,
    ) -> Option<OpNumber> {
        // The log with which the view started is what the promises are about. What came later
        // arrives when this replica takes part in the view.
        let end = match self.phase {
            Some(Phase::Adopting(head)) => head.op,
            _ => OpNumber(u64::MAX),
        };
        let mut place = after;
        for prepare in prepares {
            if prepare.op > end || !prepare.follows(place) {
                break;
            }
            if self.journal.has(prepare.head()) {
                place = prepare.head();
                continue;
            }
            if self.journal.may_mend(&prepare) {
                place = prepare.head();
                self.journal.mend(prepare, effects);
                continue;
            }
            if !self.may_fetch_more() {
                break;
            }
            if prepare.op <= self.op_number() {
                if self.status == Status::Normal || prepare.op <= self.commit_number {
                    return None;
                }
                self.journal.cut(OpNumber(prepare.op.0 - 1));
            }
            place = prepare.head();
            self.journal.append(prepare, effects);
        }
        Some(place.op)
    }

    fn is_fetched(&self) -> bool {
        match (&self.phase, &self.fetch) {
            (Some(Phase::Adopting(head)), _) => self.has_log(*head),
            (_, Some(fetch)) => self.op_number() >= fetch.target,
            (_, None) => true,
        }
    }

    /// Begins to put a checkpoint into force.
    ///
    /// First the checkpoint becomes durable, then a superblock that names it, and only then is
    /// the journal behind it given up (and, if it is a foreign one, the state replaced). A crash in
    /// between finds the old checkpoint with its journal, or the new one.
    pub(super) fn write_checkpoint(
        &mut self,
        checkpoint: Checkpoint,
        is_foreign: bool,
        effects: &mut Vec<Effect>,
    ) {
        let membership = if is_foreign {
            checkpoint.contents().membership
        } else {
            self.membership_at(checkpoint.op()).clone()
        };
        assert!(
            self.writing.is_none(),
            "one checkpoint is written at a time"
        );
        effects.push(Effect::PersistCheckpoint(checkpoint.clone()));
        self.writing = Some(Writing {
            checkpoint,
            membership,
            is_foreign,
            named_by: None,
        });
    }

    /// Whether the disk is busy with a checkpoint.
    pub(super) fn is_writing_checkpoint(&self) -> bool {
        let writing = self.writing.as_ref();
        writing.is_some_and(|writing| writing.named_by.is_none())
    }

    /// Whether a foreign checkpoint is about to take the place of part of the journal, which must
    /// not change meanwhile.
    pub(super) fn is_installing(&self) -> bool {
        self.writing
            .as_ref()
            .is_some_and(|writing| writing.is_foreign)
    }

    /// The checkpoint that the next superblock names, and who belongs to the group as of it.
    pub(super) fn named_checkpoint(&self) -> (Head, Membership) {
        let named = self
            .writing
            .as_ref()
            .filter(|writing| writing.named_by.is_some());
        if let Some(writing) = named {
            return (writing.checkpoint.head(), writing.membership.clone());
        }
        let checkpoint = self.checkpoint_head();
        (checkpoint, self.membership_at(checkpoint.op).clone())
    }

    /// The checkpoint that the durable superblock names, whether or not it can be read.
    pub(super) fn checkpoint_head(&self) -> Head {
        let found = self.checkpoint.as_ref().map(Checkpoint::head);
        found.or(self.lost_checkpoint).unwrap_or_default()
    }

    pub(super) fn on_checkpoint_durable(&mut self, op: OpNumber, effects: &mut Vec<Effect>) {
        let next = self.superblocks.sequence + 1;
        match &mut self.writing {
            Some(writing) if writing.checkpoint.op() == op && writing.named_by.is_none() => {
                writing.named_by = Some(next);
            }
            Some(_) | None => return,
        }
        self.may_be_fork |=
            self.is_installing() && !self.journal.continues(self.named_checkpoint().0);
        let sequence = self.persist(effects);
        assert!(
            sequence == next,
            "the next superblock is the one that names the checkpoint"
        );
    }

    pub(super) fn on_superblock_durable_checkpoint(&mut self, effects: &mut Vec<Effect>) {
        let durable = self.superblocks.durable;
        let is_in_force = |writing: &mut Writing| writing.named_by.is_some_and(|by| by <= durable);
        let Some(writing) = self.writing.take_if(is_in_force) else {
            return;
        };
        let head = writing.checkpoint.head();
        let previous = self.checkpoint.replace(writing.checkpoint);
        if writing.is_foreign {
            self.install(head, writing.membership, effects);
            return;
        }
        // Journal since the previous checkpoint is kept, so that who is only a little behind
        // gets prepares instead of the state.
        if let Some(previous) = previous
            && previous.op() > self.journal.base().op
        {
            let membership = self.membership_at(previous.op()).clone();
            self.trim_journal(previous.head(), membership, effects);
        }
    }

    /// Goes over to the state of the checkpoint that has just come into force.
    fn install(&mut self, head: Head, membership: Membership, effects: &mut Vec<Effect>) {
        let was_damaged = self.is_damaged();
        let checkpoint = self.checkpoint.as_ref();
        let contents = checkpoint.expect("it has just come into force").contents();
        if head.op > self.executed || self.lost_checkpoint.is_some() {
            self.client_table = contents.client_table;
            self.executed = head.op;
            self.executing = None;
            self.lost_checkpoint = None;
            self.commit_number = self.commit_number.max(head.op);
            self.commit_known = self.commit_known.max(head.op);
            effects.push(Effect::Restore {
                op: head.op,
                state: contents.state,
            });
        }
        // What this replica has beyond the checkpoint stays if it continues it: it may have been
        // acknowledged. If it does not, it is a fork, and was not part of any log that counts.
        self.trim_journal(head, membership, effects);
        if was_damaged {
            self.finish_repair(effects);
        }
        if self.is_fetched() {
            self.fetch = None;
            effects.push(Effect::Disarm(Timer::GetState));
        } else {
            self.send_get_state(effects);
        }
    }

    fn trim_journal(&mut self, base: Head, membership: Membership, effects: &mut Vec<Effect>) {
        self.journal.rebase(base, membership);
        effects.push(Effect::TrimJournal {
            below: base.op.next(),
        });
    }
}
