//! The replicas of one partition, their network, their disks, clients and the control plane, all of
//! it driven by one seed.

use std::collections::BTreeSet;

use quorate_vsr::partition::{Effect, Event, Message, RecordsHead, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::ledger::Ledger;
use super::node::{Batch, Node};

mod work;

/// How many packets may be under way; beyond it the network loses some.
const PACKETS_MAX: usize = 300;
/// How many old packets the network remembers, to deliver them once more when nobody expects it.
const STASH_MAX: usize = 50;
/// How often, out of a thousand steps, a disk becomes faster or slower.
const DISK_CHANGES: u32 = 10;
/// A healed world must have settled within this many steps.
const SETTLE_STEPS_MAX: usize = 60_000;

/// How often what happens, out of a thousand steps. Drawn anew for every seed, so that some worlds
/// are quiet and get far, and others are wild.
#[derive(Debug)]
struct Weather {
    loss: f64,
    duplication: f64,
    in_order: bool,
    news_in_order: bool,
    replay: u32,
    crash: u32,
    assign: u32,
    partition: u32,
    timer: u32,
    append: u32,
}

/// How often a disk does nothing although it could.
///
/// A disk that is slow for a while, beside one that is not, leaves much time between what is
/// decided and what is durable.
#[derive(Clone, Copy, Debug, Default)]
struct Disk {
    facts_idle: f64,
    log_idle: f64,
}

#[derive(Clone, Debug)]
enum Packet {
    Message(Message),
    Records {
        head: RecordsHead,
        next_offset: Offset,
        batches: Vec<Batch>,
    },
}

#[derive(Debug)]
pub(crate) struct World {
    rng: ChaCha8Rng,
    weather: Weather,
    nodes: Vec<Node>,
    disks: Vec<Disk>,
    voters: Vec<NodeId>,
    packets: Vec<(NodeId, NodeId, Packet)>,
    stash: Vec<(NodeId, NodeId, Packet)>,
    /// From whom to whom nothing arrives.
    cut_links: BTreeSet<(NodeId, NodeId)>,
    assignments: Vec<(Epoch, NodeId)>,
    ledger: Ledger,
    payload: u64,
    is_healing: bool,
    pub(crate) is_traced: bool,
    pub(crate) seen: Seen,
}

/// What a run has seen, to tell a test that tests from one that sleeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Leaders that opened.
    pub opened: usize,
    /// Batches that were acknowledged.
    pub acknowledged: usize,
    /// Logs that were cut.
    pub cuts: usize,
    /// Nodes that crashed.
    pub crashes: usize,
    /// Questions of leaders for records.
    pub pulls: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = [1, 3, 3, 3, 3, 3, 3, 5, 5, 5][rng.random_range(0..10)];
        let weather = Weather {
            loss: [0.0, 0.01, 0.05, 0.2][rng.random_range(0..4)],
            duplication: [0.0, 0.05, 0.2][rng.random_range(0..3)],
            in_order: rng.random_bool(0.5),
            news_in_order: rng.random_bool(0.5),
            replay: [0, 5, 30][rng.random_range(0..3)],
            crash: [0, 1, 3, 8][rng.random_range(0..4)],
            assign: [1, 4, 12, 40][rng.random_range(0..4)],
            partition: [0, 3, 10][rng.random_range(0..3)],
            timer: [5, 20, 60][rng.random_range(0..3)],
            append: [20, 60, 150][rng.random_range(0..3)],
        };
        let voters: Vec<NodeId> = (1..=count).map(NodeId).collect();
        Self {
            rng,
            weather,
            nodes: voters.iter().map(|id| Node::new(*id)).collect(),
            disks: vec![Disk::default(); voters.len()],
            voters,
            packets: Vec::new(),
            stash: Vec::new(),
            cut_links: BTreeSet::new(),
            assignments: Vec::new(),
            ledger: Ledger::default(),
            payload: 0,
            is_healing: false,
            is_traced: false,
            seen: Seen::default(),
        }
    }

    /// Lives through `steps` of whatever happens.
    pub(crate) fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            let weather = &self.weather;
            let (crash, assign, partition) = (weather.crash, weather.assign, weather.partition);
            let (timer, append, replay) = (weather.timer, weather.append, weather.replay);
            let dice = self.rng.random_range(0..1000u32);
            let at = self.rng.random_range(0..self.nodes.len());
            let bounds = [
                crash,
                assign,
                assign * 4,
                partition,
                timer,
                append,
                replay,
                DISK_CHANGES,
            ];
            let mut below = 0;
            let choice = bounds.iter().position(|bound| {
                below += bound;
                dice < below
            });
            match choice {
                Some(0) => self.crash_or_start(at),
                Some(1) => self.assign(),
                Some(2) => self.hear_assignment(at),
                Some(3) => self.repartition(at),
                Some(4) => self.fire_timer(at),
                Some(5) => self.append(at),
                Some(6) => self.replay(),
                Some(7) => self.change_disk(at),
                _ => {
                    self.work_somewhere(at);
                }
            }
        }
    }

    /// Heals the world with a minority down, and expects that it commits; then with everybody up,
    /// and expects that all become equal and fall silent.
    pub(crate) fn heal(&mut self) {
        self.weather.loss = self.weather.loss.min(0.05);
        self.weather.duplication = 0.0;
        self.disks.fill(Disk::default());
        self.is_healing = true;
        self.cut_links.clear();
        let leader = self.rng.random_range(0..self.nodes.len());
        let mut to_spare = (self.nodes.len() - 1) / 2;
        for at in 0..self.nodes.len() {
            let is_up = self.nodes[at].replica.is_some();
            if at != leader && is_up && to_spare > 0 && self.rng.random_bool(0.5) {
                to_spare -= 1;
                self.crash_or_start(at);
            } else if at == leader && !is_up {
                self.crash_or_start(at);
            }
        }
        for at in 0..self.nodes.len() {
            let down = self
                .nodes
                .iter()
                .filter(|node| node.replica.is_none())
                .count();
            if self.nodes[at].replica.is_none() && down > (self.nodes.len() - 1) / 2 {
                self.crash_or_start(at);
            }
        }
        self.assign_to(self.nodes[leader].id);
        self.settle("open with a minority down", |world| {
            world.nodes[leader].is_open()
        });
        for _ in 0..20 {
            self.append(leader);
        }
        self.settle("commit with a minority down", |world| {
            world.nodes[leader].has_committed(world.nodes[leader].next_offset())
        });
        for at in 0..self.nodes.len() {
            if self.nodes[at].replica.is_none() {
                self.crash_or_start(at);
            }
        }
        for _ in 0..5 {
            self.append(leader);
        }
        self.settle("converge", |world| {
            let next = world.nodes[leader].next_offset();
            world
                .nodes
                .iter()
                .all(|node| node.next_offset() == next && node.has_committed(next))
        });
        self.ledger.check_converged(&self.nodes);
        self.settle("fall silent", |world| {
            world.packets.is_empty() && world.nodes.iter().all(|node| node.timers.is_empty())
        });
        let replica = self.nodes[leader]
            .replica
            .as_ref()
            .expect("the leader is up");
        assert_eq!(replica.lagging().count(), 0, "nobody lags at the end");
    }

    /// Work goes on wherever there is some; time passes, and timers fire, only when there is none.
    fn settle(&mut self, wish: &str, is_settled: impl Fn(&Self) -> bool) {
        for _ in 0..SETTLE_STEPS_MAX {
            if is_settled(self) {
                return;
            }
            let count = self.nodes.len();
            let first = self.rng.random_range(0..count);
            let mut order = (first..first + count).map(|at| at % count);
            if !order.clone().any(|at| self.work_somewhere(at)) {
                match order.find(|at| !self.nodes[*at].timers.is_empty()) {
                    Some(at) => self.fire_timer(at),
                    None => assert!(
                        is_settled(self),
                        "the world stands still, and did not {wish}"
                    ),
                }
            }
        }
        panic!("the world did not {wish} within {SETTLE_STEPS_MAX} steps");
    }

    /// Once the world is healing, everybody hears of the newest assignment.
    fn hear_news(&mut self, at: usize) -> bool {
        let newest = self.assignments.len();
        let is_news = self.is_healing && self.nodes[at].heard < newest;
        is_news && self.nodes[at].replica.is_some() && {
            self.hear(at, newest - 1);
            true
        }
    }

    /// A node hears of an assignment: where news come in order of the next one, elsewhere of the
    /// newest; at times of one again.
    fn hear_assignment(&mut self, at: usize) {
        let Some(newest) = self.assignments.len().checked_sub(1) else {
            return;
        };
        let late_by = if self.rng.random_bool(0.3) {
            self.rng.random_range(0..4)
        } else {
            0
        };
        let next = if self.weather.news_in_order {
            self.nodes[at].heard
        } else {
            newest
        };
        self.hear(at, next.min(newest).saturating_sub(late_by));
    }

    fn hear(&mut self, at: usize, index: usize) {
        self.nodes[at].heard = self.nodes[at].heard.max(index + 1);
        let (epoch, leader) = self.assignments[index];
        let voters = self.voters.clone();
        self.step(
            at,
            Event::Assign {
                epoch,
                leader,
                voters,
                previous: Vec::new(),
                learners: Vec::new(),
            },
            &[],
        );
    }

    fn assign(&mut self) {
        let up: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|node| node.replica.is_some())
            .map(|node| node.id)
            .collect();
        if !up.is_empty() {
            let leader = up[self.rng.random_range(0..up.len())];
            self.assign_to(leader);
        }
    }

    fn assign_to(&mut self, leader: NodeId) {
        let epoch = Epoch(self.assignments.len() as u32 + 1);
        self.assignments.push((epoch, leader));
    }

    /// Cuts a node off from all others, or one node from another in one direction; or heals that.
    fn repartition(&mut self, at: usize) {
        let id = self.nodes[at].id;
        let other = self.nodes[self.rng.random_range(0..self.nodes.len())].id;
        let links: Vec<(NodeId, NodeId)> = if self.rng.random_bool(0.5) {
            vec![(id, other)]
        } else {
            self.voters
                .iter()
                .flat_map(|other| [(id, *other), (*other, id)])
                .collect()
        };
        let is_cut = links.iter().any(|link| self.cut_links.contains(link));
        for link in links {
            if is_cut {
                self.cut_links.remove(&link);
            } else {
                self.cut_links.insert(link);
            }
        }
    }

    fn change_disk(&mut self, at: usize) {
        let idle = [0.0, 0.5, 0.99];
        self.disks[at].facts_idle = idle[self.rng.random_range(0..idle.len())];
        self.disks[at].log_idle = idle[self.rng.random_range(0..idle.len())];
    }

    fn fire_timer(&mut self, at: usize) {
        let timers: Vec<Timer> = self.nodes[at].timers.iter().copied().collect();
        if !timers.is_empty() {
            let timer = timers[self.rng.random_range(0..timers.len())];
            self.nodes[at].timers.remove(&timer);
            self.step(at, Event::Timeout(timer), &[]);
        }
    }

    fn append(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(replica) = node.replica.as_mut() else {
            return;
        };
        let count = self.rng.random_range(1..=3);
        let mut effects = Vec::new();
        let Ok(base) = replica.append(count, &mut effects) else {
            return;
        };
        self.payload += 1;
        let batch = Batch {
            epoch: replica.epoch(),
            base,
            count,
            payload: self.payload,
        };
        node.log.push(batch.clone());
        node.waiting.push(batch);
        self.carry_out(at, effects, &[]);
    }

    fn crash_or_start(&mut self, at: usize) {
        if self.nodes[at].replica.is_none() {
            self.nodes[at].start();
        } else {
            if let Some(to) = self.nodes[at].cutting_to
                && self.rng.random_bool(0.5)
            {
                self.nodes[at].truncate_log(to);
                self.nodes[at].log_on_disk = to;
            }
            let uncertain = self.nodes[at].log.len() - self.nodes[at].durable_log().len();
            let kept = self.rng.random_range(0..=uncertain);
            let facts_land = self.rng.random_bool(0.5);
            self.nodes[at].crash(kept, facts_land);
            let forgotten = self.rng.random_range(0..4);
            self.nodes[at].heard = self.nodes[at].heard.saturating_sub(forgotten);
            self.seen.crashes += 1;
            self.ledger.check_majority_holds(&self.nodes);
            self.ledger.check_node(&self.nodes[at]);
            if !self.is_healing && self.rng.random_bool(0.5) {
                self.nodes[at].start();
            }
        }
        if self.is_traced {
            let state = if self.nodes[at].replica.is_some() {
                "starts"
            } else {
                "crashes"
            };
            println!("{:?} {state}", self.nodes[at].id);
        }
        self.ledger.check_node(&self.nodes[at]);
    }

    fn step(&mut self, at: usize, event: Event, payload: &[Batch]) {
        let node = &mut self.nodes[at];
        let Some(replica) = node.replica.as_mut() else {
            return;
        };
        if self.is_traced {
            println!("{:?} <- {event:?}", node.id);
        }
        let mut effects = Vec::new();
        replica.step(event, &mut effects);
        self.carry_out(at, effects, payload);
    }

    fn carry_out(&mut self, at: usize, effects: Vec<Effect>, payload: &[Batch]) {
        for effect in effects {
            if self.is_traced {
                println!("    {:?} -> {effect:?}", self.nodes[at].id);
            }
            let node = &mut self.nodes[at];
            match effect {
                Effect::Send { to, message } => {
                    self.seen.pulls += usize::from(matches!(message, Message::Pull { .. }));
                    self.ledger.on_said(&self.nodes[at], &message);
                    self.send(at, to, Packet::Message(message));
                }
                Effect::PersistFacts(facts) => node.facts_pending = Some(facts),
                Effect::Accept => {
                    assert_eq!(node.cutting_to, None, "an append during a cut");
                    assert!(!payload.is_empty(), "accepted what was not offered");
                    node.log.extend_from_slice(payload);
                }
                Effect::Truncate { to } => {
                    assert_eq!(node.flushing_to, None, "a cut during a flush");
                    assert_eq!(node.log_on_disk, node.next_offset(), "a cut before a flush");
                    assert_eq!(node.cutting_to.replace(to), None, "a cut during a cut");
                    self.seen.cuts += 1;
                }
                Effect::SendRecords { to, epoch, from } => {
                    if !self.rng.random_bool(self.weather.loss) {
                        node.wishes.insert(to, (epoch, from));
                    }
                }
                Effect::Opened { epoch } => {
                    self.seen.opened += 1;
                    self.ledger.on_opened(&self.nodes[at], epoch);
                }
                Effect::SteppedDown => node.waiting.clear(),
                Effect::Committed { high_watermark } => {
                    self.ledger.on_committed(at, high_watermark, &self.nodes);
                    let waiting = &mut self.nodes[at].waiting;
                    let before = waiting.len();
                    waiting.retain(|batch| batch.end() > high_watermark);
                    self.seen.acknowledged += before - waiting.len();
                }
                Effect::Arm(timer) => drop(node.timers.insert(timer)),
                Effect::Disarm(timer) => drop(node.timers.remove(&timer)),
            }
        }
        self.ledger.check_node(&self.nodes[at]);
    }
}
