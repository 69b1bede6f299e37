//! The way from damage back to sound batches.
//!
//! Where a batch or a frame is broken nothing in its bytes can be believed, not even where it ends.
//! So every position behind it is tried. What stands there is taken for the next sound batch if its
//! checksum is right, it is ahead of the broken one, and the log goes on behind it. Bytes that
//! merely look like a batch, because somebody stores batches in records, do not join on to what
//! follows them.

use std::ops::RangeInclusive;

use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::File;

use super::pending::FLUSH_BYTES_MAX;
use super::walk::{KnownEpochs, pass_frames, sound_batch_at};
use crate::chain::Chain;
use crate::damage::DamagedRange;
use crate::error::LogError;
use crate::frame::{self, Frame, HEAD_BYTES};
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

/// Where the log goes on behind something broken.
pub(super) struct Resumption {
    /// Where what is sound begins: with the batch, or the frame before it.
    pub(super) position: u64,
    /// The batch.
    pub(super) header: BatchHeader,
    /// Where the batch begins.
    pub(super) batch_position: u64,
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
        position: pass_frames(window, frontier.segment.bytes).await?.0,
    };
    let until = window.end();
    let found = find(window, from, until, frontier.epochs.latest(), epochs).await?;
    let damage = found.map(|found| {
        let range = DamagedRange {
            from: from.offset,
            to: found.header.base_offset,
            segment: frontier.segment.base_offset,
            position: from.position,
            end: Some(found.position),
            is_missed: true,
        };
        (range, found.header.leader_epoch)
    });
    Ok(damage)
}

/// The first sound batch behind the broken one that should begin at `from`, if its header stands
/// before `until`.
pub(super) async fn find<F: File>(
    window: &mut Window<F>,
    from: Place,
    until: u64,
    epoch: u32,
    epochs: &KnownEpochs,
) -> Result<Option<Resumption>, LogError> {
    let ahead = from.offset + 1..=from.offset.saturating_add(u32::MAX.into());
    search(window, from.position, until, ahead, epoch, epochs).await
}

/// The sound batch that should begin at `from` and begins a bit later: what is broken is the frame
/// before it.
pub(super) async fn find_next<F: File>(
    window: &mut Window<F>,
    from: Place,
    epoch: u32,
    epochs: &KnownEpochs,
) -> Result<Option<Resumption>, LogError> {
    let farthest = from.position + frame::frame_bytes(FLUSH_BYTES_MAX);
    let until = window.end().min(farthest + HEADER_BYTES as u64);
    let next = from.offset..=from.offset;
    search(window, from.position, until, next, epoch, epochs).await
}

/// Where the frame between `from` and `end` begins that ends there; `end` if there is none.
pub(super) async fn frame_before<F: File>(
    window: &mut Window<F>,
    from: u64,
    end: u64,
) -> Result<u64, LogError> {
    let mut position = from;
    while position + HEAD_BYTES <= end {
        let bytes = window.bytes(position, SEARCH_BYTES).await?;
        let heads = bytes.windows(HEAD_BYTES as usize);
        let heads_count = heads.len() as u64;
        for (at, head) in heads.enumerate() {
            let candidate = position + at as u64;
            let frame = Frame::parse(head, window.segment(), candidate);
            if frame.is_some_and(|frame| frame.start() == end) {
                return Ok(candidate);
            }
        }
        if heads_count == 0 {
            break;
        }
        position += heads_count;
    }
    Ok(end)
}

/// The first sound batch that begins behind `from` and has its header before `until`, and with one
/// of the base offsets `ahead`.
async fn search<F: File>(
    window: &mut Window<F>,
    from: u64,
    until: u64,
    ahead: RangeInclusive<u64>,
    epoch: u32,
    epochs: &KnownEpochs,
) -> Result<Option<Resumption>, LogError> {
    let mut position = from + 1;
    let mut frame: Option<Frame> = None;
    let mut effort_left = until.saturating_sub(from).saturating_mul(SEARCH_EFFORT_MAX);
    while position + HEADER_BYTES as u64 <= until {
        let len = SEARCH_BYTES.min(usize::try_from(until - position).unwrap_or(usize::MAX));
        let bytes = window.bytes(position, len).await?;
        let heads = bytes.windows(HEADER_BYTES);
        let heads_count = heads.len() as u64;
        for (at, head) in heads.enumerate() {
            let candidate = position + at as u64;
            let found = Frame::parse(&head[..HEAD_BYTES as usize], window.segment(), candidate);
            frame = found.or(frame);
            let Some(chain) = chain_ahead(head, &ahead, epoch) else {
                continue;
            };
            let left = window.end() - candidate;
            let Ok(header) = chain.check_header(head, left) else {
                continue;
            };
            let sound = sound_batch_at(window, candidate, chain, epochs).await?;
            if let Ok(header) = sound
                && continues(window, candidate, &header).await?
            {
                let frame = frame.filter(|frame| frame.start() == candidate);
                return Ok(Some(Resumption {
                    position: frame.map_or(candidate, |frame| frame.position),
                    header,
                    batch_position: candidate,
                }));
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

/// What the batch that `head` announces would continue, if it begins with one of the offsets
/// `ahead`.
fn chain_ahead(head: &[u8], ahead: &RangeInclusive<u64>, epoch: u32) -> Option<Chain> {
    let header = BatchHeader::parse(head).ok()?;
    ahead.contains(&header.base_offset).then_some(Chain {
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
    if window.frame_at(next).await?.is_some() {
        return Ok(true);
    }
    let chain = Chain {
        next_offset: header.next_offset(),
        epoch: header.leader_epoch,
    };
    Ok(chain.check_header(&head, u64::MAX).is_ok())
}
