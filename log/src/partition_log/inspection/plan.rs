//! What can be done about the damage that was found.

use super::piece::{DamageKind, DamagedPiece, IndexState, Piece};
use super::repair::Repair;
use super::{Ending, Finding};
use crate::frame::HEAD_BYTES;

/// Gathers what is to be repaired while an inspection goes on.
///
/// Each repair is one that loses nothing: what it takes away was never acknowledged, or is derived
/// anew. Damaged batches stay, for the other replicas have them and this one knows what it lacks;
/// and so does the end of a log that may have been acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    repairs: Vec<Repair>,
    segment: u64,
    /// Where the last batch of it ends so far, without the frames behind.
    batches_end: u64,
    /// A damaged frame, whose batches are sound so far.
    frame: Option<Repair>,
    /// Whether anything but frames was damaged in the segment.
    is_damaged: bool,
    /// Where the log is cut before the first damaged batch: segment, position and offset.
    first_damage: Option<(u64, u64, u64)>,
    base_offsets: Vec<u64>,
}

impl Plan {
    /// Takes note of a finding. All of them have to come here, in order.
    pub fn note(&mut self, finding: &Finding) {
        match finding {
            Finding::Segment { base_offset, .. } => {
                self.segment = *base_offset;
                self.base_offsets.push(*base_offset);
                self.is_damaged = false;
                self.batches_end = 0;
            }
            // The node goes without it until it is written anew.
            Finding::Start { .. } | Finding::Leftover { .. } => {}
            Finding::Piece(Piece::Frame(_) | Piece::Room { .. }) => self.close_frame(),
            Finding::Piece(Piece::Batch(batch)) => {
                self.batches_end = batch.position + batch.header.batch_bytes as u64;
            }
            Finding::Piece(Piece::Damage(damage)) => self.note_damage(damage),
            Finding::Index { state, .. } => {
                self.close_frame();
                self.note_index(state);
            }
        }
    }

    fn note_damage(&mut self, damage: &DamagedPiece) {
        let segment = self.segment;
        let DamagedPiece { position, end, .. } = *damage;
        match damage.kind {
            DamageKind::Frame => {
                self.close_frame();
                self.frame = (end - position >= HEAD_BYTES).then_some(Repair::Frame {
                    segment,
                    position,
                    end,
                });
            }
            // It comes right behind its frame, and tells where its checksums are.
            DamageKind::Checksums => {
                self.frame = Some(Repair::Frame {
                    segment,
                    position: position - HEAD_BYTES,
                    end,
                });
            }
            DamageKind::Batches | DamageKind::End | DamageKind::Epoch => {
                // Its checksums would be those of the damage.
                self.frame = None;
                self.is_damaged = true;
                let is_lost = damage.kind != DamageKind::Epoch;
                if let Some((from, _)) = damage.offsets.filter(|_| is_lost) {
                    let cut = (segment, self.batches_end, from);
                    self.first_damage.get_or_insert(cut);
                }
            }
            DamageKind::Rest => {
                self.close_frame();
                self.is_damaged = true;
            }
            DamageKind::Torn => {
                self.close_frame();
                self.repairs.push(Repair::Torn {
                    segment,
                    position,
                    end,
                });
            }
        }
    }

    fn close_frame(&mut self) {
        self.repairs.extend(self.frame.take());
    }

    fn note_index(&mut self, state: &IndexState) {
        let is_useless = match state {
            IndexState::Damaged => true,
            // It may know what the damaged batches would tell.
            IndexState::Wrong { .. } => !self.is_damaged,
            IndexState::Missing
            | IndexState::Sound { .. }
            | IndexState::Unconfirmed { .. }
            | IndexState::Newer { .. } => false,
        };
        if is_useless {
            self.repairs.push(Repair::Index {
                segment: self.segment,
            });
        }
    }

    /// The repairs, in the order in which they are to be done.
    ///
    /// None while the node would not open the log at all: then something is wrong that this does
    /// not understand.
    pub fn repairs(self, ending: &Ending) -> Vec<Repair> {
        match ending {
            Ending::Whole | Ending::Torn | Ending::Uncertain => self.repairs,
            Ending::Refused(_) => Vec::new(),
        }
    }

    /// What cuts the log before the first damaged batch; `None` if none is damaged.
    ///
    /// It loses every record from there on, damaged or not.
    pub fn cut(&self) -> Option<Repair> {
        let (segment, position, offset) = self.first_damage?;
        let behind = self.base_offsets.iter().filter(|base| **base > segment);
        Some(Repair::Cut {
            segment,
            position,
            offset,
            behind: behind.copied().collect(),
        })
    }
}
