//! An index file, compared with the batches that it was derived from.

use quorate_batch::BatchHeader;

use super::piece::IndexState;
use crate::frontier::{Checkpoint, Frontier};

/// Compares a checkpoint with the batches of its segment as they are walked over.
pub(super) struct IndexCheck {
    checkpoint: Checkpoint,
    /// The next entry of the index that is to be met.
    at: usize,
    /// The latest timestamp since the last entry.
    max_timestamp: i64,
    /// Something was damaged on the way, so that not all can be compared.
    is_disturbed: bool,
    wrong: Option<&'static str>,
    state: Option<IndexState>,
}

impl IndexCheck {
    pub(super) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            checkpoint,
            at: 0,
            max_timestamp: i64::MIN,
            is_disturbed: false,
            wrong: None,
            state: None,
        }
    }

    /// Something damaged is passed over.
    pub(super) fn disturb(&mut self) {
        self.is_disturbed = true;
    }

    /// A sound batch follows at `position`, where `frontier` stands or behind frames there.
    pub(super) fn pass(
        &mut self,
        frontier: &mut Frontier,
        is_complete: &mut bool,
        header: &BatchHeader,
        position: u64,
    ) {
        self.compare(frontier, is_complete, position);
        if self.state.is_some() {
            return;
        }
        let entries = self.checkpoint.frontier.segment.index.entries();
        match entries
            .get(self.at)
            .filter(|entry| entry.position <= position)
        {
            Some(entry) => {
                let is_right = (entry.offset, entry.position) == (header.base_offset, position);
                self.close_stretch();
                if !is_right {
                    self.wrong = Some("it says that a batch begins where none does");
                }
                self.at += 1;
                self.max_timestamp = header.max_timestamp;
            }
            None => self.max_timestamp = self.max_timestamp.max(header.max_timestamp),
        }
    }

    /// The stretch of the last entry that was met is walked over.
    fn close_stretch(&mut self) {
        let entries = self.checkpoint.frontier.segment.index.entries();
        let entry = self.at.checked_sub(1).and_then(|at| entries.get(at));
        if entry.is_some_and(|entry| entry.max_timestamp != self.max_timestamp) {
            self.wrong = Some("the times in it are not those of the batches");
        }
    }

    /// The frontier stands at the end of what is there, and nothing follows before `position`.
    pub(super) fn finish(
        mut self,
        frontier: &mut Frontier,
        is_complete: &mut bool,
        position: u64,
    ) -> IndexState {
        self.compare(frontier, is_complete, position);
        let Frontier {
            next_offset,
            segment,
            ..
        } = &self.checkpoint.frontier;
        self.state.unwrap_or(match self.is_disturbed {
            true => IndexState::Unconfirmed {
                next_offset: *next_offset,
                bytes: segment.bytes,
            },
            false => IndexState::Wrong {
                what: "it covers records that are not there",
            },
        })
    }

    /// Compares all of it, once the frontier is where it was derived. The next batch begins at
    /// `position`.
    ///
    /// If the frontier does not know all that came before, it learns it here.
    fn compare(&mut self, frontier: &mut Frontier, is_complete: &mut bool, position: u64) {
        let covered = &self.checkpoint.frontier;
        if self.state.is_some() || covered.next_offset > frontier.next_offset {
            return;
        }
        let (next_offset, bytes) = (covered.next_offset, covered.segment.bytes);
        if self.is_disturbed {
            self.state = Some(IndexState::Unconfirmed { next_offset, bytes });
        } else {
            self.close_stretch();
            let covered = &self.checkpoint.frontier;
            let is_placed = (frontier.segment.bytes..=position).contains(&bytes);
            let is_met = self.at == covered.segment.index.entries().len();
            let wrong = if next_offset < frontier.next_offset || !is_placed {
                Some("it does not end where a batch ends")
            } else if !is_met {
                Some("it says that a batch begins where none does")
            } else if *is_complete && covered.epochs != frontier.epochs {
                Some("the epochs in it are not those of the batches")
            } else if *is_complete && covered.producers != frontier.producers {
                Some("the producers in it are not those of the batches")
            } else {
                self.wrong
            };
            self.state = Some(match wrong {
                Some(what) => IndexState::Wrong { what },
                None => IndexState::Sound { next_offset, bytes },
            });
        }
        let is_wrong = matches!(self.state, Some(IndexState::Wrong { .. }));
        if !*is_complete && !is_wrong && next_offset == frontier.next_offset {
            let covered = &self.checkpoint.frontier;
            frontier.epochs = covered.epochs.clone();
            frontier.producers = covered.producers.clone();
            *is_complete = covered.unknown_before == 0;
        }
    }
}
