//! The control-plane group: Viewstamped Replication with stable storage.
//!
//! A few voters agree on one sequence of operations. In each *view* one of them, the primary, gives
//! every operation its number and asks the others, the backups, to put it into their journals. What
//! a majority has on stable storage is *committed* and is executed by everybody in the order of its
//! number. When the primary falls silent, a majority moves on to the next view, whose primary takes
//! over the most complete log of a majority. The paper is "Viewstamped Replication Revisited"
//! (Liskov & Cowling, 2012); names are the paper's. What is different is that a replica here has a
//! disk, so a crash is no more than a pause.
//!
//! # Why a committed operation is never lost
//!
//! Four rules carry the argument. Each is enforced in the file that is named with it.
//!
//! 1. *A promise is durable before it is given* (`view_change`). `DoViewChange` of a view leaves
//!    when the view is in the superblock and all of the journal is on stable storage. From then on
//!    the sender acknowledges nothing of earlier views, whether it crashes or not, and its answer
//!    stays true.
//! 2. *An acknowledgement is durable before it is given* (`normal`). `PrepareOk` of a view leaves
//!    when the prepare is on stable storage and `log_view` is that view, on stable storage too.
//! 3. *`log_view` is written last* (`view_change`). A replica first brings its journal to the log
//!    with which the view started and makes it durable; only then does it write `log_view`. So a
//!    replica whose `log_view` is some view holds everything that was committed before that view
//!    began.
//! 4. *Repair replaces only what is no part of the log* (`state_transfer`), and only in a view
//!    whose promise is durable. Prepares are chained by checksums, so two journals agree up to the
//!    last prepare that both have. Only what comes after it is ever cut, and only for the log of a
//!    view that a majority has promised itself to.
//!
//! Suppose that an operation was committed in some view. A majority has acknowledged it there, so
//! holds it and has a `log_view` of at least that view (2). The next view takes the log of the
//! greatest (`log_view`, op number) from a majority (1), and two majorities share a member (also
//! when the members have changed in between: see `reconfiguration`). If the
//! winner has the very `log_view` of the commit, its log is the longer one and so includes the
//! operation; if it has a later one, its log started with the operation by the same argument, one
//! view earlier (3). Replacing part of a journal on the way does not hurt: it becomes the beginning
//! of a log that has all of that anyway (4). Therefore no two members ever execute different
//! operations at one number.
//!
//! # Why two primaries do no harm
//!
//! A view names its primary, where the paper computes it from the number of the view and the list
//! of the members. So who is primary of a view needs no knowledge but the view: members that know
//! different lists of voters still never take two nodes for the primary of one view. Nor do two
//! disks of one node both serve it: a primary has to be a voter, with its disk, by the very log
//! with which its view begins. A primary that was restarted does not resume its view: it may have
//! sent prepares that its own journal has lost, and would give their numbers out again. It asks for
//! the next view. A deposed primary that has not noticed cannot commit, since a majority
//! acknowledges nothing in its view any more; and it does not answer requests from its own memory
//! alone, because a reply leaves only when its operation is committed. Reads do without an
//! operation, and take other care (`read`, `lease`).
//!
//! # Why it goes on
//!
//! A view change begins only when a majority asks for it: `StartViewChange` is a question, not a
//! promise, so a member that is cut off cannot disturb the others however often it asks. Whoever
//! was led into a view by a majority says so, and then the others follow. Every message that can be
//! lost is sent again by a timer, or is contained in the primary's regular `Commit`. A primary that
//! hears no majority stops sending that, and the others replace it.
//!
//! # Who belongs to it
//!
//! The members are a part of the log (`membership`, `reconfiguration`). A member is a node with its
//! disk: what a node has promised and acknowledged is on its disk, so with another disk it is
//! another member, and none at all until the group makes it one.
//!
//! # What damage does
//!
//! What cannot be read is not what was never there. Who has lost an *entry* takes part up to before
//! it, and is given it back (`repair`); no view begins without it unless a majority witnesses that
//! it was not committed (`choice`). Who does not know where the journal *ends* marks that on the
//! disk first; then it neither acknowledges, nor offers a log, nor witnesses for one of its view,
//! until a primary has answered what was asked after the damage (`recovery`). Who has lost its
//! *checkpoint* acknowledges, but neither executes nor leads until it has another one (`repair`).
//! So nothing committed is lost while a sound copy is in reach; if none is the group waits. A lost
//! superblock, with its promises, is a lost disk.
//!
//! # Where to find it
//!
//! `normal` is the paper's section 4.1, `view_change` 4.2, `recovery` 4.3 (from disk), `execution`
//! and `client_table` the up-calls and at-most-once, `state_transfer` 5.1 and 5.2 with
//! `checkpoint_transfer`, `reconfiguration` takes the place of 7. `choice`, `repair`, `handover`,
//! `lease` and `read` are not in the paper. `invariants` is checked after every step of a debug
//! build. Handlers record what they learned; the `advance` functions look at what is known and take
//! every step that has become possible. That way it does not matter in which order completions and
//! messages arrive.

mod checkpoint;
mod checkpoint_transfer;
mod choice;
mod client_table;
mod config;
mod display;
mod effect;
mod event;
mod execution;
mod handover;
mod invariants;
mod journal;
mod lease;
mod membership;
mod message;
mod normal;
mod prepare;
mod promise;
mod read;
mod reconfiguration;
mod recovery;
mod repair;
mod request;
mod state_transfer;
mod superblock;
mod timer;
mod view_change;

use std::collections::{BTreeMap, BTreeSet};

pub use checkpoint::{Checkpoint, Contents};
pub use checkpoint_transfer::Piece;
pub use client_table::{ClientTable, Session};
pub use config::{Config, Limits};
pub use effect::{Effect, Rejection};
pub use event::Event;
pub use membership::{DiskId, Member, Membership};
pub use message::Message;
pub use prepare::{Checksum, Content, Head, Prepare};
pub use promise::Promise;
pub use reconfiguration::NotNow;
pub use recovery::Recovered;
pub use superblock::Superblock;
pub use timer::Timer;

use crate::{NodeId, OpNumber, ViewNumber, quorum};
use checkpoint_transfer::Transfer;
use execution::Executing;
use handover::Handover;
use journal::Journal;
use lease::Lease;
use read::Reads;
use recovery::Damage;
use state_transfer::{Fetch, Writing};
use superblock::Superblocks;
use view_change::Phase;

/// What a replica is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Taking part in the view: preparing, acknowledging, committing.
    Normal,
    /// On the way into the view: its log is not settled, or this replica does not have it yet.
    ViewChange,
    /// Started from its own disk; it has not heard from a primary yet.
    Recovering,
}

/// One member of the group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    config: Config,
    disk: DiskId,
    status: Status,
    /// Never goes back, and neither does anything else up to `executed`.
    view: ViewNumber,
    log_view: ViewNumber,
    log_view_op: OpNumber,
    log_view_checksum: Checksum,
    superblocks: Superblocks,
    journal: Journal,
    /// Set while the journal may lack what this replica has acknowledged.
    damage: Option<Damage>,

    /// The greatest commit number heard of; it may lie beyond the journal.
    commit_known: OpNumber,
    /// How far this journal is known to be committed.
    commit_number: OpNumber,
    executed: OpNumber,
    executing: Option<Executing>,
    client_table: ClientTable,
    /// The checkpoint that the durable superblock names.
    checkpoint: Option<Checkpoint>,
    /// The checkpoint that the durable superblock names, if it is damaged. Until another one has
    /// come there is no state, and nothing is executed.
    lost_checkpoint: Option<Head>,
    /// As in the superblock.
    may_be_fork: bool,
    /// The checkpoint that is on its way there.
    writing: Option<Writing>,

    /// As primary: how far each other member has acknowledged in this view.
    acknowledged: BTreeMap<Member, OpNumber>,
    /// As primary: the other voters heard from since [`Timer::QuorumSilent`] was armed.
    heard: BTreeSet<Member>,
    reads: Reads,
    lease: Lease,

    /// The view that this replica asks for, if it has given up on the present one.
    vote: Option<ViewNumber>,
    /// The views that the other voters ask for.
    votes: BTreeMap<Member, ViewNumber>,
    /// Who else asks for a view and is told what this replica asks for.
    strangers: BTreeSet<Member>,
    /// How far the view change has come; there is one exactly when the status is `ViewChange`.
    phase: Option<Phase>,
    /// As primary to be: the promises for this view, its own among them.
    promises: BTreeMap<Member, Promise>,
    /// The state that was asked for and has not come yet.
    fetch: Option<Fetch>,
    /// The checkpoint of which only a part has come; it outlives what it was asked for.
    transfer: Option<Transfer>,
    /// As primary: set while it gives up its place.
    handover: Option<Handover>,
    /// Whether [`Timer::DiskSilent`] is armed.
    is_disk_watched: bool,
}

impl Replica {
    /// Takes an event and pushes what follows from it to `effects`.
    ///
    /// Runs to completion and cannot fail: an event that makes no sense in the present state is
    /// ignored.
    ///
    /// # Panics
    ///
    /// If members have come to disagree about a committed operation, which the protocol excludes;
    /// going on would only spread it.
    pub fn step(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let has_disk_moved = event.is_of_disk();
        match event {
            Event::Message { from, message } => self.on_message(from, message, effects),
            Event::Timeout(timer) => self.on_timeout(timer, effects),
            Event::Register { client } => self.on_register(client, effects),
            Event::Request {
                client,
                session,
                request_number,
                operation,
            } => {
                self.on_request(client, session, request_number, operation, effects);
            }
            Event::Propose { operation } => self.on_propose(operation, effects),
            Event::Read { read } => self.on_read(read, effects),
            Event::Reconfigure { membership } => self.on_reconfigure(membership, effects),
            Event::Transfer { to } => self.on_transfer(to, effects),
            Event::PrepareDurable { op, checksum } => {
                self.on_prepare_durable(op, checksum, effects);
            }
            Event::SuperblockDurable { sequence } => self.on_superblock_durable(sequence, effects),
            Event::CheckpointDurable { op } => self.on_checkpoint_durable(op, effects),
            Event::Executed { op, reply } => self.on_executed(op, reply, effects),
            Event::Snapshot { op, state } => self.on_snapshot(op, state, effects),
        }
        self.advance(effects);
        self.watch_disk(has_disk_moved, effects);
    }

    fn on_message(&mut self, from: Member, message: Message, effects: &mut Vec<Effect>) {
        if !self.is_heard(from, &message) {
            return;
        }
        match message {
            Message::Prepare {
                view,
                commit_number,
                prepare,
            } => {
                self.on_prepare(from, view, commit_number, prepare, effects);
            }
            Message::PrepareOk { view, op, round } => {
                self.on_prepare_ok(from, view, op, round, effects);
            }
            Message::Commit {
                view,
                commit_number,
                head,
                round,
            }
            | Message::StartView {
                view,
                commit_number,
                head,
                round,
            } => {
                self.on_head(from, view, commit_number, head, round, effects);
            }
            Message::StartViewChange { view, promised } => {
                self.on_start_view_change(from, view, promised, effects);
            }
            Message::DoViewChange { view, promise } => {
                self.on_do_view_change(from, view, promise, effects);
            }
            Message::Recovery { view, nonce } => self.on_recovery(from, view, nonce, effects),
            Message::RecoveryResponse {
                view,
                nonce,
                commit_number,
                head,
            } => {
                self.on_recovery_response(from, view, nonce, commit_number, head, effects);
            }
            Message::GetPrepares {
                from: op, until, ..
            } => {
                self.on_get_prepares(from, op, until, effects);
            }
            Message::NewPrepares { prepares, .. } => {
                self.on_new_prepares(from.node, prepares, effects)
            }
            Message::GetState { view, known } => self.on_get_state(from, view, &known, effects),
            Message::NewState {
                view,
                after,
                prepares,
            } => {
                self.on_new_state(from, view, after, prepares, effects);
            }
            Message::GetCheckpoint {
                view,
                head,
                position,
            } => self.on_get_checkpoint(from.node, view, head, position, effects),
            Message::CheckpointPiece { view, piece } => {
                self.on_checkpoint_piece(from.node, view, piece, effects);
            }
        }
    }

    /// Whether a message is listened to, considering who sent it.
    ///
    /// What somebody asks for himself, or says of himself, counts if he is a member with this very
    /// disk: who has lost his disk, or was dropped, is a stranger. What is said of a log is true
    /// whoever says it, and a replica that is behind may not know yet who belongs to the group.
    fn is_heard(&self, from: Member, message: &Message) -> bool {
        let is_from_another = from.node != self.config.me;
        let is_from_primary = from.node == message.view().primary();
        is_from_another
            && match message {
                Message::Prepare { .. }
                | Message::Commit { .. }
                | Message::StartView { .. }
                | Message::RecoveryResponse { .. } => is_from_primary,
                Message::NewState { .. }
                | Message::NewPrepares { .. }
                | Message::CheckpointPiece { .. }
                // Who names a prepare has had it; the last one to have it may not know him.
                | Message::GetPrepares { .. } => true,
                // These two have rules of their own, in `view_change`.
                Message::StartViewChange { .. } | Message::DoViewChange { .. } => true,
                Message::PrepareOk { .. }
                | Message::Recovery { .. }
                | Message::GetState { .. }
                | Message::GetCheckpoint { .. } => self.membership().contains(from),
            }
    }

    fn on_timeout(&mut self, timer: Timer, effects: &mut Vec<Effect>) {
        match timer {
            Timer::Prepare => self.on_prepare_timeout(effects),
            Timer::Commit => self.on_commit_timeout(effects),
            Timer::QuorumSilent => self.on_quorum_silent(effects),
            Timer::PrimarySilent => self.on_primary_silent(effects),
            Timer::ViewChangeStalled => self.on_view_change_stalled(effects),
            Timer::ViewChangeResend => self.on_view_change_resend(effects),
            Timer::GetState => self.on_get_state_timeout(effects),
            Timer::Transfer => self.on_transfer_timeout(effects),
            Timer::DiskSilent => self.on_disk_silent(effects),
            Timer::Repair => self.ask_for_repair(effects),
            Timer::LeaseEven => self.on_lease_even(),
            Timer::LeaseOdd => self.on_lease_odd(),
            Timer::LeaseOver => self.on_lease_over(),
            Timer::LeaseWait => self.on_lease_wait(),
        }
    }

    /// Takes every step that what is known by now allows.
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        self.advance_votes(effects);
        self.advance_view_change(effects);
        self.advance_commit(effects);
        self.advance_handover(effects);
        self.advance_execution(effects);
        self.advance_transfer(effects);
        self.advance_reads(effects);
        self.assert_invariants();
    }

    /// Hands the driver a superblock with everything as it is now.
    fn persist(&mut self, effects: &mut Vec<Effect>) -> u64 {
        self.superblocks.sequence += 1;
        let sequence = self.superblocks.sequence;
        self.superblocks.view_sequence.get_or_insert(sequence);
        let (checkpoint, membership) = self.named_checkpoint();
        // A commit number beyond the durable journal would declare committed, after a crash, what a
        // later prepare was to replace.
        let commit_number = self
            .commit_number
            .min(self.journal.durable())
            .max(checkpoint.op);
        effects.push(Effect::Persist(Superblock {
            sequence,
            disk: self.disk,
            view: self.view,
            log_view: self.log_view,
            log_view_op: self.log_view_op,
            log_view_checksum: self.log_view_checksum,
            commit_number,
            checkpoint,
            membership,
            may_be_fork: self.may_be_fork,
            is_tail_uncertain: self.damage.is_some(),
        }));
        sequence
    }

    fn on_superblock_durable(&mut self, sequence: u64, effects: &mut Vec<Effect>) {
        if sequence <= self.superblocks.durable || sequence > self.superblocks.sequence {
            return;
        }
        let could_change_journal = self.may_change_journal();
        self.superblocks.durable = sequence;
        if self
            .superblocks
            .view_sequence
            .is_some_and(|first| first <= sequence)
        {
            self.superblocks.promised = self.view;
        }
        self.on_superblock_durable_checkpoint(effects);
        if !could_change_journal {
            self.on_superblock_durable_fetch(effects);
        }
    }

    fn enter_view(&mut self, view: ViewNumber) {
        assert!(
            view > self.view,
            "views only rise: {view} after {}",
            self.view
        );
        self.view = view;
        self.superblocks.view_sequence = None;
    }

    fn send(&self, to: NodeId, message: Message, effects: &mut Vec<Effect>) {
        effects.push(Effect::Send { to, message });
    }

    /// Sends to every other member.
    fn broadcast(&self, message: &Message, effects: &mut Vec<Effect>) {
        for member in self.membership().members() {
            if member.node != self.config.me {
                self.send(member.node, message.clone(), effects);
            }
        }
    }

    /// Sends to every other voter.
    fn broadcast_to_voters(&self, message: &Message, effects: &mut Vec<Effect>) {
        for voter in self.other_voters() {
            self.send(voter.node, message.clone(), effects);
        }
    }

    /// The nodes that may have what this replica lacks: the other members, and the primary of its
    /// view, whom a replica that is behind may not know yet.
    fn sources(&self) -> Vec<NodeId> {
        let members = self.membership().members().map(|member| member.node);
        let mut sources: Vec<_> = members.chain([self.primary()]).collect();
        let nobody = ViewNumber::default().primary();
        sources.retain(|source| *source != self.config.me && *source != nobody);
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    fn other_voters(&self) -> impl Iterator<Item = Member> {
        let voters = self.membership().voters().iter().copied();
        voters.filter(|voter| voter.node != self.config.me)
    }

    fn majority(&self) -> usize {
        quorum::majority(self.membership().voters().len())
    }

    fn has_vote(&self) -> bool {
        self.membership().is_voter(self.member())
    }

    /// This replica: its node, with the disk that it has.
    #[must_use]
    pub fn member(&self) -> Member {
        Member {
            node: self.config.me,
            disk: self.disk,
        }
    }

    /// Who belongs to the group, as far as this replica knows; nobody if it knows of no group.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        self.journal.memberships().in_force()
    }

    fn membership_at(&self, op: OpNumber) -> &Membership {
        self.journal.memberships().at(op)
    }

    /// Whether this replica knows who belongs to the group. Until then it only follows.
    fn knows_group(&self) -> bool {
        !self.membership().is_empty()
    }

    /// The view in which the replica is.
    #[must_use]
    pub fn view(&self) -> ViewNumber {
        self.view
    }

    /// The last view whose log the journal is.
    #[must_use]
    pub fn log_view(&self) -> ViewNumber {
        self.log_view
    }

    /// The view after the replica's present one, whose primary is the next voter in turn.
    ///
    /// # Panics
    ///
    /// If the replica knows of no voters.
    #[must_use]
    pub fn next_view(&self) -> ViewNumber {
        self.view.next_among(&self.membership().voting_nodes())
    }

    /// What the replica is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The primary of the replica's view, whether or not it is there; node 0 before the first view.
    #[must_use]
    pub fn primary(&self) -> NodeId {
        self.view.primary()
    }

    /// Whether this replica is the primary, as far as it knows.
    ///
    /// Another one may have taken over in a later view; nothing is committed by this one then.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.status == Status::Normal && self.primary() == self.config.me
    }

    /// The number of the last prepare in the journal.
    #[must_use]
    pub fn op_number(&self) -> OpNumber {
        self.journal.head().op
    }

    /// Up to where the journal is known to be committed.
    #[must_use]
    pub fn commit_number(&self) -> OpNumber {
        self.commit_number
    }

    /// Up to where the operations have been executed; 0 while the state is lost.
    #[must_use]
    pub fn executed(&self) -> OpNumber {
        match self.lost_checkpoint {
            Some(_) => OpNumber(0),
            None => self.executed,
        }
    }

    /// The last operation that the durable checkpoint covers.
    #[must_use]
    pub fn checkpoint_op(&self) -> OpNumber {
        self.checkpoint_head().op
    }

    /// The prepare with a number, while the journal still has it.
    #[must_use]
    pub fn prepare(&self, op: OpNumber) -> Option<&Prepare> {
        self.journal.get(op)
    }

    /// The sessions of the clients as of [`executed`](Self::executed).
    #[must_use]
    pub fn client_table(&self) -> &ClientTable {
        &self.client_table
    }

    /// What the replica was told when it started.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}
