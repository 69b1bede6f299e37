//! A group with its disks, its network, its clients and its time.

use std::collections::VecDeque;

use quorate_vsr::NodeId;
use quorate_vsr::group::{Config, DiskId, Effect, Event, Member, Membership, Message, Timer};

use super::super::calendar::Calendar;
use super::super::dice::Dice;
use super::super::sometimes::Tally;
use super::super::timeline::Timeline;
use super::super::trace::Trace;
use super::checker::Checker;
use super::client::Client;
use super::clock::Clock;
use super::disk::{Disk, File, Write};
use super::glance::Glance;
use super::machine::Machine;
use super::network::Network;
use super::node::Node;
use super::operator::Operator;
use super::reading::Readings;
use super::sometimes::Sometimes;
use super::swarm::Swarm;

/// What is going to happen. Nodes and clients are meant by their places.
#[derive(Debug)]
pub(crate) enum Happening {
    Message {
        from: Member,
        to: u8,
        message: Message,
    },
    Written {
        at: u8,
        life: u32,
        file: File,
    },
    Timeout {
        at: u8,
        timer: Timer,
        arming: u32,
    },
    Request {
        to: u8,
        event: Event,
    },
    Answer {
        client: u8,
        answer: Effect,
    },
    /// A client asks, or asks again.
    Ask {
        client: u8,
    },
    Propose,
    /// Somebody begins to read.
    Read,
    Reading {
        at: u8,
        read: u64,
    },
    /// The operator does something.
    Operate,
    Fault,
    Start {
        at: u8,
    },
}

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) swarm: Swarm,
    pub(crate) calendar: Calendar<Happening>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) clients: Vec<Client>,
    /// How many clients there have ever been.
    pub(crate) client_numbers: u128,
    pub(crate) readings: Readings,
    pub(crate) operator: Operator,
    pub(crate) checker: Checker,
    pub(crate) tally: Tally,
    pub(crate) timeline: Timeline,
    pub(crate) trace: Trace,
    pub(crate) steps: u64,
    /// The nodes for which the bad times are over, as bits; none of them before that.
    pub(crate) calm: u8,
    /// What the last step asked for; empty between steps.
    pub(crate) effects: Vec<Effect>,
    queue: VecDeque<Effect>,
}

impl World {
    pub(crate) fn new(seed: u64, timeline: Timeline) -> Self {
        let mut dice = Dice::new(seed);
        let swarm = Swarm::draw(&mut dice);
        let mut world = Self {
            dice,
            calendar: Calendar::new(),
            nodes: Vec::new(),
            network: Network::default(),
            clients: Vec::new(),
            client_numbers: 0,
            readings: Readings::default(),
            operator: Operator::default(),
            checker: Checker::default(),
            tally: Tally::new(),
            timeline,
            trace: Trace::default(),
            steps: 0,
            calm: 0,
            effects: Vec::new(),
            queue: VecDeque::new(),
            swarm,
        };
        world.timeline.note(0, || format!("{:?}", world.swarm));
        world.found();
        world.calendar.plan(40, Happening::Fault);
        if world.swarm.propose_gap > 0 {
            world.calendar.plan(20, Happening::Propose);
        }
        if world.swarm.read_gap > 0 {
            world.calendar.plan(30, Happening::Read);
        }
        if world.swarm.operate_gap > 0 {
            world.calendar.plan(60, Happening::Operate);
        }
        world
    }

    /// Puts the nodes and the clients in their places.
    fn found(&mut self) {
        let Swarm {
            voters, standbys, ..
        } = self.swarm;
        let limits = self.swarm.limits;
        let voters: Vec<NodeId> = (1..=voters).map(NodeId).collect();
        let first = self.swarm.voters + 1;
        let standbys: Vec<NodeId> = (first..first + standbys).map(NodeId).collect();
        let founder = |node: &NodeId| Member {
            node: *node,
            disk: DiskId(0),
        };
        let genesis = Membership::new(
            voters.iter().map(founder).collect(),
            standbys.iter().map(founder).collect(),
        );
        self.checker.agreement.members.found(genesis.clone());
        let count = first + self.swarm.standbys + self.swarm.spares;
        for me in (1..count).map(NodeId) {
            let is_spare = !genesis.contains(founder(&me));
            let config = if is_spare {
                self.stranger(me)
            } else {
                Config {
                    me,
                    disk: DiskId(0),
                    founders: voters.clone(),
                    limits,
                }
            };
            let pace = if self.swarm.clocks_differ {
                self.dice.between(900..=1100)
            } else {
                1000
            };
            let clock = Clock::new(self.swarm.lengths, pace);
            let write_max = self.dice.pick(&self.swarm.write_max);
            let disk = if is_spare {
                Disk::default()
            } else {
                Disk::of(&genesis)
            };
            self.nodes.push(Node::new(config, disk, clock, write_max));
            let at = me.0 as u8 - 1;
            let delay = self.dice.between(0..=20);
            self.calendar.plan(delay, Happening::Start { at });
        }
        for client in 0..self.swarm.clients {
            let client_number = self.fresh_client_number();
            self.clients
                .push(Client::new(client_number, self.swarm.operation_bytes));
            let client = client as u8;
            self.calendar.plan(25, Happening::Ask { client });
        }
    }

    /// What a node is told that comes with a blank disk to a group that there is already.
    pub(crate) fn stranger(&mut self, me: NodeId) -> Config {
        Config {
            me,
            disk: DiskId(1 + self.dice.below(1 << 30) as u64),
            founders: Vec::new(),
            limits: self.swarm.limits,
        }
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm != 0
    }

    pub(crate) fn is_calm_at(&self, at: usize) -> bool {
        self.calm & (1 << at) != 0
    }

    /// Lets happen what happens next before a moment; false if nothing does.
    pub(crate) fn happen(&mut self, until: u64) -> bool {
        let Some(happening) = self.calendar.take(until) else {
            return false;
        };
        match happening {
            Happening::Message { from, to, message } => self.on_message(from, to, message),
            Happening::Written { at, life, file } => self.on_written(at, life, file),
            Happening::Timeout { at, timer, arming } => self.on_timeout(at, timer, arming),
            Happening::Request { to, event } => self.on_request(to, event),
            Happening::Answer { client, answer } => self.on_answer(usize::from(client), &answer),
            Happening::Ask { client } => self.on_ask(client),
            Happening::Propose => self.on_propose(),
            Happening::Read => self.on_read(),
            Happening::Reading { at, read } => self.on_reading(at, read),
            Happening::Operate => self.operate(),
            Happening::Fault => self.fault(),
            Happening::Start { at } => {
                // Who is left out for good stays as it is.
                if !self.is_calm() || self.is_calm_at(usize::from(at)) {
                    self.start(usize::from(at));
                }
            }
        }
        true
    }

    /// How long a node that stands still will do so; 0 if it does not.
    pub(crate) fn pause_left(&self, at: u8) -> u64 {
        let until = self.nodes[usize::from(at)].paused_until;
        until.saturating_sub(self.calendar.now())
    }

    fn on_message(&mut self, from: Member, to: u8, message: Message) {
        let (source, at) = (usize::from(from.node.0) - 1, usize::from(to));
        if self.network.is_cut(source, at) {
            return;
        }
        if !self.nodes[at].is_up() {
            return;
        }
        match self.pause_left(to) {
            0 => {
                let (now, id) = (self.calendar.now(), self.nodes[at].id);
                let told = &message;
                self.timeline
                    .note(now, || format!("{id:?} <- {from:?}: {told}"));
                self.step(at, Event::Message { from, message });
            }
            left => {
                let later = Happening::Message { from, to, message };
                self.calendar.plan(left + 1, later);
            }
        }
    }

    fn on_written(&mut self, at: u8, life: u32, file: File) {
        let node = &mut self.nodes[usize::from(at)];
        let now = self.calendar.now();
        if node.life != life {
            return;
        }
        let left = node.hung_until.saturating_sub(now);
        let left = left.max(node.paused_until.saturating_sub(now));
        if left > 0 {
            let later = Happening::Written { at, life, file };
            self.calendar.plan(left + 1, later);
        } else if let Some(event) = node.disk.complete(file) {
            let id = node.id;
            self.timeline.note(now, || format!("{id:?} <- {event:?}"));
            self.step(usize::from(at), event);
        }
    }

    fn on_timeout(&mut self, at: u8, timer: Timer, arming: u32) {
        let left = self.pause_left(at);
        if left > 0 {
            // It has run out before anything else is looked at.
            let later = Happening::Timeout { at, timer, arming };
            self.calendar.plan(left, later);
            return;
        }
        let node = &mut self.nodes[usize::from(at)];
        if node.clock.runs_out(timer, arming) {
            let (now, id) = (self.calendar.now(), node.id);
            self.timeline.note(now, || format!("{id:?} <- {timer:?}"));
            self.saw_timeout(usize::from(at), timer);
            self.step(usize::from(at), Event::Timeout(timer));
        }
    }

    fn on_request(&mut self, to: u8, event: Event) {
        match self.pause_left(to) {
            0 => {
                let (now, id) = (self.calendar.now(), self.nodes[usize::from(to)].id);
                let told = &event;
                self.timeline.note(now, || format!("{id:?} <- {told:?}"));
                self.step(usize::from(to), event);
            }
            left => {
                let later = Happening::Request { to, event };
                self.calendar.plan(left + 1, later);
            }
        }
    }

    fn on_propose(&mut self) {
        if self.is_calm() {
            // Then the clients have to be served, and there may be room for one operation.
            return;
        }
        let at = self.dice.below(self.nodes.len());
        let bytes = self.dice.below(self.swarm.operation_bytes + 1);
        let operation = vec![b'p'; bytes];
        if self.pause_left(at as u8) == 0 {
            self.step(at, Event::Propose { operation });
        }
        let gap = self.dice.between(1..=self.swarm.propose_gap);
        self.calendar.plan(gap, Happening::Propose);
    }

    pub(crate) fn step(&mut self, at: usize, event: Event) {
        let Some(replica) = &mut self.nodes[at].replica else {
            return;
        };
        self.steps += 1;
        let before = Glance::at(replica);
        let is_request = matches!(event, Event::Request { .. });
        replica.step(event, &mut self.effects);
        if is_request {
            self.saw_repetitions(at);
        }
        self.carry_out(at);
        self.saw_step(at, before);
    }

    /// The driver: effects in order; what has to be answered at once is.
    pub(crate) fn carry_out(&mut self, at: usize) {
        self.queue.extend(self.effects.drain(..));
        while let Some(effect) = self.queue.pop_front() {
            let answer = match effect {
                Effect::Execute { op, operation } => {
                    let node = &mut self.nodes[at];
                    let reply = node.machine.execute(op, &operation);
                    let (id, state) = (node.id, node.machine.digest());
                    self.check(at);
                    self.checker.agreement.executed(id, op, state);
                    let replica = self.nodes[at].replica.as_ref();
                    if let Some(prepare) = replica.and_then(|replica| replica.prepare(op)) {
                        self.checker.requests.executed(prepare, &reply);
                    }
                    Event::Executed { op, reply }
                }
                Effect::TakeSnapshot { op } => {
                    let machine = &self.nodes[at].machine;
                    assert!(machine.last() <= op, "a snapshot is not ahead");
                    self.tally.saw(Sometimes::CheckpointTaken);
                    let state = machine.snapshot(self.swarm.snapshot_bytes);
                    Event::Snapshot { op, state }
                }
                other => {
                    self.carry_out_one(at, other);
                    continue;
                }
            };
            let Some(replica) = &mut self.nodes[at].replica else {
                return;
            };
            replica.step(answer, &mut self.effects);
            self.queue.extend(self.effects.drain(..));
        }
        self.check(at);
    }

    fn carry_out_one(&mut self, at: usize, effect: Effect) {
        let node = &mut self.nodes[at];
        match effect {
            Effect::Distrust { from, why } => {
                panic!("member {at} distrusts {from:?}: {why}")
            }
            Effect::Append(prepare) => {
                self.checker.agreement.prepared(&prepare);
                self.checker.agreement.members.prepared(&prepare);
                self.write(at, Write::Append(prepare));
            }
            Effect::Mend(prepare) => {
                self.checker.agreement.prepared(&prepare);
                self.write(at, Write::Mend(prepare));
            }
            Effect::TrimJournal { below } => self.write(at, Write::Trim(below)),
            Effect::Persist(superblock) => self.write(at, Write::Persist(superblock)),
            Effect::PersistCheckpoint(checkpoint) => self.write(at, Write::Checkpoint(checkpoint)),
            Effect::Restore { op, state } => {
                self.tally
                    .saw_if(node.machine.last().0 > 0, Sometimes::CheckpointInstalled);
                node.machine = Machine::restore(&state);
                assert!(node.machine.last() <= op, "a snapshot is not ahead");
            }
            Effect::Send { to, message } => {
                if let Message::Prepare { prepare, .. } = &message {
                    self.checker.agreement.prepared(prepare);
                }
                self.checker.promises.said(at, node, &message);
                self.send(at, to, message);
            }
            Effect::Arm(timer) => {
                let (delay, arming) = node.clock.arm(timer, &mut self.dice);
                let at = at as u8;
                self.calendar
                    .plan(delay, Happening::Timeout { at, timer, arming });
            }
            Effect::Disarm(timer) => node.clock.disarm(timer),
            Effect::ReadReady { .. } | Effect::RejectRead { .. } => {
                self.on_read_answer(at, &effect);
            }
            Effect::Reply { .. }
            | Effect::ReplyRegistered { .. }
            | Effect::RejectRequest { .. } => self.tell_client(at, effect),
            Effect::Execute { .. } | Effect::TakeSnapshot { .. } => {
                unreachable!("it was answered at once")
            }
        }
    }

    fn write(&mut self, at: usize, write: Write) {
        let node = &mut self.nodes[at];
        let (life, file) = (node.life, node.disk.submit(write));
        let delay = self.dice.between(1..=node.write_max);
        let at = at as u8;
        self.calendar
            .plan(delay, Happening::Written { at, life, file });
    }

    /// Everything that is checked after every step.
    fn check(&mut self, at: usize) {
        let node = &self.nodes[at];
        let Some(replica) = &node.replica else {
            return;
        };
        let first = self.checker.progress.stepped(at, node.id, replica);
        if first <= replica.commit_number() {
            let agreement = &mut self.checker.agreement;
            let change = agreement.committed_from(first, at, &self.nodes);
            self.saw_change(change);
        }
        let node = &self.nodes[at];
        let Some(replica) = &node.replica else {
            return;
        };
        if replica.is_primary() && self.checker.agreement.serves(node.id, replica) {
            let has_suffix = replica.op_number() > replica.commit_number();
            self.tally.saw(Sometimes::ViewServed);
            self.tally.saw_if(has_suffix, Sometimes::ViewWithSuffix);
            let id = node.id;
            self.saw_primary(id);
        }
        let Some(replica) = &self.nodes[at].replica else {
            return;
        };
        self.trace.add(self.calendar.now() << 8 | at as u64);
        self.trace.add(replica.view().0);
        let (op, commit_number) = (replica.op_number().0, replica.commit_number().0);
        self.trace.add(op << 32 | commit_number);
    }
}
