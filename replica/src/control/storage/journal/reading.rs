//! Opening the files of a journal after a stop or a crash.

use std::ops::Range;
use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File};
use quorate_vsr::OpNumber;

use super::content::{self, Content, Known, Tail};
use super::file_header::{FileHeader, FoundHeader, position_of};
use super::standing::Standing;
use super::{
    Current, FoundJournal, Journal, PREFIX, Place, Sealed, create_file, path_of, sync_folder,
};
use crate::control::storage::read_whole;
use crate::error::NodeError;

/// A file that was read.
struct Opened<F> {
    number: u64,
    path: PathBuf,
    file: F,
    bytes: Vec<u8>,
    header: FoundHeader,
}

pub(super) async fn open<D: Disk>(
    disk: D,
    folder: &Path,
    durable: Place,
    covered: OpNumber,
) -> Result<(Journal<D>, FoundJournal), NodeError> {
    let files = open_files(&disk, folder, durable).await?;
    let mut reading = Reading::default();
    let mut current = None;
    for (at, opened) in files.iter().enumerate() {
        let next = files.get(at + 1);
        let content = content::read(&opened.bytes, opened.known(next, durable));
        report(&opened.path, &content.damaged);
        if next.is_none() {
            settle(opened, &content).await?;
        }
        current = reading.enter(opened, content, next.is_none());
    }
    reading.compare(durable, covered);
    let current = match current {
        Some(current) => current,
        None => {
            let number = reading.last_file.max(durable.file) + 1;
            create_file(&disk, folder, number, reading.header()).await?
        }
    };
    let place = Place {
        file: current.number,
        end: current.position,
        ..reading.reached
    };
    let journal = Journal {
        disk,
        folder: folder.to_owned(),
        sealed: reading.sealed,
        current,
        place,
        highest_op: Some(place.highest_op).filter(|op| op.0 > 0),
    };
    let found = FoundJournal {
        entries: reading.standing.into_entries(),
        is_tail_uncertain: reading.is_tail_uncertain,
        is_used: reading.is_used,
    };
    Ok((journal, found))
}

/// The files, oldest first. One whose creation was not finished goes.
async fn open_files<D: Disk>(
    disk: &D,
    folder: &Path,
    durable: Place,
) -> Result<Vec<Opened<D::File>>, NodeError> {
    let numbers = file_numbers(disk, folder).await?;
    let mut files = Vec::new();
    for number in &numbers {
        let path = path_of(folder, *number);
        let (file, bytes) = read_whole(disk, &path).await?;
        let header = FileHeader::read(&bytes);
        let is_last = Some(number) == numbers.last();
        match header {
            FoundHeader::Version(version) => return Err(NodeError::version(&path, version)),
            FoundHeader::Unfinished if is_last && *number > durable.file => {
                let removed = disk.remove_file(&path).await;
                removed.map_err(|error| NodeError::file("remove", &path, error))?;
            }
            FoundHeader::Good(_) | FoundHeader::Unfinished | FoundHeader::Damaged => {
                files.push(Opened {
                    number: *number,
                    path,
                    file,
                    bytes,
                    header,
                });
            }
        }
    }
    // Whoever created a file may have crashed before its name was durable.
    sync_folder(disk, folder).await?;
    Ok(files)
}

/// The numbers of the journal's files, in order.
async fn file_numbers<D: Disk>(disk: &D, folder: &Path) -> Result<Vec<u64>, NodeError> {
    let entries = disk.list(folder).await;
    let entries = entries.map_err(|error| NodeError::file("list", folder, error))?;
    let names = entries
        .iter()
        .filter_map(|entry| entry.name.strip_prefix(PREFIX));
    let mut numbers: Vec<u64> = names.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

impl<F> Opened<F> {
    fn good_header(&self) -> Option<FileHeader> {
        match self.header {
            FoundHeader::Good(header) => Some(header),
            FoundHeader::Unfinished | FoundHeader::Damaged | FoundHeader::Version(_) => None,
        }
    }

    /// What the next file and the superblock tell of this one.
    fn known(&self, next: Option<&Self>, durable: Place) -> Known {
        let Some(next) = next else {
            let durable = if durable.file == self.number {
                durable.end
            } else {
                0
            };
            return Known::Last { durable };
        };
        let counts = next
            .good_header()
            .filter(|header| header.before.file == self.number);
        Known::Followed {
            counts: counts.map(|header| header.before.end),
        }
    }
}

/// What was learnt from the files so far, oldest first.
#[derive(Default)]
struct Reading {
    sealed: Vec<Sealed>,
    standing: Standing,
    /// How far the journal got, as far as anybody remembers.
    reached: Place,
    /// The last file, and where what counts in it ends.
    last_file: u64,
    last_end: u64,
    is_tail_uncertain: bool,
    is_used: bool,
}

impl Reading {
    /// Takes what a file holds; gives the file if it is the last one and can be continued.
    fn enter<F: File>(
        &mut self,
        opened: &Opened<F>,
        content: Content,
        is_last: bool,
    ) -> Option<Current<F>> {
        let number = opened.number;
        let is_first = self.last_file == 0;
        match opened.good_header() {
            Some(FileHeader {
                before,
                is_uncertain,
            }) => {
                self.is_tail_uncertain |= is_uncertain;
                self.is_tail_uncertain |= !is_first && before.file != self.last_file;
                self.standing.note_turns(before.turns);
                self.reach(before);
            }
            // Whether a file before it is missing cannot be told.
            None => self.is_tail_uncertain = true,
        }
        self.reach(Place {
            file: number,
            end: position_of(0),
            ..self.reached
        });
        let mut highest_op = OpNumber(0);
        for (entry, end) in content.entries {
            self.is_tail_uncertain = false;
            highest_op = highest_op.max(entry.op);
            self.standing.take(entry);
            self.reach(Place {
                file: number,
                end,
                write: content.last_write,
                turns: self.standing.turns(),
                highest_op: self.standing.highest().unwrap_or_default(),
            });
        }
        let is_whole = match content.tail {
            Tail::Clean | Tail::Torn => true,
            Tail::Uncertain => false,
        };
        self.is_tail_uncertain |= !is_whole;
        self.is_used |= number > 1 || highest_op.0 > 0 || !is_whole;
        (self.last_file, self.last_end) = (number, content.end);
        if is_last && is_whole && opened.good_header().is_some() {
            return Some(Current {
                number,
                file: opened.file.clone(),
                position: content.end,
                highest_op,
            });
        }
        self.sealed.push(Sealed { number, highest_op });
        None
    }

    fn reach(&mut self, place: Place) {
        let write = self.reached.write.max(place.write);
        self.reached = self.reached.max(place);
        self.reached.write = write;
    }

    /// Compares with a place up to which the journal was durable once, and with the checkpoint.
    fn compare(&mut self, durable: Place, covered: OpNumber) {
        let is_short = (self.reached.file, self.reached.end) < (durable.file, durable.end);
        self.standing.note_turns(durable.turns);
        let highest_op = self.standing.highest().unwrap_or_default();
        self.reach(durable);
        let is_lost = self.reached.highest_op > covered.max(highest_op);
        self.is_tail_uncertain |= is_short || is_lost;
        self.reached.turns = self.standing.turns();
        self.reached.highest_op = self.reached.highest_op.max(highest_op);
    }

    /// The header of a file that goes on behind all of these.
    fn header(&self) -> FileHeader {
        let before = Place {
            file: self.last_file,
            end: self.last_end,
            ..self.reached
        };
        FileHeader {
            before,
            is_uncertain: self.is_tail_uncertain,
        }
    }
}

/// Makes the end of the last file what it counts for, durably: what was there before a crash of the
/// process alone may not be durable yet.
async fn settle<F: File>(opened: &Opened<F>, content: &Content) -> Result<(), NodeError> {
    let Opened { path, file, .. } = opened;
    if content.tail == Tail::Torn {
        let at = content.end;
        tracing::info!(file = %path.display(), at, "cut a write that was never finished");
        let cut = file.set_len(content.end).await;
        cut.map_err(|error| NodeError::file("cut", path, error))?;
    }
    let synced = file.sync_data().await;
    synced.map_err(|error| NodeError::file("make durable", path, error))
}

fn report(path: &Path, damaged: &[Range<u64>]) {
    for Range { start, end } in damaged {
        tracing::warn!(file = %path.display(), start, end, "bytes of the journal are damaged");
    }
}
