//! Small facts about many things, in one file.
//!
//! A fact is a key and a few opaque bytes. Changes are appended as frames; all that were made since
//! the last flush go to disk in one write and one sync, however many keys they touch. When most of
//! the file is history, the next flush writes a new file with the facts that are left and gives it
//! the old one's name.
//!
//! Facts are what a replica has promised, and nobody else can give them back. So everything is in
//! the file twice (see [`frame`]). What is good in one of the copies is good; what is missing in
//! both at the end of the file is the remains of an interrupted write and is dropped; and if
//! anything is missing in both before that, the store has lost facts and does not open.

mod frame;
mod recovery;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use quorate_platform::{BufResult, Disk, File, IoBuf, OpenMode};

use self::frame::Frame;
use crate::LogError;

/// Below this size a file is not worth compacting.
const COMPACT_BYTES_MIN: u64 = 1 << 20;
const COPIES: u64 = 2;
/// The largest value. Facts are small; a length beyond this in a file is damage.
const VALUE_BYTES_MAX: usize = 16 << 20;

/// A durable map from numbers to bytes. Changes are immediate in memory; a job makes them durable.
pub struct FactStore<D: Disk> {
    disk: D,
    path: Rc<Path>,
    facts: BTreeMap<u64, Vec<u8>>,
    /// The bytes of one copy of just these facts.
    live_bytes: u64,
    /// The last change of each key since the last flush; `None` removes it.
    pending: BTreeMap<u64, Option<Vec<u8>>>,
    written: Written<D>,
    /// The changes made since the store was opened.
    changes: u64,
    is_flushing: bool,
    poison: Option<String>,
}

/// What stands in a file of facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsSeen {
    /// The facts by key, as opening the store would find them.
    pub facts: BTreeMap<u64, Vec<u8>>,
    /// Whether two sound copies of everything are there, and nothing else. If not, opening the
    /// store puts a new file in its place and keeps the old one beside it.
    pub is_whole: bool,
    /// The size of the file.
    pub bytes: u64,
}

/// How far the disk has got.
struct Written<D: Disk> {
    file: D::File,
    bytes: u64,
    /// The frames in the file.
    frames: u64,
    /// The changes that are durable.
    changes: u64,
}

/// Makes changes of facts durable; see [`FactStore::begin_flush`].
#[must_use = "nothing is durable before the job has run"]
pub struct FactJob<D: Disk> {
    disk: D,
    path: Rc<Path>,
    written: Written<D>,
    bytes: Vec<u8>,
    /// Whether `bytes` are a new file rather than the end of the old one.
    is_new_file: bool,
}

/// The outcome of a [`FactJob`], for [`FactStore::finish_flush`].
#[must_use = "the store does not know of the outcome before it is given to it"]
pub struct FactsFlushed<D: Disk>(Result<Written<D>, LogError>);

impl<D: Disk> FactStore<D> {
    /// Opens the store in the file at `path`, which is created if it is missing; its folder
    /// exists.
    ///
    /// [`FactStore::facts`] are what was durable at the last crash or stop, and possibly changes
    /// that were on their way then.
    pub async fn open(disk: D, path: &Path) -> Result<Self, LogError> {
        recovery::open(disk, path).await
    }

    /// Looks at the store in the file at `path`, which is there, and changes nothing.
    pub async fn look(disk: &D, path: &Path) -> Result<FactsSeen, LogError> {
        recovery::look(disk, path).await
    }

    /// All facts by key, pending changes included.
    pub fn facts(&self) -> &BTreeMap<u64, Vec<u8>> {
        &self.facts
    }

    /// The fact of this key, pending or durable.
    pub fn get(&self, key: u64) -> Option<&[u8]> {
        self.facts.get(&key).map(Vec::as_slice)
    }

    /// Sets the fact of `key`, in memory; answers with the number of this change.
    ///
    /// It is durable once [`FactStore::durable_changes`] has reached that number.
    ///
    /// # Panics
    ///
    /// If `value` is larger than 16 MiB.
    pub fn put(&mut self, key: u64, value: Vec<u8>) -> u64 {
        assert!(value.len() <= VALUE_BYTES_MAX, "facts are small");
        self.live_bytes += frame::bytes(value.len());
        if let Some(old) = self.facts.insert(key, value.clone()) {
            self.live_bytes -= frame::bytes(old.len());
        }
        self.change(key, Some(value))
    }

    /// Removes the fact of `key`, in memory; answers like [`FactStore::put`].
    pub fn remove(&mut self, key: u64) -> u64 {
        if let Some(old) = self.facts.remove(&key) {
            self.live_bytes -= frame::bytes(old.len());
        }
        self.change(key, None)
    }

    fn change(&mut self, key: u64, value: Option<Vec<u8>>) -> u64 {
        self.pending.insert(key, value);
        self.changes += 1;
        self.changes
    }

    /// The number of the last change that is on stable storage, and with it all before.
    pub fn durable_changes(&self) -> u64 {
        self.written.changes
    }

    /// Whether anything waits for the next flush.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes all pending changes into a job that makes them durable together.
    ///
    /// `None` if nothing is pending or a job is under way already. Give what the job's `run` comes
    /// to back to [`FactStore::finish_flush`]; changes may be made meanwhile.
    pub fn begin_flush(&mut self) -> Result<Option<FactJob<D>>, LogError> {
        if let Some(first) = &self.poison {
            return Err(LogError::Poisoned {
                first: first.clone(),
            });
        }
        if self.is_flushing || self.pending.is_empty() {
            return Ok(None);
        }
        self.is_flushing = true;
        let changed = std::mem::take(&mut self.pending);
        let mut bytes = Vec::new();
        let mut frames = self.written.frames;
        for (key, value) in &changed {
            let frame = Frame {
                number: frames,
                first: self.written.frames,
                key: *key,
                value: value.as_deref(),
            };
            frame::encode(&mut bytes, &frame);
            frames += 1;
        }
        let mut bytes = frame::twice(&bytes);
        let file_bytes = self.written.bytes + bytes.len() as u64;
        let is_new_file = file_bytes > COMPACT_BYTES_MIN.max(2 * COPIES * self.live_bytes);
        if is_new_file {
            (bytes, frames) = frame::encode_file(&self.facts);
        }
        let Written {
            file,
            bytes: file_bytes,
            ..
        } = &self.written;
        let file_bytes = if is_new_file { 0 } else { *file_bytes };
        let file = file.clone();
        Ok(Some(FactJob {
            disk: self.disk.clone(),
            path: self.path.clone(),
            written: Written {
                file,
                bytes: file_bytes,
                frames,
                changes: self.changes,
            },
            bytes,
            is_new_file,
        }))
    }

    /// Takes the outcome of a flush; answers with [`FactStore::durable_changes`].
    ///
    /// An error is final: the store is poisoned.
    pub fn finish_flush(&mut self, flushed: FactsFlushed<D>) -> Result<u64, LogError> {
        assert!(self.is_flushing, "a flush is under way");
        self.is_flushing = false;
        match flushed.0 {
            Ok(written) => {
                self.written = written;
                Ok(self.written.changes)
            }
            Err(error) => {
                self.poison = Some(error.to_string());
                Err(error)
            }
        }
    }
}

impl<D: Disk> FactJob<D> {
    /// Writes and syncs. Once begun it has to run to its end, whoever waits for it.
    pub async fn run(self) -> FactsFlushed<D> {
        FactsFlushed(self.write().await)
    }

    async fn write(self) -> Result<Written<D>, LogError> {
        let Self {
            disk,
            path,
            mut written,
            bytes,
            is_new_file,
        } = self;
        let len = bytes.len() as u64;
        if is_new_file {
            written.file = replace(&disk, &path, bytes).await?;
        } else {
            let BufResult(result, _) = written.file.write_all_at(bytes, written.bytes).await;
            result.map_err(|source| LogError::io("write", &path, source))?;
            let synced = written.file.sync_data().await;
            synced.map_err(|source| LogError::io("sync", &path, source))?;
        }
        written.bytes += len;
        Ok(written)
    }
}

/// Puts a file with these bytes in the place of the one at `path`, durably: after a crash there is
/// the old one or the new one, whole.
async fn replace<D: Disk>(disk: &D, path: &Path, bytes: impl IoBuf) -> Result<D::File, LogError> {
    let new_path = PathBuf::from(format!("{}.new", path.display()));
    let write = async {
        let file = disk.open(&new_path, OpenMode::CreateOrWrite).await?;
        file.set_len(0).await?;
        let BufResult(result, _) = file.write_all_at(bytes, 0).await;
        result?;
        file.sync_data().await?;
        disk.rename(&new_path, path).await?;
        let folder = path
            .parent()
            .expect("a file that was opened lies in a folder");
        disk.sync_folder(folder).await?;
        Ok(file)
    };
    write
        .await
        .map_err(|source| LogError::io("write", &new_path, source))
}

impl<D: Disk> fmt::Debug for FactStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactStore")
            .field("path", &self.path)
            .field("facts", &self.facts.len())
            .field("poison", &self.poison)
            .finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for FactJob<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactJob")
            .field("path", &self.path)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl<D: Disk> fmt::Debug for FactsFlushed<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.0.as_ref().map(|written| written.changes);
        f.debug_tuple("FactsFlushed").field(&outcome).finish()
    }
}
