//! The start of a replica from its own disk (paper, section 4.3, with a disk instead of the
//! others).
//!
//! Promises, journal and checkpoint are on stable storage, so a crash loses nothing that anybody
//! was told. A backup goes on in its view as soon as it hears the primary; a primary must not go on
//! (see the page of [`group`](super)); and everybody begins by asking for the next view, so that a
//! group that was started as a whole does not first wait for a silence that is certain. Where there
//! is a primary, it answers, and the question is dropped.
//!
//! Not everything may be readable. A replica that has lost entries inside its journal, or its
//! checkpoint, knows what it has lost, and starts like any other (see `repair`). All of the journal
//! that can be read is connected by its checksums here, from the end on, and that shows where
//! something else must have stood.
//!
//! The rest of this file is about a journal whose end is damaged, so that nobody knows how far it
//! reached. Such a replica has forgotten part of what it acknowledged, like a replica in the paper
//! that has lost its memory, and like that one it asks: until a primary has answered, nothing that
//! it says is evidence of what there was. The end is uncertain also if the last entry that was
//! found does not count any more and the one that does cannot be read or named, or if nothing shows
//! that the journal continues a checkpoint that came from another member.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::{Journal, Slot};
use super::lease::Lease;
use super::read::Reads;
use super::{
    Checkpoint, ClientTable, Config, DiskId, Effect, Head, Member, Membership, Message, Phase,
    Prepare, Replica, Status, Superblock, Superblocks, Timer,
};
use crate::sabotage::{self, Sabotage};
use crate::{OpNumber, ViewNumber};

/// What the driver found on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The valid superblock; `None` on a disk that was never used.
    ///
    /// A disk that holds a journal or a checkpoint without a superblock has lost its promises. It
    /// must not be started with: [`Replica::new`] panics.
    pub superblock: Option<Superblock>,
    /// The checkpoint that the superblock names; `None` if it names none or it cannot be read.
    pub checkpoint: Option<Checkpoint>,
    /// The prepares whose entries can be read, in the order of their numbers.
    ///
    /// What was replaced by a later write is not among them, and neither is what a write that
    /// cannot be read any more may have replaced. A number that is missing between two others (or
    /// between the checkpoint and the first) is an entry that was there and is damaged.
    pub journal: Vec<Prepare>,
    /// Whether prepares that may have been durable are missing after the end of `journal`.
    ///
    /// A torn end (a write that was under way at the crash) is not damage: it was never
    /// acknowledged. If in doubt it is damage.
    pub is_tail_uncertain: bool,
}

/// The journal lost prepares that this replica may have acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Damage {
    /// The greatest view in which it can have acknowledged them.
    view: ViewNumber,
    /// Tells an answer to this incarnation's question from any older message: the number of the
    /// superblock that marks the damage, which was never used before.
    nonce: u64,
}

impl Replica {
    /// A replica with what it finds on its disk; the first effects are pushed to `effects`.
    ///
    /// # Panics
    ///
    /// If the configuration makes no sense (see [`Config`]), or the disk holds a journal or a
    /// checkpoint but no superblock.
    pub fn new(config: Config, recovered: Recovered, effects: &mut Vec<Effect>) -> Self {
        config.check();
        let Recovered {
            superblock,
            checkpoint,
            journal,
            is_tail_uncertain,
        } = recovered;
        let is_new = superblock.is_none();
        assert!(
            !is_new || (journal.is_empty() && checkpoint.is_none() && !is_tail_uncertain),
            "a disk that was used has a superblock"
        );
        let superblock = superblock.unwrap_or_else(|| first_superblock(&config));
        let found = checkpoint.filter(|found| found.head() == superblock.checkpoint);
        let base = superblock.checkpoint;
        let contents = found.as_ref().map(Checkpoint::contents);
        let membership = contents
            .as_ref()
            .map_or(&superblock.membership, |it| &it.membership);
        let (journal, is_connected) =
            recover_journal(base, membership.clone(), journal, &superblock);
        let is_tail_uncertain = is_tail_uncertain || superblock.is_tail_uncertain || !is_connected;

        let (client_table, state) = contents
            .map(|contents| (contents.client_table, contents.state))
            .unzip();
        let client_table = client_table.unwrap_or_default();
        let mut replica = Self::from_disk(config, &superblock, found, client_table, journal);
        if replica.journal.base().op > OpNumber(0) {
            let below = replica.journal.base().op.next();
            effects.push(Effect::TrimJournal { below });
        }
        if let Some(state) = state {
            effects.push(Effect::Restore { op: base.op, state });
        }
        if is_tail_uncertain {
            let nonce = superblock.sequence + 1;
            replica.damage = Some(Damage {
                view: superblock.view,
                nonce,
            });
            // What can be read of the journal may have been replaced.
            replica.commit_number = replica.executed;
        }
        if !is_new {
            // It may have acknowledged something just before it was stopped.
            replica.support_lease(effects);
        }
        if is_new || is_tail_uncertain {
            replica.superblocks.first = replica.persist(effects);
        }
        replica.start(effects);
        replica.advance(effects);
        replica
    }

    fn from_disk(
        config: Config,
        superblock: &Superblock,
        checkpoint: Option<Checkpoint>,
        client_table: ClientTable,
        journal: Journal,
    ) -> Self {
        let executed = superblock.checkpoint.op;
        let is_lost = executed > OpNumber(0) && checkpoint.is_none();
        let commit_number = superblock
            .commit_number
            .min(journal.sound_head().op)
            .max(executed);
        Self {
            config,
            disk: superblock.disk,
            status: Status::Recovering,
            view: superblock.view,
            log_view: superblock.log_view,
            log_view_op: superblock.log_view_op,
            log_view_checksum: superblock.log_view_checksum,
            superblocks: Superblocks::recovered(superblock),
            journal,
            damage: None,
            commit_known: superblock.commit_number.max(executed),
            commit_number,
            executed,
            executing: None,
            client_table,
            checkpoint,
            lost_checkpoint: is_lost.then_some(superblock.checkpoint),
            may_be_fork: superblock.may_be_fork,
            writing: None,
            acknowledged: BTreeMap::new(),
            heard: BTreeSet::new(),
            reads: Reads::default(),
            lease: Lease::default(),
            vote: None,
            votes: BTreeMap::new(),
            strangers: BTreeSet::new(),
            phase: None,
            promises: BTreeMap::new(),
            fetch: None,
            transfer: None,
            handover: None,
            is_disk_watched: false,
        }
    }

    fn start(&mut self, effects: &mut Vec<Effect>) {
        self.send_recovery(effects);
        self.ask_for_repair(effects);
        if self.view > self.log_view && self.knows_group() {
            // It crashed between its promise and the settled log: it promises again.
            self.status = Status::ViewChange;
            self.phase = Some(Phase::Promising);
            effects.push(Effect::Arm(Timer::ViewChangeStalled));
            effects.push(Effect::Arm(Timer::ViewChangeResend));
            return;
        }
        if self.may_ask() {
            self.cast_vote(self.next_view(), effects);
        } else {
            effects.push(Effect::Arm(Timer::PrimarySilent));
        }
    }

    /// Asks where the log of the view ends, as soon as the damage is marked on the disk.
    pub(super) fn send_recovery(&self, effects: &mut Vec<Effect>) {
        let Some(damage) = &self.damage else { return };
        effects.push(Effect::Arm(Timer::ViewChangeResend));
        if self.superblocks.durable >= self.superblocks.first {
            let message = Message::Recovery {
                view: self.view,
                nonce: damage.nonce,
            };
            for source in self.sources() {
                self.send(source, message.clone(), effects);
            }
        }
    }

    pub(super) fn on_recovery(
        &self,
        from: Member,
        view: ViewNumber,
        nonce: u64,
        effects: &mut Vec<Effect>,
    ) {
        if self.is_primary() && self.view >= view {
            let message = Message::RecoveryResponse {
                view: self.view,
                nonce,
                commit_number: self.commit_number,
                head: self.journal.head(),
            };
            self.send(from.node, message, effects);
        }
    }

    /// The log of a primary that was asked after the damage includes all that this replica may have
    /// acknowledged to it.
    pub(super) fn on_recovery_response(
        &mut self,
        from: Member,
        view: ViewNumber,
        nonce: u64,
        commit_number: OpNumber,
        head: Head,
        effects: &mut Vec<Effect>,
    ) {
        let is_fresh = self
            .damage
            .as_ref()
            .is_some_and(|damage| damage.nonce == nonce);
        if is_fresh && view >= self.view && from.node == view.primary() {
            self.commit_known = self.commit_known.max(commit_number);
            self.adopt(from, view, head, effects);
        }
    }

    /// Whether a primary's statement of where its log ends may be believed without having asked for
    /// it.
    ///
    /// With a damaged journal not in the view of the damage: the message may be an old one, from
    /// before this replica acknowledged what it has now lost. A later view started with all that
    /// counts.
    pub(super) fn may_trust_head(&self, view: ViewNumber) -> bool {
        self.damage.as_ref().is_none_or(|damage| view > damage.view)
    }
}

/// What a blank disk is taken to say: that its replica founds a group, or belongs to none yet.
fn first_superblock(config: &Config) -> Superblock {
    let (disk, membership) = if config.founders.contains(&config.me) {
        (DiskId(0), Membership::founded_by(&config.founders))
    } else if sabotage::is(Sabotage::LostDiskVotes) {
        (DiskId(0), Membership::default())
    } else {
        assert!(
            config.disk != DiskId(0),
            "a disk that does not found has a number of its own"
        );
        (config.disk, Membership::default())
    };
    Superblock {
        disk,
        membership,
        ..Superblock::default()
    }
}

/// The part of the journal that counts, and whether it is known that it continues the checkpoint,
/// and how it ends.
///
/// It begins before the checkpoint at `base` as far as what is there is sound, for the sake of
/// members that are a little behind. What is damaged there harms nobody.
fn recover_journal(
    base: Head,
    membership: Membership,
    found: Vec<Prepare>,
    superblock: &Superblock,
) -> (Journal, bool) {
    let first = found.first().map_or(base.op, |first| first.op.min(base.op));
    let mut last = found.last().map_or(base.op, |last| last.op);
    let mut slots = find_slots(first, found);
    // What stands above `log_view_op` and is older than `log_view` was left behind by another log.
    let is_left_behind = |slot: &Slot| match slot {
        Slot::Sound(prepare) => prepare.view < superblock.log_view,
        // What comes after it is left behind, and would have been replaced together with it.
        Slot::Faulty(_) => true,
    };
    while last > superblock.log_view_op && slots.last().is_some_and(is_left_behind) {
        slots.pop();
        last = OpNumber(last.0 - 1);
    }
    if let Some(Slot::Faulty(end)) = slots.last_mut()
        && superblock.view == superblock.log_view
    {
        // The log of `log_view` began with it. On the way into a later view something else may
        // have taken its place already.
        end.get_or_insert(superblock.log_view_checksum);
    }
    // Its end cannot be read, and who could have named it cannot be read either.
    let mut is_end_known = true;
    while last > base.op && slots.last().is_some_and(|slot| *slot == Slot::Faulty(None)) {
        slots.pop();
        last = OpNumber(last.0 - 1);
        is_end_known = false;
    }
    let covered = usize::try_from(base.op.0 - first.0).expect("a journal fits into memory");
    if slots.len() <= covered {
        return (
            Journal::recovered(base, membership, Vec::new()),
            is_end_known,
        );
    }
    let rest = slots.split_off(covered + 1);
    let is_connected = match slots[covered].checksum() {
        Some(checksum) if checksum != base.checksum => {
            // A checkpoint that came from another member has no place in what was found here.
            return (
                Journal::recovered(base, membership, Vec::new()),
                is_end_known,
            );
        }
        Some(_) => true,
        None => !superblock.may_be_fork,
    };
    let mut base = base;
    let mut journal = Vec::new();
    while let Some(Slot::Sound(prepare)) = slots.pop() {
        base = Head {
            op: OpNumber(prepare.op.0 - 1),
            checksum: prepare.parent,
        };
        journal.push(Slot::Sound(prepare));
    }
    journal.reverse();
    journal.extend(rest);
    (
        Journal::recovered(base, membership, journal),
        is_connected && is_end_known,
    )
}

/// What stood at each number from `first` to the end of what was found.
///
/// The last prepare that was found is the end of the journal, and each tells which one was before
/// it.
fn find_slots(first: OpNumber, found: Vec<Prepare>) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut checksum = None;
    let Some(mut expected) = found.last().map(|last| last.op) else {
        return slots;
    };
    for prepare in found.into_iter().rev() {
        assert!(prepare.op <= expected, "the numbers of a journal rise");
        while expected > prepare.op {
            slots.push(Slot::Faulty(checksum.take()));
            expected = OpNumber(expected.0 - 1);
        }
        let is_expected = checksum.is_none_or(|checksum| checksum == prepare.checksum);
        if is_expected {
            checksum = Some(prepare.parent);
            slots.push(Slot::Sound(prepare));
        } else {
            slots.push(Slot::Faulty(checksum.take()));
        }
        expected = OpNumber(expected.0 - 1);
    }
    for _ in first.0..=expected.0 {
        slots.push(Slot::Faulty(checksum.take()));
    }
    slots.reverse();
    slots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Content;

    /// Prepares of these views, one after the other.
    fn prepares(views: &[u64]) -> Vec<Prepare> {
        let mut head = Head::default();
        let next = |view: &u64| {
            let content = Content::Proposal { operation: vec![7] };
            let prepare = Prepare::new(head, ViewNumber(*view), content);
            head = prepare.head();
            prepare
        };
        views.iter().map(next).collect()
    }

    fn recovered(found: Vec<Prepare>, superblock: &Superblock) -> (Journal, bool) {
        let nobody = Membership::default();
        recover_journal(Head::default(), nobody, found, superblock)
    }

    /// Of a replica that took part in view 2, whose log began with two prepares.
    fn superblock(view: u64, end: Head) -> Superblock {
        Superblock {
            view: ViewNumber(view),
            log_view: ViewNumber(2),
            log_view_op: end.op,
            log_view_checksum: end.checksum,
            ..Superblock::default()
        }
    }

    /// The last entry was left behind by an earlier log. What lies between it and the end of the
    /// log that counts cannot be read; but the superblock knows the end.
    #[test]
    fn end_that_the_superblock_names_is_certain_though_it_cannot_be_read() {
        let found = prepares(&[1, 1, 1, 1]);
        let end = found[1].head();
        let found = vec![found[0].clone(), found[3].clone()];
        let (journal, is_certain) = recovered(found.clone(), &superblock(2, end));
        assert_eq!(journal.head(), end);
        assert_eq!(journal.sound_head(), found[0].head());
        assert!(is_certain && !journal.is_whole());

        let (journal, is_certain) = recovered(found, &superblock(3, end));
        assert!(
            !is_certain,
            "it may have been replaced on the way to view 3"
        );
        assert!(journal.is_whole());
    }

    #[test]
    fn end_that_its_successor_names_is_certain_though_it_cannot_be_read() {
        let found = prepares(&[1, 1, 1]);
        let end = found[1].head();
        let found = vec![found[0].clone(), found[2].clone()];
        let (journal, is_certain) = recovered(found, &superblock(3, end));
        assert_eq!(journal.head(), end);
        assert!(is_certain && !journal.is_whole());
    }
}
