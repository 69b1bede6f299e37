use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_vsr::partition::{Effect, EpochHistory, Event, Facts, RepairWish, Replica, Timer};
use quorate_vsr::{Epoch, NodeId, Offset};

use crate::script::Stage;

/// Three replicas of one partition that do what the commands say.
#[derive(Default)]
pub(crate) struct PartitionStage {
    nodes: BTreeMap<NodeId, Node>,
    /// From whom, to whom, and what.
    network: VecDeque<(NodeId, NodeId, Event)>,
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
    damaged: BTreeSet<Offset>,
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
            ["change", epoch, leader, rest @ ..] => {
                let mut lists = rest.split(|word| ["before", "learners", "to"].contains(word));
                let mut list = || {
                    lists
                        .next()
                        .unwrap()
                        .iter()
                        .map(|word| node(word))
                        .collect()
                };
                let (voters, previous, learners, told): (_, _, _, Vec<_>) =
                    (list(), list(), list(), list());
                let event = Event::Assign {
                    epoch: Epoch(epoch.parse().unwrap()),
                    leader: node(leader),
                    voters,
                    previous,
                    learners,
                };
                for id in told {
                    self.step(id, event.clone());
                }
            }
            ["damage", id, from, to] => {
                let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
                self.node(node(id)).damaged.extend((from..to).map(Offset));
                let (from, to) = (Offset(from), Offset(to));
                self.step(node(id), Event::Damaged { from, to });
            }
            ["shorten", id, to] => self.shorten(node(id), Offset(to.parse().unwrap())),
            ["expire", id, before] => {
                let before = Offset(before.parse().unwrap());
                self.step(node(id), Event::Expire { before });
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

    /// The disk has lost the end of the log, and that is noticed before anything hides it.
    fn shorten(&mut self, id: NodeId, to: Offset) {
        let node = self.node(id);
        assert!(
            node.replica.is_none(),
            "a log is looked at when it is opened"
        );
        node.log.retain(|offset, _| *offset < to);
        node.facts = node.facts.with_loss();
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
                    Event::Repaired { from, to } => {
                        node.damaged
                            .retain(|offset| *offset < from || *offset >= to);
                    }
                    Event::Truncated { next_offset } => {
                        node.damaged.retain(|offset| *offset < next_offset);
                        node.log.retain(|offset, _| *offset < next_offset);
                        node.durable = next_offset;
                    }
                    Event::BegunAnew { at } => {
                        // What a log start stands for counts as held; nobody reads it.
                        let epoch = node.facts.log_start_epoch;
                        node.log = (0..at.0).map(|offset| (Offset(offset), epoch)).collect();
                        node.damaged.clear();
                        node.durable = at;
                    }
                    ref other => panic!("{other} is no write"),
                }
                self.step(id, event);
            } else if let Some((from, to, event)) = self.network.pop_front() {
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
            }
            | Event::Repair {
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
                Effect::Distrust { from, why } => panic!("{id} distrusts {from}: {why}"),
                Effect::Send { to, message } => {
                    let event = Event::Message { from: id, message };
                    self.network.push_back((id, to, event));
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
                Effect::BeginAnew { at, .. } => {
                    self.node(id).writes.push_back(Event::BegunAnew { at });
                }
                Effect::Retire { below } => {
                    let line = format!("{id} may remove what is below offset {below}");
                    self.trace.push(line);
                }
                Effect::Opened { epoch } => {
                    self.trace.push(format!("{id} is open in epoch {epoch}"));
                }
                Effect::Resigned { epoch } => {
                    self.trace.push(format!("{id} resigns in epoch {epoch}"));
                }
                Effect::SteppedDown => self.trace.push(format!("{id} leads no more")),
                Effect::Committed { high_watermark } => {
                    let line = format!("{id} knows as committed: up to offset {high_watermark}");
                    self.trace.push(line);
                }
                Effect::Compact { to } => {
                    let line = format!("{id} is to compact its log up to offset {to}");
                    self.trace.push(line);
                }
                Effect::SendRepair { to, wish } => {
                    let RepairWish {
                        from,
                        until,
                        compacted,
                    } = wish;
                    let epochs = self.read(id, from, until);
                    let event = Event::Repair {
                        base_offset: from,
                        next_offset: until,
                        epochs,
                        compacted,
                    };
                    self.network.push_back((id, to, event));
                }
                Effect::Rewrite => {
                    let (from, to) = (records[0].0, records[records.len() - 1].0.next());
                    let event = Event::Repaired { from, to };
                    self.node(id).writes.push_back(event);
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
        let end = Offset(node.log.len() as u64);
        let next_offset = node.damaged.range(from..).next().map_or(end, |at| *at);
        let epochs = self.read(id, from, next_offset);
        let event = Event::Records {
            from: id,
            head,
            next_offset,
            epochs,
        };
        self.network.push_back((id, to, event));
        let sent = Event::RecordsSent {
            to,
            head,
            next_offset,
        };
        self.step(id, sent);
    }

    /// The epoch and offset of each record, as batch headers tell them.
    fn read(&self, id: NodeId, from: Offset, until: Offset) -> Vec<(Epoch, Offset)> {
        let records = self.nodes[&id].log.range(from..until);
        records.map(|(offset, epoch)| (*epoch, *offset)).collect()
    }

    fn status(&mut self) {
        for (id, node) in &self.nodes {
            let line = match &node.replica {
                None => format!("{id} is down"),
                Some(replica) => format!(
                    "{id} {:?} in epoch {}{}; {}; log up to offset {}, committed up to {}{}",
                    replica.role(),
                    replica.epoch(),
                    if replica.is_open() { ", open" } else { "" },
                    replica.facts(),
                    replica.next_offset(),
                    replica.high_watermark(),
                    match (replica.change_progress(), replica.undecided()) {
                        (Some(progress), _) => format!("; {progress:?}"),
                        (None, Some(undecided)) => format!("; waits: {undecided}"),
                        (None, None) => String::new(),
                    },
                ),
            };
            self.trace.push(line);
        }
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
    let timer = Timer::ALL
        .into_iter()
        .find(|timer| format!("{timer:?}") == word);
    timer.unwrap_or_else(|| panic!("{word} is no timer"))
}
