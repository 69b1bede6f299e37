//! Opening a log, after an orderly stop or a crash.
//!
//! A segment that has a successor was made durable before the successor was created: all of it must
//! be sound. The last segment may end with the remains of a write that was interrupted; whatever
//! stands there was never acknowledged. It cannot be told by looking at those bytes alone, but what
//! comes behind them tells: batches are written in order and synced together, so a sound batch
//! behind a broken one means that the broken one was once sound.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use quorate_batch::{BatchHeader, HEADER_BYTES};
use quorate_platform::{Disk, File, OpenMode};

use super::walk::{self, Stop};
use super::{Busy, PartitionLog, Settings, Written};
use crate::chain::Flaw;
use crate::error::LogError;
use crate::frontier::Frontier;
use crate::segment::{Name, Segment, batches_path};
use crate::tail::Tail;
use crate::window::Window;

/// In the search for a sound batch behind a broken one, bytes may be looked at this many times. It
/// takes records made to look like headers to get there.
const SEARCH_EFFORT_MAX: u64 = 16;
const SEARCH_BYTES: usize = 1 << 20;

/// What opening a log found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of an interrupted write that were cut off.
    pub torn_bytes: u64,
    /// Bytes of batches that were walked over because no checkpoint covered them.
    pub walked_bytes: u64,
    /// Index files of complete segments that were missing or damaged and were written again.
    pub indexes_rebuilt: u32,
}

pub(super) async fn open<D: Disk>(
    disk: D,
    folder: &Path,
    settings: Settings,
) -> Result<PartitionLog<D>, LogError> {
    let base_offsets = find_segments(&disk, folder).await?;
    let mut opening = Opening {
        disk,
        folder: folder.into(),
        settings,
        closed: Vec::new(),
        frontier: Frontier::new(base_offsets[0]),
        recovery: Recovery::default(),
    };
    let (&last, complete) = base_offsets
        .split_last()
        .expect("there is at least one segment");
    for &base_offset in complete {
        opening.enter_complete(base_offset).await?;
    }
    opening.enter_last(last).await
}

/// The base offsets of the segments in `folder`, ascending; the first one is created if need be.
async fn find_segments<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<u64>, LogError> {
    let created = disk.create_folder(folder).await;
    created.map_err(|source| LogError::io("create", folder, source))?;
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|source| LogError::io("list", folder, source))?;
    let mut base_offsets = Vec::new();
    let mut checkpoints = Vec::new();
    for entry in entries {
        match Name::parse(&entry.name) {
            Name::Batches(base_offset) => base_offsets.push(base_offset),
            Name::Checkpoint(base_offset) => checkpoints.push(base_offset),
            Name::Other => {}
        }
    }
    base_offsets.sort_unstable();
    // An index file goes before its segment and comes after it.
    if let Some(&offset) = checkpoints
        .iter()
        .find(|it| base_offsets.binary_search(it).is_err())
    {
        let path = batches_path(folder, offset);
        let flaw = Flaw::SegmentMissing;
        return Err(LogError::Damaged {
            path,
            position: 0,
            offset,
            flaw,
        });
    }
    if base_offsets.is_empty() {
        let path = batches_path(folder, 0);
        let created = disk.open(&path, OpenMode::CreateNew).await;
        created.map_err(|source| LogError::io("create", &path, source))?;
        base_offsets.push(0);
    }
    // The crash may have come before the names were durable.
    walk::sync_folder(disk, folder).await?;
    Ok(base_offsets)
}

struct Opening<D: Disk> {
    disk: D,
    folder: Rc<Path>,
    settings: Settings,
    closed: Vec<Segment>,
    /// The end of what was walked so far.
    frontier: Frontier,
    recovery: Recovery,
}

impl<D: Disk> Opening<D> {
    async fn enter_complete(&mut self, base_offset: u64) -> Result<(), LogError> {
        let (window, covered, stop) = self.walk(base_offset).await?;
        if let Stop::Flawed(flaw) = stop {
            return Err(walk::damaged(
                window.path().to_owned(),
                &self.frontier,
                flaw,
            ));
        }
        if covered < window.end() {
            let checkpoint = self.frontier.encode();
            walk::write_checkpoint(&self.disk, &self.folder, base_offset, checkpoint).await?;
            self.recovery.indexes_rebuilt += 1;
        }
        self.closed.push(self.frontier.roll());
        Ok(())
    }

    async fn enter_last(mut self, base_offset: u64) -> Result<PartitionLog<D>, LogError> {
        let (mut window, checkpoint_bytes, stop) = self.walk(base_offset).await?;
        let path = window.path().to_owned();
        let opened = self.disk.open(&path, OpenMode::Write).await;
        let file = opened.map_err(|source| LogError::io("open", &path, source))?;
        if let Stop::Flawed(flaw) = stop {
            if is_followed(&mut window, &self.frontier).await? {
                return Err(walk::damaged(path, &self.frontier, flaw));
            }
            let bytes = self.frontier.segment.bytes;
            self.recovery.torn_bytes = window.end() - bytes;
            let cut = file.set_len(bytes).await;
            cut.map_err(|source| LogError::io("cut", &path, source))?;
        }
        // A batch that was written before a crash of the process alone may not be durable yet.
        file.sync_data()
            .await
            .map_err(|source| LogError::io("sync", &path, source))?;
        let written = Written {
            file,
            base_offset,
            bytes: self.frontier.segment.bytes,
            checkpoint_bytes,
            next_offset: self.frontier.next_offset,
        };
        Ok(PartitionLog {
            disk: self.disk,
            folder: self.folder,
            settings: self.settings,
            closed: self.closed,
            end: self.frontier,
            written,
            pending: Vec::new(),
            tail: Tail::default(),
            busy: Busy::Idle,
            poison: None,
            generation: Rc::new(Cell::new(0)),
            recovery: self.recovery,
        })
    }

    /// Walks over the segment from its checkpoint, if it has one; also says how many bytes the
    /// checkpoint covers.
    async fn walk(&mut self, base_offset: u64) -> Result<(Window<D::File>, u64, Stop), LogError> {
        let Self {
            disk,
            folder,
            frontier,
            ..
        } = self;
        walk::check_base(folder, frontier.next_offset, base_offset)?;
        let mut window = walk::open_window(disk, folder, base_offset).await?;
        let checkpoint = walk::read_checkpoint(disk, folder, base_offset).await?;
        let covered = checkpoint
            .as_ref()
            .map_or(0, |checkpoint| checkpoint.segment.bytes);
        *frontier = checkpoint.unwrap_or_else(|| frontier.clone());
        if covered > window.end() {
            return Err(LogError::Damaged {
                path: window.path().to_owned(),
                position: window.end(),
                offset: frontier
                    .segment
                    .index
                    .offset_near(window.end())
                    .unwrap_or(base_offset),
                flaw: Flaw::Short {
                    expected: covered,
                    got: window.end(),
                },
            });
        }
        let step_bytes = self.settings.index_step_bytes;
        let stop = walk::walk(&mut window, frontier, u64::MAX, step_bytes).await?;
        self.recovery.walked_bytes += frontier.segment.bytes - covered;
        Ok((window, covered, stop))
    }
}

/// Whether a sound batch of this log lies anywhere behind `frontier`.
///
/// Nothing in the bytes at the frontier can be believed, so every position is tried.
async fn is_followed<F: File>(
    window: &mut Window<F>,
    frontier: &Frontier,
) -> Result<bool, LogError> {
    let mut position = frontier.segment.bytes + 1;
    let mut effort_left = (window.end() - frontier.segment.bytes) * SEARCH_EFFORT_MAX;
    while position + HEADER_BYTES as u64 <= window.end() {
        let bytes = window.bytes(position, SEARCH_BYTES).await?;
        let heads = bytes.windows(HEADER_BYTES);
        let heads_count = heads.len() as u64;
        for (at, head) in heads.enumerate() {
            let candidate = position + at as u64;
            let left = window.end() - candidate;
            let Some(batch_bytes) = follower_bytes(head, frontier, left) else {
                continue;
            };
            let batch = window.bytes(candidate, batch_bytes).await?;
            if BatchHeader::validate(&batch).is_ok() {
                return Ok(true);
            }
            effort_left = effort_left.saturating_sub(batch_bytes as u64);
            if effort_left == 0 {
                // It cannot be ruled out, and nothing is cut on a guess.
                return Ok(true);
            }
        }
        if heads_count == 0 {
            break;
        }
        position += heads_count;
    }
    Ok(false)
}

/// The size of the batch that `head` announces, if it could stand behind `frontier`.
fn follower_bytes(head: &[u8], frontier: &Frontier, left: u64) -> Option<usize> {
    let header = BatchHeader::parse(head).ok()?;
    let is_ahead = header.base_offset > frontier.next_offset
        && header.base_offset - frontier.next_offset <= u64::from(u32::MAX)
        && header.leader_epoch >= frontier.epochs.latest()
        && header.batch_bytes as u64 <= left;
    is_ahead.then_some(header.batch_bytes)
}
