//! The names on a disk: what is durable, what is seen, and the changes between the two.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::content::Content;

/// A place for a name: the number of the folder, and the name.
type Place = (u64, String);
type Names = BTreeMap<Place, Inode>;

const ROOT: u64 = 0;

/// A file or a folder, whatever its name.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    number: u64,
    /// None of a folder.
    content: Option<Rc<RefCell<Content>>>,
}

/// One change of names. It happens as a whole or not at all, also after a crash.
#[derive(Debug)]
enum Move {
    Link(Place, Inode),
    Unlink(Place),
    Rename(Place, Place),
}

#[derive(Debug)]
struct Pending {
    number: u64,
    change: Move,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    durable: Names,
    current: Names,
    pending: Vec<Pending>,
    changes: u64,
    inodes: u64,
}

impl Move {
    fn places(&self) -> impl Iterator<Item = &Place> {
        let (first, second) = match self {
            Self::Link(place, _) | Self::Unlink(place) => (place, None),
            Self::Rename(from, to) => (from, Some(to)),
        };
        [Some(first), second].into_iter().flatten()
    }

    /// Does it, unless what it changes is not there.
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(place, inode) => drop(names.insert(place.clone(), inode.clone())),
            Self::Unlink(place) => drop(names.remove(place)),
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

impl Inode {
    pub(super) fn content(&self) -> Option<&Rc<RefCell<Content>>> {
        self.content.as_ref()
    }
}

pub(super) fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn folder_of(names: &Names, path: &Path) -> io::Result<u64> {
    let mut folder = ROOT;
    for component in path.components() {
        let Component::Normal(name) = component else {
            continue;
        };
        let place = (folder, name.to_string_lossy().into_owned());
        match names.get(&place) {
            Some(inode) if inode.content.is_none() => folder = inode.number,
            Some(_) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(missing()),
        }
    }
    Ok(folder)
}

fn place_in(names: &Names, path: &Path) -> io::Result<Place> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let folder = folder_of(names, path.parent().unwrap_or(Path::new("")))?;
    Ok((folder, name.to_string_lossy().into_owned()))
}

fn entries(names: &Names, folder: u64) -> impl Iterator<Item = (&String, &Inode)> {
    let from = (folder, String::new())..(folder + 1, String::new());
    names.range(from).map(|((_, name), inode)| (name, inode))
}

impl Tree {
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<Inode>> {
        let place = place_in(&self.current, path)?;
        Ok(self.current.get(&place).cloned())
    }

    pub(super) fn find_durable(&self, path: &Path) -> Option<Inode> {
        let place = place_in(&self.durable, path).ok()?;
        self.durable.get(&place).cloned()
    }

    pub(super) fn is_folder(&self, path: &Path) -> bool {
        folder_of(&self.current, path).is_ok()
    }

    /// The names in a folder, and whether each is that of a folder.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let folder = folder_of(&self.current, path)?;
        let entries = entries(&self.current, folder);
        Ok(entries
            .map(|(name, inode)| (name.clone(), inode.content.is_none()))
            .collect())
    }

    /// All files with their paths, as they are seen.
    pub(super) fn files(&self) -> Vec<(PathBuf, Inode)> {
        let mut files = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, folder)) = open.pop() {
            for (name, inode) in entries(&self.current, folder) {
                match inode.content {
                    Some(_) => files.push((path.join(name), inode.clone())),
                    None => open.push((path.join(name), inode.number)),
                }
            }
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        files
    }

    fn change(&mut self, change: Move) {
        change.apply(&mut self.current);
        self.changes += 1;
        self.pending.push(Pending {
            number: self.changes,
            change,
        });
    }

    fn create(&mut self, path: &Path, content: Option<Content>) -> io::Result<Inode> {
        let place = place_in(&self.current, path)?;
        self.inodes += 1;
        let inode = Inode {
            number: self.inodes,
            content: content.map(|content| Rc::new(RefCell::new(content))),
        };
        self.change(Move::Link(place, inode.clone()));
        Ok(inode)
    }

    pub(super) fn create_file(&mut self, path: &Path) -> io::Result<Inode> {
        self.create(path, Some(Content::named()))
    }

    pub(super) fn create_folder(&mut self, path: &Path) -> io::Result<()> {
        self.create(path, None).map(drop)
    }

    /// Gives what had the name `to` before.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<Option<Inode>> {
        let from = place_in(&self.current, from)?;
        let to = place_in(&self.current, to)?;
        if !self.current.contains_key(&from) {
            return Err(missing());
        }
        let replaced = self.current.get(&to).cloned().filter(|_| from != to);
        if replaced.as_ref().is_some_and(|it| it.content.is_none()) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.change(Move::Rename(from, to));
        Ok(replaced)
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<Inode> {
        let place = place_in(&self.current, path)?;
        match self.current.get(&place) {
            None => Err(missing()),
            Some(inode) if inode.content.is_none() => Err(io::ErrorKind::IsADirectory.into()),
            Some(inode) => {
                let inode = inode.clone();
                self.change(Move::Unlink(place));
                Ok(inode)
            }
        }
    }

    /// Removes a folder, from the leaves on; gives what was in it.
    pub(super) fn remove_folder(&mut self, path: &Path) -> io::Result<Vec<Inode>> {
        let folder = folder_of(&self.current, path)?;
        let mut removed = Vec::new();
        self.empty(folder, &mut removed);
        let place = place_in(&self.current, path)?;
        self.change(Move::Unlink(place));
        Ok(removed)
    }

    fn empty(&mut self, folder: u64, removed: &mut Vec<Inode>) {
        let inside = entries(&self.current, folder);
        let inside: Vec<_> = inside
            .map(|(name, inode)| (name.clone(), inode.clone()))
            .collect();
        for (name, inode) in inside {
            if inode.content.is_none() {
                self.empty(inode.number, removed);
            }
            self.change(Move::Unlink((folder, name)));
            removed.push(inode);
        }
    }

    /// How many changes there were, for [`Tree::sync`].
    pub(super) fn mark(&self) -> u64 {
        self.changes
    }

    /// Makes the changes in a folder durable that were made up to `mark`, and what they rest on.
    pub(super) fn sync(&mut self, path: &Path, mark: u64) -> io::Result<()> {
        let folder = folder_of(&self.current, path)?;
        let mut needed: BTreeSet<Place> = BTreeSet::new();
        let mut chosen: BTreeSet<u64> = BTreeSet::new();
        for pending in self.pending.iter().rev().filter(|it| it.number <= mark) {
            let mut places = pending.change.places();
            if places.any(|place| place.0 == folder || needed.contains(place)) {
                needed.extend(pending.change.places().cloned());
                chosen.insert(pending.number);
            }
        }
        let durable = &mut self.durable;
        self.pending.retain(|pending| {
            let is_chosen = chosen.contains(&pending.number);
            if is_chosen {
                pending.change.apply(durable);
            }
            !is_chosen
        });
        Ok(())
    }

    /// Power is lost: of the changes that are not durable the first ones are there, or any.
    ///
    /// A change of a name rests on the one before it of the same name.
    pub(super) fn lose_power(&mut self, random: &mut ChaCha8Rng) {
        let pending = std::mem::take(&mut self.pending);
        let is_in_order = random.random_bool(0.5);
        let first = random.random_range(0..=pending.len());
        let mut lost: BTreeSet<Place> = BTreeSet::new();
        for (at, Pending { change, .. }) in pending.into_iter().enumerate() {
            let is_kept = match is_in_order {
                true => at < first,
                false => random.random_bool(0.5),
            };
            if is_kept && !change.places().any(|place| lost.contains(place)) {
                change.apply(&mut self.durable);
            } else {
                lost.extend(change.places().cloned());
            }
        }
        self.current = self.durable.clone();
    }
}
