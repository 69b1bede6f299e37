//! A simulated disk in memory, which keeps what has no fault.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use quorate_platform::{BufResult, Disk, Entry, File, IoBuf, IoBufMut, OpenHow, OpenMode};

/// The disk of one host; clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk(Rc<State>);

#[derive(Debug, Default)]
struct State {
    names: RefCell<BTreeMap<PathBuf, Option<Content>>>,
    locks: RefCell<BTreeMap<PathBuf, Rc<Cell<bool>>>>,
}

type Content = Rc<RefCell<Vec<u8>>>;

impl SimDisk {
    /// An empty disk.
    pub fn new(_seed: u64) -> Self {
        Self(Rc::default())
    }

    /// The power of the host fails.
    pub fn crash(&self) {
        self.kill();
    }

    /// The process that uses the disk ends: its locks are free.
    pub fn kill(&self) {
        for lock in self.0.locks.take().values() {
            lock.set(false);
        }
    }
}

/// An open file of such a disk.
#[derive(Clone, Debug)]
pub struct SimFile(Content);

/// A lock on such a disk.
#[derive(Debug)]
pub struct SimLock(Rc<Cell<bool>>);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<SimFile> {
        let mut names = self.0.names.borrow_mut();
        let known = names.get(path).cloned();
        match (how.into().mode, known) {
            (_, Some(None)) => Err(io::ErrorKind::IsADirectory.into()),
            (OpenMode::CreateNew, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            (OpenMode::Read | OpenMode::Write, None) => Err(missing()),
            (OpenMode::CreateNew | OpenMode::CreateOrWrite, None) => {
                let content = Content::default();
                names.insert(path.to_owned(), Some(Rc::clone(&content)));
                Ok(SimFile(content))
            }
            (OpenMode::Read | OpenMode::Write | OpenMode::CreateOrWrite, Some(Some(content))) => {
                Ok(SimFile(content))
            }
        }
    }

    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut names = self.0.names.borrow_mut();
        for folder in path.ancestors() {
            names.entry(folder.to_owned()).or_insert(None);
        }
        Ok(())
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        match self.0.names.borrow().get(path) {
            Some(None) => Ok(()),
            Some(Some(_)) | None => Err(missing()),
        }
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let names = self.0.names.borrow();
        if !matches!(names.get(path), Some(None)) {
            return Err(missing());
        }
        let inside = names.iter().filter(|(name, _)| name.parent() == Some(path));
        let entry = |(name, content): (&PathBuf, &Option<Content>)| Entry {
            name: name
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            is_folder: content.is_none(),
        };
        Ok(inside.map(entry).collect())
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.0.names.borrow_mut();
        if !names.contains_key(from) {
            return Err(missing());
        }
        let inside = |name: &&PathBuf| name.starts_with(from);
        let moved: Vec<PathBuf> = names.keys().filter(inside).cloned().collect();
        for name in moved {
            let content = names.remove(&name).expect("it was just found");
            let rest = name.strip_prefix(from).expect("it is inside");
            let new = match rest.as_os_str().is_empty() {
                true => to.to_owned(),
                false => to.join(rest),
            };
            names.insert(new, content);
        }
        Ok(())
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0
            .names
            .borrow_mut()
            .remove(path)
            .map(drop)
            .ok_or_else(missing)
    }

    async fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut names = self.0.names.borrow_mut();
        if !names.contains_key(path) {
            return Err(missing());
        }
        names.retain(|name, _| !name.starts_with(path));
        Ok(())
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let mut locks = self.0.locks.borrow_mut();
        let held = locks.entry(path.to_owned()).or_default();
        if held.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *held = Rc::new(Cell::new(true));
        Ok(SimLock(Rc::clone(held)))
    }
}

impl File for SimFile {
    async fn read_at<B: IoBufMut>(&self, mut buffer: B, position: u64) -> BufResult<usize, B> {
        let content = self.0.borrow();
        let start = content.len().min(position as usize);
        let room = buffer.as_uninit();
        let bytes = room.len().min(content.len() - start);
        for (to, from) in room.iter_mut().zip(&content[start..start + bytes]) {
            to.write(*from);
        }
        // SAFETY: these bytes were just written.
        unsafe { buffer.advance_to(bytes) };
        BufResult(Ok(bytes), buffer)
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        let mut content = self.0.borrow_mut();
        let bytes = buffer.as_init();
        let start = position as usize;
        let end = start + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        drop(content);
        BufResult(Ok(()), buffer)
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_direct(&self) -> bool {
        false
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.0.borrow().len() as u64)
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.borrow_mut().resize(len as usize, 0);
        Ok(())
    }
}
