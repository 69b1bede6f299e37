//! Reads of the replicated state, and what they must have seen.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Effect, Event, Replica};

use super::sometimes::Sometimes;
use super::world::{Happening, World};

/// A read that was not answered yet.
#[derive(Clone, Copy, Debug)]
struct Reading {
    number: u64,
    /// The node that is asked, and which of its lives.
    at: usize,
    life: u32,
    /// The last operation of which anybody had been told anything when the read began.
    floor: OpNumber,
    /// When it reached the node, in steps; 0 while it is on its way.
    arrived: u64,
}

/// All reads that are under way.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    begun: u64,
    waiting: Vec<Reading>,
    pub(crate) answered: u64,
}

impl World {
    /// Somebody begins to read, most often where the answer is, or was.
    pub(crate) fn on_read(&mut self) {
        let at = self.draw_reader();
        let node = &self.nodes[at];
        if node.is_up() {
            self.readings.begun += 1;
            let reading = Reading {
                number: self.readings.begun,
                at,
                life: node.life,
                floor: self.checker.requests.told(),
                arrived: 0,
            };
            self.readings.waiting.push(reading);
            let (at, read) = (at as u8, reading.number);
            let delay = self.dice.between(1..=3);
            self.calendar.plan(delay, Happening::Reading { at, read });
        }
        let gap = self.dice.between(1..=self.swarm.read_gap);
        self.calendar.plan(gap, Happening::Read);
    }

    /// Any node, or one that takes itself for the primary, be it right or not.
    fn draw_reader(&mut self) -> usize {
        let primaries = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_primary());
        let primaries: Vec<usize> = primaries.collect();
        if primaries.is_empty() || self.dice.happens(300) {
            self.dice.below(self.nodes.len())
        } else {
            primaries[self.dice.below(primaries.len())]
        }
    }

    /// A read arrives; at a node that stands still it waits until that goes on.
    pub(crate) fn on_reading(&mut self, at: u8, read: u64) {
        let left = self.pause_left(at);
        if left > 0 {
            let later = Happening::Reading { at, read };
            self.calendar.plan(left + 1, later);
            return;
        }
        let steps = self.steps + 1;
        let mut waiting = self.readings.waiting.iter_mut();
        // The node may have crashed meanwhile.
        let Some(reading) = waiting.find(|it| it.number == read) else {
            return;
        };
        reading.arrived = steps;
        let (now, id) = (self.calendar.now(), self.nodes[usize::from(at)].id);
        self.timeline.note(now, || format!("{id:?} <- {reading:?}"));
        self.step(usize::from(at), Event::Read { read });
    }

    /// A node answers a read, or refuses.
    pub(crate) fn on_read_answer(&mut self, at: usize, answer: &Effect) {
        let (read, is_ready) = match answer {
            Effect::ReadReady { read } => (*read, true),
            Effect::RejectRead { read, .. } => (*read, false),
            other => unreachable!("{other:?} is not for a reader"),
        };
        let place = self
            .readings
            .waiting
            .iter()
            .position(|it| it.number == read);
        let place = place.expect("each read is answered once");
        let reading = self.readings.waiting.swap_remove(place);
        let node = &self.nodes[at];
        assert_eq!((reading.at, reading.life), (at, node.life));
        let (now, id) = (self.calendar.now(), node.id);
        self.timeline
            .note(now, || format!("    {id:?} -> {answer:?}"));
        if !is_ready {
            self.tally.saw(Sometimes::ReadRefused);
            return;
        }
        let seen = node.machine.last();
        let executed = node.replica.as_ref().map(|replica| replica.executed());
        let executed = executed.expect("who answers is up");
        assert!(
            executed >= reading.floor && seen <= executed,
            "{id:?} answers {reading:?} as of {executed:?}"
        );
        self.checker.requests.has_told(executed);
        self.readings.answered += 1;
        if self.swarm.voters > 1 {
            let is_at_once = reading.arrived == self.steps;
            self.tally
                .saw_if(self.is_replaced(at), Sometimes::ReadAtReplaced);
            self.tally.saw_if(is_at_once, Sometimes::ReadByLease);
            self.tally.saw_if(!is_at_once, Sometimes::ReadByRound);
        }
    }

    /// Whether a later view than that of this node is served.
    fn is_replaced(&self, at: usize) -> bool {
        let view = self.nodes[at].replica.as_ref().map(Replica::view);
        let mut replicas = self.nodes.iter().filter_map(|node| node.replica.as_ref());
        replicas.any(|replica| replica.is_primary() && Some(replica.view()) > view)
    }

    /// Whoever waits for an answer of a node that has crashed waits in vain.
    pub(crate) fn forget_readings(&mut self, at: usize) {
        self.readings.waiting.retain(|reading| reading.at != at);
    }
}
