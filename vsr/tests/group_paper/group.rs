//! A group whose every message and every write can be held back by a test.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_vsr::group::{
    Checkpoint, Config, DiskId, Effect, Event, Limits, Member, Membership, Message, NotNow,
    Prepare, Recovered, Replica, Superblock, Timer,
};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};

pub(crate) fn node(id: u16) -> NodeId {
    NodeId(id)
}

/// The view number `count` of a group of three, which takes all of them in turn; 0 is none yet.
pub(crate) fn view(count: u64) -> ViewNumber {
    let voters = [node(1), node(2), node(3)];
    (0..count).fold(ViewNumber::default(), |view, _| view.next_among(&voters))
}

/// A node with one of its disks.
pub(crate) fn member(id: u16, disk: u64) -> Member {
    Member {
        node: node(id),
        disk: DiskId(disk),
    }
}

/// A node with the disk with which it founded the group.
pub(crate) fn founder(node: NodeId) -> Member {
    member(node.0, 0)
}

fn genesis(voters: &[NodeId], standbys: impl Iterator<Item = NodeId>) -> Membership {
    let voters = voters.iter().copied().map(founder).collect();
    Membership::new(voters, standbys.map(founder).collect())
}

/// What is on one member's disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) superblock: Option<Superblock>,
    pub(crate) checkpoints: BTreeMap<OpNumber, Checkpoint>,
    pub(crate) journal: Vec<Prepare>,
    pub(crate) is_tail_uncertain: bool,
}

pub(crate) struct Node {
    pub(crate) replica: Option<Replica>,
    /// The number of the disk, which founds the group if it is 0.
    disk_id: DiskId,
    pub(crate) disk: Disk,
    /// Writes that the disk has not carried out, and effects that a crash forgets.
    writes: VecDeque<Effect>,
    pub(crate) armed: BTreeSet<Timer>,
    /// What the state machine executed, in order.
    pub(crate) executed: Vec<Vec<u8>>,
    /// What clients were told.
    pub(crate) answers: Vec<Effect>,
}

pub(crate) struct Group {
    limits: Limits,
    voters: Vec<NodeId>,
    pub(crate) members: BTreeMap<NodeId, Node>,
    network: VecDeque<(Member, NodeId, Message)>,
    /// Everything that was ever sent.
    pub(crate) sent: Vec<(NodeId, NodeId, Message)>,
    /// Everything that happened, a line each.
    pub(crate) trace: Vec<String>,
    /// Members that neither send nor receive.
    pub(crate) cut: BTreeSet<NodeId>,
    /// Members whose disk does not finish anything.
    pub(crate) slow: BTreeSet<NodeId>,
}

impl Group {
    /// Everybody is started on an empty disk, and nothing was delivered yet.
    pub(crate) fn new(voters: u16, standbys: u16, limits: Limits) -> Self {
        let disk = |_| Disk::default();
        Self::with_disks(voters, standbys, limits, disk)
    }

    pub(crate) fn with_disks(
        voters: u16,
        standbys: u16,
        limits: Limits,
        disk: impl Fn(NodeId) -> Disk,
    ) -> Self {
        let mut group = Self {
            limits,
            voters: (1..=voters).map(NodeId).collect(),
            members: BTreeMap::new(),
            network: VecDeque::new(),
            sent: Vec::new(),
            trace: Vec::new(),
            cut: BTreeSet::new(),
            slow: BTreeSet::new(),
        };
        let has_standbys = standbys > 0;
        let standbys = (voters + 1..=voters + standbys).map(NodeId);
        let genesis = genesis(&group.voters, standbys.clone());
        for id in group.voters.clone().into_iter().chain(standbys) {
            let mut disk = disk(id);
            if has_standbys {
                // Nobody founds a group as its standby.
                disk.superblock.get_or_insert_default();
            }
            if let Some(superblock) = &mut disk.superblock {
                superblock.membership = genesis.clone();
            }
            group.put(founder(id), disk);
        }
        group
    }

    /// Starts a node with a disk.
    fn put(&mut self, member: Member, disk: Disk) {
        let node = Node {
            replica: None,
            disk_id: member.disk,
            disk,
            writes: VecDeque::new(),
            armed: BTreeSet::new(),
            executed: Vec::new(),
            answers: Vec::new(),
        };
        self.members.insert(member.node, node);
        self.start(member.node);
    }

    /// Starts a node with a blank disk, a new one or one that has lost its disk. It is a stranger.
    pub(crate) fn put_blank(&mut self, id: u16, disk: u64) -> Member {
        let blank = member(id, disk);
        self.put(blank, Disk::default());
        blank
    }

    /// Three voters that have agreed on their first view, with a session for client 7.
    pub(crate) fn of_three() -> Self {
        let mut group = Self::new(3, 0, Limits::default());
        group.run();
        group
    }

    pub(crate) fn primary(&self) -> NodeId {
        let mut primaries = self.members.iter().filter_map(|(id, member)| {
            member
                .replica
                .as_ref()
                .filter(|replica| replica.is_primary())
                .map(|_| *id)
        });
        let primary = primaries.next().expect("there is a primary");
        assert_eq!(primaries.next(), None, "there is one primary");
        primary
    }

    /// The primary beside a member that is cut off, and may still take itself for one.
    pub(crate) fn primary_beside(&self, cut: NodeId) -> NodeId {
        let mut others = self.members.keys().copied().filter(|node| *node != cut);
        let is_primary = |node: &NodeId| self.replica(*node).is_primary();
        others.find(is_primary).expect("the others have a primary")
    }

    pub(crate) fn backups(&self) -> Vec<NodeId> {
        let primary = self.primary();
        self.voters
            .iter()
            .copied()
            .filter(|voter| *voter != primary)
            .collect()
    }

    pub(crate) fn replica(&self, node: NodeId) -> &Replica {
        self.members[&node]
            .replica
            .as_ref()
            .expect("the member runs")
    }

    pub(crate) fn executed(&self, node: NodeId) -> Vec<String> {
        let text = |operation: &Vec<u8>| String::from_utf8(operation.clone()).unwrap();
        self.members[&node].executed.iter().map(text).collect()
    }

    pub(crate) fn start(&mut self, node: NodeId) {
        let config = Config {
            me: node,
            disk: DiskId(0),
            founders: self.voters.clone(),
            limits: self.limits,
        };
        let member = self.members.get_mut(&node).unwrap();
        let config = match member.disk_id {
            DiskId(0) => config,
            disk => Config {
                disk,
                founders: Vec::new(),
                ..config
            },
        };
        let disk = &member.disk;
        let named = disk
            .superblock
            .as_ref()
            .map(|superblock| superblock.checkpoint.op);
        let recovered = Recovered {
            superblock: disk.superblock.clone(),
            checkpoint: named.and_then(|op| disk.checkpoints.get(&op).cloned()),
            journal: disk.journal.clone(),
            is_tail_uncertain: disk.is_tail_uncertain,
        };
        member.disk.is_tail_uncertain = false;
        member.executed.clear();
        let mut effects = Vec::new();
        member.replica = Some(Replica::new(config, recovered, &mut effects));
        self.carry_out(node, effects);
    }

    /// Everything that was not on stable storage is gone.
    pub(crate) fn crash(&mut self, node: NodeId) {
        let member = self.members.get_mut(&node).unwrap();
        member.replica = None;
        member.writes.clear();
        member.armed.clear();
    }

    /// The entry with this number, in the journal of a member that is down, cannot be
    /// read any more.
    pub(crate) fn damage(&mut self, node: NodeId, op: u64) {
        let disk = &mut self.members.get_mut(&node).unwrap().disk;
        let before = disk.journal.len();
        disk.journal.retain(|entry| entry.op != OpNumber(op));
        assert_eq!(disk.journal.len() + 1, before, "{op} was there");
    }

    pub(crate) fn step(&mut self, node: NodeId, event: Event) {
        let mut effects = Vec::new();
        if let Some(replica) = &mut self.members.get_mut(&node).unwrap().replica {
            self.trace.push(format!("{node} {event}"));
            replica.step(event, &mut effects);
            self.carry_out(node, effects);
        }
    }

    /// Delivers a message, out of turn or once more.
    pub(crate) fn hear(&mut self, from: NodeId, to: NodeId, message: Message) {
        let from = founder(from);
        self.step(to, Event::Message { from, message });
    }

    /// Asks the primary for a change of the members, and says what has become of it.
    pub(crate) fn reconfigure(&mut self, next: Option<Membership>) -> Result<(), NotNow> {
        self.reconfigure_at(self.primary(), next)
    }

    pub(crate) fn reconfigure_at(
        &mut self,
        node: NodeId,
        next: Option<Membership>,
    ) -> Result<(), NotNow> {
        let membership = next.expect("the step can be taken");
        let before = self.replica(node).op_number();
        let answer = self.replica(node).may_reconfigure(&membership);
        self.step(node, Event::Reconfigure { membership });
        let is_taken = self.replica(node).op_number() > before;
        assert_eq!(is_taken, answer.is_ok());
        answer
    }

    /// What the primary knows of who belongs to the group.
    pub(crate) fn membership(&self) -> &Membership {
        self.replica(self.primary()).membership()
    }

    /// Who votes, as the primary knows.
    pub(crate) fn voting(&self) -> Vec<u16> {
        let nodes = self.membership().voting_nodes();
        nodes.iter().map(|node| node.0).collect()
    }

    /// Lets a timer run out, if it is armed.
    pub(crate) fn fire(&mut self, node: NodeId, timer: Timer) {
        if timer == Timer::PrimarySilent && self.members[&node].armed.contains(&timer) {
            // It takes longer.
            self.fire(node, Timer::LeaseOver);
        }
        if self.members.get_mut(&node).unwrap().armed.remove(&timer) {
            self.step(node, Event::Timeout(timer));
        }
    }

    pub(crate) fn propose(&mut self, text: &str) {
        self.propose_at(self.primary(), text);
    }

    pub(crate) fn propose_at(&mut self, node: NodeId, text: &str) {
        self.step(
            node,
            Event::Propose {
                operation: text.as_bytes().to_vec(),
            },
        );
    }

    pub(crate) fn request(&mut self, client: u128, session: u64, request_number: u64, text: &str) {
        let operation = text.as_bytes().to_vec();
        let primary = self.primary();
        self.step(
            primary,
            Event::Request {
                client,
                session,
                request_number,
                operation,
            },
        );
    }

    /// Registers a client and gives its session.
    pub(crate) fn register(&mut self, client: u128) -> u64 {
        let primary = self.primary();
        self.step(primary, Event::Register { client });
        self.run();
        match self.answers(primary).last() {
            Some(Effect::ReplyRegistered {
                client: registered,
                session,
            }) => {
                assert_eq!(*registered, client);
                *session
            }
            other => panic!("a session was expected, not {other:?}"),
        }
    }

    pub(crate) fn answers(&self, node: NodeId) -> &[Effect] {
        &self.members[&node].answers
    }

    /// Delivers messages and completes writes until nothing is left to do.
    pub(crate) fn run(&mut self) {
        self.run_while(|_| true);
    }

    /// Like [`Group::run`], as long as a condition holds.
    pub(crate) fn run_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) {
            let writer = self
                .members
                .iter()
                .find(|(node, member)| !self.slow.contains(node) && !member.writes.is_empty());
            if let Some(node) = writer.map(|(node, _)| *node) {
                self.complete(node);
            } else if let Some((from, to, message)) = self.network.pop_front() {
                if !self.cut.contains(&from.node) && !self.cut.contains(&to) {
                    self.step(to, Event::Message { from, message });
                }
            } else {
                return;
            }
        }
    }

    /// Runs, and lets the timers that repeat lost messages or end a lease fire a few times.
    pub(crate) fn settle(&mut self) {
        for _ in 0..8 {
            for node in self.members.keys().copied().collect::<Vec<_>>() {
                for timer in [
                    Timer::Prepare,
                    Timer::Commit,
                    Timer::ViewChangeResend,
                    Timer::GetState,
                    Timer::Repair,
                    Timer::LeaseOver,
                    Timer::LeaseWait,
                ] {
                    self.fire(node, timer);
                }
            }
            self.run();
        }
    }

    /// Everybody who can loses faith in the primary.
    pub(crate) fn change_view(&mut self) {
        for node in self.members.keys().copied().collect::<Vec<_>>() {
            if !self.cut.contains(&node) {
                self.fire(node, Timer::PrimarySilent);
            }
        }
        self.run();
    }

    /// Forgets every message that is under way.
    pub(crate) fn lose_messages(&mut self) {
        self.network.clear();
    }

    /// Whether the message that arrives next is such a one.
    pub(crate) fn is_next(&self, is_such: impl Fn(&Message) -> bool) -> bool {
        let next = self.network.front();
        next.is_some_and(|(_, _, message)| is_such(message))
    }

    /// The messages that are under way, to be lost, repeated or brought out of order.
    pub(crate) fn network(&mut self) -> &mut VecDeque<(Member, NodeId, Message)> {
        &mut self.network
    }

    /// Carries out the oldest write of a disk.
    pub(crate) fn complete(&mut self, node: NodeId) {
        let member = self.members.get_mut(&node).unwrap();
        let disk = &mut member.disk;
        let event = match member
            .writes
            .pop_front()
            .expect("something is being written")
        {
            Effect::Append(prepare) => {
                disk.journal.retain(|entry| entry.op < prepare.op);
                disk.journal.push(prepare.clone());
                Event::PrepareDurable {
                    op: prepare.op,
                    checksum: prepare.checksum,
                }
            }
            Effect::Mend(prepare) => {
                disk.journal.retain(|entry| entry.op != prepare.op);
                let place = disk.journal.partition_point(|entry| entry.op < prepare.op);
                disk.journal.insert(place, prepare.clone());
                Event::PrepareDurable {
                    op: prepare.op,
                    checksum: prepare.checksum,
                }
            }
            Effect::TrimJournal { below } => {
                disk.journal.retain(|entry| entry.op >= below);
                return;
            }
            Effect::Persist(superblock) => {
                let sequence = superblock.sequence;
                disk.superblock = Some(superblock);
                Event::SuperblockDurable { sequence }
            }
            Effect::PersistCheckpoint(checkpoint) => {
                let op = checkpoint.op();
                disk.checkpoints.insert(op, checkpoint);
                Event::CheckpointDurable { op }
            }
            other => panic!("{other:?} is no write"),
        };
        self.step(node, event);
    }

    /// What a member's disk is asked for and has not finished.
    pub(crate) fn writes(&self, node: NodeId) -> &VecDeque<Effect> {
        &self.members[&node].writes
    }

    /// The messages that a member has sent since a mark (a length of `sent`).
    pub(crate) fn sent_by(&self, node: NodeId, mark: usize) -> Vec<&Message> {
        let sent = self.sent[mark..]
            .iter()
            .filter(|(from, _, _)| *from == node);
        sent.map(|(_, _, message)| message).collect()
    }

    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let member = self.members.get_mut(&node).unwrap();
            let answer = match effect {
                Effect::Distrust { from, why } => panic!("{node} distrusts {from:?}: {why}"),
                Effect::Send { to, message } => {
                    self.sent.push((node, to, message.clone()));
                    let from = member.replica.as_ref().unwrap().member();
                    self.network.push_back((from, to, message));
                    continue;
                }
                Effect::Execute { op, operation } => {
                    member.executed.push(operation.clone());
                    let text = operation.escape_ascii();
                    self.trace.push(format!("{node} executes op {op}: {text}"));
                    Event::Executed {
                        op,
                        reply: [b"did ", operation.as_slice()].concat(),
                    }
                }
                Effect::TakeSnapshot { op } => Event::Snapshot {
                    op,
                    state: member.executed.join(&b'\n'),
                },
                Effect::Restore { state, .. } => {
                    let lines = state
                        .split(|byte| *byte == b'\n')
                        .filter(|line| !line.is_empty());
                    member.executed = lines.map(<[u8]>::to_vec).collect();
                    continue;
                }
                Effect::Arm(timer) => {
                    member.armed.insert(timer);
                    continue;
                }
                Effect::Disarm(timer) => {
                    member.armed.remove(&timer);
                    continue;
                }
                Effect::ReplyRegistered { .. }
                | Effect::Reply { .. }
                | Effect::RejectRequest { .. }
                | Effect::ReadReady { .. }
                | Effect::RejectRead { .. } => {
                    self.trace.push(format!("{node} {}", answer(&effect)));
                    member.answers.push(effect);
                    continue;
                }
                Effect::Append(_)
                | Effect::Mend(_)
                | Effect::Persist(_)
                | Effect::PersistCheckpoint(_)
                | Effect::TrimJournal { .. } => {
                    member.writes.push_back(effect);
                    continue;
                }
            };
            let mut more = Vec::new();
            member.replica.as_mut().unwrap().step(answer, &mut more);
            effects.extend(more);
        }
    }
}

/// What a client is told.
fn answer(effect: &Effect) -> String {
    match effect {
        Effect::ReplyRegistered { client, session } => {
            format!("gives client {client} session {session}")
        }
        Effect::Reply {
            client,
            request_number,
            reply,
        } => {
            let reply = reply.escape_ascii();
            format!("replies to request {request_number} of client {client}: {reply}")
        }
        Effect::RejectRequest {
            client,
            request_number,
            reason,
        } => format!("does not take request {request_number} of client {client}: {reason}"),
        Effect::ReadReady { read } => format!("answers read {read}"),
        Effect::RejectRead { read, reason } => format!("does not answer read {read}: {reason}"),
        other => panic!("{other:?} is no answer"),
    }
}
