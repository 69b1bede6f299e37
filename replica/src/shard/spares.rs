//! Writes segment files in advance, while somebody wishes for them and the disk has room.

use std::path::Path;
use std::rc::Rc;

use quorate_log::{LogError, Spares};
use quorate_platform::Platform;

use super::Shard;
use super::space::RESERVE_BYTES;
use crate::error::NodeError;

/// What is written in advance of a segment, if segments are not smaller.
const SPARE_BYTES_MAX: u64 = 64 << 20;
/// Spares of one shard.
const SPARES_KEPT: usize = 2;
/// Spares are made only while so much more than they take is free.
const FREE_BYTES_MIN: u64 = 4 * RESERVE_BYTES;

/// Finds the spares of the shard whose folder is `shard`, for segments of so many bytes.
pub(super) async fn open<P: Platform>(
    platform: &P,
    shard: &Path,
    segment_bytes: u64,
) -> Result<Spares<P>, NodeError> {
    let folder = shard.join("spares");
    let bytes = segment_bytes.min(SPARE_BYTES_MAX);
    Spares::open(platform.clone(), &folder, bytes, SPARES_KEPT)
        .await
        .map_err(NodeError::log)
}

/// Makes spares, until the shard is over.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>, spares: Spares<P>) {
    while !shard.is_over() {
        shard.signals.spares.wait().await;
        while !shard.is_over() && has_room(&shard, spares.bytes()) {
            if shard.platform.rarely("no segment is written in advance") {
                break;
            }
            let Some(job) = spares.begin_fill() else {
                break;
            };
            let filled = job.run().await;
            match spares.finish_fill(filled) {
                Ok(()) => {}
                Err(error @ LogError::DiskFull { .. }) => {
                    tracing::warn!(%error, "no segment was written in advance: segments grow");
                    break;
                }
                // Nothing was entrusted to that file, but the disk is not to be trusted.
                Err(error) => return shard.fail(NodeError::log(error)),
            }
        }
    }
}

fn has_room<P: Platform>(shard: &Shard<P>, spare_bytes: u64) -> bool {
    let available = shard.platform.available_bytes(&shard.folder);
    available.is_ok_and(|bytes| bytes >= FREE_BYTES_MIN + spare_bytes)
}
