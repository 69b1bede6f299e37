//! What is done to a disk from outside, or by its own faults.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rand::{Rng, RngExt};

use super::content::SECTOR_BYTES;
use super::pages::PAGE_BYTES;
use super::tree::missing;
use super::{Inode, SimDisk, device_error, no_room};

/// How often a place is drawn anew in which there is a zero.
const DRAWS_MAX: usize = 16;

impl SimDisk {
    /// Changes the durable bytes from `position` on: each bit that is set in `flips` turns.
    ///
    /// # Errors
    ///
    /// There is no such file.
    pub fn rot(&self, path: &Path, position: u64, flips: &[u8]) -> io::Result<()> {
        let inode = self.file_at(path)?;
        let content = inode.content().ok_or(io::ErrorKind::IsADirectory)?;
        content.borrow_mut().rot(position, flips);
        Ok(())
    }

    /// Has the sectors of `range` fail to be read until they are written.
    ///
    /// # Errors
    ///
    /// There is no such file.
    pub fn wear_out(&self, path: &Path, range: Range<u64>) -> io::Result<()> {
        let inode = self.file_at(path)?;
        let content = inode.content().ok_or(io::ErrorKind::IsADirectory)?;
        content.borrow_mut().wear_out(range);
        Ok(())
    }

    /// Something durable changes of a file that the rule of damage allows; which file, if there is
    /// one: a bit, or a whole sector.
    pub fn rot_any(&self) -> Option<PathBuf> {
        let (path, inode, position) = self.victim()?;
        let mut random = self.0.random.borrow_mut();
        let mut content = inode.content()?.borrow_mut();
        if random.random_bool(0.5) {
            content.rot(position, &[1 << random.random_range(0..8)]);
        } else {
            let mut flips = [0; SECTOR_BYTES as usize];
            random.fill_bytes(&mut flips);
            content.rot(position / SECTOR_BYTES * SECTOR_BYTES, &flips);
        }
        self.0.damaged.borrow_mut().insert(path.clone());
        Some(path)
    }

    /// Some sectors fail to be read, until they are written, of a file that the rule of damage
    /// allows; which file, if there is one.
    pub fn wear_out_any(&self) -> Option<PathBuf> {
        let (path, inode, position) = self.victim()?;
        let bytes = self.0.random.borrow_mut().random_range(1..=2 * PAGE_BYTES);
        let mut content = inode.content()?.borrow_mut();
        let end = content.durable().len().min(position + bytes);
        content.wear_out(position..end);
        self.0.damaged.borrow_mut().insert(path.clone());
        Some(path)
    }

    /// The files that were damaged so far, by the names that they had.
    pub fn damaged(&self) -> BTreeSet<PathBuf> {
        self.0.damaged.borrow().clone()
    }

    /// Whether `error` tells of an operation that has failed because it was told to, or for want of
    /// room, and names the file or folder; or the file whose place it was to take.
    pub fn has_failed_with(&self, error: &str) -> bool {
        let is_named = |path: &PathBuf| {
            let path = path.to_string_lossy();
            error.contains(path.strip_suffix(".new").unwrap_or(&path))
        };
        let mut causes = [device_error(), no_room()].into_iter();
        causes.any(|cause| error.contains(&cause.to_string()))
            && self.0.failed.borrow().iter().any(is_named)
    }

    /// An operation on `path` fails for no other reason than that one may.
    pub(super) fn fail(&self, path: &Path) -> io::Error {
        self.0.failed.borrow_mut().insert(path.to_owned());
        self.0.has_failed.set(true);
        device_error()
    }

    /// There is no room for an operation on `path`, of which nothing else is wrong.
    pub(super) fn refuse(&self, path: &Path) -> io::Error {
        self.0.failed.borrow_mut().insert(path.to_owned());
        no_room()
    }

    /// A place with something in it of a file that may be damaged. Most files are full of zeros,
    /// which say nothing; it is rarely one of them.
    fn victim(&self) -> Option<(PathBuf, Inode, u64)> {
        let mut files = self.0.tree.borrow().files();
        let written = |inode: &Inode| {
            let content = inode.content().map(|content| content.borrow());
            content.map_or_else(Vec::new, |content| content.durable().written())
        };
        files.retain(|(path, inode)| self.may_damage(path) && !written(inode).is_empty());
        if files.is_empty() {
            return None;
        }
        let mut random = self.0.random.borrow_mut();
        let (path, inode) = files.swap_remove(random.random_range(0..files.len()));
        let pages = written(&inode);
        let content = inode.content()?.borrow();
        let mut draw = || {
            let page = &pages[random.random_range(0..pages.len())];
            random.random_range(page.clone())
        };
        let mut position = draw();
        for _ in 0..DRAWS_MAX {
            let mut byte = [0];
            content.durable().read(position, &mut byte);
            if byte != [0] {
                break;
            }
            position = draw();
        }
        drop(content);
        Some((path, inode, position))
    }

    fn file_at(&self, path: &Path) -> io::Result<Inode> {
        self.0.tree.borrow().find(path)?.ok_or_else(missing)
    }
}
