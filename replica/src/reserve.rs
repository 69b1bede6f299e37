//! Room on the disk that is set aside for the moment when there is none left.
//!
//! While little room is left a node refuses appends, so that there is some for what it has accepted
//! before, for its facts and for the journal of the control plane. But others write to the same
//! file system, and of a quota no number of free bytes tells. So a node holds a file that takes
//! room for nothing: `reserve`, in its data folder. When something finds no room, the file is
//! removed and it is done again. From then on the disk counts as full, until the file could be made
//! anew.
//!
//! What the system refuses for want of room has not taken place, or only a part of a write that is
//! written again from its start: nothing is unknown after it. Nothing is done again after any other
//! failure, and no sync after whatever failure.

mod platform;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;

pub use self::platform::{Reserved, ReservedFile};
use crate::error::is_no_room;
use crate::shard::RESERVE_BYTES;

/// The file's name.
const NAME: &str = "reserve";

/// The file that takes room; the threads of a node share it.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    bytes: u64,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    /// There is no room for it, or there was none for something else.
    Gone,
    /// The file system cannot set room aside.
    Impossible,
}

impl Reserve {
    /// Takes `bytes` of the file system that holds `folder`, which is there, if so many are left.
    pub fn take(folder: &Path, bytes: u64) -> Arc<Self> {
        let reserve = Self {
            path: folder.join(NAME),
            bytes,
            state: Mutex::new(State::Gone),
        };
        reserve.fill(&mut reserve.state());
        Arc::new(reserve)
    }

    /// Whether what has come to `result` is to be done again: it found no room, and there is some
    /// now. So it is done again once, also if it was another thread that has given the room back.
    fn has_made_room<T>(&self, result: &io::Result<T>) -> bool {
        let Err(error) = result else {
            return false;
        };
        is_no_room(error.kind()) && self.give_back(error)
    }

    fn give_back(&self, found: &io::Error) -> bool {
        let mut state = self.state();
        match *state {
            State::Held => {
                let file = self.path.display();
                if let Err(error) = fs::remove_file(&self.path) {
                    tracing::error!(%file, %error, "the reserve cannot be given back");
                    return false;
                }
                tracing::warn!(%file, error = %found, "no room: the reserve is used, appends end");
                *state = State::Gone;
                true
            }
            State::Gone => true,
            State::Impossible => false,
        }
    }

    /// How much of the `available` bytes of the file system counts: nothing while they have to make
    /// up for the reserve.
    fn available_of(&self, available: u64) -> u64 {
        let mut state = self.state();
        if *state == State::Gone && available >= RESERVE_BYTES + self.bytes {
            self.fill(&mut state);
        }
        match *state {
            State::Held | State::Impossible => available,
            State::Gone => 0,
        }
    }

    fn fill(&self, state: &mut State) {
        let file = self.path.display();
        match allocate(&self.path, self.bytes) {
            Ok(()) => *state = State::Held,
            Err(error) if is_no_room(error.kind()) => {
                // What it has taken is of more use to others.
                let removed = fs::remove_file(&self.path);
                tracing::warn!(%file, %error, ?removed, "no room can be set aside: appends wait");
            }
            Err(error) => {
                tracing::warn!(%file, %error, "no room can be set aside on this file system");
                *state = State::Impossible;
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes sure that the file at `path` has all these bytes on the disk, whatever is in them.
fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file: File = options.create(true).append(true).open(path)?;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: u64 = 1 << 20;

    fn no_room() -> io::Result<()> {
        Err(io::ErrorKind::QuotaExceeded.into())
    }

    #[test]
    fn room_is_set_aside_given_back_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let reserve = Reserve::take(folder.path(), BYTES);
        assert_eq!(fs::metadata(&path).unwrap().len(), BYTES);
        assert_eq!(reserve.available_of(5), 5);
        assert!(!reserve.has_made_room(&Ok(())));
        assert!(!reserve.has_made_room::<()>(&Err(io::Error::other("broken"))));
        assert!(path.exists());

        for _ in 0..2 {
            assert!(
                reserve.has_made_room(&no_room()),
                "others have given it back"
            );
            assert!(!path.exists());
        }
        assert_eq!(reserve.available_of(RESERVE_BYTES + BYTES - 1), 0);
        assert!(!path.exists());
        let enough = RESERVE_BYTES + BYTES;
        assert_eq!(reserve.available_of(enough), enough);
        assert_eq!(fs::metadata(&path).unwrap().len(), BYTES);
    }

    #[test]
    fn without_room_for_it_the_disk_is_full() {
        let folder = tempfile::tempdir().unwrap();
        // More than any file system has.
        let reserve = Reserve::take(folder.path(), 1 << 42);
        assert!(!folder.path().join(NAME).exists());
        assert_eq!(reserve.available_of(1 << 40), 0);
    }

    #[test]
    fn where_no_room_can_be_set_aside_nothing_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(NAME)).unwrap();
        let reserve = Reserve::take(folder.path(), BYTES);
        assert!(!reserve.has_made_room(&no_room()));
        assert_eq!(reserve.available_of(5), 5);
    }
}
