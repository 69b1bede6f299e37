//! The real disk, with somebody who watches every change and can make one fail.
//!
//! Nothing is really made durable: what a crash would leave is what the watcher was told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use quorate_platform::{
    BufResult, Compio, CompioFile, Disk, Entry, File, IoBuf, IoBufMut, OpenHow, OpenMode,
};

#[derive(Clone, Default)]
pub(super) struct Watched(Rc<State>);

#[derive(Default)]
struct State {
    /// The changes made so far.
    changes: Cell<u64>,
    /// Which change fails, counted from 1, and how.
    failure: Cell<Option<(u64, io::ErrorKind)>>,
    durable: RefCell<Durable>,
    /// Bytes of a file that the disk cannot read, until they are written again.
    unreadable: RefCell<Option<(PathBuf, Range<u64>)>>,
    watcher: RefCell<Option<Watcher>>,
    /// Where what loses its name is kept as long as that may come back.
    keep: RefCell<Option<PathBuf>>,
    /// The most that was read at once.
    largest_read: Cell<usize>,
}

type Watcher = Box<dyn FnMut(&Durable)>;

/// What would surely survive a loss of power.
#[derive(Clone, Default)]
pub(super) struct Durable {
    /// Bytes of each file that was ever synced.
    pub(super) bytes: BTreeMap<PathBuf, u64>,
    /// Files whose names may be lost.
    pub(super) unsure: BTreeSet<PathBuf>,
    /// Names that were changed or removed, in order, and may be again what they were.
    pub(super) renamed: Vec<Renamed>,
}

/// A name that was given to another file, or to none.
#[derive(Clone, Debug)]
pub(super) struct Renamed {
    /// The name.
    pub(super) path: PathBuf,
    /// The file that had it, under another name.
    pub(super) kept: Option<PathBuf>,
    /// The name that the file that has it now had before.
    pub(super) from: Option<PathBuf>,
}

impl Renamed {
    /// As if it had never been, in a copy of the folder.
    pub(super) fn undo(&self, copy: &Path) {
        let in_copy = |path: &Path| copy.join(path.file_name().unwrap());
        let path = in_copy(&self.path);
        if let Some(from) = &self.from {
            std::fs::rename(&path, in_copy(from)).unwrap();
        }
        if let Some(kept) = &self.kept {
            std::fs::copy(kept, &path).unwrap();
        }
    }
}

impl Watched {
    /// Calls `watcher` after every change.
    pub(super) fn watch(&self, watcher: impl FnMut(&Durable) + 'static) {
        *self.0.watcher.borrow_mut() = Some(Box::new(watcher));
    }

    /// Keeps files that lose their names in `folder`, so that a crash can bring them back.
    pub(super) fn keep(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap();
        *self.0.keep.borrow_mut() = Some(folder.to_owned());
    }

    /// The file at `path` is about to lose that name.
    fn kept(&self, path: &Path) -> Option<PathBuf> {
        let keep = self.0.keep.borrow();
        let kept = keep.as_ref()?.join(self.changes().to_string());
        std::fs::hard_link(path, &kept).ok().map(|()| kept)
    }

    /// Makes the change with this number fail.
    pub(super) fn fail(&self, change: u64, kind: io::ErrorKind) {
        self.0.failure.set(Some((change, kind)));
    }

    /// Makes bytes of a file unreadable.
    pub(super) fn wear_out(&self, path: &Path, bytes: Range<u64>) {
        *self.0.unreadable.borrow_mut() = Some((path.to_owned(), bytes));
    }

    /// The most bytes that were read at once.
    pub(super) fn largest_read(&self) -> usize {
        self.0.largest_read.get()
    }

    fn is_unreadable(&self, path: &Path, bytes: &Range<u64>) -> bool {
        let unreadable = self.0.unreadable.borrow();
        unreadable.as_ref().is_some_and(|(worn, range)| {
            worn == path && range.start < bytes.end && bytes.start < range.end
        })
    }

    pub(super) fn changes(&self) -> u64 {
        self.0.changes.get()
    }

    fn before(&self) -> io::Result<()> {
        self.0.changes.set(self.0.changes.get() + 1);
        match self.0.failure.get() {
            Some((change, kind)) if change == self.0.changes.get() => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn after(&self, note: impl FnOnce(&mut Durable)) {
        note(&mut self.0.durable.borrow_mut());
        if let Some(watcher) = self.0.watcher.borrow_mut().as_mut() {
            watcher(&self.0.durable.borrow());
        }
    }
}

impl Disk for Watched {
    type File = WatchedFile;
    type Lock = <Compio as Disk>::Lock;

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<WatchedFile> {
        let how = how.into();
        let is_new = how.mode != OpenMode::Read && !path.exists();
        if is_new {
            self.before()?;
        }
        let file = Compio.open(path, how).await?;
        if is_new {
            self.after(|durable| {
                durable.unsure.insert(path.to_owned());
            });
        }
        let path = path.to_owned();
        Ok(WatchedFile {
            file,
            path,
            disk: self.clone(),
        })
    }

    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        Compio.create_folder(path).await
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.before()?;
        self.after(|durable| {
            let is_elsewhere = |it: &Path| it.parent() != Some(path);
            durable.unsure.retain(|unsure| is_elsewhere(unsure));
            durable
                .renamed
                .retain(|renamed| is_elsewhere(&renamed.path));
        });
        Ok(())
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        Compio.list(path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before()?;
        let kept = self.kept(to);
        Compio.rename(from, to).await?;
        self.after(|durable| {
            durable.renamed.push(Renamed {
                path: to.to_owned(),
                kept,
                from: Some(from.to_owned()),
            });
            let bytes = durable.bytes.remove(from).unwrap_or(0);
            durable.bytes.insert(to.to_owned(), bytes);
            durable.unsure.remove(from);
        });
        Ok(())
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.before()?;
        let kept = self.kept(path);
        Compio.remove_file(path).await?;
        self.after(|durable| {
            durable.renamed.push(Renamed {
                path: path.to_owned(),
                kept,
                from: None,
            });
            durable.bytes.remove(path);
            durable.unsure.remove(path);
        });
        Ok(())
    }

    async fn remove_folder(&self, path: &Path) -> io::Result<()> {
        Compio.remove_folder(path).await
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        Compio.available_bytes(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Self::Lock> {
        Compio.lock(path)
    }
}

#[derive(Clone)]
pub(super) struct WatchedFile {
    file: CompioFile,
    path: PathBuf,
    disk: Watched,
}

impl File for WatchedFile {
    async fn read_at<B: IoBufMut>(&self, mut buffer: B, position: u64) -> BufResult<usize, B> {
        let largest = &self.disk.0.largest_read;
        largest.set(largest.get().max(buffer.buf_capacity()));
        let bytes = position..position + buffer.buf_capacity() as u64;
        if self.disk.is_unreadable(&self.path, &bytes) {
            let error = io::Error::from_raw_os_error(5);
            return BufResult(Err(error), buffer);
        }
        self.file.read_at(buffer, position).await
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        if let Err(error) = self.disk.before() {
            return BufResult(Err(error), buffer);
        }
        let bytes = position..position + buffer.buf_len() as u64;
        if self.disk.is_unreadable(&self.path, &bytes) {
            // The disk puts another sector in the place of the worn one.
            self.disk.0.unreadable.borrow_mut().take();
        }
        let result = self.file.write_all_at(buffer, position).await;
        self.disk.after(|_| {});
        result
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.disk.before()?;
        let len = self.file.len().await?;
        self.disk.after(|durable| {
            durable.bytes.insert(self.path.clone(), len);
        });
        Ok(())
    }

    fn is_direct(&self) -> bool {
        self.file.is_direct()
    }

    async fn len(&self) -> io::Result<u64> {
        self.file.len().await
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.before()?;
        self.file.set_len(len).await?;
        self.disk.after(|durable| {
            let bytes = durable.bytes.entry(self.path.clone()).or_default();
            *bytes = len.min(*bytes);
        });
        Ok(())
    }
}
