//! The way from damage back to sound batches.
//!
//! Where a batch is broken nothing in its bytes can be believed, not even where it ends. So every
//! position behind it is tried. What stands there is taken for the next sound batch if its checksum
//! is right, it is ahead of the broken one, and the log goes on behind it. Bytes that merely look
//! like a batch, because somebody stores batches in records, do not join on to what follows them.

use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::File;

use super::walk::{KnownEpochs, batch_at};
use crate::chain::Chain;
use crate::damage::DamagedRange;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::segment_index::Entry;
use crate::window::Window;

/// Bytes may be looked at this many times in the search for a sound batch. It takes records made to
/// look like headers to get there; then nothing is found.
const SEARCH_EFFORT_MAX: u64 = 16;
const SEARCH_BYTES: usize = 1 << 20;

/// A place in a segment where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) position: u64,
}

impl From<Entry> for Place {
    fn from(entry: Entry) -> Self {
        Self {
            offset: entry.offset,
            position: entry.position,
        }
    }
}

/// The damage where `frontier` stands, and the epoch of the sound batch behind it; `None` if there
/// is none up to the end of the window.
pub(super) async fn damage_at<F: File>(
    window: &mut Window<F>,
    frontier: &Frontier,
    epochs: &KnownEpochs,
) -> Result<Option<(DamagedRange, u32)>, LogError> {
    let from = Place {
        offset: frontier.next_offset,
        position: frontier.segment.bytes,
    };
    let found = find(window, from, frontier.epochs.latest(), epochs).await?;
    let damage = found.map(|(position, header)| {
        let range = DamagedRange {
            from: from.offset,
            to: header.base_offset,
            segment: frontier.segment.base_offset,
            position: from.position,
            end: Some(position),
            is_missed: true,
        };
        (range, header.leader_epoch)
    });
    Ok(damage)
}

/// The first sound batch behind the broken one that should begin at `from`, and its position.
pub(super) async fn find<F: File>(
    window: &mut Window<F>,
    from: Place,
    epoch: u32,
    epochs: &KnownEpochs,
) -> Result<Option<(u64, BatchHeader)>, LogError> {
    let mut position = from.position + 1;
    let mut effort_left = (window.end() - from.position).saturating_mul(SEARCH_EFFORT_MAX);
    while position + HEADER_BYTES as u64 <= window.end() {
        let bytes = window.bytes(position, SEARCH_BYTES).await?;
        let heads = bytes.windows(HEADER_BYTES);
        let heads_count = heads.len() as u64;
        for (at, head) in heads.enumerate() {
            let candidate = position + at as u64;
            let Some(chain) = chain_ahead(head, from.offset, epoch) else {
                continue;
            };
            let left = window.end() - candidate;
            let Ok(header) = chain.check_header(head, left) else {
                continue;
            };
            let sound = batch_at(window, candidate, chain, epochs).await?;
            if let Ok(header) = sound
                && continues(window, candidate, &header).await?
            {
                return Ok(Some((candidate, header)));
            }
            effort_left = effort_left.saturating_sub(header.batch_bytes as u64);
            if effort_left == 0 {
                return Ok(None);
            }
        }
        if heads_count == 0 {
            break;
        }
        position += heads_count;
    }
    Ok(None)
}

/// What the batch that `head` announces would continue, if it could stand behind `offset`.
fn chain_ahead(head: &[u8], offset: u64, epoch: u32) -> Option<Chain> {
    let header = BatchHeader::parse(head).ok()?;
    let is_ahead =
        header.base_offset > offset && header.base_offset - offset <= u64::from(u32::MAX);
    is_ahead.then_some(Chain {
        next_offset: header.base_offset,
        epoch,
    })
}

/// Whether the log goes on behind the batch at `position`, as far as headers tell, or ends.
async fn continues<F: File>(
    window: &mut Window<F>,
    position: u64,
    header: &BatchHeader,
) -> Result<bool, LogError> {
    let next = position + header.batch_bytes as u64;
    let head = window.bytes(next, HEADER_BYTES).await?;
    if head.len() < HEADER_BYTES || head.iter().all(|byte| *byte == 0) {
        return Ok(true);
    }
    let chain = Chain {
        next_offset: header.next_offset(),
        epoch: header.leader_epoch,
    };
    Ok(chain.check_header(&head, u64::MAX).is_ok())
}
