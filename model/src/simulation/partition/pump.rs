//! A pump reads, offers what it has read, or tells the replica that it went out: each at its own
//! time, so that much may change in between.

use quorate_vsr::NodeId;
use quorate_vsr::partition::Event;

use super::network::Packet;
use super::node::{Read, Sent};
use super::world::World;

impl World {
    pub(crate) fn work_pump(&mut self, at: usize) -> bool {
        if !self.nodes[at].is_up() {
            return false;
        }
        let first = self.dice.below(4);
        (0..4).any(|kind| match (first + kind) % 4 {
            0 => self.tell_sent(at),
            1 => self.offer(at),
            2 => self.serve_repair(at),
            _ => self.read(at),
        })
    }

    fn tell_sent(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if node.sent.is_empty() {
            return false;
        }
        let Sent {
            to,
            head,
            next_offset,
        } = node.sent.remove(0);
        let event = Event::RecordsSent {
            to,
            head,
            next_offset,
        };
        self.step(at, event, &[]);
        true
    }

    fn offer(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let Some(peer) = node.reads.iter().position(Option::is_some) else {
            return false;
        };
        let (Some(read), Some(replica)) = (node.reads[peer].take(), &node.replica) else {
            return false;
        };
        let Read {
            epoch,
            batches,
            thinned,
        } = read;
        let to = NodeId(peer as u16 + 1);
        let base = batches[0].base;
        let Some(head) = replica.records_head(to, epoch, base) else {
            return true;
        };
        assert!(base >= replica.log_start(), "what has expired is sent");
        let next_offset = batches[batches.len() - 1].end();
        // If a damaged end was given up meanwhile, there may be less; but nothing else.
        let start = node.log.partition_point(|batch| batch.base < base);
        let end = node.log.len().min(start + batches.len());
        assert!(
            start < end && batches.starts_with(&node.log[start..end]),
            "a head goes before other records than those that were read"
        );
        node.sent.push(Sent {
            to,
            head,
            next_offset,
        });
        let packet = Packet::Records {
            head,
            next_offset,
            batches,
            thinned,
        };
        self.send(at, to, packet);
        true
    }

    fn read(&mut self, at: usize) -> bool {
        let count = 1 + self.dice.below(self.swarm.packet_batches);
        let node = &mut self.nodes[at];
        let peers = node.wishes.iter().zip(&node.reads);
        let mut wishes = peers.map(|(wish, read)| wish.is_some() && read.is_none());
        let Some(peer) = wishes.position(|is_next| is_next) else {
            return false;
        };
        let Some((epoch, from)) = node.wishes[peer].take() else {
            return false;
        };
        if from < node.begin {
            // It is gone, and so the wish is out of date.
            return true;
        }
        let start = node.log.partition_point(|batch| batch.base < from);
        let end = node.log.len().min(start + count);
        let whole = node.log[start.min(end)..end].iter();
        let sound = whole.take_while(|batch| !node.rotten.contains(&batch.base));
        let batches: Vec<_> = sound.copied().collect();
        if batches.first().is_some_and(|batch| batch.base == from) {
            let until = batches[batches.len() - 1].end();
            node.reads[peer] = Some(Read {
                epoch,
                batches,
                thinned: node.thinned.part(from, until),
            });
        } else if node.rotten.contains(&from) {
            self.report_rotten(at, from);
        }
        true
    }
}
