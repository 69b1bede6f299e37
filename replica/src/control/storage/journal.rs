//! The journal's files: `journal-1`, `journal-2`, … in the control folder, appended one after the
//! other.
//!
//! An appended entry with the number of an earlier one replaces that one and all behind it. Nothing
//! is ever overwritten: what counts is decided when the files are read, in the order in which they
//! were written. Trimming starts a new file and removes the oldest ones once nothing in them is
//! needed; only from the front, for an entry in a later file may be what replaces one in an earlier
//! file.
//!
//! What is damaged stays where it is, as evidence, until the files before the checkpoint are
//! removed. What the others gave instead is written at the end. If the end itself is damaged, the
//! next write goes to a new file, whose header says up to where the one before it counted.

mod block;
mod content;
mod file_header;
mod place;
mod reading;
mod standing;

use std::path::{Path, PathBuf};

use quorate_platform::{Disk, File, OpenMode};
use quorate_vsr::OpNumber;

use self::block::{Entry, Kind};
use self::file_header::FileHeader;
use crate::error::NodeError;

pub(super) use self::place::Place;

const PREFIX: &str = "journal-";

/// The journal, open for appends.
#[derive(Debug)]
pub(super) struct Journal<D: Disk> {
    disk: D,
    folder: PathBuf,
    /// Older files that are still needed, oldest first.
    sealed: Vec<Sealed>,
    current: Current<D::File>,
    /// Up to where the journal is durable.
    place: Place,
    /// The greatest number of an entry that counts.
    highest_op: Option<OpNumber>,
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

/// What the files of a journal hold.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FoundJournal {
    /// The entries that count. Where one is missing between others, it was damaged or lost.
    pub(super) entries: Vec<NumberedEntry>,
    /// Whether entries that may have been durable are missing behind the last one.
    pub(super) is_tail_uncertain: bool,
    /// Whether anything was ever written.
    pub(super) is_used: bool,
}

/// How a change reaches the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It replaces whatever stands at its number or above.
    Append,
    /// It replaces only what stands at its number.
    Mend,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in `folder`, creating it if there is none, and gives what it holds.
    ///
    /// `durable` is a place up to which it is known to have been durable, `covered` the op up to
    /// which a checkpoint holds everything.
    pub(super) async fn open(
        disk: D,
        folder: &Path,
        durable: Place,
        covered: OpNumber,
    ) -> Result<(Self, FoundJournal), NodeError> {
        reading::open(disk, folder, durable, covered).await
    }

    /// Up to where the journal is durable.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Adds `entries` with one write and makes them durable.
    pub(super) async fn write(
        &mut self,
        change: Change,
        entries: Vec<NumberedEntry>,
    ) -> Result<(), NodeError> {
        let mut place = self.place;
        let mut highest_op = self.highest_op;
        place.write += 1;
        let mut numbered = Vec::with_capacity(entries.len());
        for (op, body) in entries {
            let kind = kind_of(change, op, highest_op);
            highest_op = match change {
                Change::Append => Some(op),
                Change::Mend => highest_op.max(Some(op)),
            };
            place.turns += u64::from(kind.is_turn());
            place.highest_op = highest_op.unwrap_or_default();
            numbered.push(Entry {
                op,
                kind,
                turns: place.turns,
                body,
            });
            self.current.highest_op = self.current.highest_op.max(op);
        }
        let bytes = block::encode_write(place.write, &numbered);
        let current = &mut self.current;
        (place.file, place.end) = (current.number, current.position + bytes.len() as u64);
        let path = path_of(&self.folder, current.number);
        let written = current.file.write_all_at(bytes, current.position).await.0;
        written.map_err(|error| NodeError::file("write to", &path, error))?;
        let synced = current.file.sync_data().await;
        synced.map_err(|error| NodeError::file("make durable", &path, error))?;
        current.position = place.end;
        self.place = place;
        self.highest_op = highest_op;
        Ok(())
    }

    /// Entries below `below` are not needed any more.
    ///
    /// Changes [`Journal::place`] if it begins a new file.
    pub(super) async fn trim(&mut self, below: OpNumber) -> Result<(), NodeError> {
        if self.current.position > file_header::position_of(0) {
            let number = self.current.number + 1;
            let header = FileHeader {
                before: self.place,
                is_uncertain: false,
            };
            let next = create_file(&self.disk, &self.folder, number, header).await?;
            (self.place.file, self.place.end) = (next.number, next.position);
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

fn kind_of(change: Change, op: OpNumber, highest_op: Option<OpNumber>) -> Kind {
    match (change, highest_op) {
        (Change::Mend, _) => Kind::Mend,
        (Change::Append, Some(highest)) if op == highest.next() => Kind::Next,
        (Change::Append, Some(highest)) if op <= highest => Kind::Turn,
        (Change::Append, Some(_) | None) => Kind::Begin,
    }
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{number}"))
}

async fn sync_folder<D: Disk>(disk: &D, folder: &Path) -> Result<(), NodeError> {
    let synced = disk.sync_folder(folder).await;
    synced.map_err(|error| NodeError::file("make durable", folder, error))
}

async fn create_file<D: Disk>(
    disk: &D,
    folder: &Path,
    number: u64,
    header: FileHeader,
) -> Result<Current<D::File>, NodeError> {
    let path = path_of(folder, number);
    let create = async {
        let file = disk.open(&path, OpenMode::CreateNew).await?;
        file.write_all_at(header.encode(), 0).await.0?;
        file.sync_data().await?;
        disk.sync_folder(folder).await?;
        std::io::Result::Ok(file)
    };
    let file = create
        .await
        .map_err(|error| NodeError::file("create", &path, error))?;
    Ok(Current {
        number,
        file,
        position: file_header::position_of(0),
        highest_op: OpNumber(0),
    })
}

#[cfg(test)]
mod tests;
