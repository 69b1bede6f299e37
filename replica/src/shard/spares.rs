//! Writes segment files in advance, while somebody wishes for them and the disk has room.

use std::path::Path;
use std::rc::Rc;

use quorate_log::{LogError, Spares};
use quorate_platform::Platform;

use super::Shard;
use super::space::RESERVE_BYTES;
use crate::error::NodeError;

const SPARE_BYTES: u64 = 64 << 20;
/// Spares of one shard.
const SPARES_KEPT: usize = 2;
/// Spares are made only while so much more than they take is free.
const FREE_BYTES_MIN: u64 = 4 * RESERVE_BYTES;

pub(super) async fn open<P: Platform>(platform: &P, shard: &Path) -> Result<Spares<P>, NodeError> {
    let folder = shard.join("spares");
    Spares::open(platform.clone(), &folder, SPARE_BYTES, SPARES_KEPT)
        .await
        .map_err(NodeError::log)
}

/// Makes spares, until the shard is over.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>, spares: Spares<P>) {
    while !shard.is_over() {
        shard.signals.spares.wait().await;
        while !shard.is_over() && has_room(&shard) {
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

fn has_room<P: Platform>(shard: &Shard<P>) -> bool {
    let available = shard.platform.available_bytes(&shard.folder);
    available.is_ok_and(|bytes| bytes >= FREE_BYTES_MIN + SPARE_BYTES)
}
