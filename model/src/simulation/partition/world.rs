//! The replicas of one partition, their network, their disks, clients and the control plane.

use quorate_vsr::partition::{Effect, Event, Message, Undecided};
use quorate_vsr::{Epoch, NodeId, Offset};

use super::super::dice::Dice;
use super::super::sometimes::Tally;
use super::super::timeline::Timeline;
use super::super::trace::Trace;
use super::batch::Batch;
use super::control::Assignment;
use super::ledger::Ledger;
use super::network::{Network, Packet};
use super::node::Node;
use super::sometimes::Sometimes;
use super::swarm::Swarm;

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) swarm: Swarm,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    /// What the control plane has decided.
    pub(crate) assignments: Vec<Assignment>,
    /// Who is to vote after the change that is under way.
    pub(crate) target: Vec<NodeId>,
    /// The newest epoch whose leader is known to have resigned.
    pub(crate) resigned: Option<Epoch>,
    pub(crate) ledger: Ledger,
    pub(crate) payload: u32,
    pub(crate) tally: Tally,
    pub(crate) timeline: Timeline,
    pub(crate) trace: Trace,
    /// What the replicas have taken in.
    pub(crate) steps: u64,
    /// What has happened at all.
    pub(crate) now: u64,
    /// The nodes for which the bad times are over, as bits; none of them before that.
    pub(crate) calm: u8,
    /// What the last step asked for; empty between steps.
    pub(crate) effects: Vec<Effect>,
}

impl World {
    pub(crate) fn new(seed: u64, timeline: Timeline) -> Self {
        let mut dice = Dice::new(seed);
        let swarm = Swarm::draw(&mut dice);
        let voters: Vec<NodeId> = (1..=swarm.voters).map(NodeId).collect();
        let count = usize::from(swarm.nodes);
        let all = (1..=swarm.nodes).map(NodeId);
        let leader = voters[dice.below(voters.len())];
        let first = Assignment::new(Epoch(1), leader, voters, Vec::new(), Vec::new());
        let mut world = Self {
            dice,
            nodes: all.map(|id| Node::new(id, count)).collect(),
            network: Network::default(),
            assignments: vec![first],
            target: Vec::new(),
            resigned: None,
            ledger: Ledger::new(count),
            payload: 0,
            tally: Tally::new(),
            timeline,
            trace: Trace::default(),
            steps: 0,
            now: 0,
            calm: 0,
            effects: Vec::new(),
            swarm,
        };
        world.timeline.note(0, || format!("{:?}", world.swarm));
        world
    }

    /// Lives through the bad times.
    pub(crate) fn storm(&mut self) {
        let swarm = &self.swarm;
        let bounds = [
            swarm.crash,
            swarm.assign,
            swarm.assign * 3,
            swarm.cut,
            swarm.timer,
            swarm.append,
            swarm.replay,
            swarm.disk,
            swarm.change,
            swarm.change / 4,
            swarm.rot,
            swarm.scrub,
            swarm.expire,
            swarm.compact,
        ];
        let steps = swarm.steps;
        while self.now < steps {
            self.now += 1;
            let mut dice = self.dice.below(1000) as u32;
            let at = self.dice.below(self.nodes.len());
            let choice = bounds.iter().position(|bound| {
                let is_chosen = dice < *bound;
                dice = dice.wrapping_sub(*bound);
                is_chosen
            });
            match choice {
                Some(0) => self.crash_or_start(at),
                Some(1) => self.assign(),
                Some(2) => self.hear_assignment(at),
                Some(3) => self.change_links(at),
                Some(4) => self.fire_timer(at),
                Some(5) => self.append_anywhere(at),
                Some(6) => self.replay(),
                Some(7) => self.change_disk(at),
                Some(8) => self.change_voters(),
                Some(9) => self.drop_records(at),
                Some(10) => self.rot(at),
                Some(11) => drop(self.scrub(at)),
                Some(12) => self.expire_anywhere(at),
                Some(13) => self.compact(at),
                Some(_) | None => {
                    self.work_somewhere(at);
                }
            }
        }
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm != 0
    }

    pub(crate) fn is_calm_at(&self, at: usize) -> bool {
        self.calm & (1 << at) != 0
    }

    /// Something that is under way anyhow happens: to a packet, on a disk, in a pump.
    pub(crate) fn work_somewhere(&mut self, at: usize) -> bool {
        const KINDS: usize = 6;
        let first = self.dice.below(KINDS);
        (0..KINDS).any(|kind| match (first + kind) % KINDS {
            0 | 1 => self.deliver(),
            2 => self.work_disk(at),
            3 => self.work_pump(at),
            4 => self.replace_resigned(),
            _ => self.hear_news(at),
        })
    }

    pub(crate) fn fire_timer(&mut self, at: usize) {
        let timers = &mut self.nodes[at].timers;
        if !timers.is_empty() {
            let timer = timers.swap_remove(self.dice.below(timers.len()));
            self.step(at, Event::Timeout(timer), &[]);
        }
    }

    fn append_anywhere(&mut self, at: usize) {
        if let Some(at) = self.open_near(at) {
            self.append(at);
        }
    }

    /// Where nobody leads, somebody else may.
    pub(crate) fn open_near(&self, at: usize) -> Option<usize> {
        let count = self.nodes.len();
        let mut near = (0..count).map(|ahead| (at + ahead) % count);
        near.find(|at| self.nodes[*at].is_open())
    }

    pub(crate) fn append(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(replica) = node.replica.as_mut() else {
            return;
        };
        let count = 1 + self.dice.below(self.swarm.batch_records) as u32;
        let Ok(base) = replica.append(count, &mut self.effects) else {
            return;
        };
        self.steps += 1;
        self.payload += 1;
        let epoch = replica.epoch();
        let batch = Batch::new(node.log.last(), epoch, base, count, self.payload);
        node.log.push(batch);
        node.waiting.push(batch);
        let id = node.id;
        self.timeline
            .note(self.now, || format!("{id:?} appends {batch:?}"));
        self.carry_out(at, &[]);
    }

    pub(crate) fn step(&mut self, at: usize, event: Event, payload: &[Batch]) {
        let node = &mut self.nodes[at];
        let Some(replica) = node.replica.as_mut() else {
            return;
        };
        self.steps += 1;
        let id = node.id;
        self.timeline
            .note(self.now, || format!("{id:?} <- {event:?}"));
        replica.step(event, &mut self.effects);
        self.carry_out(at, payload);
    }

    fn carry_out(&mut self, at: usize, payload: &[Batch]) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.timeline
                .note(self.now, || format!("    -> {effect:?}"));
            self.carry_out_one(at, effect, payload);
        }
        self.effects = effects;
        self.ledger.check_node(at, &self.nodes[at]);
        self.ledger.check_log_starts(at, &self.nodes);
        self.drop_deletions(at);
        if let Some(replica) = &self.nodes[at].replica {
            self.trace
                .add(u64::from(replica.epoch().0) << 8 | at as u64);
            let (next, high_watermark) = (replica.next_offset().0, replica.high_watermark().0);
            self.trace.add(next << 32 | high_watermark);
            let is_uncertain = replica.undecided() == Some(Undecided::Uncertain);
            self.tally.saw_if(is_uncertain, Sometimes::Undecided);
        }
    }

    fn carry_out_one(&mut self, at: usize, effect: Effect, payload: &[Batch]) {
        let node = &mut self.nodes[at];
        match effect {
            Effect::Distrust { from, why } => {
                panic!("{:?} distrusts {from:?}: {why}", node.id)
            }
            Effect::Send { to, message } => {
                let is_pull = matches!(message, Message::Pull { .. });
                self.tally.saw_if(is_pull, Sometimes::Pulled);
                let is_rewind = matches!(&message, Message::Ack(ack) if ack.rewind && ack.adopted);
                self.tally.saw_if(is_rewind, Sometimes::Rewound);
                let is_asked = matches!(&message, Message::Adopt(adopt) if adopt.loss > 0);
                self.tally.saw_if(is_asked, Sometimes::HealedWithinEpoch);
                self.ledger.on_said(at, node, &message);
                self.send(at, to, Packet::Message(message));
            }
            Effect::PersistFacts(facts) => {
                let is_given_up = facts.losses > node.facts_on_disk.losses;
                self.tally.saw_if(is_given_up, Sometimes::EndGivenUp);
                node.facts_pending = Some(facts);
            }
            Effect::SendRepair { to, wish } => {
                node.repair_wishes[usize::from(to.0) - 1] = Some(wish);
            }
            // It compacts its log whenever it likes, and once all is calm when it is asked.
            Effect::Compact { .. } => {
                node.is_asked_to_compact = true;
                self.tally.saw(Sometimes::AskedToCompact);
            }
            Effect::Rewrite => node.want_rewrite(payload),
            Effect::Accept => {
                assert_eq!(node.cutting_to, None, "an append during a cut");
                assert!(!payload.is_empty(), "accepted what was not offered");
                node.accept(payload);
            }
            Effect::Truncate { to } => {
                assert_eq!(node.flushing_to, None, "a cut during a flush");
                assert_eq!(node.log_on_disk, node.next_offset(), "a cut before a flush");
                assert_eq!(node.cutting_to.replace(to), None, "a cut during a cut");
                self.tally.saw(Sometimes::TailCut);
            }
            Effect::BeginAnew { at, .. } => node.want_anew(at),
            Effect::Retire { below } => node.retire(below),
            Effect::SendRecords { to, epoch, from } => {
                if !self.dice.happens(self.swarm.loss) {
                    node.wishes[usize::from(to.0) - 1] = Some((epoch, from));
                }
            }
            Effect::Opened { epoch } => {
                self.tally.saw(Sometimes::Opened);
                self.ledger.on_opened(node, epoch);
                let assignment = &self.assignments[epoch.0 as usize - 1];
                let is_leaving = !assignment.voters.contains(&node.id);
                self.tally.saw_if(is_leaving, Sometimes::LeaderLeaves);
            }
            Effect::Resigned { epoch } => {
                self.tally.saw(Sometimes::LeaderResigned);
                self.resigned = Some(epoch);
            }
            Effect::SteppedDown => {
                let is_waited_for = !node.waiting.is_empty();
                self.tally.saw_if(is_waited_for, Sometimes::LeaderFell);
                node.waiting.clear();
            }
            Effect::Committed { high_watermark } => self.on_committed(at, high_watermark),
            Effect::Arm(timer) => {
                if !node.timers.contains(&timer) {
                    node.timers.push(timer);
                }
            }
            Effect::Disarm(timer) => node.timers.retain(|other| *other != timer),
        }
    }

    pub(crate) fn check_majority_holds(&self) {
        let last = self.last_assignment();
        self.ledger.check_majority_holds(&self.nodes, last);
    }

    fn on_committed(&mut self, at: usize, high_watermark: Offset) {
        let (nodes, assignments) = (&self.nodes, &self.assignments);
        if self
            .ledger
            .on_committed(at, high_watermark, nodes, assignments)
        {
            let is_outrun = self.nodes[at].is_open() && self.nodes[at].log_on_disk < high_watermark;
            self.tally.saw_if(is_outrun, Sometimes::LeaderOutrun);
        }
        let ledger = &self.ledger;
        let tally = &mut self.tally;
        self.nodes[at].waiting.retain(|batch| {
            let is_waiting = batch.end() > high_watermark;
            if !is_waiting {
                ledger.on_acknowledged(batch);
                tally.saw(Sometimes::Acknowledged);
            }
            is_waiting
        });
    }
}
