//! Damaged entries of the journal, and how they are mended.
//!
//! A disk may give back something else than it was given. An entry that cannot be read any more
//! leaves a faulty slot in the journal of its replica: the number is known, and from the chain also
//! the checksum of the prepare that stood there. Whoever has a prepare with that number and
//! checksum has the very one. So it may come from any member, whatever the views of the two.
//!
//! A replica with faulty slots takes part in everything. But what it says and does ends before the
//! first of them: it acknowledges, commits, executes and offers only what comes before. It never
//! cuts a faulty slot by itself. Either it is mended, or a view begins with a log that ends before
//! it or has something else in its place (see `choice`). A checkpoint that covers it will do as
//! well.
//!
//! A change of the members may be among what is damaged. Then its replica knows an earlier
//! membership, and perhaps nobody who can mend it, or not that it is a member itself. So it asks
//! also whoever asks it for a view; and somebody who seems to be no member waits for the silence of
//! the primary all the same, and asks when he turns out to be one (`view_change`). Whoever is asked
//! answers, as who asks for a prepare by its checksum has had it.
//!
//! Slots are mended from the last one to the first one, since each prepare names the one before it.
//! What is mended is written beside what is damaged, so that nothing that is still good is ever
//! written again: a crash at any moment leaves all that was there before.

use super::{Effect, Head, Member, Message, Prepare, Replica, Timer};
use crate::{NodeId, OpNumber};

impl Replica {
    /// Asks all others for what stood in the last faulty slots, and for a checkpoint in the place
    /// of one that is lost.
    pub(super) fn ask_for_repair(&self, effects: &mut Vec<Effect>) {
        let lost = self.lost_checkpoint.filter(|_| self.transfer.is_none());
        let get_checkpoint = lost.map(|head| Message::GetCheckpoint {
            view: self.view,
            head,
            position: 0,
        });
        for message in self.get_prepares().iter().chain(&get_checkpoint) {
            for source in self.sources() {
                self.send(source, message.clone(), effects);
            }
        }
        if self.lost_checkpoint.is_some() || !self.journal.is_whole() {
            effects.push(Effect::Arm(Timer::Repair));
        }
    }

    /// Asks somebody who is no member, as far as this replica knows, for what stood in the last
    /// faulty slots: they may hide that he is one.
    pub(super) fn ask_stranger_for_repair(&self, stranger: Member, effects: &mut Vec<Effect>) {
        if !self.membership().contains(stranger)
            && let Some(message) = self.get_prepares()
        {
            self.send(stranger.node, message, effects);
        }
    }

    /// A journal whose end is uncertain is not mended but brought to the log of a primary: what can
    /// be read of it may have been replaced.
    fn get_prepares(&self) -> Option<Message> {
        let gap = self.journal.last_gap().filter(|_| self.damage.is_none())?;
        Some(Message::GetPrepares {
            view: self.view,
            from: gap.from,
            until: gap.until,
        })
    }

    pub(super) fn on_get_prepares(
        &self,
        asker: Member,
        from: OpNumber,
        until: Head,
        effects: &mut Vec<Effect>,
    ) {
        let bytes_max = self.config.limits.state_transfer_bytes_max;
        let prepares = self.journal.chain(from, until, bytes_max);
        if !prepares.is_empty() {
            let view = self.view;
            self.send(asker.node, Message::NewPrepares { view, prepares }, effects);
        } else if until.op <= self.checkpoint_op() && self.membership().contains(asker) {
            self.send_piece(asker.node, 0, effects);
        }
    }

    pub(super) fn on_new_prepares(
        &mut self,
        from: NodeId,
        prepares: Vec<Prepare>,
        effects: &mut Vec<Effect>,
    ) {
        // A checkpoint on its way into force relies on the journal as it is.
        if self.damage.is_some() || self.is_installing() {
            return;
        }
        let before = self.journal.last_gap();
        for prepare in prepares.into_iter().rev() {
            if !self.journal.is_awaited(prepare.head()) {
                break;
            }
            self.journal.mend(prepare, effects);
        }
        if self.journal.last_gap() == before {
            return;
        }
        match self.get_prepares() {
            Some(message) => {
                effects.push(Effect::Arm(Timer::Repair));
                self.send(from, message, effects);
            }
            None => self.finish_repair(effects),
        }
    }

    /// Asks no further, if everything is here again.
    pub(super) fn finish_repair(&self, effects: &mut Vec<Effect>) {
        if !self.is_damaged() {
            effects.push(Effect::Disarm(Timer::Repair));
        }
    }

    /// The numbers of the entries of the journal that are damaged and not mended yet.
    pub fn faulty_ops(&self) -> impl Iterator<Item = OpNumber> {
        self.journal.faulty()
    }

    /// Whether something that was on the disk is missing, and has not been got back yet.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.damage.is_some() || self.lost_checkpoint.is_some() || !self.journal.is_whole()
    }

    /// The checkpoint that the superblock names, if it is damaged and none has come in its place.
    #[must_use]
    pub fn lost_checkpoint(&self) -> Option<OpNumber> {
        self.lost_checkpoint.map(|lost| lost.op)
    }

    /// Whether prepares may be missing behind the end of the journal, nobody knows how many.
    #[must_use]
    pub fn is_tail_uncertain(&self) -> bool {
        self.damage.is_some()
    }
}
