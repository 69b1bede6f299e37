use std::time::Duration;

use bytes::Bytes;
use quorate_platform::Platform;
use quorate_vsr::NodeId;
use quorate_vsr::partition::{Effect, Timer};
use quorate_wire::{Code, Refusal};

use super::link_queue::LinkQueue;
use super::peer_frame::Wish;
use super::state::{LinkKey, State};

impl<P: Platform> State<P> {
    /// Does one thing that a partition's protocol asks for.
    ///
    /// Nothing is decided here: whatever depends on stable storage has been held back by the
    /// protocol until the completion was told to it.
    ///
    /// **Why an acknowledgement is only sent after `Committed`.** This is the only place that
    /// releases a producer who asked for a majority, and the protocol says `Committed` only for
    /// records that a majority of the voters holds durably in the leader's epoch. Every later
    /// leader's log includes those. A producer that is released by `SteppedDown` instead is told
    /// that its batch may or may not survive.
    ///
    /// **Why completions that come late do no harm.** A flush that ends after the epoch has changed
    /// still tells the truth: those records are on this disk. The protocol cuts the log only after
    /// it was told that all of it is durable, and the disk does one thing at a time for each
    /// partition, so no flush can report records that a cut has taken away. A completion for a
    /// partition that was deleted meanwhile finds nobody. Facts are written in order, and are
    /// reported with their content, so that older facts are not taken for newer ones.
    pub(super) fn carry_out(&mut self, id: u64, effect: Effect, records: &[Bytes]) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        match effect {
            Effect::Send { to, message } => {
                if let Some(queue) = self.link(id, to) {
                    queue.say(id, message);
                }
            }
            Effect::SendRecords { to, epoch, from } => {
                if let Some(queue) = self.link(id, to) {
                    queue.wish(id, Wish { to, epoch, from });
                }
            }
            Effect::PersistFacts(facts) => {
                self.facts.insert(id, Some(facts));
                self.signals.facts.notify();
            }
            Effect::Accept => {
                for batch in records {
                    partition.unflushed.grow(batch.len() as u64);
                    partition.log.append(batch.clone());
                }
                self.enqueue(id);
            }
            Effect::Truncate { to } => {
                let from = partition.log.next_offset();
                tracing::info!(partition = id, from, %to, "cuts records that were not committed");
                partition.truncate_to = Some(to);
                self.enqueue(id);
            }
            Effect::BeginAnew { at, epoch } => {
                partition.begin_anew(id, at, epoch);
                self.enqueue(id);
            }
            Effect::Retire { below } => self.retire(id, below),
            Effect::SendRepair { to, wish } => {
                if let Some(queue) = self.link(id, to) {
                    queue.wish_repair(id, wish);
                }
            }
            Effect::Compact { to } => partition.compact_to = partition.compact_to.max(to),
            Effect::Rewrite => self.rewrite(id, records),
            Effect::Resigned { epoch } => {
                partition.resign(id, epoch);
            }
            Effect::Opened { epoch } => {
                tracing::debug!(partition = id, %epoch, "leads");
                partition.wake_parked();
            }
            Effect::SteppedDown => {
                tracing::debug!(partition = id, epoch = %partition.replica.epoch(), "stepped down");
                partition.refuse_waiting(&leadership_lost(id));
            }
            Effect::Committed { high_watermark } => {
                partition.until_committed.acknowledge(high_watermark.0);
                partition.wake_parked();
            }
            Effect::Distrust { from, why } => distrust(id, from, why),
            Effect::Arm(timer) => {
                let at = self.platform.now() + length(timer, self.platform.random());
                if self.deadlines.arm((id, timer), at) {
                    self.signals.deadlines.notify();
                }
            }
            Effect::Disarm(timer) => self.deadlines.disarm((id, timer)),
        }
    }

    /// The link on which `to` is told of partition `id`; none before the node is known.
    pub(super) fn link(&mut self, id: u64, to: NodeId) -> Option<&mut LinkQueue> {
        let shards = self.peers.get(&to)?.shards;
        let shard = id.checked_rem(u64::from(shards))? as u32;
        self.links.get_mut(&LinkKey { node: to, shard })
    }
}

fn distrust(id: u64, from: NodeId, why: &str) {
    let node = from.0;
    tracing::error!(
        partition = id,
        node,
        why,
        "dropped a message that no node should send"
    );
}

/// How long a timer is. Those that send something vary by a quarter, so that many partitions that
/// began together do not go on together.
fn length(timer: Timer, random: u64) -> Duration {
    let length = match timer {
        Timer::Resend | Timer::Repair => Duration::from_millis(400),
        Timer::Commit => Duration::from_millis(4),
        Timer::SaveWatermark => Duration::from_secs(4),
    };
    let quarter = length / 4;
    length + Duration::from_nanos(random % (quarter.as_nanos() as u64 + 1))
}

pub(super) fn leadership_lost(id: u64) -> Refusal {
    Refusal::new(
        Code::LeadershipLost,
        format!(
            "the leadership of partition {id} moved while the batch was under way: it may or may \
             not survive; send it again with the same sequence, and it is appended only once"
        ),
    )
}
