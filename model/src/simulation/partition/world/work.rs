//! What goes on by itself: packets arrive, disks write, pumps send.

use quorate_vsr::NodeId;
use quorate_vsr::partition::Event;
use rand::RngExt;

use super::super::node::{Batch, Read, Sent};
use super::{Disk, PACKETS_MAX, Packet, STASH_MAX, World};

impl World {
    /// Something that is under way anyhow happens: to a packet, on a disk, in a pump.
    pub(super) fn work_somewhere(&mut self, at: usize) -> bool {
        let kinds = 5;
        let first = self.rng.random_range(0..kinds);
        (0..kinds).any(|kind| match (first + kind) % kinds {
            0 | 1 => self.deliver(),
            2 => self.work_disk(at),
            3 => self.work_pump(at),
            _ => self.hear_news(at),
        })
    }

    fn deliver(&mut self) -> bool {
        if self.packets.is_empty() {
            return false;
        }
        let mut chosen = self.rng.random_range(0..self.packets.len());
        let link = |packet: &(NodeId, NodeId, Packet)| (packet.0, packet.1);
        if self.weather.in_order {
            let wanted = link(&self.packets[chosen]);
            let is_same = |packet: &(NodeId, NodeId, Packet)| link(packet) == wanted;
            chosen = self.packets.iter().position(is_same).unwrap_or(chosen);
        }
        let (from, to, packet) = self.packets.remove(chosen);
        if self.cut_links.contains(&(from, to)) || self.rng.random_bool(self.weather.loss) {
            return true;
        }
        if self.rng.random_bool(self.weather.duplication) {
            self.packets.push((from, to, packet.clone()));
        }
        self.arrive(from, to, packet);
        true
    }

    fn arrive(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        let at = usize::from(to.0) - 1;
        match packet {
            Packet::Message(message) => self.step(at, Event::Message { from, message }, &[]),
            Packet::Records {
                head,
                next_offset,
                batches,
            } => {
                let epochs = batches
                    .iter()
                    .map(|batch| (batch.epoch, batch.base))
                    .collect();
                self.step(
                    at,
                    Event::Records {
                        from,
                        head,
                        next_offset,
                        epochs,
                    },
                    &batches,
                );
            }
        }
    }

    /// Writes of facts, flushes and cuts begin and end, each at its own time.
    fn work_disk(&mut self, at: usize) -> bool {
        if self.nodes[at].replica.is_none() {
            return false;
        }
        let Disk {
            facts_idle,
            log_idle,
        } = self.disks[at];
        let is_facts_first = self.rng.random_bool(0.5);
        if is_facts_first && !self.rng.random_bool(facts_idle) && self.work_facts(at) {
            return true;
        }
        if !self.rng.random_bool(log_idle) && self.work_log(at) {
            return true;
        }
        !self.rng.random_bool(facts_idle) && self.work_facts(at)
    }

    fn work_facts(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if let Some(facts) = node.facts_writing.take() {
            node.facts_on_disk = facts;
            self.step(at, Event::FactsDurable(facts), &[]);
        } else if node.facts_pending.is_some() {
            node.facts_writing = node.facts_pending.take();
        } else {
            return false;
        }
        true
    }

    fn work_log(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if let Some(to) = node.cutting_to.take() {
            node.truncate_log(to);
            node.log_on_disk = to;
            self.step(at, Event::Truncated { next_offset: to }, &[]);
            self.ledger.check_majority_holds(&self.nodes);
        } else if let Some(next_offset) = node.flushing_to.take() {
            node.log_on_disk = next_offset;
            self.step(at, Event::LogDurable { next_offset }, &[]);
        } else if node.log_on_disk < node.next_offset() {
            node.flushing_to = Some(node.next_offset());
        } else {
            return false;
        }
        true
    }

    /// A pump reads, offers what it has read, or tells the replica that it went out: each at its
    /// own time, so that much may change in between.
    fn work_pump(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        let Some(replica) = &node.replica else {
            return false;
        };
        let wish = node
            .wishes
            .keys()
            .find(|to| !node.reads.contains_key(to))
            .copied();
        let dice = self.rng.random_range(0..3);
        if dice == 0 && !node.sent.is_empty() {
            let Sent {
                to,
                head,
                next_offset,
            } = node.sent.remove(0);
            self.step(
                at,
                Event::RecordsSent {
                    to,
                    head,
                    next_offset,
                },
                &[],
            );
        } else if dice == 1
            && let Some((to, read)) = node.reads.pop_first()
        {
            let base = read.batches[0].base;
            if let Some(head) = replica.records_head(to, read.epoch, base) {
                let next_offset = read.batches.last().map_or(base, Batch::end);
                let start = node.log.partition_point(|batch| batch.base < base);
                let now = node.log.get(start..start + read.batches.len());
                assert_eq!(
                    now,
                    Some(&read.batches[..]),
                    "a head goes before other records"
                );
                node.sent.push(Sent {
                    to,
                    head,
                    next_offset,
                });
                let batches = read.batches;
                self.send(
                    at,
                    to,
                    Packet::Records {
                        head,
                        next_offset,
                        batches,
                    },
                );
            }
        } else if let Some(to) = wish {
            let (epoch, from) = node.wishes.remove(&to).expect("it was just found");
            let start = node.log.partition_point(|batch| batch.base < from);
            let count = self.rng.random_range(1..=3);
            let batches: Vec<Batch> = node.log[start..].iter().take(count).cloned().collect();
            if batches.first().is_some_and(|batch| batch.base == from) {
                node.reads.insert(to, Read { epoch, batches });
            }
        } else {
            return !node.sent.is_empty() || !node.reads.is_empty();
        }
        true
    }

    pub(super) fn send(&mut self, at: usize, to: NodeId, packet: Packet) {
        assert_ne!(self.nodes[at].id, to, "nobody talks to itself");
        if self.packets.len() >= PACKETS_MAX {
            let lost = self.rng.random_range(0..self.packets.len());
            self.packets.remove(lost);
        }
        let packet = (self.nodes[at].id, to, packet);
        if self.stash.len() < STASH_MAX {
            self.stash.push(packet.clone());
        } else if self.rng.random_bool(0.05) {
            let forgotten = self.rng.random_range(0..STASH_MAX);
            self.stash[forgotten] = packet.clone();
        }
        self.packets.push(packet);
    }

    pub(super) fn replay(&mut self) {
        if !self.stash.is_empty() {
            let (from, to, packet) = self.stash[self.rng.random_range(0..self.stash.len())].clone();
            self.arrive(from, to, packet);
        }
    }
}
