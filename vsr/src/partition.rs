//! Partition replication: how records reach a majority inside an epoch.
//!
//! The control plane says who leads a partition in which epoch, and never gives out an epoch twice.
//! That is all it says. Everything else, so that a record once acknowledged is never lost, is
//! settled among the replicas themselves by this protocol. Its normal case and its choice of a log
//! are those of Viewstamped Replication; only the election is missing.
//!
//! # One epoch, from its beginning
//!
//! 1. **Promise.** The leader makes the epoch its own durable promise and asks the voters for
//!    theirs. Who has promised obeys no older leader any more. A promise tells what log the voter
//!    has, and leaves only when all of it is on stable storage.
//! 2. **Choose.** From a majority of promises the leader takes the log with the greatest
//!    (`log_epoch`, `next_offset`), unless a majority may have held more than they show.
//! 3. **Adopt.** It makes its own log equal to that one, durably, then makes `log_epoch` this
//!    epoch, durably, and opens. Followers likewise: they cut what parts from the leader's log,
//!    catch up to where it was when it opened, and only then set their `log_epoch`.
//! 4. **Replicate.** Records go to all followers at once and to the own disk at the same time, as
//!    many messages in flight as the pipeline allows. Followers answer when they have them on
//!    stable storage.
//! 5. **Commit.** A record is committed when a majority of the voters, each with `log_epoch` of
//!    this epoch, hold it durably. The high watermark is the first offset that is not.
//!
//! The replica keeps no records. A log is known here by its epoch history and its next offset (see
//! [`EpochHistory`]); the bytes pass the driver by, on [`Effect::Accept`] and
//! [`Effect::SendRecords`].
//!
//! # Why nothing committed is lost
//!
//! Three invariants, each kept where the code that could break it stands:
//!
//! * **Log matching.** If two replicas hold a record of the same epoch at the same offset, their
//!   logs are equal up to there. In an epoch one leader writes, at the end of its own log, and only
//!   before it is restarted; followers append only what continues a log that they have cut to a
//!   prefix of the sender's.
//! * **Completeness.** Every chosen log contains every record that was committed in an older epoch,
//!   and `log_epoch` = e on stable storage says that the log contains, on stable storage, the whole
//!   log that e's leader opened with. The choice proves the first by induction from the second:
//!   that argument stands at `choose`.
//! * **Fencing.** `promised` never falls, not by a crash either, and nothing is said or done in an
//!   epoch before the promise to it is durable. So what a majority said to a new leader stays true:
//!   no older leader can commit anything behind its back, since each majority that could let it
//!   shares a voter with the one that has promised.
//!
//! It follows that the logs of any two replicas are equal below both their high watermarks, that a
//! cut never reaches below one (asserted), and that an acknowledged record is in the log of every
//! later leader.
//!
//! # Changing the voters
//!
//! An epoch names whose word counts: its `voters`, and, if it is *joint*, the `previous` voters
//! whose place they take. In a joint epoch promises and commits take a majority of each. *Learners*
//! get the records as well and count for nothing, so that who becomes a voter need not begin with
//! an empty log. The control plane leads through a change, and owes this:
//!
//! * Every epoch has a *base*: the `previous` voters of a joint epoch, the `voters` of any other.
//! * The base of an epoch is the base of the epoch before it; or it is the `voters` V of that, if
//!   in some epoch of which V were the voters [`ChangeProgress::Adopted`] was reported, and V were
//!   the voters of every epoch since.
//!
//! So from an epoch of P alone the way leads to a joint one of V and P, which may be repeated under
//! any leader, may be given up for P alone or for another joint one at any time, and leads to V
//! alone once it was adopted. Learners may come and go with any epoch.
//!
//! Then two epochs c < e either both name e's base, and a majority that committed in c shares a
//! voter with one that promised to e; or e's base had adopted, by a majority, an epoch later than c
//! before e was given out, and one of that majority promised to e. Either is what the choice
//! needs. A replica that is named by no epoch since the base changed is needed no more: it may
//! drop its records, and its facts with them, if from then on it hears of an epoch that was given
//! out after that before it hears anything else. Each time: if that promise is lost in a crash, it
//! begins with an even later one. So it obeys no leader from before that, just as if it had kept
//! its old promise.
//!
//! This is the joint consensus of Raft, with the difference that the change is not an entry in the
//! log: who the voters are is known before the first record of an epoch, so no log has to be read,
//! and none can be cut, to know whose majority counts.
//!
//! # Where a log begins
//!
//! Old records are dropped from the front, as a leader decides, and who needs some of those begins
//! where the leader's log begins now. A log that begins at an offset counts as one that holds all
//! that was before it; why that is sound stands in `beginning.rs`.
//!
//! Records that later ones have replaced may be taken out of the log as well, by each replica when
//! it likes; what has to be said of that stands in `compaction.rs`.
//!
//! # What may go wrong around it
//!
//! Messages may be lost, repeated, delayed and overtake each other; replicas may crash and forget
//! all that was not reported durable, or remember some of it. Time plays no part in safety: timers
//! only repeat what may have been lost.
//!
//! Disks may lose records that they confirmed, or let them rot, as long as that is noticed. The
//! facts are assumed to be kept. A node that has lost them, with its disk, is another replica, for
//! which a [`NodeId`] stands only in epochs that were given out after the old one was given up, and
//! that name the old one no more. Who carries the messages owes that in no epoch two disks are
//! heard under one name. What is damaged is never taken for what was never there:
//!
//! * **The end of a log is lost**, or may be: the log is *uncertain*. That is durable before
//!   anything hides it, is told with every promise, and is evidence of nothing. The choice drops a
//!   record only if so many certain voters lack it that no majority can have held it; otherwise it
//!   waits for another voter. The argument stands at `choose`. The log is certain again when it has
//!   adopted an epoch, or, within an epoch that it had adopted, what its leader had when it was
//!   asked (see `loss.rs`).
//! * **Committed records are damaged**: they are fetched from any peer and rewritten in place, and
//!   are neither served nor cut until then (see `repair.rs`). Everything else goes on.
//! * **Other records are damaged**: that is a lost end, from there on.
//!
//! So whatever happens to the disks, nothing that was acknowledged is dropped. Where too many of
//! them fail at once, the partition waits, and says for what ([`Undecided`]).
//!
//! # What differs
//!
//! From *Viewstamped Replication Revisited*: an epoch is given out, not elected, and its leader is
//! not computed from its number. `log_epoch` stands for the paper's latest normal view, and is
//! durable. Promises carry no log, only its history; records are fetched from whoever has them. The
//! change of voters takes an epoch of two sets, where the paper stops the old configuration before
//! the new one starts.
//!
//! From Raft: records of older epochs are committed by counting like any others. That is sound
//! because a voter counts only once it has adopted the epoch, and then speaks for it in every later
//! choice. It is not sound to count by the epoch of the last record, and nobody here does.
//!
//! From protocol-aware recovery (FAST '18): the evidence is taken for the log as a whole, not
//! record by record. A voter that cannot read one record that is not committed gives up all that
//! follows; it has lost nothing by that, for it gets it back with the next adoption.

use crate::{Epoch, NodeId, Offset};

mod assignment;
mod beginning;
mod choice;
mod compaction;
mod damage;
mod display;
mod effect;
mod epoch_history;
mod event;
mod facts;
mod follower;
mod following;
mod loss;
mod members;
mod message;
mod opening;
mod repair;
mod replication;
mod role;
mod storage;

pub use choice::Undecided;
pub use effect::{Effect, RepairWish};
pub use epoch_history::EpochHistory;
pub use event::{Event, Timer};
pub use facts::Facts;
pub use members::{ChangeProgress, MemberStatus, Standing};
pub use message::{Ack, Adopt, Marks, Message, Promise, RecordsHead};
pub use replication::NotLeader;
pub use role::Role;

use beginning::Anew;
use damage::Damage;
use follower::Follower;
use members::Members;
use repair::Repair;
use role::{Duty, Leading, Phase, Stage};

/// One replica of one partition, without its records.
///
/// The driver tells it what happens ([`Replica::step`], [`Replica::append`]) and carries out the
/// [`Effect`]s.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    me: NodeId,
    /// As decided; on their way to stable storage. `promised` is also the current epoch.
    facts: Facts,
    /// As known to be on stable storage.
    durable_facts: Facts,
    history: EpochHistory,
    next_offset: Offset,
    durable_offset: Offset,
    high_watermark: Offset,
    /// As heard since the start.
    compacted_everywhere: Offset,
    /// Where a cut in progress will end.
    truncating: Option<Offset>,
    /// Where the log is to be cut because what follows counts as lost.
    losing: Option<Offset>,
    anew: Anew,
    /// What is in the log and cannot be read.
    damage: Damage,
    repair: Repair,
    /// The leader of the current epoch, once heard of since the start.
    leader: Option<NodeId>,
    /// Who takes part in the current epoch; nobody until it was assigned here.
    members: Members,
    duty: Duty,
    save_armed: bool,
    repair_armed: bool,
}

/// What was found on disk cannot be what was written there.
///
/// Records or facts are lost, and with them promises to other replicas. The replica must not take
/// part as if nothing had happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// The log ends below a high watermark that had been durable.
    LogTooShort {
        /// One past the last record found.
        next_offset: Offset,
        /// The lower bound of the high watermark that was found.
        high_watermark: Offset,
    },
    /// The log is not the one that has begun where the facts say.
    OtherBeginning {
        /// The log start that was found.
        log_start: Offset,
        /// The epoch of the record before it, according to the facts.
        epoch: Epoch,
    },
    /// The log holds records of an epoch that was never promised to, so the facts are too old.
    FactsTooOld {
        /// The epoch of the last record found.
        last_epoch: Epoch,
        /// The greatest promise that was found.
        promised: Epoch,
    },
}

impl std::fmt::Display for Unsound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LogTooShort {
                next_offset,
                high_watermark,
            } => write!(
                f,
                "the log ends at offset {next_offset}, but everything below {high_watermark} had \
                 been committed: records are missing from the disk"
            ),
            Self::OtherBeginning { log_start, epoch } => write!(
                f,
                "the log is to begin at offset {log_start}, behind a record of epoch {epoch}, and \
                 does not: the file with the facts is not that of the log"
            ),
            Self::FactsTooOld {
                last_epoch,
                promised,
            } => write!(
                f,
                "the log holds records of epoch {last_epoch}, but the newest promise found is to \
                 epoch {promised}: the file with the facts is older than the log"
            ),
        }
    }
}

impl std::error::Error for Unsound {}

impl Replica {
    /// A replica as it comes from disk: its facts, its log's next offset and epoch history.
    ///
    /// If the end of the log was found to be uncertain, the facts say so by now and are durable
    /// (see [`Facts::with_loss`]), and if the log was to begin anew, it does (see
    /// [`Facts::begun_anew`]). It takes part in nothing before it hears of an epoch.
    ///
    /// # Errors
    ///
    /// [`Unsound`] if log and facts cannot belong together.
    pub fn new(
        me: NodeId,
        facts: Facts,
        next_offset: Offset,
        mut history: EpochHistory,
    ) -> Result<Self, Unsound> {
        let (log_start, epoch) = (facts.log_start, facts.log_start_epoch);
        let facts = facts.begun_anew();
        if next_offset < log_start || !history.found(log_start, epoch) {
            return Err(Unsound::OtherBeginning { log_start, epoch });
        }
        // What an uncertain log has lost may have been committed; the others have it.
        let high_watermark = facts.high_watermark;
        if next_offset < high_watermark && !facts.is_uncertain() {
            return Err(Unsound::LogTooShort {
                next_offset,
                high_watermark,
            });
        }
        let (last_epoch, promised) = (history.last_epoch(), facts.promised);
        if last_epoch > promised {
            return Err(Unsound::FactsTooOld {
                last_epoch,
                promised,
            });
        }
        Ok(Self {
            me,
            facts,
            durable_facts: facts,
            history,
            next_offset,
            durable_offset: next_offset,
            high_watermark: high_watermark.min(next_offset),
            compacted_everywhere: Offset(0),
            truncating: None,
            losing: None,
            anew: Anew::No,
            damage: Damage::default(),
            repair: Repair::default(),
            leader: None,
            members: Members::default(),
            duty: Duty::Idle,
            save_armed: false,
            repair_armed: false,
        })
    }

    /// Takes an event in and tells what shall be done about it.
    ///
    /// Every event is taken in every state; what is out of date changes nothing.
    ///
    /// # Panics
    ///
    /// If the driver reports what cannot have happened (see [`Effect`]), or if the protocol itself
    /// is broken and would drop a committed record.
    pub fn step(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Assign {
                epoch,
                leader,
                voters,
                previous,
                learners,
            } => {
                let members = Members::new(voters, previous, learners);
                self.on_assign(epoch, leader, members, effects);
            }
            Event::Message { from, message } => self.on_message(from, message, effects),
            Event::Records {
                from,
                head,
                next_offset,
                epochs,
            } => {
                self.on_records(from, head, next_offset, &epochs, effects);
            }
            Event::FactsDurable(facts) => self.on_facts_durable(facts, effects),
            Event::LogDurable { next_offset } => self.on_log_durable(next_offset, effects),
            Event::Truncated { next_offset } => self.on_truncated(next_offset),
            Event::Expire { before } => self.on_expire(before, effects),
            Event::BegunAnew { at } => self.on_begun_anew(at, effects),
            Event::Compacted { to } => self.on_compacted(to, effects),
            Event::Damaged { from, to } => self.on_damaged(from, to),
            Event::Repair {
                base_offset,
                next_offset,
                epochs,
                compacted,
            } => {
                if self.keeps_claim(base_offset, compacted) {
                    self.on_repair(base_offset, next_offset, &epochs, effects);
                }
            }
            Event::Repaired { from, to } => self.on_repaired(from, to),
            Event::RecordsSent {
                to,
                head,
                next_offset,
            } => {
                self.on_records_sent(to, head, next_offset);
            }
            Event::Timeout(Timer::Resend) => self.on_resend(effects),
            Event::Timeout(Timer::Commit) => self.on_commit_timeout(effects),
            Event::Timeout(Timer::Repair) => {
                self.repair_armed = false;
                self.on_repair_lost(effects);
                self.on_repair_unanswered();
            }
            Event::Timeout(Timer::SaveWatermark) => self.on_save_watermark(effects),
        }
        self.advance_losing(effects);
        self.advance_anew(effects);
        self.advance_following(effects);
        self.advance_leading(effects);
        self.advance_repair(effects);
        self.assert_invariants();
    }

    fn on_message(&mut self, from: NodeId, message: Message, effects: &mut Vec<Effect>) {
        if let Message::RequestRepair {
            from: base,
            to,
            compacted,
            ..
        } = message
        {
            return self.on_request_repair(from, (base, to), compacted, effects);
        }
        // Fencing: what was said in an older epoch was not said. What is said in a newer one counts
        // only if it comes from its leader and stands at its beginning.
        if message.epoch() < self.facts.promised {
            return;
        }
        let is_current = message.epoch() == self.facts.promised;
        match message {
            Message::RequestPromise { epoch } => self.on_request_promise(from, epoch, effects),
            Message::Adopt(adopt) => self.on_adopt(from, adopt, effects),
            Message::Promise(promise) if is_current => self.on_promise(from, promise, effects),
            Message::Pull { from: base, .. } if is_current => self.on_pull(from, base, effects),
            Message::Lost { loss, .. } if is_current => self.on_lost(from, loss, effects),
            Message::Ack(ack) if is_current => self.on_ack(from, &ack),
            Message::Commit { sent, marks, .. } if is_current => {
                self.on_commit(from, sent, marks, effects);
            }
            Message::Promise(_)
            | Message::Pull { .. }
            | Message::Lost { .. }
            | Message::RequestRepair { .. }
            | Message::Ack(_)
            | Message::Commit { .. } => {}
        }
    }

    fn on_records(
        &mut self,
        from: NodeId,
        head: RecordsHead,
        next_offset: Offset,
        epochs: &[(Epoch, Offset)],
        effects: &mut Vec<Effect>,
    ) {
        // The same fence. Nothing is appended during a cut either: what is sent anew afterwards is
        // what belongs there.
        let is_changing = self.truncating.is_some() || self.is_beginning_anew();
        if head.epoch != self.facts.promised || is_changing {
            return;
        }
        if self.leader == Some(from) {
            self.on_leader_records(head, next_offset, epochs, effects);
        } else {
            self.on_pulled_records(from, head, next_offset, epochs, effects);
        }
    }

    /// What this replica is.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.duty {
            Duty::Idle => Role::Idle,
            Duty::Following(_) => Role::Follower,
            Duty::Leading(_) => Role::Leader,
        }
    }

    /// Whether this replica leads and takes appends.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.phase(), Some(Phase::Open { .. }))
    }

    /// The newest epoch that this replica has heard of; it has promised to it, or is about to.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.facts.promised
    }

    /// The leader of that epoch; `None` from the start until it is heard of.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// The first offset that is not known to be committed.
    ///
    /// Readers see only what is below. It never moves back while the process lives.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// One past the last record of the log; during a cut, of the log before it, and while the log
    /// begins anew, of the new one.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// One past the last record that is known to be on stable storage.
    #[must_use]
    pub fn durable_offset(&self) -> Offset {
        self.durable_offset
    }

    /// Which epochs wrote the log.
    #[must_use]
    pub fn history(&self) -> &EpochHistory {
        &self.history
    }

    /// The facts as decided; they may still be on their way to stable storage.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.facts
    }

    fn assert_invariants(&self) {
        assert!(
            self.high_watermark <= self.next_offset,
            "committed records are missing"
        );
        assert!(
            self.durable_offset <= self.next_offset,
            "records are durable that are not there"
        );
        assert!(
            self.facts.log_start <= self.watermark_on_disk(),
            "what is not committed, or not on the disk, has expired"
        );
        assert!(
            self.facts.compacted <= self.high_watermark,
            "what is not committed was compacted"
        );
        assert!(
            self.durable_facts.log_start <= self.facts.log_start,
            "an expiry was forgotten"
        );
        assert!(
            self.facts.log_epoch <= self.facts.promised,
            "an epoch was adopted unpromised"
        );
        assert!(
            self.durable_facts.promised <= self.facts.promised,
            "a promise was forgotten"
        );
        assert!(
            self.durable_facts.log_epoch <= self.facts.log_epoch,
            "an adoption was forgotten"
        );
        assert!(
            self.durable_facts.losses <= self.facts.losses,
            "a loss was forgotten"
        );
        assert!(
            self.durable_facts.healed <= self.facts.healed
                && self.facts.healed <= self.facts.losses,
            "something was made good that was not lost"
        );
        assert!(
            self.damage.first_behind(self.high_watermark).is_none(),
            "damage is kept that nobody could repair"
        );
        assert!(
            self.history.last_epoch() <= self.facts.promised,
            "a record of a future epoch"
        );
    }
}
