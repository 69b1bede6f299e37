use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_vsr::partition::{Effect, EpochHistory, Event, Facts, Replica, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use crate::script::Stage;

/// Three replicas of one partition that do what the commands say.
#[derive(Default)]
pub(crate) struct PartitionStage {
    nodes: BTreeMap<NodeId, Node>,
    network: VecDeque<(NodeId, Event)>,
    cut: BTreeSet<NodeId>,
    trace: Vec<String>,
}

/// A replica with its disk. A log is told by which epoch wrote at which offset.
#[derive(Default)]
struct Node {
    replica: Option<Replica>,
    log: BTreeMap<Offset, Epoch>,
    durable: Offset,
    facts: Facts,
    writes: VecDeque<Event>,
    armed: BTreeSet<Timer>,
    is_slow: bool,
}

impl Stage for PartitionStage {
    fn command(&mut self, words: &[&str]) -> Vec<String> {
        match words {
            ["replicas", count] => {
                for id in 1..=count.parse().unwrap() {
                    self.nodes.insert(NodeId(id), Node::default());
                    self.start(NodeId(id));
                }
            }
            ["assign", epoch, leader, to @ ..] => {
                for id in to.iter().map(|word| node(word)) {
                    let event = self.assignment(Epoch(epoch.parse().unwrap()), node(leader));
                    self.step(id, event);
                }
            }
            ["append", id, count] => self.append(node(id), count.parse().unwrap()),
            ["run"] => self.run(),
            ["fire", id, timer] => {
                let (id, timer) = (node(id), timer_of(timer));
                if self.node(id).armed.remove(&timer) {
                    self.step(id, Event::Timeout(timer));
                }
            }
            ["crash", id] => self.crash(node(id)),
            ["start", id] => self.start(node(id)),
            ["cut", id] => drop(self.cut.insert(node(id))),
            ["join", id] => drop(self.cut.remove(&node(id))),
            ["slow", id] => self.node(node(id)).is_slow = true,
            ["quick", id] => self.node(node(id)).is_slow = false,
            ["lose"] => self.network.clear(),
            ["status"] => self.status(),
            other => panic!("{other:?} is no command"),
        }
        std::mem::take(&mut self.trace)
    }
}

impl PartitionStage {
    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("replicas come first")
    }

    fn assignment(&self, epoch: Epoch, leader: NodeId) -> Event {
        Event::Assign {
            epoch,
            leader,
            voters: self.nodes.keys().copied().collect(),
            previous: Vec::new(),
            learners: Vec::new(),
        }
    }

    fn start(&mut self, id: NodeId) {
        let node = self.node(id);
        let next = node.log.len() as u64;
        node.durable = Offset(next);
        let replica = Replica::new(id, node.facts, Offset(next), history(&node.log));
        node.replica = Some(replica.expect("the disk keeps what it confirmed"));
    }

    /// Everything that is not on stable storage is gone.
    fn crash(&mut self, id: NodeId) {
        let node = self.node(id);
        node.replica = None;
        node.writes.clear();
        node.armed.clear();
        let durable = node.durable;
        node.log.retain(|offset, _| *offset < durable);
    }

    fn append(&mut self, id: NodeId, count: u32) {
        let mut effects = Vec::new();
        let node = self.node(id);
        let replica = node.replica.as_mut().expect("the replica runs");
        match replica.append(count, &mut effects) {
            Ok(base) => {
                let epoch = replica.epoch();
                self.trace
                    .push(format!("{id} appends {count} records at offset {base}"));
                self.write(
                    id,
                    (base.0..base.0 + u64::from(count)).map(|at| (Offset(at), epoch)),
                );
                self.carry_out(id, effects, &[]);
            }
            Err(refused) => self.trace.push(format!("{id}: {refused}")),
        }
    }

    fn write(&mut self, id: NodeId, records: impl Iterator<Item = (Offset, Epoch)>) {
        let node = self.node(id);
        node.log.extend(records);
        let next_offset = Offset(node.log.len() as u64);
        node.writes.push_back(Event::LogDurable { next_offset });
    }

    /// Delivers messages and completes writes until nothing is left to do.
    fn run(&mut self) {
        loop {
            let mut nodes = self.nodes.iter_mut();
            let writing = nodes.find(|(_, node)| !node.is_slow && !node.writes.is_empty());
            if let Some((&id, node)) = writing {
                let event = node.writes.pop_front().unwrap();
                match event {
                    Event::FactsDurable(facts) => node.facts = facts,
                    Event::LogDurable { next_offset } => node.durable = next_offset,
                    Event::Truncated { next_offset } => {
                        node.log.retain(|offset, _| *offset < next_offset);
                        node.durable = next_offset;
                    }
                    ref other => panic!("{other} is no write"),
                }
                self.step(id, event);
            } else if let Some((to, event)) = self.network.pop_front() {
                let from = sender(&event);
                if !self.cut.contains(&from) && !self.cut.contains(&to) {
                    self.step(to, event);
                }
            } else {
                return;
            }
        }
    }

    fn step(&mut self, id: NodeId, event: Event) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(replica) = &mut node.replica else {
            return;
        };
        self.trace.push(format!("{id} {event}"));
        let records = match &event {
            Event::Records {
                next_offset,
                epochs,
                ..
            } => records(epochs, *next_offset),
            _ => Vec::new(),
        };
        let mut effects = Vec::new();
        replica.step(event, &mut effects);
        self.carry_out(id, effects, &records);
    }

    fn carry_out(&mut self, id: NodeId, effects: Vec<Effect>, records: &[(Offset, Epoch)]) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    self.network
                        .push_back((to, Event::Message { from: id, message }));
                }
                Effect::SendRecords { to, epoch, from } => self.send_records(id, to, epoch, from),
                Effect::PersistFacts(facts) => {
                    self.node(id).writes.push_back(Event::FactsDurable(facts));
                }
                Effect::Accept => self.write(id, records.iter().copied()),
                Effect::Truncate { to } => {
                    let event = Event::Truncated { next_offset: to };
                    self.node(id).writes.push_back(event);
                }
                Effect::Opened { epoch } => {
                    self.trace.push(format!("{id} is open in epoch {epoch}"));
                }
                Effect::SteppedDown => self.trace.push(format!("{id} leads no more")),
                Effect::Committed { high_watermark } => {
                    let line = format!("{id} knows as committed: up to offset {high_watermark}");
                    self.trace.push(line);
                }
                Effect::Arm(timer) => drop(self.node(id).armed.insert(timer)),
                Effect::Disarm(timer) => drop(self.node(id).armed.remove(&timer)),
            }
        }
    }

    fn send_records(&mut self, id: NodeId, to: NodeId, epoch: Epoch, from: Offset) {
        let node = &self.nodes[&id];
        let Some(head) = node
            .replica
            .as_ref()
            .and_then(|it| it.records_head(to, epoch, from))
        else {
            return;
        };
        let next_offset = Offset(node.log.len() as u64);
        let epochs = node
            .log
            .range(from..)
            .map(|(offset, epoch)| (*epoch, *offset))
            .collect();
        let event = Event::Records {
            from: id,
            head,
            next_offset,
            epochs,
        };
        self.network.push_back((to, event));
        let sent = Event::RecordsSent {
            to,
            head,
            next_offset,
        };
        self.step(id, sent);
    }

    fn status(&mut self) {
        for (id, node) in &self.nodes {
            let line = match &node.replica {
                None => format!("{id} is down"),
                Some(replica) => format!(
                    "{id} {:?} in epoch {}{}; {}; log up to offset {}, committed up to {}",
                    replica.role(),
                    replica.epoch(),
                    if replica.is_open() { ", open" } else { "" },
                    replica.facts(),
                    replica.next_offset(),
                    replica.high_watermark(),
                ),
            };
            self.trace.push(line);
        }
    }
}

fn sender(event: &Event) -> NodeId {
    match event {
        Event::Message { from, .. } | Event::Records { from, .. } => *from,
        other => panic!("{other} does not travel"),
    }
}

/// Which epoch wrote each of the records that came.
fn records(epochs: &[(Epoch, Offset)], next_offset: Offset) -> Vec<(Offset, Epoch)> {
    let ends = epochs
        .iter()
        .skip(1)
        .map(|(_, offset)| *offset)
        .chain([next_offset]);
    let runs = epochs.iter().zip(ends);
    let each = |((epoch, from), end): (&(Epoch, Offset), Offset)| {
        let epoch = *epoch;
        (from.0..end.0)
            .map(move |offset| (Offset(offset), epoch))
            .collect::<Vec<_>>()
    };
    runs.flat_map(each).collect()
}

fn history(log: &BTreeMap<Offset, Epoch>) -> EpochHistory {
    let mut starts: Vec<(Epoch, Offset)> = Vec::new();
    for (offset, epoch) in log {
        if starts.last().is_none_or(|start| start.0 != *epoch) {
            starts.push((*epoch, *offset));
        }
    }
    EpochHistory::from_starts(starts).expect("a log's epochs increase")
}

fn node(word: &str) -> NodeId {
    NodeId(word.parse().unwrap_or_else(|_| panic!("{word} is no node")))
}

fn timer_of(word: &str) -> Timer {
    let all = [Timer::Resend, Timer::Commit, Timer::SaveWatermark];
    let timer = all.into_iter().find(|timer| format!("{timer:?}") == word);
    timer.unwrap_or_else(|| panic!("{word} is no timer"))
}
