//! What stands in a segment, piece by piece.

use quorate_batch::BatchHeader;

use crate::chain::Flaw;

/// One thing that stands in a segment. All of them together are the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What a flush begins with, sound.
    Frame(FramePiece),
    /// A batch, sound as far as it tells itself.
    Batch(BatchPiece),
    /// Bytes that are not what was written.
    Damage(DamagedPiece),
    /// Zeros that no flush has reached.
    Room {
        /// Where they begin.
        position: u64,
        /// Where they end: that of the file.
        end: u64,
    },
}

/// A frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePiece {
    /// Where it begins.
    pub position: u64,
    /// Its size.
    pub bytes: u64,
    /// The bytes of batches behind it that it has checksums of.
    pub covered_bytes: u64,
}

/// A batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPiece {
    /// Where it begins.
    pub position: u64,
    /// Its header.
    pub header: BatchHeader,
}

/// A stretch of a segment that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedPiece {
    /// What it is.
    pub kind: DamageKind,
    /// Where it begins.
    pub position: u64,
    /// Where it ends.
    pub end: u64,
    /// The offsets of the records in it: the first one, and one past the last if that is known.
    /// `None` if there are none.
    pub offsets: Option<(u64, Option<u64>)>,
    /// What is wrong with the first batch.
    pub flaw: Option<Flaw>,
    /// Which bytes of it are wrong by the checksums of the frames, as far as there are any.
    pub wrong: Vec<WrongBytes>,
}

/// What a damaged stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// A frame. No record is lost by it.
    Frame,
    /// The checksums in a frame. No record is lost by it.
    Checksums,
    /// Batches between sound ones, or before the next segment.
    Batches,
    /// Batches that are sound as far as they tell themselves, in blocks that are not what was
    /// written. Their checksums leave out the epoch, and so it may be that.
    Epoch,
    /// Bytes behind the last batch of a segment that another one follows.
    Rest,
    /// The end of the log, written by a flush that was interrupted. Nothing of it was acknowledged.
    Torn,
    /// The end of the log, which may have been acknowledged.
    End,
}

/// Whole blocks, or what is covered of them, that a frame has other checksums of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongBytes {
    /// Where they begin.
    pub position: u64,
    /// Where they end.
    pub end: u64,
    /// Whether they are zero or behind the end of the file, as what was never written.
    pub is_missing: bool,
}

/// What is known of an index file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// There is none. It is derived when it is needed.
    Missing,
    /// It says what the batches say.
    Sound {
        /// One past the last offset that it covers.
        next_offset: u64,
        /// The bytes of the segment that it covers.
        bytes: u64,
    },
    /// It speaks of batches that are damaged, so that not all of it can be compared.
    Unconfirmed {
        /// One past the last offset that it covers.
        next_offset: u64,
        /// The bytes of the segment that it covers.
        bytes: u64,
    },
    /// It cannot be read, and is as good as none.
    Damaged,
    /// It contradicts the batches.
    Wrong {
        /// In what.
        what: &'static str,
    },
    /// A later version wrote it.
    Newer {
        /// Its version.
        version: u32,
    },
}
