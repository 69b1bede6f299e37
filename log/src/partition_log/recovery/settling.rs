//! Cutting what does not count from a log, and opening it.

use std::cell::Cell;
use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use quorate_platform::{Disk, File, OpenMode, read_around};

use super::super::compact::Compaction;
use super::super::pending::Pending;
use super::super::reframe::reframe;
use super::super::{Busy, PartitionLog, Written, retire, walk};
use super::{End, Inspected, Opening};
use crate::error::LogError;
use crate::index_cache::IndexCache;
use crate::readers::Readers;
use crate::segment::{batches_path, checkpoint_path};
use crate::tail::Tail;

/// Damaged ends that are kept of one log, each of all the segments that it reached over.
const KEPT_MAX: u64 = 2;
const COPY_BYTES: usize = 1 << 20;
/// What a log that shares its cache with no other keeps of the indexes of closed segments.
const INDEXES_BYTES_MAX: usize = 1 << 20;
/// Those who read old batches of such a log and are known.
const READERS_MAX: usize = 4;
const FILLER: u8 = 0xbd;

pub(super) async fn settle<D: Disk>(inspected: Inspected<D>) -> Result<PartitionLog<D>, LogError> {
    let Inspected {
        mut opening,
        base_offsets,
        mut expired,
        end,
    } = inspected;
    let segment = &opening.frontier.segment;
    let is_covered = opening.frame.is_some_and(|it| it.end() > segment.bytes);
    let (base_offset, bytes) = (segment.base_offset, segment.bytes);
    let path = batches_path(&opening.folder, base_offset);
    let file = open_last(&opening.disk, &opening.folder, &path).await?;
    let length = file
        .len()
        .await
        .map_err(|source| LogError::io("measure", &path, source))?;
    match end {
        End::Clean => {}
        End::Torn => opening.recovery.torn_bytes = length.saturating_sub(bytes),
        End::Uncertain => {
            let behind: Vec<_> = base_offsets
                .iter()
                .copied()
                .filter(|base| *base > base_offset)
                .collect();
            opening.recovery.uncertain_bytes = length.saturating_sub(bytes);
            opening.set_aside(&file, &behind).await?;
            opening.covered = 0;
        }
    }
    match length.cmp(&bytes) {
        Ordering::Less => fill(&file, &path, length, bytes).await?,
        Ordering::Equal => {}
        Ordering::Greater => {
            let cut = file.set_len(bytes).await;
            cut.map_err(|source| LogError::io("cut", &path, source))?;
        }
    }
    if is_covered || end != End::Clean {
        walk::mark_end(&file, &path, &mut opening.frontier.segment).await?;
    }
    // A batch that was written before a crash of the process alone may not be durable yet.
    file.sync_data()
        .await
        .map_err(|source| LogError::io("sync", &path, source))?;
    opening.reframe().await?;
    let closed = opening.closed.first().map(|closed| closed.base_offset);
    let first = closed.unwrap_or(opening.frontier.segment.base_offset);
    expired.extend(base_offsets.iter().filter(|base| **base < first));
    retire::remove(&opening.disk, &opening.folder, &expired).await?;
    let segment_bytes = opening.frontier.segment.bytes;
    let last_block = walk::read_last_block(&file, &path, segment_bytes).await?;
    Ok(open(opening, last_block))
}

/// Fills what is missing of a segment before the place where the log goes on, with bytes that do
/// not look like those of an interrupted write: they are damage and stay so.
async fn fill<F: File>(file: &F, path: &Path, from: u64, to: u64) -> Result<(), LogError> {
    let mut position = from;
    while position < to {
        let len = (to - position).min(COPY_BYTES as u64);
        let filler = vec![FILLER; len as usize];
        let written = file.write_all_at(filler, position).await;
        written
            .0
            .map_err(|source| LogError::io("write", path, source))?;
        position += len;
    }
    Ok(())
}

/// Opens the last segment, and creates it if it is missing.
async fn open_last<D: Disk>(disk: &D, folder: &Path, path: &Path) -> Result<D::File, LogError> {
    match disk.open(path, OpenMode::Write).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let created = disk.open(path, OpenMode::CreateNew).await;
            let file = created.map_err(|source| LogError::io("create", path, source))?;
            walk::sync_folder(disk, folder).await?;
            Ok(file)
        }
        opened => opened.map_err(|source| LogError::io("open", path, source)),
    }
}

fn open<D: Disk>(mut opening: Opening<D>, last_block: Bytes) -> PartitionLog<D> {
    opening.damage.forget_before(opening.known.log_start_offset);
    let written = Written {
        file: None,
        is_spare: false,
        base_offset: opening.frontier.segment.base_offset,
        bytes: opening.frontier.segment.bytes,
        last_block,
        checkpoint_bytes: opening.covered,
        next_offset: opening.frontier.next_offset,
    };
    PartitionLog {
        disk: opening.disk,
        folder: opening.folder,
        settings: opening.settings,
        log_start: opening.known.log_start_offset,
        closed: opening.closed,
        readers: Readers::new(READERS_MAX).of_new_log(),
        indexes: IndexCache::new(INDEXES_BYTES_MAX).of_new_log(),
        end: opening.frontier,
        damage: opening.damage,
        written,
        spares: None,
        room: None,
        pending: Pending::default(),
        tail: Tail::default(),
        busy: Busy::Idle,
        is_checkpoint_due: false,
        is_retiring: false,
        compaction: Compaction::default(),
        poison: None,
        generation: Rc::new(Cell::new(0)),
        recovery: opening.recovery,
    }
}

impl<D: Disk> Opening<D> {
    /// Puts sound frames in the place of damaged ones, as far as the log reaches.
    async fn reframe(&mut self) -> Result<(), LogError> {
        let segment = &self.frontier.segment;
        let end = (segment.base_offset, segment.bytes);
        for broken in std::mem::take(&mut self.broken_frames) {
            if (broken.segment, broken.end) < end {
                let is_good = reframe(&self.disk, &self.folder, broken).await?;
                self.recovery.frames_damaged += u32::from(is_good);
            }
        }
        Ok(())
    }

    /// Puts aside what may have counted: the end of `file`, which is that of the last segment that
    /// stays, and the segments `behind` it.
    ///
    /// Checkpoints go first, for they vouch for bytes. The segments go from the last to the first,
    /// so that no gap can be left.
    async fn set_aside(&mut self, file: &D::File, behind: &[u64]) -> Result<(), LogError> {
        let number = self.clear_aside().await?;
        let base_offset = self.frontier.segment.base_offset;
        for base in behind.iter().chain([&base_offset]) {
            walk::remove_file(&self.disk, &checkpoint_path(&self.folder, *base)).await?;
        }
        walk::sync_folder(&self.disk, &self.folder).await?;
        for base in behind.iter().rev() {
            let path = batches_path(&self.folder, *base);
            match self.disk.rename(&path, &aside_path(&path, number)).await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(LogError::io("rename", &path, source)),
            }
            walk::sync_folder(&self.disk, &self.folder).await?;
        }
        let path = batches_path(&self.folder, base_offset);
        self.copy_end(file, &aside_path(&path, number)).await
    }

    /// Copies what stands behind the log, if anything does, to the file `to`.
    async fn copy_end(&self, file: &D::File, to: &Path) -> Result<(), LogError> {
        let mut position = self.frontier.segment.bytes;
        let start = position;
        let copy = async {
            let copy = self.disk.open(to, OpenMode::CreateOrWrite).await?;
            loop {
                let chunk = read_around(file, position, COPY_BYTES).await?;
                if chunk.is_empty() {
                    break;
                }
                let read = chunk.len() as u64;
                copy.write_all_at(chunk, position - start).await.0?;
                position += read;
            }
            copy.sync_data().await
        };
        copy.await
            .map_err(|source| LogError::io("write", to, source))?;
        walk::sync_folder(&self.disk, &self.folder).await
    }

    /// Removes what was put aside long ago; gives the number of what is put aside next.
    async fn clear_aside(&self) -> Result<u64, LogError> {
        let entries = self.disk.list(&self.folder).await;
        let entries = entries.map_err(|source| LogError::io("list", &self.folder, source))?;
        let number_of = |name: &str| name.rsplit_once(ASIDE)?.1.parse::<u64>().ok();
        let aside = entries
            .iter()
            .filter_map(|entry| Some((&entry.name, number_of(&entry.name)?)));
        let aside: Vec<_> = aside.collect();
        let number = aside.iter().map(|(_, number)| *number).max().unwrap_or(0) + 1;
        for (name, _) in aside.iter().filter(|(_, old)| old + KEPT_MAX <= number) {
            let path = self.folder.join(name);
            let removed = self.disk.remove_file(&path).await;
            removed.map_err(|source| LogError::io("remove", &path, source))?;
        }
        Ok(number)
    }
}

const ASIDE: &str = ".damaged-";

fn aside_path(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{ASIDE}{number}"));
    name.into()
}
