//! A group with its disks, its network and its time, driven by one random number generator.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use quorate_vsr::group::{Config, Effect, Event, Limits, Message, Replica, Status, Timer};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::checker::Checker;
use super::client::Client;
use super::disk::{Disk, File, Write};
use super::machine::Machine;

/// About as large as a checkpoint becomes in the course of a run.
const CHECKPOINT_BYTES: usize = 20_000;

/// What is going to happen.
#[derive(Debug)]
enum Happening {
    Message {
        from: NodeId,
        to: NodeId,
        message: Message,
    },
    Completion {
        node: NodeId,
        life: u64,
        file: File,
    },
    Timeout {
        node: NodeId,
        life: u64,
        timer: Timer,
        armed: u64,
    },
    Request {
        to: NodeId,
        event: Event,
    },
    Answer {
        client: usize,
        answer: Effect,
    },
    ClientRetry {
        client: usize,
    },
    Fault,
    Restart {
        node: NodeId,
    },
    Propose,
}

/// How bad the world is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    loss: f64,
    duplication: f64,
    /// A message that is late may be overtaken by all that follow it.
    delay_max: u64,
    /// A write may take this long.
    write_max: u64,
    /// A fault comes after at most this time.
    fault_gap_max: u64,
    faults: bool,
    damage: bool,
}

struct Member {
    config: Config,
    replica: Option<Replica>,
    disk: Disk,
    machine: Machine,
    /// Counts starts, so that completions and timers of an earlier life are not delivered.
    life: u64,
    armed: BTreeMap<Timer, u64>,
    /// The greatest view in a message that this member has sent as a promise.
    promised: ViewNumber,
}

pub(crate) struct World {
    random: ChaCha8Rng,
    pub(crate) weather: Weather,
    now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    members: BTreeMap<NodeId, Member>,
    voters: Vec<NodeId>,
    clients: Vec<Client>,
    /// Directions in which nothing arrives.
    cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) checker: Checker,
    pub(crate) steps: u64,
    pub(crate) crashes: u64,
    /// Starts with a damaged journal.
    pub(crate) damages: u64,
    /// States that came from another member.
    pub(crate) transfers: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let voters = [1, 3, 3, 3, 3, 5, 5][random.random_range(0..7)];
        let standbys = random.random_range(0..=2);
        let voters: Vec<NodeId> = (1..=voters).map(NodeId).collect();
        let first = u16::try_from(voters.len()).unwrap() + 1;
        let standbys: Vec<NodeId> = (first..first + standbys).map(NodeId).collect();
        let checkpoint_interval = random.random_range(3..30);
        // A member that needs longer for a checkpoint than the others for the next one would never
        // catch up.
        let pieces = random.random_range(1..=checkpoint_interval / 2 + 1);
        let limits = Limits {
            checkpoint_interval,
            pipeline_max: random.random_range(1..10),
            clients_max: random.random_range(2..6),
            state_transfer_bytes_max: CHECKPOINT_BYTES / pieces as usize,
            ..Limits::default()
        };
        let weather = Weather {
            loss: [0.0, 0.02, 0.1, 0.25][random.random_range(0..4)],
            duplication: [0.0, 0.05, 0.2][random.random_range(0..3)],
            delay_max: [5, 30, 200][random.random_range(0..3)],
            write_max: [5, 20, 150][random.random_range(0..3)],
            fault_gap_max: [150, 600, 1500][random.random_range(0..3)],
            faults: true,
            damage: random.random_bool(0.4),
        };
        let mut world = Self {
            weather,
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            members: BTreeMap::new(),
            voters: voters.clone(),
            clients: Vec::new(),
            cut: BTreeSet::new(),
            checker: Checker::default(),
            steps: 0,
            crashes: 0,
            damages: 0,
            transfers: 0,
            random,
        };
        for me in voters.iter().chain(&standbys).copied() {
            let (voters, standbys) = (voters.clone(), standbys.clone());
            let member = Member {
                config: Config {
                    me,
                    voters,
                    standbys,
                    limits,
                },
                replica: None,
                disk: Disk::default(),
                machine: Machine::default(),
                life: 0,
                armed: BTreeMap::new(),
                promised: ViewNumber(0),
            };
            world.members.insert(me, member);
            let delay = world.random.random_range(0..300);
            world.schedule(delay, Happening::Restart { node: me });
        }
        for client in 0..world.random.random_range(1..5usize) {
            world.clients.push(Client::new(client as u128, NodeId(1)));
            world.schedule(0, Happening::ClientRetry { client });
        }
        world.schedule(500, Happening::Fault);
        world.schedule(100, Happening::Propose);
        world
    }

    /// Lets everything happen that happens before a moment.
    pub(crate) fn run_until(&mut self, moment: u64) {
        while let Some(Reverse((time, key))) = self.queue.peek().copied() {
            if time > moment {
                break;
            }
            self.queue.pop();
            self.now = time;
            let happening = self.happenings.remove(&key).unwrap();
            self.happen(happening);
        }
        self.now = moment;
    }

    fn schedule(&mut self, delay: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + delay, self.sequence)));
        self.happenings.insert(self.sequence, happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Message { from, to, message } => {
                if !self.cut.contains(&(from, to)) {
                    self.step(to, Event::Message { from, message });
                }
            }
            Happening::Completion { node, life, file } => {
                let member = self.members.get_mut(&node).unwrap();
                if member.life == life
                    && let Some(event) = member.disk.complete(file)
                {
                    self.step(node, event);
                }
            }
            Happening::Timeout {
                node,
                life,
                timer,
                armed,
            } => {
                let member = self.members.get_mut(&node).unwrap();
                if member.life == life && member.armed.get(&timer) == Some(&armed) {
                    member.armed.remove(&timer);
                    self.step(node, Event::Timeout(timer));
                }
            }
            Happening::Request { to, event } => self.step(to, event),
            Happening::Answer { client, answer } => self.answer(client, &answer),
            Happening::ClientRetry { client } => self.retry(client),
            Happening::Fault => self.fault(),
            Happening::Restart { node } => self.start(node),
            Happening::Propose => {
                let node = self.any_member();
                self.step(
                    node,
                    Event::Propose {
                        operation: vec![b'p'; self.now as usize % 9],
                    },
                );
                let delay = self.random.random_range(20..400);
                self.schedule(delay, Happening::Propose);
            }
        }
    }

    fn step(&mut self, node: NodeId, event: Event) {
        let member = self.members.get_mut(&node).unwrap();
        let Some(replica) = &mut member.replica else {
            return;
        };
        self.steps += 1;
        let mut effects = Vec::new();
        replica.step(event, &mut effects);
        self.carry_out(node, effects);
    }

    /// The driver: effects in order; what has to be answered at once is.
    fn carry_out(&mut self, node: NodeId, effects: Vec<Effect>) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            let member = self.members.get_mut(&node).unwrap();
            let answer = match effect {
                Effect::Execute { op, operation } => {
                    let reply = member.machine.execute(op, &operation);
                    let replica = member.replica.as_ref().unwrap();
                    self.checker.stepped(node, replica);
                    self.checker
                        .executed(node, replica, op, member.machine.digest());
                    Event::Executed { op, reply }
                }
                Effect::TakeSnapshot { op } => {
                    assert!(member.machine.last() <= op);
                    Event::Snapshot {
                        op,
                        state: member.machine.snapshot(),
                    }
                }
                other => {
                    self.carry_out_one(node, other);
                    continue;
                }
            };
            let mut more = Vec::new();
            member.replica.as_mut().unwrap().step(answer, &mut more);
            effects.extend(more);
        }
        let replica = self.members[&node].replica.as_ref().unwrap();
        self.checker.stepped(node, replica);
    }

    fn carry_out_one(&mut self, node: NodeId, effect: Effect) {
        let member = self.members.get_mut(&node).unwrap();
        let write = match effect {
            Effect::Append(prepare) => {
                self.checker.prepared(&prepare);
                Write::Append(prepare)
            }
            Effect::TrimJournal { below } => Write::Trim(below),
            Effect::Persist(superblock) => Write::Persist(superblock),
            Effect::PersistCheckpoint(checkpoint) => Write::Checkpoint(checkpoint),
            Effect::Restore { op, state } => {
                self.transfers += u64::from(member.machine.last().0 > 0);
                member.machine = Machine::restore(&state);
                assert!(member.machine.last() <= op);
                return;
            }
            Effect::Send { to, message } => {
                if let Message::DoViewChange { view, .. } = &message {
                    member.promised = member.promised.max(*view);
                }
                return self.send(node, to, message);
            }
            Effect::Arm(timer) => return self.arm(node, timer),
            Effect::Disarm(timer) => {
                member.armed.remove(&timer);
                return;
            }
            Effect::Reply {
                client,
                request_number,
                ref reply,
            } => {
                self.checker.replied(client, request_number, reply);
                return self.tell_clients(effect);
            }
            Effect::ReplyRegistered { .. } | Effect::RejectRequest { .. } => {
                return self.tell_clients(effect);
            }
            Effect::Execute { .. } | Effect::TakeSnapshot { .. } => unreachable!("answered above"),
        };
        let life = member.life;
        let file = member.disk.submit(write);
        let delay = self.random.random_range(1..=self.weather.write_max);
        self.schedule(delay, Happening::Completion { node, life, file });
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        if let Message::Prepare { prepare, .. } = &message {
            self.checker.prepared(prepare);
        }
        let message = if self.random.random_bool(0.05) {
            let read = Message::decode(&message.encode()).unwrap();
            assert_eq!(read, message);
            read
        } else {
            message
        };
        let copies = 1 + u32::from(self.random.random_bool(self.weather.duplication));
        for _ in 0..copies {
            if !self.random.random_bool(self.weather.loss) {
                let delay = self.random.random_range(1..=self.weather.delay_max);
                self.schedule(
                    delay,
                    Happening::Message {
                        from,
                        to,
                        message: message.clone(),
                    },
                );
            }
        }
    }

    fn arm(&mut self, node: NodeId, timer: Timer) {
        let duration = match timer {
            Timer::Prepare | Timer::ViewChangeResend => 60,
            Timer::Commit => 40,
            Timer::GetState => 70,
            Timer::QuorumSilent | Timer::PrimarySilent => self.random.random_range(250..400),
            Timer::ViewChangeStalled => self.random.random_range(600..900),
        };
        self.sequence += 1;
        let armed = self.sequence;
        let member = self.members.get_mut(&node).unwrap();
        member.armed.insert(timer, armed);
        let life = member.life;
        self.schedule(
            duration,
            Happening::Timeout {
                node,
                life,
                timer,
                armed,
            },
        );
    }

    fn tell_clients(&mut self, answer: Effect) {
        for client in 0..self.clients.len() {
            if !self.random.random_bool(self.weather.loss) {
                let delay = self.random.random_range(1..=self.weather.delay_max);
                self.schedule(
                    delay,
                    Happening::Answer {
                        client,
                        answer: answer.clone(),
                    },
                );
            }
        }
    }

    fn answer(&mut self, client: usize, answer: &Effect) {
        let fresh = (u128::from(self.sequence) << 8) + client as u128;
        if self.clients[client].hear(answer, fresh) {
            self.ask(client);
        }
    }

    fn retry(&mut self, client: usize) {
        let later = |node: &&NodeId| **node > self.clients[client].target;
        let target = self
            .members
            .keys()
            .find(later)
            .or(self.members.keys().next());
        self.clients[client].target = *target.unwrap();
        if self.weather.faults && self.random.random_bool(0.05) {
            self.clients[client].abandon();
        }
        self.ask(client);
        let delay = self.random.random_range(50..200);
        self.schedule(delay, Happening::ClientRetry { client });
    }

    fn ask(&mut self, client: usize) {
        let client = &self.clients[client];
        let (to, event) = (client.target, client.ask());
        let delay = self.random.random_range(1..=self.weather.delay_max);
        self.schedule(delay, Happening::Request { to, event });
    }

    fn any_member(&mut self) -> NodeId {
        let place = self.random.random_range(0..self.members.len());
        *self.members.keys().nth(place).unwrap()
    }

    fn fault(&mut self) {
        if !self.weather.faults {
            return;
        }
        let node = self.any_member();
        match self.random.random_range(0..10) {
            0..4 => self.crash(node),
            4 => {
                for node in self.members.keys().copied().collect::<Vec<_>>() {
                    self.crash(node);
                }
            }
            5 => {
                let other = self.any_member();
                self.cut.insert((node, other));
            }
            6 => self.isolate(node),
            _ => self.cut.clear(),
        }
        let delay = self.random.random_range(20..self.weather.fault_gap_max);
        self.schedule(delay, Happening::Fault);
    }

    fn isolate(&mut self, node: NodeId) {
        for other in self.members.keys().copied() {
            self.cut.insert((node, other));
            self.cut.insert((other, node));
        }
    }

    fn crash(&mut self, node: NodeId) {
        let member = self.members.get_mut(&node).unwrap();
        if member.replica.take().is_none() {
            return;
        }
        self.crashes += 1;
        member.life += 1;
        member.armed.clear();
        member.disk.crash(&mut self.random);
        let delay = self.random.random_range(1..1500);
        self.schedule(delay, Happening::Restart { node });
    }

    fn start(&mut self, node: NodeId) {
        if self.members[&node].replica.is_some() {
            return;
        }
        let may_rot = self.weather.damage && self.others_are_whole(node);
        let rots = may_rot && self.random.random_bool(0.3);
        let member = self.members.get_mut(&node).unwrap();
        if rots && member.disk.is_used() {
            self.damages += 1;
            member.disk.rot(&mut self.random);
        }
        let mut effects = Vec::new();
        let recovered = member.disk.recover();
        member.machine = Machine::default();
        let replica = Replica::new(member.config.clone(), recovered, &mut effects);
        self.checker.started(node, &replica, member.promised);
        member.replica = Some(replica);
        self.carry_out(node, effects);
    }

    /// Whether this member may lose something without harm to the group.
    fn others_are_whole(&self, node: NodeId) -> bool {
        let mut others = self.members.iter().filter(|(other, _)| **other != node);
        self.voters.len() > 1 && others.all(|(_, member)| member.disk.is_whole())
    }

    /// Lets nothing reach the primary any more; `None` if it is the only voter or there is none.
    pub(crate) fn deafen_primary(&mut self) -> Option<NodeId> {
        let deaf = self.primary_beside(NodeId(0))?;
        for other in self.members.keys().copied() {
            self.cut.insert((other, deaf));
        }
        (self.voters.len() > 1).then_some(deaf)
    }

    /// A primary other than this member.
    pub(crate) fn primary_beside(&self, node: NodeId) -> Option<NodeId> {
        let others = self.members.iter().filter(|(other, _)| **other != node);
        let mut running = others.filter_map(|(id, member)| Some((*id, member.replica.as_ref()?)));
        running
            .find(|(_, replica)| replica.is_primary())
            .map(|(id, _)| id)
    }

    /// Ends all faults: everybody runs and hears everybody.
    pub(crate) fn heal(&mut self) {
        self.weather = Weather {
            loss: 0.0,
            duplication: 0.0,
            delay_max: 10,
            write_max: 20,
            fault_gap_max: 1,
            faults: false,
            damage: false,
        };
        self.cut.clear();
        for node in self.members.keys().copied().collect::<Vec<_>>() {
            self.start(node);
        }
    }

    /// The answers that each client got; of all together where there are so many clients that they
    /// drive out each other's sessions, or keep each other from being heard.
    pub(crate) fn answers(&self) -> Vec<u64> {
        let answers = self.clients.iter().map(|client| client.answered);
        let limits = &self.members[&NodeId(1)].config.limits;
        let has_room = self.clients.len() < limits.clients_max.min(limits.pipeline_max);
        if has_room {
            answers.collect()
        } else {
            vec![answers.sum()]
        }
    }

    /// Whether all members take part in one view, and have executed everything up to `op`.
    pub(crate) fn is_converged(&self, op: OpNumber) -> bool {
        let replicas = || {
            self.members
                .values()
                .filter_map(|member| member.replica.as_ref())
        };
        let view = replicas().map(Replica::view).max();
        replicas().count() == self.members.len()
            && replicas().filter(|replica| replica.is_primary()).count() == 1
            && replicas().all(|replica| replica.status() == Status::Normal)
            && replicas().all(|replica| Some(replica.view()) == view)
            && replicas().all(|replica| replica.executed() >= op)
    }

    /// How the members stand, for a failed run.
    pub(crate) fn describe(&self) -> String {
        let mut text = format!("at {}, {:?}, cut {:?}\n", self.now, self.weather, self.cut);
        for (node, member) in &self.members {
            let Some(replica) = &member.replica else {
                text += &format!("{node:?} is down\n");
                continue;
            };
            text += &format!(
                "{node:?} {:?} in {:?}, log of {:?}, op {}, commit {}, executed {}{}\n",
                replica.status(),
                replica.view(),
                replica.log_view(),
                replica.op_number(),
                replica.commit_number(),
                replica.executed(),
                if replica.is_damaged() {
                    ", damaged"
                } else {
                    ""
                },
            );
        }
        text
    }
}
