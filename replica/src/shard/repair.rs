//! Reads committed records for a peer for which they are damaged.

use std::rc::Rc;

use bytes::Bytes;
use quorate_log::{LogError, Read};
use quorate_platform::Platform;
use quorate_vsr::partition::RepairWish;

use super::Shard;
use super::damage;

/// The records that `repair` asks for, as far as they fit into `bytes_max`; none if they cannot be
/// read here either. Then the peer asks somebody else.
pub(super) async fn read<P: Platform>(
    shard: &Rc<Shard<P>>,
    id: u64,
    repair: RepairWish,
    bytes_max: usize,
) -> Vec<Bytes> {
    let begun = shard.state.borrow().partitions.get(&id).map(|partition| {
        let RepairWish { from, until, .. } = repair;
        partition.log.begin_read(from.0, bytes_max, until.0)
    });
    let read = match begun {
        Some(Read::Ready(batches)) => Ok(batches),
        Some(Read::Job(job)) => job.run().await,
        Some(Read::Damaged(_) | Read::OutOfRange) | None => Ok(Vec::new()),
    };
    let error = match read {
        Ok(batches) => return batches,
        Err(LogError::Damaged { offset, .. }) => {
            let surveyed = damage::survey(shard, id, offset).await;
            surveyed.err()
        }
        Err(error) => Some(error),
    };
    if let Some(error) = error {
        tracing::error!(partition = id, %error, "cannot read records for a peer");
    }
    Vec::new()
}
