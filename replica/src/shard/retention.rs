//! Old records go. Every now and then each leader looks what of its partitions has grown too old or
//! too much, and raises their log starts; the protocol tells the others. All replicas, leaders or
//! not, close segments in time, so that what is in them can be removed.
//!
//! This is where the wall clock has a say, and the only thing that it has a say in.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::{Either, select};
use quorate_log::{Retention, is_to_be_closed, log_start};
use quorate_platform::Platform;
use quorate_vsr::Offset;
use quorate_vsr::partition::Event;

use super::Shard;
use super::partition::Partition;
use super::state::State;
use crate::metadata::Catalog;

/// Looks again and again, until the shard stops.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    loop {
        let sleep = pin!(shard.platform.sleep(shard.storage.retention_check));
        if let Either::Left(_) = select(pin!(shard.closing.wait()), sleep).await {
            return;
        }
        let catalog = Arc::clone(&shard.metadata.load().catalog);
        let ids: Vec<_> = shard.state.borrow().partitions.keys().copied().collect();
        let now = shard.platform.wall_clock_ms();
        for id in ids {
            shard.state.borrow_mut().look_for_old(id, &catalog, now);
        }
    }
}

impl<P: Platform> State<P> {
    fn look_for_old(&mut self, id: u64, catalog: &Catalog, now: i64) {
        let limits = catalog.retention_of(id);
        let retention = Retention {
            ms: limits.ms,
            bytes: limits.bytes,
        };
        if retention == Retention::default() || self.is_stopping {
            return;
        }
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        if close_in_time(partition, retention, now) {
            self.enqueue(id);
        }
        let Some(before) = self.expired(id, retention, now) else {
            return;
        };
        tracing::debug!(partition = id, before, "records have expired");
        let before = Offset(before);
        self.step(id, Event::Expire { before });
    }

    /// Where a partition that this shard leads shall begin from now on, if somewhere else.
    fn expired(&self, id: u64, retention: Retention, now: i64) -> Option<u64> {
        let partition = self.partitions.get(&id)?;
        let replica = &partition.replica;
        if !replica.is_open() {
            return None;
        }
        let committed = replica.high_watermark().min(replica.durable_offset()).0;
        let needed_from = self.needed_from(partition);
        let spans = partition.log.spans();
        let start = log_start(&spans, retention, now, committed, needed_from);
        start.filter(|start| *start > replica.log_start().0)
    }

    /// The first offset that a follower needs that is alive.
    fn needed_from(&self, partition: &Partition<P>) -> Option<u64> {
        let is_alive = |node| self.peers.get(node).is_some_and(|peer| peer.is_alive);
        let statuses = partition.replica.member_statuses();
        let others = statuses.iter().filter(|it| is_alive(&it.node));
        others.map(|it| it.next_offset.0).min()
    }
}

/// Closes the last segment if it is time. True if there is something to flush then.
fn close_in_time<P: Platform>(
    partition: &mut Partition<P>,
    retention: Retention,
    now: i64,
) -> bool {
    let is_changing = partition.truncate_to.is_some() || partition.anew.is_some();
    let spans = partition.log.spans();
    let is_due = spans
        .last()
        .is_some_and(|last| is_to_be_closed(last, retention, now));
    if is_due && !is_changing {
        partition.log.roll();
    }
    is_due && partition.log.has_pending()
}
