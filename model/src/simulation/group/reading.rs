//! Reads of the replicated state, and what they must have seen.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Effect, Event};

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
    /// When it began, in steps.
    begun: u64,
}

/// All reads that are under way.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    begun: u64,
    waiting: Vec<Reading>,
}

impl World {
    /// Somebody reads, most often where the answer is.
    pub(crate) fn on_read(&mut self) {
        let any = self.dice.below(self.nodes.len());
        let primary = self.nodes.iter().position(|node| node.is_primary());
        let at = if self.dice.flip() {
            primary.unwrap_or(any)
        } else {
            any
        };
        let node = &self.nodes[at];
        if node.is_up() && node.paused_until <= self.calendar.now() {
            self.readings.begun += 1;
            let reading = Reading {
                number: self.readings.begun,
                at,
                life: node.life,
                floor: self.checker.requests.told(),
                begun: self.steps + 1,
            };
            let (now, id) = (self.calendar.now(), node.id);
            self.timeline.note(now, || format!("{id:?} <- {reading:?}"));
            self.readings.waiting.push(reading);
            let read = reading.number;
            self.step(at, Event::Read { read });
        }
        let gap = self.dice.between(1..=self.swarm.read_gap);
        self.calendar.plan(gap, Happening::Read);
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
        if self.swarm.voters > 1 {
            let is_at_once = reading.begun == self.steps;
            self.tally.saw_if(is_at_once, Sometimes::ReadByLease);
            self.tally.saw_if(!is_at_once, Sometimes::ReadByRound);
        }
    }

    /// Whoever waits for an answer of a node that has crashed waits in vain.
    pub(crate) fn forget_readings(&mut self, at: usize) {
        self.readings.waiting.retain(|reading| reading.at != at);
    }
}
