//! Torn, or damaged?
//!
//! Asked about a broken place behind which the caller knows of nothing that was durable. Bytes that
//! rot do not become zeros, and files do not become shorter. So what is zero or behind the end of
//! the file and should not be, was never written: then the flush that it is part of was torn, and
//! never acknowledged, and neither was anything behind it. If nothing is missing, the flush was
//! complete, and what is broken has been damaged since.
//!
//! What should be there the flush's [`Frame`] knows. The frame itself begins with bytes that are
//! not zero. Where it is damaged, or there is none, nothing is taken for torn.

use quorate_platform::File;

use crate::error::LogError;
use crate::frame::{Frame, HEAD_BYTES, sector_end};
use crate::window::Window;

/// Fewer zeros than this in a row may well be what was written.
const ZEROS_MIN: usize = 4;

/// What a broken place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// A place that no flush has reached.
    Empty,
    /// A part of a flush that was torn.
    Torn,
    /// A part of a flush that was complete once.
    Damaged,
}

/// What the broken place at `position` is. `frame` is the last one before it.
pub(super) async fn judge<F: File>(
    window: &mut Window<F>,
    position: u64,
    frame: Option<Frame>,
) -> Result<Broken, LogError> {
    // A frame there whose first batch is broken has not been passed yet.
    let (start, last) = super::walk::pass_frames(window, position).await?;
    let is_torn = match last.or(frame).filter(|frame| frame.covers(start)) {
        Some(frame) => is_covered_torn(window, frame).await?,
        None => {
            // The first bytes of a frame are not zero, however few there are in their sector.
            let len = sector_end(start).min(start + HEAD_BYTES) - start;
            let bytes = window.bytes(start, len as usize).await?;
            if bytes.iter().all(|byte| *byte == 0) {
                return Ok(Broken::Empty);
            }
            let head = window.frame_head_at(start).await?;
            let end = head.map_or(start + HEAD_BYTES, |frame| frame.start());
            has_missing(window, start, end).await?
        }
    };
    Ok(match is_torn {
        true => Broken::Torn,
        false => Broken::Damaged,
    })
}

/// Whether something is missing of what `frame` covers, or of its checksums.
async fn is_covered_torn<F: File>(window: &mut Window<F>, frame: Frame) -> Result<bool, LogError> {
    let position = frame.position + HEAD_BYTES;
    let bytes = window.bytes(position, (frame.bytes - HEAD_BYTES) as usize);
    let checksums = bytes.await?;
    let Some(blocks) = frame.blocks(&checksums) else {
        return has_missing(window, position, frame.start()).await;
    };
    let mut is_torn = false;
    for block in blocks {
        let bytes = window.bytes(block.position, block.bytes).await?;
        is_torn |= block.is_missing(&bytes);
    }
    // What was written afterwards was written because this one was durable.
    let next = window.frame_at(frame.end()).await?;
    Ok(is_torn && next.is_none())
}

/// Whether a part of a sector between `from` and `to` was not written, where that says something.
async fn has_missing<F: File>(
    window: &mut Window<F>,
    from: u64,
    to: u64,
) -> Result<bool, LogError> {
    let mut position = from;
    while position < to {
        let end = sector_end(position).min(to);
        let len = (end - position) as usize;
        let bytes = window.bytes(position, len).await?;
        let is_zero = bytes.iter().all(|byte| *byte == 0);
        if bytes.len() < len || (is_zero && len >= ZEROS_MIN) {
            return Ok(true);
        }
        position = end;
    }
    Ok(false)
}
