//! The log of a partition on disk: append, make durable, read, cut, and come back after a crash.
//!
//! A partition is a folder of *segments*. A segment is a file named by the offset of its first
//! record. It holds batches, byte for byte as producers sent them and leaders stamped them, and
//! before those that were written together a *frame* with checksums of their blocks. Only the last
//! segment grows. Beside a segment lies its index file, a checkpoint of all
//! that can be derived from the batches up to some place: where which offset and which time is,
//! which epoch wrote from where, which producers are at which sequence number. Index files may be
//! deleted at any time: they are derived again.
//!
//! ```text
//! partitions/17/00000000000000000000.log      batches from offset 0
//!               00000000000000000000.index
//!               00000000000000531000.log      batches from offset 531000; grows
//! ```
//!
//! # Decisions are immediate, work is a job
//!
//! [`PartitionLog`] changes its state only in plain functions that return at once. What takes time
//! is a *job* that owns everything it needs: `begin_…` hands it out, its `run` is awaited wherever
//! the caller likes, and `finish_…` takes its outcome. So the log can be borrowed for a moment,
//! never across an await.
//!
//! Appending is immediate: the batch can be read at once, from memory. It is durable when the flush
//! that includes it has finished. One flush takes everything that is pending, and what arrives
//! while it runs joins the next one (group commit).
//!
//! # After a crash
//!
//! Opening walks the last segment from its checkpoint, and checks that each batch is whole,
//! undamaged and joined to the one before it. Behind the last good batch there may be the remains
//! of a write that a crash interrupted: sectors are missing that its frame knows of. It was never
//! acknowledged and is cut off. If none is missing, it may have been acknowledged and damaged
//! since. Then the end of the log is *uncertain*, and whoever opens it has to remember that before
//! the rest is put aside.
//!
//! # Damage
//!
//! Batches between sound ones that cannot be read any more are noted as [`DamagedRange`]s: they are
//! part of the log, are never served, and keep nobody from reading the others. They are found when
//! the log is opened or when somebody wants to read them, and [`PartitionLog::begin_rewrite`] puts
//! back what stood there.
//!
//! # The front
//!
//! Old records go a segment at a time: [`PartitionLog::raise_start`] makes them unreadable, and
//! [`PartitionLog::begin_retire`] removes the segments in which nothing else is. Whoever calls that
//! has made durable where the log begins, and says so when it is opened. Which segments are old is
//! decided by [`log_start`].
//!
//! An [`Inspection`] walks over all that is there, whoever has opened it or not, and says exactly
//! what is damaged.
//!
//! A failed write or sync poisons the log: what is on disk is unknown from then on, nothing more is
//! written and nothing more is acknowledged.
//!
//! Besides partitions, [`FactStore`] keeps small facts about all of them in one file, so that
//! changing many costs one write.
//!
//! This crate knows batches, files and folders. It knows neither replication nor the network.

#![deny(missing_docs)]

mod chain;
mod closed_segment;
mod compaction;
mod damage;
mod epoch_history;
mod error;
mod fact_store;
mod frame;
mod frontier;
mod index_cache;
mod onlooker;
mod partition_log;
mod producer_table;
mod readers;
mod retention;
mod segment;
mod segment_index;
mod spares;
mod tail;
#[cfg(test)]
mod tests;
mod window;

pub use chain::Flaw;
pub use damage::DamagedRange;
pub use epoch_history::EpochHistory;
pub use error::LogError;
pub use fact_store::{FactJob, FactStore, FactsFlushed, FactsSeen};
pub use index_cache::IndexCache;
pub use partition_log::{
    BatchPiece, BrokenFrames, Cleaning, CompactJob, CompactLimits, CompactStep, Compacted,
    DamageKind, DamagedPiece, Ending, Finding, FlushJob, Flushed, Found, FramePiece, IndexJob,
    IndexState, Inspected, Inspection, Known, Lookup, LookupJob, Misfit, PartitionLog, Piece, Plan,
    Read, ReadJob, Recovery, ReframeJob, Reframed, Repair, Reset, ResetJob, RetireJob, Retired,
    RewriteJob, Rewriting, Rewritten, Scope, ScrubJob, ScrubPlace, Scrubbed, Settings, Sighting,
    SurveyJob, Surveyed, TruncateJob, Truncated, WrongBytes,
};
pub use producer_table::{ProducerTable, Verdict};
pub use readers::Readers;
pub use retention::{HELD_BACK_BYTES_MAX, Retention, SegmentSpan, is_to_be_closed, log_start};
pub use spares::{FillJob, Filled, Spares};
