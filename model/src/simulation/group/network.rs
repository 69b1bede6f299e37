//! What becomes of messages between members.

use quorate_vsr::NodeId;
use quorate_vsr::group::Message;

use super::swarm::Weather;
use super::world::{Happening, World};

/// As many nodes as a run has at most.
pub(crate) const NODES_MAX: usize = 8;
/// A message that is late arrives so much later at most.
const LATE_MAX: u64 = 300;

/// The links between the nodes.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// For each node the nodes that nothing from it reaches, as bits.
    cut: [u8; NODES_MAX],
    /// When the last message on each link arrives.
    last: [[u64; NODES_MAX]; NODES_MAX],
}

impl Network {
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.cut[from] |= 1 << to;
    }

    pub(crate) fn mend(&mut self, from: usize, to: usize) {
        self.cut[from] &= !(1 << to);
    }

    pub(crate) fn mend_all(&mut self) {
        self.cut = [0; NODES_MAX];
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from] & (1 << to) != 0
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.cut == [0; NODES_MAX]
    }
}

impl World {
    /// The network between two members as it is now.
    fn weather(&self, from: usize, to: usize) -> Weather {
        if self.is_calm_at(from) && self.is_calm_at(to) {
            Weather::CALM
        } else {
            self.swarm.weather
        }
    }

    pub(crate) fn send(&mut self, from: usize, to: NodeId, message: Message) {
        let to = usize::from(to.0) - 1;
        let weather = self.weather(from, to);
        let message = if self.dice.happens(weather.through_bytes) {
            let read = Message::decode(&message.encode());
            let read = read.expect("what was written reads back");
            assert_eq!(read, message, "a message reads back as it was");
            read
        } else {
            message
        };
        if self.dice.happens(weather.duplication) {
            self.carry(from, to, message.clone(), weather);
        }
        if !self.dice.happens(weather.loss) {
            self.carry(from, to, message, weather);
        }
    }

    fn carry(&mut self, from: usize, to: usize, message: Message, weather: Weather) {
        let mut delay = self.dice.between(1..=weather.delay_max);
        if self.dice.happens(weather.late) {
            delay += self.dice.between(1..=LATE_MAX);
        }
        let now = self.calendar.now();
        if weather.in_order {
            let last = &mut self.network.last[from][to];
            *last = (now + delay).max(*last);
            delay = *last - now;
        }
        let replica = self.nodes[from].replica.as_ref();
        let from = replica.expect("who speaks is up").member();
        let to = to as u8;
        self.calendar
            .plan(delay, Happening::Message { from, to, message });
    }
}
