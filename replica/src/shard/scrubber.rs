//! Reads what nobody reads, all the time and slowly, to find what has rotted while the other
//! replicas can still give it back.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use quorate_log::{LogError, ScrubPlace, Scrubbed};
use quorate_platform::Platform;

use super::{Shard, damage};

/// What is looked at at once.
const PIECE_BYTES: u64 = 256 << 10;
/// How fast it is done: 4 MiB in a second are 345 GB in a day, and nobody notices.
const BYTES_PER_SECOND: u32 = 4 << 20;
/// To look at a partition costs as much as to read so many bytes, however few it has: a node that
/// holds thousands of them, all small, looks at four in a second.
const LOOK_BYTES: u64 = 1 << 20;
/// What one round over all partitions has found.
#[derive(Debug, Default)]
struct Round {
    bytes: u64,
    damaged_ranges: u32,
    frames_damaged: u32,
}

/// Looks at all partitions, again and again until the shard is over.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    while !shard.is_over() {
        let rest = match shard.platform.rarely("damage is looked for at once") {
            true => Duration::ZERO,
            false => shard.storage.scrub_rest,
        };
        shard.platform.sleep(rest).await;
        let mut round = Round::default();
        for id in ids(&shard) {
            let before = round.bytes;
            if let Err(error) = look_at(&shard, id, &mut round).await {
                tracing::error!(partition = id, %error, "cannot look for damage");
            }
            let bytes = round.bytes - before;
            if bytes > 0 {
                let pause = time_for(LOOK_BYTES.saturating_sub(bytes));
                shard.platform.sleep(pause).await;
            }
        }
        let Round {
            bytes,
            damaged_ranges,
            frames_damaged,
        } = round;
        tracing::debug!(
            bytes,
            damaged_ranges,
            frames_damaged,
            "looked for damage in all partitions"
        );
    }
}

/// The partitions, beginning with any of them: a node that is restarted often comes to all.
fn ids<P: Platform>(shard: &Shard<P>) -> Vec<u64> {
    let state = shard.state.borrow();
    let ids: BTreeSet<_> = state.partitions.keys().copied().collect();
    let first = shard.platform.random() % (ids.len() as u64).max(1);
    let mut ids: Vec<_> = ids.into_iter().collect();
    let len = ids.len().max(1);
    ids.rotate_left(first as usize % len);
    ids
}

/// Looks at one partition from its start to its end.
async fn look_at<P: Platform>(
    shard: &Rc<Shard<P>>,
    id: u64,
    round: &mut Round,
) -> Result<(), LogError> {
    let mut from = ScrubPlace::default();
    while !shard.is_over() {
        let job = {
            let state = shard.state.borrow();
            let Some(partition) = state.partitions.get(&id) else {
                return Ok(());
            };
            let log = &partition.log;
            // What is known to be damaged is passed over.
            for range in log.damaged() {
                if range.from <= from.offset && from.offset < range.to {
                    from = ScrubPlace::at(range.to);
                }
            }
            log.begin_scrub(from, PIECE_BYTES)
        };
        let Some(job) = job else {
            return Ok(());
        };
        let Scrubbed {
            next,
            bytes,
            broken_frames,
            is_damaged,
        } = job.run().await?;
        round.bytes += bytes;
        let frames_damaged = broken_frames.count();
        if frames_damaged > 0 {
            round.frames_damaged += frames_damaged;
            tracing::warn!(
                partition = id,
                from = from.offset,
                to = next.offset,
                frames_damaged,
                "checksums of writes are damaged, no records: writing them anew"
            );
            shard.state.borrow_mut().reframe(id, broken_frames);
        }
        let is_named = is_damaged && damage::survey(shard, id, next.offset).await?;
        round.damaged_ranges += u32::from(is_named);
        if next.offset <= from.offset && !is_named {
            // It was cut meanwhile: the next round looks at it again.
            return Ok(());
        }
        from = next;
        shard.platform.sleep(time_for(bytes)).await;
    }
    Ok(())
}

/// How long it shall take to look at so many bytes.
fn time_for(bytes: u64) -> Duration {
    Duration::from_secs(bytes) / BYTES_PER_SECOND
}
