//! A simulated disk: what was not made durable may be lost, and everything may fail.
//!
//! A file has bytes that are durable, bytes that are seen, and between the two the changes that
//! have completed since and those that are in flight. A loss of power ([`SimDisk::crash`]) keeps
//! all, nothing, or some sectors or blocks of each change of bytes. Changes of length are kept in
//! their order, as a file system with a journal does, and nothing can be found behind one that is
//! lost. Names are kept likewise: each change of them happens as a whole or not at all, and rests
//! on the change of the same name before it.
//!
//! The end of a process ([`SimDisk::kill`]) loses nothing that had completed. After either, open
//! files are dead and locks are free. A future that is dropped half-way may have had its effect.
//!
//! Faults ([`DiskFaults`]) are drawn from the seed, for each operation. Those that damage what is
//! durable strike only where the [`Atlas`](super::atlas::Atlas) allows it.
//!
//! Most operations end after a turn or two of the others, without a timer, so that they overtake
//! each other and cost little.
//!
//! Not simulated: holes count as room after a crash, two names of one file, and bytes of cut
//! files that come back.

mod content;
mod damage;
mod event;
mod fault;
mod file;
mod inspection;
mod pages;
#[cfg(test)]
mod tests;
mod tree;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use quorate_platform::{Disk, Entry, OpenHow, OpenMode};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

use self::content::Content;
use self::pages::PAGE_BYTES;
use self::tree::{Inode, Tree, missing};

pub use event::{DiskEvent, DiskOperation};
pub use fault::DiskFaults;
pub use file::SimFile;

/// The system's numbers for an error of the device, and for want of room.
const DEVICE_ERROR: i32 = 5;
const NO_ROOM: i32 = 28;

/// The disk of one host; clones share it.
#[derive(Clone)]
pub struct SimDisk(Rc<State>);

type Hook = Box<dyn FnMut(&DiskEvent<'_>)>;
type MayDamage = Rc<dyn Fn(&Path) -> bool>;

struct State {
    random: RefCell<ChaCha8Rng>,
    tree: RefCell<Tree>,
    faults: RefCell<DiskFaults>,
    may_damage: RefCell<MayDamage>,
    /// Counts crashes and kills: files that were opened before are dead.
    life: Cell<u64>,
    locks: RefCell<BTreeMap<PathBuf, u64>>,
    capacity: Cell<u64>,
    used: Cell<u64>,
    is_held: Cell<bool>,
    /// Counts releases: what was stuck before goes on.
    releases: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
    /// Numbers of changes in flight, and of locks.
    number: Cell<u64>,
    counts: RefCell<BTreeMap<DiskOperation, u64>>,
    /// Files and folders of which an operation was made to fail.
    failed: RefCell<BTreeSet<PathBuf>>,
    /// Whether something has failed since the disk was mounted.
    has_failed: Cell<bool>,
    /// Files that were damaged.
    damaged: RefCell<BTreeSet<PathBuf>>,
    hook: RefCell<Option<Hook>>,
}

/// A lock on such a disk.
#[derive(Debug)]
pub struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    number: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut locks = self.disk.0.locks.borrow_mut();
        if locks.get(&self.path) == Some(&self.number) {
            locks.remove(&self.path);
        }
    }
}

impl SimDisk {
    /// An empty disk without faults and with room for a tebibyte.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(State {
            random: RefCell::new(ChaCha8Rng::seed_from_u64(seed)),
            tree: RefCell::default(),
            faults: RefCell::default(),
            may_damage: RefCell::new(Rc::new(|_| true)),
            life: Cell::new(0),
            locks: RefCell::default(),
            capacity: Cell::new(1 << 40),
            used: Cell::new(0),
            is_held: Cell::new(false),
            releases: Cell::new(0),
            waiting: RefCell::default(),
            number: Cell::new(0),
            counts: RefCell::default(),
            failed: RefCell::default(),
            has_failed: Cell::new(false),
            damaged: RefCell::default(),
            hook: RefCell::default(),
        }))
    }

    /// The power of the host fails.
    pub fn crash(&self) {
        let state = &self.0;
        self.end_life();
        let mut random = state.random.borrow_mut();
        let mut tree = state.tree.borrow_mut();
        tree.lose_power(&mut random);
        let mut used = 0;
        for (_, inode) in tree.files() {
            let mut content = inode.content().expect("it is a file").borrow_mut();
            content.lose_power(&mut random);
            content.is_counted = true;
            used += content.pages() * PAGE_BYTES;
        }
        state.used.set(used);
        state.has_failed.set(false);
    }

    /// The disk is mounted anew if an operation has failed on it since it was the last time: what
    /// is seen of a file whose sync has failed is not what is on the disk.
    pub fn mount(&self) {
        if self.0.has_failed.get() {
            self.crash();
        }
    }

    /// The process that uses the disk ends, and the host goes on.
    pub fn kill(&self) {
        self.end_life();
        let mut random = self.0.random.borrow_mut();
        for (_, inode) in self.0.tree.borrow().files() {
            let content = inode.content().expect("it is a file");
            content.borrow_mut().lose_process(&mut random);
        }
    }

    fn end_life(&self) {
        self.0.life.set(self.0.life.get() + 1);
        self.0.locks.borrow_mut().clear();
        self.wake();
    }

    /// Has no operation end before [`SimDisk::release`].
    pub fn hold(&self) {
        self.0.is_held.set(true);
    }

    /// Has all operations go on that are held or stuck.
    pub fn release(&self) {
        self.0.is_held.set(false);
        self.0.releases.set(self.0.releases.get() + 1);
        self.wake();
    }

    fn wake(&self) {
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }

    /// Sets the faults from now on.
    pub fn set_faults(&self, faults: DiskFaults) {
        *self.0.faults.borrow_mut() = faults;
    }

    /// The faults that it has now.
    pub fn faults(&self) -> DiskFaults {
        self.0.faults.borrow().clone()
    }

    /// Has faults damage what is durable only of files for whose paths `may` says so.
    pub fn set_damage_rule(&self, may: impl Fn(&Path) -> bool + 'static) {
        *self.0.may_damage.borrow_mut() = Rc::new(may);
    }

    /// Sets for how many bytes there is room, used or not.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.capacity.set(bytes);
    }

    fn may_damage(&self, path: &Path) -> bool {
        let may = Rc::clone(&self.0.may_damage.borrow());
        may(path)
    }

    fn happens(&self, chance: f64) -> bool {
        chance > 0.0 && self.0.random.borrow_mut().random_bool(chance)
    }

    fn number(&self) -> u64 {
        self.0.number.set(self.0.number.get() + 1);
        self.0.number.get()
    }

    fn note(&self, event: &DiskEvent<'_>) {
        *self
            .0
            .counts
            .borrow_mut()
            .entry(event.operation)
            .or_default() += 1;
        if let Some(hook) = self.0.hook.borrow_mut().as_mut() {
            hook(event);
        }
    }

    fn noted<T>(
        &self,
        operation: DiskOperation,
        path: &Path,
        result: io::Result<T>,
    ) -> io::Result<T> {
        self.note(&DiskEvent {
            operation,
            path,
            position: 0,
            bytes: 0,
            error: result.as_ref().err().map(io::Error::kind),
        });
        result
    }

    /// Takes the time that an operation takes; fails if the host dies meanwhile.
    async fn take_time(&self, life: u64) -> io::Result<()> {
        let (stuck, slow, slow_max) = {
            let faults = self.0.faults.borrow();
            (faults.stuck, faults.slow, faults.slow_max)
        };
        let turns = self.0.random.borrow_mut().next_u32() % 4;
        for _ in 0..turns {
            give_turn().await;
        }
        if self.happens(slow) && !slow_max.is_zero() {
            let most = u64::try_from(slow_max.as_micros()).unwrap_or(u64::MAX);
            let micros = self.0.random.borrow_mut().random_range(0..=most);
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        let is_stuck = self.happens(stuck);
        let releases = self.0.releases.get();
        poll_fn(|context| {
            let waits = self.0.is_held.get() || (is_stuck && self.0.releases.get() == releases);
            if waits && self.0.life.get() == life {
                self.0.waiting.borrow_mut().push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        self.check_life(life)
    }

    fn check_life(&self, life: u64) -> io::Result<()> {
        match self.0.life.get() == life {
            true => Ok(()),
            false => Err(io::Error::other("the host has crashed meanwhile")),
        }
    }

    /// An operation on names: nothing of it happens before its time is over.
    async fn on_names<T>(
        &self,
        operation: DiskOperation,
        path: &Path,
        act: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<T> {
        let result = match self.take_time(self.0.life.get()).await {
            Ok(()) => act(&mut self.0.tree.borrow_mut()),
            Err(error) => Err(error),
        };
        self.noted(operation, path, result)
    }

    /// The file has lost its last name.
    fn free(&self, inode: &Inode) {
        if let Some(content) = inode.content() {
            let mut content = content.borrow_mut();
            if std::mem::take(&mut content.is_counted) {
                self.0
                    .used
                    .set(self.0.used.get() - content.pages() * PAGE_BYTES);
            }
        }
    }

    /// Takes room for a write.
    fn allocate(
        &self,
        path: &Path,
        content: &mut Content,
        range: &std::ops::Range<u64>,
    ) -> io::Result<()> {
        let needed = content.missing_pages(range) * PAGE_BYTES;
        if content.is_counted && needed > 0 {
            let used = self.0.used.get() + needed;
            if used > self.0.capacity.get() {
                return Err(self.refuse(path));
            }
            self.0.used.set(used);
        }
        content.allocate(range);
        Ok(())
    }
}

/// Lets the others go on.
async fn give_turn() {
    let mut has_given = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What the system says of a device that does not do what it was asked.
fn device_error() -> io::Error {
    io::Error::from_raw_os_error(DEVICE_ERROR)
}

/// What it says when there is no room.
fn no_room() -> io::Error {
    io::Error::from_raw_os_error(NO_ROOM)
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<SimFile> {
        let OpenHow { mode, is_direct } = how.into();
        let inode = self.on_names(DiskOperation::Open, path, |tree| {
            match (mode, tree.find(path)?) {
                (OpenMode::CreateNew, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
                (OpenMode::Read | OpenMode::Write, None) => Err(missing()),
                (OpenMode::CreateNew | OpenMode::CreateOrWrite, None) => tree.create_file(path),
                (OpenMode::Read | OpenMode::Write | OpenMode::CreateOrWrite, Some(inode)) => {
                    Ok(inode)
                }
            }
        });
        let inode = inode.await?;
        let content = inode.content().ok_or(io::ErrorKind::IsADirectory)?;
        Ok(SimFile::new(
            self,
            path,
            Rc::clone(content),
            mode,
            is_direct,
        ))
    }

    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.on_names(DiskOperation::CreateFolder, path, |tree| {
            let mut folders: Vec<_> = path.ancestors().collect();
            folders.reverse();
            for folder in folders {
                if !tree.is_folder(folder) {
                    tree.create_folder(folder)?;
                }
                if let Some(parent) = folder.parent() {
                    tree.sync(parent, tree.mark())?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mark = self.0.tree.borrow().mark();
        let chance = self.0.faults.borrow().sync_error;
        self.on_names(DiskOperation::SyncFolder, path, |tree| {
            match self.happens(chance) {
                true => Err(self.fail(path)),
                false => tree.sync(path, mark),
            }
        })
        .await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let listed = self.on_names(DiskOperation::List, path, |tree| tree.list(path));
        let entry = |(name, is_folder)| Entry { name, is_folder };
        Ok(listed.await?.into_iter().map(entry).collect())
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let renamed = self.on_names(DiskOperation::Rename, to, |tree| tree.rename(from, to));
        if let Some(replaced) = renamed.await? {
            self.free(&replaced);
        }
        Ok(())
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        let removed = self.on_names(DiskOperation::RemoveFile, path, |it| it.remove_file(path));
        self.free(&removed.await?);
        Ok(())
    }

    async fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let removed = self.on_names(DiskOperation::RemoveFolder, path, |tree| {
            tree.remove_folder(path)
        });
        removed.await?.iter().for_each(|inode| self.free(inode));
        Ok(())
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.0.capacity.get().saturating_sub(self.0.used.get()))
    }

    fn lock(&self, path: &Path) -> io::Result<SimLock> {
        let mut tree = self.0.tree.borrow_mut();
        if tree.find(path)?.is_none() {
            tree.create_file(path)?;
        }
        let mut locks = self.0.locks.borrow_mut();
        if locks.contains_key(path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let number = self.number();
        locks.insert(path.to_owned(), number);
        Ok(SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            number,
        })
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk")
            .field("life", &self.0.life.get())
            .field("used", &self.0.used.get())
            .finish_non_exhaustive()
    }
}
