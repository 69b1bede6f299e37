//! Segment files whose blocks were written in advance.
//!
//! A file that grows pays for its metadata with every sync. One whose blocks were written before
//! does not, and is about twice as fast. So a shard keeps a few *spares*: files full of zeros, made
//! in the background. A segment that has grown for a while ends, and the next one is a spare.
//!
//! ```text
//! spares/12.spare    zeros, durably, of the size that all spares have
//!        13.new      being made
//!        14.old      a segment that was given up: its content is overwritten before it is a spare
//! ```
//!
//! A spare is zero from front to back whatever it was before, so nothing old can be read in it, and
//! what a torn write has not reached is known to be zero. None are made before somebody wishes for
//! one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use quorate_platform::{AlignedBuffer, BufResult, Disk, File, OpenMode};

use crate::error::LogError;

/// Zeros are written in pieces of this size, so that other writes get their turn in between.
const PIECE_BYTES: u64 = 1 << 20;

/// The spares of one shard; clones share them.
pub struct Spares<D: Disk>(Rc<State<D>>);

struct State<D: Disk> {
    disk: D,
    folder: PathBuf,
    /// The size of a spare, a multiple of [`PIECE_BYTES`].
    bytes: u64,
    /// How many are kept.
    keep: usize,
    ready: RefCell<BTreeSet<u64>>,
    old: RefCell<BTreeSet<u64>>,
    next_number: Cell<u64>,
    is_wished: Cell<bool>,
    is_filling: Cell<bool>,
}

/// A spare that was taken. Dropped unused, it goes back.
pub(crate) struct Spare<D: Disk> {
    spares: Rc<State<D>>,
    number: u64,
    is_used: bool,
}

/// Makes one spare; see [`Spares::begin_fill`].
#[must_use = "there is no spare before the job has run"]
pub struct FillJob<D: Disk> {
    spares: Rc<State<D>>,
    number: u64,
    /// Whether it overwrites a segment that was given up.
    is_old: bool,
}

/// The outcome of a [`FillJob`], for [`Spares::finish_fill`].
#[must_use = "nobody knows of the spare before the outcome is given back"]
pub struct Filled {
    number: u64,
    result: Result<(), LogError>,
}

impl<D: Disk> Spares<D> {
    /// Looks for the spares in `folder`, which is created if it is missing. They have `bytes` bytes
    /// each, rounded up to whole MiB, and `keep` of them are kept. What is no spare there is
    /// removed.
    pub async fn open(disk: D, folder: &Path, bytes: u64, keep: usize) -> Result<Self, LogError> {
        let io = |operation| move |source| LogError::io(operation, folder, source);
        disk.create_folder(folder).await.map_err(io("create"))?;
        let bytes = bytes.next_multiple_of(PIECE_BYTES);
        let mut ready = BTreeSet::new();
        for entry in disk.list(folder).await.map_err(io("list"))? {
            let path = folder.join(&entry.name);
            let number = entry.name.strip_suffix(".spare").map(str::parse::<u64>);
            match number {
                Some(Ok(number)) if length(&disk, &path).await? == bytes => {
                    ready.insert(number);
                }
                Some(_) | None => {
                    let removed = disk.remove_file(&path).await;
                    removed.map_err(|source| LogError::io("remove", &path, source))?;
                }
            }
        }
        // The names of spares may have been new when the node crashed.
        disk.sync_folder(folder).await.map_err(io("sync"))?;
        let next_number = ready.last().map_or(0, |last| last + 1);
        Ok(Self(Rc::new(State {
            disk,
            folder: folder.to_owned(),
            bytes,
            keep,
            ready: RefCell::new(ready),
            old: RefCell::default(),
            next_number: Cell::new(next_number),
            is_wished: Cell::new(false),
            is_filling: Cell::new(false),
        })))
    }

    /// The size of each spare.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Says that a spare will be of use soon.
    pub(crate) fn wish(&self) {
        self.0.is_wished.set(true);
    }

    /// Whether a spare can be taken.
    pub(crate) fn is_ready(&self) -> bool {
        !self.0.ready.borrow().is_empty()
    }

    /// Takes a spare.
    pub(crate) fn take(&self) -> Option<Spare<D>> {
        let number = self.0.ready.borrow_mut().pop_first()?;
        Some(Spare {
            spares: Rc::clone(&self.0),
            number,
            is_used: false,
        })
    }

    /// Whether [`Spares::begin_fill`] would give a job.
    pub fn is_short(&self) -> bool {
        let state = &self.0;
        let is_full = state.ready.borrow().len() >= state.keep;
        state.is_wished.get() && !state.is_filling.get() && !is_full
    }

    /// Begins to make a spare, if somebody wished for one and there are fewer than are kept. One is
    /// made at a time: [`Spares::finish_fill`] comes first.
    pub fn begin_fill(&self) -> Option<FillJob<D>> {
        if !self.is_short() {
            return None;
        }
        let state = &self.0;
        state.is_filling.set(true);
        let old = state.old.borrow_mut().pop_first();
        Some(FillJob {
            spares: Rc::clone(state),
            number: old.unwrap_or_else(|| state.number()),
            is_old: old.is_some(),
        })
    }

    /// Takes the outcome of a [`FillJob`].
    ///
    /// After an error there is one spare less, and no other is made before somebody wishes for one
    /// again: segments grow meanwhile.
    pub fn finish_fill(&self, filled: Filled) -> Result<(), LogError> {
        let state = &self.0;
        state.is_filling.set(false);
        match filled.result {
            Ok(()) => {
                state.ready.borrow_mut().insert(filled.number);
                Ok(())
            }
            Err(error) => {
                state.is_wished.set(false);
                Err(error)
            }
        }
    }

    /// Takes over the file at `path`, a segment that nobody reads any more, to make a spare of it;
    /// or removes it, if there are enough. A missing one is fine. Its folder is still to be synced.
    pub async fn recycle(&self, path: &Path) -> Result<(), LogError> {
        let state = &self.0;
        let has_enough = state.old.borrow().len() + state.ready.borrow().len() >= state.keep;
        let number = state.number();
        let result = match has_enough || !state.is_wished.get() {
            true => state.disk.remove_file(path).await,
            false => {
                let renamed = state.disk.rename(path, &state.path(number, "old")).await;
                if renamed.is_ok() {
                    state.sync().await?;
                    state.old.borrow_mut().insert(number);
                }
                renamed
            }
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| LogError::io("recycle", path, source)),
        }
    }
}

impl<D: Disk> State<D> {
    fn number(&self) -> u64 {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        number
    }

    fn path(&self, number: u64, kind: &str) -> PathBuf {
        self.folder.join(format!("{number}.{kind}"))
    }

    async fn sync(&self) -> Result<(), LogError> {
        let synced = self.disk.sync_folder(&self.folder).await;
        synced.map_err(|source| LogError::io("sync", &self.folder, source))
    }
}

impl<D: Disk> Spare<D> {
    pub(crate) fn bytes(&self) -> u64 {
        self.spares.bytes
    }

    /// Gives the spare the name `path`. That is durable once the folder of `path` is synced.
    pub(crate) async fn become_segment(mut self, path: &Path) -> Result<(), LogError> {
        let state = Rc::clone(&self.spares);
        // Whatever comes of it, it is no spare any more.
        self.is_used = true;
        let spare = state.path(self.number, "spare");
        let renamed = state.disk.rename(&spare, path).await;
        renamed.map_err(|source| LogError::io("rename", &spare, source))?;
        state.sync().await
    }
}

impl<D: Disk> Drop for Spare<D> {
    fn drop(&mut self) {
        if !self.is_used {
            self.spares.ready.borrow_mut().insert(self.number);
        }
    }
}

impl<D: Disk> FillJob<D> {
    /// Writes zeros, durably. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> Filled {
        let Self {
            spares,
            number,
            is_old,
        } = self;
        let new = spares.path(number, "new");
        let result = async {
            if is_old {
                spares
                    .disk
                    .rename(&spares.path(number, "old"), &new)
                    .await?;
            }
            write_zeros(&spares.disk, &new, spares.bytes).await?;
            spares
                .disk
                .rename(&new, &spares.path(number, "spare"))
                .await
        };
        let result = match result.await {
            Ok(()) => spares.sync().await,
            Err(source) => {
                // It may be large, and perhaps the disk is full.
                match spares.disk.remove_file(&new).await {
                    // If it stays it is removed at the next start.
                    Ok(()) | Err(_) => Err(LogError::io("write", &new, source)),
                }
            }
        };
        Filled { number, result }
    }
}

async fn write_zeros<D: Disk>(disk: &D, path: &Path, bytes: u64) -> io::Result<()> {
    let file = disk.open(path, OpenMode::CreateOrWrite.direct()).await?;
    file.set_len(bytes).await?;
    let mut zeros = AlignedBuffer::with_capacity(PIECE_BYTES as usize);
    zeros.extend_from_slice(&vec![0; PIECE_BYTES as usize]);
    for position in (0..bytes).step_by(PIECE_BYTES as usize) {
        let BufResult(result, buffer) = file.write_all_at(zeros, position).await;
        result?;
        zeros = buffer;
    }
    file.sync_data().await
}

async fn length<D: Disk>(disk: &D, path: &Path) -> Result<u64, LogError> {
    let length = async { disk.open(path, OpenMode::Read).await?.len().await };
    length
        .await
        .map_err(|source| LogError::io("measure", path, source))
}

impl<D: Disk> Clone for Spares<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: Disk> fmt::Debug for Spares<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares")
            .field("folder", &self.0.folder)
            .field("bytes", &self.0.bytes)
            .field("ready", &self.0.ready.borrow().len())
            .finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for Spare<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spare").field(&self.number).finish()
    }
}

impl<D: Disk> fmt::Debug for FillJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FillJob").field(&self.number).finish()
    }
}

impl fmt::Debug for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.result.as_ref().err();
        f.debug_struct("Filled")
            .field("number", &self.number)
            .field("error", &error)
            .finish()
    }
}
