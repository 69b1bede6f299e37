//! Which partitions were written to lately, and what they keep in memory for that.
//!
//! A shard may hold any number of partitions; most of them are idle. Only those that were written
//! to lately are in here, so that the others cost nothing: nobody looks at them, and what serves
//! only those who write or read the newest records was taken from them when they fell idle.

use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use quorate_platform::{Instant, Platform};

use super::Shard;
use super::state::State;

/// A partition to which nothing was written for so long is idle.
const IDLE_AFTER: Duration = Duration::from_secs(60);
/// How often is looked for such partitions.
const CHECK_EVERY: Duration = Duration::from_secs(15);
/// The newest batches of all partitions that are kept in memory, in bytes.
const TAILS_BYTES_MAX: usize = 256 << 20;

/// The partitions that were written to lately, in the order of their last writes.
#[derive(Debug, Default)]
pub(super) struct Activity {
    next_use: u64,
    /// By the number of the last write.
    by_use: BTreeMap<u64, u64>,
    /// The same, of those that have a tail.
    tails: BTreeMap<u64, u64>,
    by_partition: BTreeMap<u64, Use>,
    tails_bytes: usize,
}

#[derive(Debug)]
struct Use {
    number: u64,
    at: Instant,
    tail_bytes: usize,
}

impl Activity {
    /// Notes that a partition was written to, and what its tail has in memory now.
    fn note(&mut self, id: u64, at: Instant, tail_bytes: usize) {
        self.forget(id);
        let number = self.next_use;
        self.next_use += 1;
        self.by_use.insert(number, id);
        if tail_bytes > 0 {
            self.tails.insert(number, id);
        }
        self.tails_bytes += tail_bytes;
        let last = Use {
            number,
            at,
            tail_bytes,
        };
        self.by_partition.insert(id, last);
    }

    /// Forgets a partition: it is idle, or is there no more.
    pub(super) fn forget(&mut self, id: u64) {
        if let Some(last) = self.by_partition.remove(&id) {
            self.by_use.remove(&last.number);
            self.tails.remove(&last.number);
            self.tails_bytes -= last.tail_bytes;
        }
    }

    /// The partition whose tail should go, since all of them together are too large: of those that
    /// have one it was written to least lately. From here on its tail counts as gone.
    fn take_excess(&mut self, bytes_max: usize) -> Option<u64> {
        if self.tails_bytes <= bytes_max {
            return None;
        }
        let (_, id) = self.tails.pop_first()?;
        let last = self.by_partition.get_mut(&id)?;
        self.tails_bytes -= std::mem::take(&mut last.tail_bytes);
        Some(id)
    }

    /// Takes a partition out that nothing was written to for so long.
    fn take_idle(&mut self, now: Instant, idle: Duration) -> Option<u64> {
        let (_, &id) = self.by_use.first_key_value()?;
        if now - self.by_partition[&id].at < idle {
            return None;
        }
        self.forget(id);
        Some(id)
    }
}

/// Has partitions fall idle, until the shard stops.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    loop {
        let sleep = pin!(shard.platform.sleep(CHECK_EVERY));
        if let Either::Left(_) = select(pin!(shard.closing.wait()), sleep).await {
            return;
        }
        shard.state.borrow_mut().rest_all();
    }
}

impl<P: Platform> State<P> {
    /// Notes that a partition was written to, and has the tails of others go if they are too large
    /// together.
    pub(super) fn note_activity(&mut self, id: u64) {
        let now = self.platform.now();
        if let Some(partition) = self.partitions.get(&id) {
            self.activity.note(id, now, partition.log.tail_bytes());
        }
        while let Some(oldest) = self.activity.take_excess(TAILS_BYTES_MAX) {
            if let Some(partition) = self.partitions.get_mut(&oldest) {
                partition.log.shrink_tail(0);
            }
        }
    }

    fn rest_all(&mut self) {
        let now = self.platform.now();
        while !self.is_stopping
            && let Some(id) = self.activity.take_idle(now, IDLE_AFTER)
        {
            self.rest(id);
        }
    }

    fn rest(&mut self, id: u64) {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        let is_busy = partition.is_writing
            || partition.truncate_to.is_some()
            || partition.anew.is_some()
            || partition.rewrite.is_some()
            || partition.log.has_pending();
        if is_busy {
            // It is noted again when the disk has done that.
            return;
        }
        self.open_files.closed(id);
        partition.log.rest();
        self.enqueue_pending(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn the_tails_of_those_that_were_written_to_least_lately_go_first() {
        let mut activity = Activity::default();
        for id in 1..=4 {
            activity.note(id, at(id), 10);
        }
        activity.note(1, at(5), 15);
        assert_eq!(activity.take_excess(45), None);
        assert_eq!(
            [(); 3].map(|()| activity.take_excess(20)),
            [2, 3, 4].map(Some)
        );
        assert_eq!(activity.take_excess(20), None);
        activity.note(2, at(6), 10);
        assert_eq!(activity.take_excess(20), Some(1));
        activity.forget(2);
        assert_eq!((activity.tails_bytes, activity.take_excess(0)), (0, None));
    }

    #[test]
    fn a_partition_is_idle_once_and_not_before_its_time() {
        let mut activity = Activity::default();
        activity.note(1, at(1), 10);
        activity.note(2, at(2), 10);
        activity.note(1, at(3), 10);
        let mut take = |now| activity.take_idle(at(now), Duration::from_secs(5));
        assert_eq!([take(6), take(7), take(7)], [None, Some(2), None]);
        assert_eq!([take(9), take(9)], [Some(1), None]);
        assert_eq!(activity.tails_bytes, 0);
    }
}
