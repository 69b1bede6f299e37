//! What the checksums of a frame say of the bytes that it covers.

use quorate_platform::File;

use super::piece::WrongBytes;
use crate::error::LogError;
use crate::frame::{Frame, HEAD_BYTES};
use crate::window::Window;

/// A frame, and what is wrong behind it.
///
/// A flush may have been cut off later on, and others be written in its place. So what is wrong
/// counts only up to where the next frame begins.
pub(super) struct Coverage {
    frame: Frame,
    /// The blocks that are wrong, in order, and not told of yet.
    wrong: Vec<WrongBytes>,
    /// Sound batches in blocks that are wrong: where they begin and end, and their offsets.
    suspects: Vec<Suspect>,
}

#[derive(Clone, Copy, Debug)]
struct Suspect {
    position: u64,
    end: u64,
    from: u64,
    to: u64,
}

/// Blocks that are wrong although the batches in them are sound by themselves.
pub(super) struct Doubt {
    pub(super) wrong: WrongBytes,
    pub(super) offsets: Option<(u64, Option<u64>)>,
}

impl Coverage {
    /// Compares what `frame` covers with its checksums; `None` if these are damaged themselves.
    pub(super) async fn of<F: File>(
        window: &mut Window<F>,
        frame: Frame,
    ) -> Result<Option<Self>, LogError> {
        let mut coverage = Self {
            frame,
            wrong: Vec::new(),
            suspects: Vec::new(),
        };
        let position = frame.position + HEAD_BYTES;
        if frame.covered_bytes == 0 {
            let crc = window.crc(position, frame.start()).await?;
            return Ok((crc == Some(frame.checksums_crc)).then_some(coverage));
        }
        let len = (frame.start() - position).min(window.end().saturating_sub(position));
        let checksums = window.bytes(position, len as usize).await?;
        let Some(blocks) = frame.blocks(&checksums) else {
            return Ok(None);
        };
        for block in blocks {
            let bytes = window.bytes(block.position, block.bytes).await?;
            if !block.is_sound(&bytes) {
                coverage.wrong.push(WrongBytes {
                    position: block.position,
                    end: block.position + block.bytes as u64,
                    is_missing: block.is_missing(&bytes),
                });
            }
        }
        Ok(Some(coverage))
    }

    pub(super) fn end(&self) -> u64 {
        self.frame.end()
    }

    /// Where the wrong block ends that holds a part of the bytes from `position` to `end`.
    pub(super) fn wrong_block(&self, position: u64, end: u64) -> Option<u64> {
        let meets = |it: &&WrongBytes| it.position < end && position < it.end;
        self.wrong.iter().find(meets).map(|it| it.end)
    }

    /// Notes a sound batch.
    pub(super) fn pass(&mut self, position: u64, end: u64, from: u64, to: u64) {
        if self.wrong_block(position, end).is_some() {
            self.suspects.push(Suspect {
                position,
                end,
                from,
                to,
            });
        }
    }

    /// Takes out what is wrong between `position` and `end`, where something damaged is told of.
    pub(super) fn explain(&mut self, position: u64, end: u64) -> Vec<WrongBytes> {
        let meets = |it: &WrongBytes| it.position < end && position < it.end;
        let explained: Vec<_> = self.wrong.iter().copied().filter(meets).collect();
        self.wrong.retain(|it| !meets(it));
        joined(explained)
    }

    /// What is wrong before `position`, where this frame ends to say anything, and has not been
    /// told of.
    pub(super) fn leave(mut self, position: u64) -> Vec<Doubt> {
        self.wrong.retain(|it| it.end <= position);
        let doubt = |wrong: WrongBytes| {
            let meets = |it: &&Suspect| it.position < wrong.end && wrong.position < it.end;
            let mut suspects = self.suspects.iter().filter(meets);
            let offsets = suspects.next().map(|first| {
                let last = suspects.next_back().unwrap_or(first);
                (first.from, Some(last.to))
            });
            Doubt { wrong, offsets }
        };
        joined(self.wrong).into_iter().map(doubt).collect()
    }
}

/// Neighbours that are alike become one.
fn joined(wrong: Vec<WrongBytes>) -> Vec<WrongBytes> {
    let mut joined: Vec<WrongBytes> = Vec::new();
    for next in wrong {
        match joined.last_mut() {
            Some(last) if last.end == next.position && last.is_missing == next.is_missing => {
                last.end = next.end;
            }
            Some(_) | None => joined.push(next),
        }
    }
    joined
}
