//! Carries out what the group decides: messages to links, writes to the storage task, committed
//! operations to the catalog, answers to clients, timers to deadlines. It holds no condition of the
//! protocol; the one match in it is on the kind of effect.

use std::collections::VecDeque;
use std::sync::Arc;

use quorate_platform::{Instant, Platform};
use quorate_vsr::group::{
    Config, Effect, Event, Message, Recovered, Rejection, Replica, Status, Timer,
};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};
use quorate_wire::{BODY_BYTES_MAX, ClusterId, Code, Frame, Kind, Refusal, Response, Role};

use super::client::{Caller, Question, Waiting};
use super::damage::Damage;
use super::peering::Peers;
use super::reads::Reads;
use super::storage::Job;
use super::timer::Timers;
use crate::error::NodeError;
use crate::metadata::{Catalog, Metadata, Operation, Outcome, Published};

/// The longest operation that the group is given. Moving every leadership at once takes most of it;
/// with it a message of the group, and the writes that wait for the disk, stay far below their
/// limits.
const OPERATION_BYTES_MAX: usize = 1 << 20;

/// The group on this node, with what it acts upon.
pub(super) struct Driver<P> {
    platform: P,
    cluster: ClusterId,
    group: Replica,
    catalog: Arc<Catalog>,
    timers: Timers,
    jobs: flume::Sender<Job>,
    peers: Peers,
    waiting: Waiting,
    reads: Reads,
    seen: Seen,
    damage: Damage,
    /// The end of the journal after the node's own last proposal.
    proposed: OpNumber,
}

/// What was reported of the group last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    view: ViewNumber,
    status: Status,
    is_primary: bool,
}

impl Seen {
    fn of(group: &Replica) -> Self {
        Self {
            view: group.view(),
            status: group.status(),
            is_primary: group.is_primary(),
        }
    }
}

impl<P: Platform> Driver<P> {
    /// The group as it comes back from the disk.
    pub(super) fn new(
        platform: P,
        config: Config,
        cluster: ClusterId,
        peers: Peers,
        recovered: Recovered,
        jobs: flume::Sender<Job>,
    ) -> Result<Self, NodeError> {
        let mut effects = Vec::new();
        let group = Replica::new(config, recovered, &mut effects);
        let mut driver = Self {
            platform,
            cluster,
            seen: Seen::of(&group),
            damage: Damage::default(),
            group,
            catalog: Arc::default(),
            timers: Timers::default(),
            jobs,
            peers,
            waiting: Waiting::default(),
            reads: Reads::default(),
            proposed: OpNumber(0),
        };
        driver.carry_out(effects)?;
        driver.report_damage();
        Ok(driver)
    }

    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(super) fn group(&self) -> &Replica {
        &self.group
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Tells the group of a timer that has run out; false if none has.
    pub(super) fn fire_timer(&mut self) -> Result<bool, NodeError> {
        let Some(timer) = self.timers.take_due(self.platform.now()) else {
            return Ok(false);
        };
        self.step(Event::Timeout(timer))?;
        Ok(true)
    }

    /// Tells the group of `event` and carries out what follows.
    ///
    /// If its lease has run out by now, it hears of that first: a read that comes after a pause of
    /// the process must not be answered by a lease from before.
    pub(super) fn step(&mut self, event: Event) -> Result<(), NodeError> {
        while let Some(timer) = self.timers.take_due_lease(self.platform.now()) {
            self.tell(Event::Timeout(timer))?;
        }
        self.tell(event)
    }

    fn tell(&mut self, event: Event) -> Result<(), NodeError> {
        let mut effects = Vec::new();
        self.group.step(event, &mut effects);
        self.carry_out(effects)?;
        self.report_change();
        self.report_damage();
        Ok(())
    }

    /// Whether the primary has executed all that it proposed itself, so that it may look at the
    /// catalog for what is still to be proposed, and would be heard.
    pub(super) fn may_propose(&self) -> bool {
        // What was proposed in an earlier view may have been cut off.
        let awaited = self.proposed.min(self.group.op_number());
        self.group.has_room() && self.group.executed() >= awaited
    }

    /// Has the group replicate `operation`, if it has room.
    pub(super) fn propose(&mut self, operation: &Operation) -> Result<(), NodeError> {
        if !self.group.has_room() {
            return Ok(());
        }
        let bytes = operation.encode();
        if bytes.len() > OPERATION_BYTES_MAX {
            tracing::error!(bytes = bytes.len(), %operation, "too long to propose");
            return Ok(());
        }
        tracing::info!(%operation, "propose");
        self.step(Event::Propose { operation: bytes })?;
        self.proposed = self.group.op_number();
        Ok(())
    }

    /// Passes a client's request on to the group and has the client wait for the answer.
    pub(super) fn ask(
        &mut self,
        question: Question,
        caller: Caller,
        event: Event,
    ) -> Result<(), NodeError> {
        if let Event::Request { operation, .. } = &event
            && operation.len() > OPERATION_BYTES_MAX
        {
            let detail = format!("a control operation has at most {OPERATION_BYTES_MAX} bytes");
            let refusal = Refusal::new(Code::InvalidRequest, detail);
            caller.answer(&Response::Refused(refusal));
            return Ok(());
        }
        let now = self.platform.now();
        if self.platform.rarely("too many control operations")
            || !self.waiting.add(question, caller.clone(), now)
        {
            let detail = "too many control operations are under way";
            caller.answer(&Response::Refused(Refusal::new(Code::Overloaded, detail)));
            return Ok(());
        }
        self.step(event)
    }

    /// Has the client wait until the group confirms that the catalog of this node holds everything
    /// that anybody was told before.
    pub(super) fn read(
        &mut self,
        caller: Caller,
        topics: Option<Vec<String>>,
    ) -> Result<(), NodeError> {
        match self.reads.add(caller, topics, self.platform.now()) {
            Some(read) => self.step(Event::Read { read }),
            None => Ok(()),
        }
    }

    pub(super) fn expire_waiting(&mut self) {
        let now = self.platform.now();
        self.waiting.expire(now);
        self.reads.expire(now);
    }

    /// Publishes what this node knows now, if it differs from what is published.
    pub(super) fn publish(&self, published: &Published) {
        let (current, now) = (published.load(), self.metadata());
        let is_new = current.catalog.version != now.catalog.version
            || (current.view, current.primary) != (now.view, now.primary)
            || current.membership != now.membership
            || current.disk != now.disk;
        if is_new {
            published.publish(now);
        }
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            cluster: self.cluster,
            view: self.group.view(),
            primary: self.group.primary(),
            membership: self.group.membership().clone(),
            disk: Some(self.group.member().disk.0),
            catalog: Arc::clone(&self.catalog),
        }
    }

    /// The node's part in the group.
    pub(super) fn role(&self) -> Role {
        if self.is_blank() {
            return Role::Blank;
        }
        match self.group.status() {
            Status::Normal if self.group.is_primary() => Role::Primary,
            Status::Normal if self.has_vote() => Role::Backup,
            Status::Normal => Role::Standby,
            Status::ViewChange => Role::ViewChange,
            Status::Recovering => Role::Recovering,
        }
    }

    /// Whether no group has this node as a member.
    fn is_blank(&self) -> bool {
        !self.group.membership().contains(self.group.member())
    }

    fn has_vote(&self) -> bool {
        self.group.membership().is_voter(self.group.member())
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), NodeError> {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let Some(answer) = self.carry_out_one(effect)? else {
                continue;
            };
            let mut further = Vec::new();
            self.group.step(answer, &mut further);
            effects.extend(further);
        }
        Ok(())
    }

    /// Carries out one effect; gives the answer if the group waits for it at once.
    fn carry_out_one(&mut self, effect: Effect) -> Result<Option<Event>, NodeError> {
        match effect {
            Effect::Send { to, message } => self.send(to, &message),
            Effect::Append(prepare) => self.store(Job::Append(prepare)),
            Effect::Mend(prepare) => self.store(Job::Mend(prepare)),
            Effect::Persist(superblock) => self.store(Job::Persist(superblock)),
            Effect::PersistCheckpoint(checkpoint) => {
                self.store(Job::PersistCheckpoint(checkpoint));
            }
            Effect::TrimJournal { below } => self.store(Job::TrimJournal { below }),
            Effect::Execute { op, operation } => {
                let reply = self.execute(op, &operation)?;
                return Ok(Some(Event::Executed { op, reply }));
            }
            Effect::TakeSnapshot { op } => {
                return Ok(Some(Event::Snapshot {
                    op,
                    state: self.catalog.encode(),
                }));
            }
            Effect::Restore { op, state } => {
                let catalog = Catalog::decode(&state)
                    .map_err(|error| foreign(format!("the state at {op:?}: {error}")))?;
                let before = self.catalog.version;
                tracing::info!(%op, before, now = catalog.version, "took in a snapshot");
                self.catalog = Arc::new(catalog);
            }
            Effect::ReplyRegistered { client, session } => {
                let response = Response::Registered { session };
                self.waiting
                    .answer(Question::Register { client }, &response);
            }
            Effect::Reply {
                client,
                request_number,
                reply,
            } => {
                let response = self.response(&reply);
                self.waiting.answer(
                    Question::Request {
                        client,
                        request_number,
                    },
                    &response,
                );
            }
            Effect::RejectRequest {
                client,
                request_number,
                reason,
            } => {
                let response = Response::Refused(self.refusal(reason));
                self.waiting
                    .answer(Question::of(client, request_number), &response);
            }
            Effect::ReadReady { read } => self.answer_read(read, |driver, topics| {
                Response::Metadata(driver.metadata().tell(topics))
            }),
            Effect::RejectRead { read, reason } => {
                tracing::debug!(%reason, "a read is refused");
                self.answer_read(read, |driver, _| Response::Refused(driver.refusal(reason)))
            }
            Effect::Distrust { from, why } => {
                let node = from.node;
                tracing::error!(%node, why, "dropped a message that no node should send");
            }
            Effect::Arm(timer) => self.arm(timer),
            Effect::Disarm(timer) => self.timers.disarm(timer),
        }
        Ok(None)
    }

    fn answer_read(
        &mut self,
        read: u64,
        response: impl FnOnce(&Self, Option<&[String]>) -> Response,
    ) {
        if let Some(reader) = self.reads.take(read) {
            let response = response(self, reader.topics.as_deref());
            reader.caller.answer(&response);
        }
    }

    fn arm(&mut self, timer: Timer) {
        let now = self.platform.now();
        self.timers.arm(timer, now, self.platform.random());
        if self.platform.rarely("a timer of the group is impatient") {
            self.timers.hurry(timer, now);
        }
    }

    fn store(&self, job: Job) {
        // Without its task the storage has failed, which the loop has been told.
        let _ = self.jobs.send(job);
    }

    fn send(&self, to: NodeId, message: &Message) {
        if !self.peers.contains(to) || self.platform.rarely("a message of the group is lost") {
            return;
        }
        let body = message.encode();
        if body.len() > BODY_BYTES_MAX as usize {
            tracing::error!(%to, bytes = body.len(), "a message of the group is too long to send");
            return;
        }
        let frame = Frame::head(Kind::Group, self.cluster, 0, &body, 0);
        self.peers.send(to, frame);
    }

    fn execute(&mut self, op: OpNumber, operation: &[u8]) -> Result<Vec<u8>, NodeError> {
        let operation = Operation::decode(operation)
            .map_err(|error| foreign(format!("the operation {op}: {error}")))?;
        let outcome = Arc::make_mut(&mut self.catalog).apply(&operation);
        tracing::debug!(%op, %operation, version = self.catalog.version, "executed");
        Ok(outcome
            .map(|outcome| quorate_wire::encode(&outcome).into_vec())
            .unwrap_or_default())
    }

    fn response(&self, reply: &[u8]) -> Response {
        match quorate_wire::decode::<Outcome>(reply) {
            Ok(outcome) => Response::Control(outcome.reply(&self.catalog)),
            Err(error) => {
                let detail = format!("the outcome of the request cannot be read: {error}");
                Response::Refused(Refusal::new(Code::Unavailable, detail))
            }
        }
    }

    /// What a client is told that should have asked the primary.
    pub(super) fn not_primary(&self) -> Refusal {
        self.refusal(Rejection::NotPrimary)
    }

    fn refusal(&self, reason: Rejection) -> Refusal {
        match reason {
            Rejection::NotPrimary => {
                let instead = self.address_of_other_primary();
                Refusal {
                    instead,
                    ..Refusal::new(Code::NotPrimary, reason.to_string())
                }
            }
            Rejection::UnknownSession => Refusal::new(Code::UnknownSession, reason.to_string()),
            Rejection::Stale => Refusal::new(Code::StaleRequest, reason.to_string()),
            Rejection::Busy => Refusal::new(Code::Overloaded, reason.to_string()),
        }
    }

    fn address_of_other_primary(&self) -> Option<String> {
        let is_known = self.group.status() == Status::Normal && !self.group.is_primary();
        if !is_known {
            return None;
        }
        let address = self.peers.address(self.group.primary())?;
        Some(address.to_string())
    }

    fn report_damage(&mut self) {
        let now = Damage::of(&self.group);
        now.report(self.damage, self.group.membership().voters().len());
        self.damage = now;
    }

    fn report_change(&mut self) {
        let now = Seen::of(&self.group);
        if now == self.seen {
            return;
        }
        tracing::info!(
            view = %now.view,
            status = ?now.status,
            primary = %self.group.primary(),
            is_primary = now.is_primary,
            op = %self.group.op_number(),
            commit = %self.group.commit_number(),
            "the group has changed"
        );
        if self.seen.is_primary && !now.is_primary {
            self.waiting.give_up(self.address_of_other_primary());
        }
        self.seen = now;
    }
}

/// What the group replicated was written by a release that this one does not understand.
fn foreign(problem: String) -> NodeError {
    NodeError::Config(format!(
        "this node cannot follow the control plane: {problem}"
    ))
}
