//! What becomes of packets between nodes.

use quorate_vsr::NodeId;
use quorate_vsr::Offset;
use quorate_vsr::partition::{Event, Message, RecordsHead};

use super::batch::Batch;
use super::world::World;
use crate::thinned::Thinned;

/// As many nodes as a run has at most.
const NODES_MAX: usize = 8;
/// How many packets may be under way; beyond it the network loses some.
const PACKETS_MAX: usize = 100;
/// How many old packets the network remembers, to deliver them once more when nobody expects it.
const STASH_MAX: usize = 16;

#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Message(Message),
    Records {
        head: RecordsHead,
        next_offset: Offset,
        batches: Vec<Batch>,
        thinned: Thinned,
    },
    Repair {
        batches: Vec<Batch>,
        thinned: Thinned,
        /// What the sender had claimed.
        compacted: Offset,
    },
}

/// A packet on its way, between two nodes that are meant by their places.
#[derive(Clone, Debug)]
struct UnderWay {
    from: usize,
    to: usize,
    packet: Packet,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    packets: Vec<UnderWay>,
    stash: Vec<UnderWay>,
    /// For each node the nodes that nothing from it reaches, as bits.
    cut: [u8; NODES_MAX],
}

impl Network {
    pub(crate) fn is_silent(&self) -> bool {
        self.packets.is_empty()
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut[from] & (1 << to) != 0
    }

    pub(crate) fn set_cut(&mut self, from: usize, to: usize, is_cut: bool) {
        if is_cut {
            self.cut[from] |= 1 << to;
        } else {
            self.cut[from] &= !(1 << to);
        }
    }
}

impl World {
    fn loss(&self, from: usize, to: usize) -> u32 {
        let is_calm = self.is_calm_at(from) && self.is_calm_at(to);
        if is_calm {
            self.swarm.loss.min(20)
        } else {
            self.swarm.loss
        }
    }

    pub(crate) fn send(&mut self, at: usize, to: NodeId, packet: Packet) {
        let to = usize::from(to.0) - 1;
        assert_ne!(at, to, "nobody talks to itself");
        let packets = &mut self.network.packets;
        if packets.len() >= PACKETS_MAX {
            packets.swap_remove(self.dice.below(packets.len()));
        }
        let under_way = UnderWay {
            from: at,
            to,
            packet,
        };
        if self.swarm.replay > 0 && !self.is_calm() {
            self.stash(&under_way);
        }
        self.network.packets.push(under_way);
    }

    fn stash(&mut self, under_way: &UnderWay) {
        let stash = &mut self.network.stash;
        if stash.len() < STASH_MAX {
            stash.push(under_way.clone());
        } else if self.dice.happens(100) {
            stash[self.dice.below(STASH_MAX)] = under_way.clone();
        }
    }

    /// An old packet arrives once more.
    pub(crate) fn replay(&mut self) {
        if !self.network.stash.is_empty() {
            let chosen = self.dice.below(self.network.stash.len());
            let under_way = self.network.stash[chosen].clone();
            self.arrive(under_way);
        }
    }

    pub(crate) fn deliver(&mut self) -> bool {
        let packets = &mut self.network.packets;
        if packets.is_empty() {
            return false;
        }
        let mut chosen = self.dice.below(packets.len());
        let under_way = if self.swarm.in_order {
            let (from, to) = (packets[chosen].from, packets[chosen].to);
            let is_same = |other: &UnderWay| other.from == from && other.to == to;
            chosen = packets.iter().position(is_same).unwrap_or(chosen);
            packets.remove(chosen)
        } else {
            packets.swap_remove(chosen)
        };
        let (from, to) = (under_way.from, under_way.to);
        let loss = self.loss(from, to);
        if self.network.is_cut(from, to) || self.dice.happens(loss) {
            return true;
        }
        if !self.is_calm() && self.dice.happens(self.swarm.duplication) {
            self.network.packets.push(under_way.clone());
        }
        self.arrive(under_way);
        true
    }

    fn arrive(&mut self, under_way: UnderWay) {
        let UnderWay { from, to, packet } = under_way;
        let from = self.nodes[from].id;
        match packet {
            Packet::Message(message) => self.step(to, Event::Message { from, message }, &[]),
            Packet::Records {
                head,
                next_offset,
                batches,
                thinned,
            } => {
                self.nodes[to].offered = thinned;
                let epochs = batches.iter().map(|batch| (batch.epoch, batch.base));
                let event = Event::Records {
                    from,
                    head,
                    next_offset,
                    epochs: epochs.collect(),
                };
                self.step(to, event, &batches);
            }
            Packet::Repair {
                batches,
                thinned,
                compacted,
            } => {
                self.nodes[to].offered = thinned;
                let epochs = batches.iter().map(|batch| (batch.epoch, batch.base));
                let event = Event::Repair {
                    base_offset: batches[0].base,
                    next_offset: batches[batches.len() - 1].end(),
                    epochs: epochs.collect(),
                    compacted,
                };
                self.step(to, event, &batches);
            }
        }
    }
}
