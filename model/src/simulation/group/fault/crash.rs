//! Crashes and starts.

use quorate_vsr::group::Replica;

use super::super::machine::Machine;
use super::super::sometimes::Sometimes;
use super::super::world::{Happening, World};

impl World {
    pub(crate) fn crash_all(&mut self) {
        self.tally.saw(Sometimes::CrashedTogether);
        for at in 0..self.nodes.len() {
            self.crash(at);
        }
    }

    pub(crate) fn crash(&mut self, at: usize) {
        let now = self.calendar.now();
        let node = &mut self.nodes[at];
        if node.replica.take().is_none() {
            return;
        }
        let id = node.id;
        self.timeline.note(now, || format!("{id:?} crashes"));
        self.tally.saw(Sometimes::Crashed);
        node.life += 1;
        node.clock.stop();
        node.disk.crash(&mut self.dice);
        node.paused_until = 0;
        self.forget_readings(at);
        let delay = self.dice.between(1..=self.swarm.down_max);
        self.calendar.plan(delay, Happening::Start { at: at as u8 });
        self.checker.agreement.check_majority_holds(&self.nodes);
    }

    pub(crate) fn start(&mut self, at: usize) {
        if self.nodes[at].is_up() {
            return;
        }
        self.damage(at);
        let node = &mut self.nodes[at];
        let (now, id) = (self.calendar.now(), node.id);
        self.timeline.note(now, || format!("{id:?} starts"));
        let through_bytes = self.dice.happens(self.swarm.weather.through_bytes);
        let recovered = node.disk.recover(through_bytes);
        node.machine = Machine::default();
        let replica = Replica::new(node.config.clone(), recovered, &mut self.effects);
        self.checker.progress.started(at);
        self.checker.promises.started(at, node, &replica);
        node.replica = Some(replica);
        self.carry_out(at);
    }
}
