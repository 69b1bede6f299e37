//! Rotten records are noticed, fetched from others, and rewritten.

use quorate_vsr::partition::{Event, RepairWish};
use quorate_vsr::{NodeId, Offset};

use super::network::Packet;
use super::world::World;

impl World {
    /// Looks at all of a node's durable records, and reports the first run of rotten ones that the
    /// replica does not know of.
    pub(crate) fn scrub(&mut self, at: usize) -> bool {
        let node = &self.nodes[at];
        let Some(replica) = &node.replica else {
            return false;
        };
        let is_known = |offset: Offset| {
            let damage = replica.damage_behind(offset);
            damage.is_some_and(|range| range.0 <= offset)
        };
        // What is about to be cut is left alone.
        let end = node.cutting_to.unwrap_or(node.next_offset());
        let mut news = node.rotten.iter().copied();
        let Some(base) = news.find(|base| !is_known(*base) && *base < end) else {
            return false;
        };
        self.report_rotten(at, base);
        true
    }

    /// A read came upon a rotten batch: the replica is told, of it and those that follow.
    pub(crate) fn report_rotten(&mut self, at: usize, base: Offset) {
        let node = &self.nodes[at];
        let start = node.log.partition_point(|batch| batch.base < base);
        let behind = node.log[start..].iter();
        let rotten = behind.take_while(|batch| node.rotten.contains(&batch.base));
        let to = rotten.last().map_or(base, |batch| batch.end());
        self.step(at, Event::Damaged { from: base, to }, &[]);
    }

    /// Reads what a peer needs for its repair, and sends it.
    pub(crate) fn serve_repair(&mut self, at: usize) -> bool {
        let count = 1 + self.dice.below(self.swarm.packet_batches);
        let node = &mut self.nodes[at];
        let Some(peer) = node.repair_wishes.iter().position(Option::is_some) else {
            return false;
        };
        let Some(wish) = node.repair_wishes[peer].take() else {
            return false;
        };
        let RepairWish {
            from,
            until,
            compacted,
        } = wish;
        if from < node.begin {
            return true;
        }
        let start = node.log.partition_point(|batch| batch.base < from);
        let behind = node.log[start..].iter().take(count);
        let below = behind.take_while(|batch| batch.end() <= until);
        let sound = below.take_while(|batch| !node.rotten.contains(&batch.base));
        let batches: Vec<_> = sound.copied().collect();
        if batches.first().is_some_and(|batch| batch.base == from) {
            let packet = Packet::Repair {
                thinned: node.thinned.part(from, until),
                batches,
                compacted,
            };
            self.send(at, NodeId(peer as u16 + 1), packet);
        } else if self.nodes[at].rotten.contains(&from) {
            self.report_rotten(at, from);
        }
        true
    }
}
