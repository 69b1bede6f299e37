//! The journal's files: `journal-1`, `journal-2`, … in the control folder, appended one after the
//! other.
//!
//! An entry with the number of an earlier one replaces that one and all behind it. Nothing is ever
//! overwritten: what counts is decided when the files are read, in the order in which they were
//! written. Trimming starts a new file and removes the oldest ones once nothing in them is needed;
//! only from the front, for an entry in a later file may be what replaces one in an earlier file.

mod entry;

use std::io;
use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode};
use quorate_vsr::OpNumber;

use self::entry::{BadFile, Content, Tail};
use super::read_whole;
use crate::error::NodeError;

const PREFIX: &str = "journal-";

/// The journal, open for appends.
#[derive(Debug)]
pub(super) struct Journal<D: Disk> {
    disk: D,
    folder: PathBuf,
    /// Older files that are still needed, oldest first.
    sealed: Vec<Sealed>,
    current: Current<D::File>,
    next_write: u64,
}

/// A file that is not written any more.
#[derive(Debug)]
struct Sealed {
    number: u64,
    highest_op: OpNumber,
}

#[derive(Debug)]
struct Current<F> {
    number: u64,
    file: F,
    position: u64,
    highest_op: OpNumber,
}

/// An entry of the journal: its op number and its bytes.
pub(super) type NumberedEntry = (OpNumber, Vec<u8>);

impl<D: Disk> Journal<D> {
    /// Opens the journal in `folder`, creating it if there is none, and gives the entries that
    /// count: without a gap behind `checkpoint`, the op up to which the checkpoint holds
    /// everything.
    pub(super) async fn open(
        disk: D,
        folder: &Path,
        checkpoint: OpNumber,
    ) -> Result<(Self, Vec<NumberedEntry>), NodeError> {
        let numbers = file_numbers(&disk, folder).await?;
        let mut live = Vec::new();
        let mut sealed = Vec::new();
        let mut current = None;
        let mut next_write = 1;
        for (place, number) in numbers.iter().enumerate() {
            let is_last = place + 1 == numbers.len();
            let path = path_of(folder, *number);
            let Some((file, content)) = open_file(&disk, folder, &path, is_last).await? else {
                break;
            };
            let highest_op = content
                .entries
                .iter()
                .map(|entry| entry.op)
                .max()
                .unwrap_or_default();
            next_write = content.next_write;
            let position = content.end as u64;
            for entry in content.entries {
                supersede(&mut live, (entry.op, entry.body), checkpoint)
                    .map_err(|problem| NodeError::damaged(&path, problem))?;
            }
            if is_last {
                current = Some(Current {
                    number: *number,
                    file,
                    position,
                    highest_op,
                });
            } else {
                sealed.push(Sealed {
                    number: *number,
                    highest_op,
                });
            }
        }
        let current = match current {
            Some(current) => current,
            None => {
                let number = sealed.last().map_or(1, |file: &Sealed| file.number + 1);
                create_file(&disk, folder, number, next_write).await?
            }
        };
        let journal = Self {
            disk,
            folder: folder.to_owned(),
            sealed,
            current,
            next_write,
        };
        Ok((journal, live))
    }

    /// Appends `entries` with one write and makes them durable.
    pub(super) async fn append(&mut self, entries: &[NumberedEntry]) -> Result<(), NodeError> {
        let bytes = entry::encode_write(self.next_write, entries);
        let length = bytes.len() as u64;
        let current = &mut self.current;
        let path = path_of(&self.folder, current.number);
        current
            .file
            .write_all_at(bytes, current.position)
            .await
            .0
            .map_err(|error| NodeError::file("write to", &path, error))?;
        let synced = current.file.sync_data().await;
        synced.map_err(|error| NodeError::file("make durable", &path, error))?;
        current.position += length;
        let highest_op = entries.iter().map(|(op, _)| *op).max().unwrap_or_default();
        current.highest_op = current.highest_op.max(highest_op);
        self.next_write += 1;
        Ok(())
    }

    /// Entries below `below` are not needed any more.
    pub(super) async fn trim(&mut self, below: OpNumber) -> Result<(), NodeError> {
        if self.current.position > entry::FILE_HEADER_BYTES as u64 {
            let number = self.current.number + 1;
            let next = create_file(&self.disk, &self.folder, number, self.next_write).await?;
            let full = std::mem::replace(&mut self.current, next);
            self.sealed.push(Sealed {
                number: full.number,
                highest_op: full.highest_op,
            });
        }
        let needless = self
            .sealed
            .iter()
            .take_while(|file| file.highest_op < below)
            .count();
        for file in self.sealed.drain(..needless) {
            let path = path_of(&self.folder, file.number);
            let removed = self.disk.remove_file(&path).await;
            removed.map_err(|error| NodeError::file("remove", &path, error))?;
        }
        sync_folder(&self.disk, &self.folder).await
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number}"))
}

async fn sync_folder<D: Disk>(disk: &D, folder: &Path) -> Result<(), NodeError> {
    let synced = disk.sync_folder(folder).await;
    synced.map_err(|error| NodeError::file("make durable", folder, error))
}

/// The numbers of the journal's files, in order, without a gap.
async fn file_numbers<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<u64>, NodeError> {
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|error| NodeError::file("list", folder, error))?;
    let names = entries
        .iter()
        .filter_map(|entry| entry.name.strip_prefix(PREFIX));
    let mut numbers: Vec<u64> = names.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    if let Some(pair) = numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        let missing = path_of(folder, pair[0] + 1);
        return Err(NodeError::damaged(
            &missing,
            format!("it is missing; {REMEDY}"),
        ));
    }
    Ok(numbers)
}

const REMEDY: &str = "the node may have acknowledged what was in it, so it will not start without \
                      it: restore the file";

/// Opens and reads a file; `None` if it is the last one and its creation was never finished.
async fn open_file<D: Disk>(
    disk: &D,
    folder: &Path,
    path: &Path,
    is_last: bool,
) -> Result<Option<(D::File, Content)>, NodeError> {
    let (file, bytes) = read_whole(disk, path).await?;
    let content = match entry::read(&bytes) {
        Ok(content) => content,
        Err(BadFile::Unfinished) if is_last => {
            let removed = disk.remove_file(path).await;
            removed.map_err(|error| NodeError::file("remove", path, error))?;
            sync_folder(disk, folder).await?;
            return Ok(None);
        }
        Err(BadFile::Unfinished | BadFile::Header) => {
            let problem = format!("its header makes no sense; {REMEDY}");
            return Err(NodeError::damaged(path, problem));
        }
        Err(BadFile::Version(version)) => {
            let problem = format!(
                "it is written in format {version}, which this program does not know: use the \
                 release that wrote it, or a newer one"
            );
            return Err(NodeError::damaged(path, problem));
        }
    };
    match content.tail {
        Tail::Clean => {}
        Tail::Torn if is_last => cut(&file, path, &content).await?,
        Tail::Torn => {
            let problem = format!(
                "what stands behind byte {} makes no sense, and a later file exists; {REMEDY}",
                content.damaged_at
            );
            return Err(NodeError::damaged(path, problem));
        }
        Tail::Damaged { later } => {
            let problem = format!(
                "what stands between byte {} and byte {later} makes no sense, and good entries \
                 follow; {REMEDY}",
                content.damaged_at
            );
            return Err(NodeError::damaged(path, problem));
        }
    }
    Ok(Some((file, content)))
}

async fn cut<F: File>(file: &F, path: &Path, content: &Content) -> Result<(), NodeError> {
    tracing::info!(file = %path.display(), at = content.end, "cut a write that was never finished");
    let cut = file.set_len(content.end as u64).await;
    cut.map_err(|error| NodeError::file("cut", path, error))?;
    file.sync_data()
        .await
        .map_err(|error| NodeError::file("make durable", path, error))
}

async fn create_file<D: Disk>(
    disk: &D,
    folder: &Path,
    number: u64,
    first_write: u64,
) -> Result<Current<D::File>, NodeError> {
    let path = path_of(folder, number);
    let create = async {
        let file = disk.open(&path, OpenMode::CreateNew).await?;
        let header = entry::encode_file_header(first_write);
        file.write_all_at(header, 0).await.0?;
        file.sync_data().await?;
        disk.sync_folder(folder).await?;
        io::Result::Ok(file)
    };
    let file = create
        .await
        .map_err(|error| NodeError::file("create", &path, error))?;
    let position = entry::FILE_HEADER_BYTES as u64;
    Ok(Current {
        number,
        file,
        position,
        highest_op: OpNumber(0),
    })
}

/// Adds `entry` to what counts so far.
fn supersede(
    live: &mut Vec<NumberedEntry>,
    entry: NumberedEntry,
    checkpoint: OpNumber,
) -> Result<(), String> {
    let op = entry.0;
    let replaced = live
        .iter()
        .position(|(earlier, _)| *earlier >= op)
        .unwrap_or(live.len());
    live.truncate(replaced);
    let expected = live.last().map(|(last, _)| last.next());
    if expected.is_some_and(|expected| expected < op) {
        // A checkpoint was taken over from another node, and the journal goes on behind it.
        live.clear();
    }
    if live.is_empty() && op > checkpoint.next() {
        return Err(format!("{op:?} is there, but not all before it; {REMEDY}"));
    }
    live.push(entry);
    Ok(())
}

#[cfg(test)]
mod tests;
