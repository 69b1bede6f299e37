use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use quorate_platform::{Compio, Tasks as _};

use super::Shortfall;
use super::area::{Area, AreaFile};
use crate::cli::output;

const PREFIX: &str = "quorate-doctor-";
const LOCK: &str = "lock";

/// A folder for the files of one measurement, gone when this is dropped.
///
/// Only files that were named here are removed, and the folder if it is empty then: should it hold
/// anything else, somebody has put that there.
#[derive(Debug)]
pub(super) struct Workplace {
    path: PathBuf,
    lock: Option<File>,
}

impl Workplace {
    /// Makes a new one inside `folder`, and removes those of measurements that were killed.
    pub(super) fn open(folder: &Path) -> Result<Self, Shortfall> {
        let failed = Shortfall::failed;
        remove_left_behind(folder)?;
        let path = folder.join(format!("{PREFIX}{:016x}", Compio.random()));
        fs::create_dir(&path).map_err(failed("create a folder"))?;
        let lock = match lock(&path) {
            Ok(lock) => lock,
            Err(error) => {
                remove(&path);
                return Err(failed("create a file")(error));
            }
        };
        Ok(Self {
            path,
            lock: Some(lock),
        })
    }

    /// Creates the file of this kind, or empties the one that is there.
    pub(super) fn create(&self, area: Area, is_direct: bool) -> io::Result<AreaFile> {
        AreaFile::create(&self.path, area, is_direct)
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        // Some file systems keep the name of a file that is open.
        drop(self.lock.take());
        remove(&self.path);
        if self.path.exists() {
            let path = self.path.display();
            output::tell(&format!("{path} could not be removed: remove it by hand"));
        }
    }
}

/// What cannot be removed is noticed by who looks whether it is gone.
fn remove(workplace: &Path) {
    for area in Area::ALL {
        let _ = fs::remove_file(workplace.join(area.file_name()));
    }
    let _ = fs::remove_file(workplace.join(LOCK));
    let _ = fs::remove_dir(workplace);
}

fn lock(workplace: &Path) -> io::Result<File> {
    let file = File::create(workplace.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove_left_behind(folder: &Path) -> Result<(), Shortfall> {
    let entries = fs::read_dir(folder).map_err(Shortfall::failed("list a folder"))?;
    for entry in entries.flatten() {
        if !is_workplace(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // Some file systems lock only what can be written to.
        let lock = OpenOptions::new().write(true).open(entry.path().join(LOCK));
        match lock.map(|file| file.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => return Err(Shortfall::Busy),
            // Killed before it had a lock, or its lock is free: nobody measures there.
            Ok(Ok(()) | Err(TryLockError::Error(_))) | Err(_) => remove(&entry.path()),
        }
    }
    Ok(())
}

fn is_workplace(name: &str) -> bool {
    let id = name.strip_prefix(PREFIX);
    id.is_some_and(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        entries.map(|entry| name(entry).unwrap()).collect()
    }

    #[test]
    fn nothing_stays_of_a_workplace() {
        let folder = tempfile::tempdir().unwrap();
        let workplace = Workplace::open(folder.path()).unwrap();
        let file = workplace.create(Area::Growing, false).unwrap();
        assert_eq!(names_in(folder.path()).len(), 1);
        drop((file, workplace));
        assert!(names_in(folder.path()).is_empty());
    }

    #[test]
    fn what_a_killed_measurement_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("quorate-doctor-0123456789abcdef");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join("growing"), "x").unwrap();
        let foreign = folder.path().join("quorate-doctor-fedcba9876543210");
        fs::create_dir(&foreign).unwrap();
        fs::write(foreign.join("letter"), "x").unwrap();
        fs::create_dir(folder.path().join("quorate-doctor-notes")).unwrap();
        drop(Workplace::open(folder.path()).unwrap());
        assert!(!left.exists());
        assert!(foreign.join("letter").exists());
        assert!(folder.path().join("quorate-doctor-notes").exists());
    }

    #[test]
    fn two_do_not_measure_in_one_folder_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Workplace::open(folder.path()).unwrap();
        let second = Workplace::open(folder.path());
        assert!(matches!(second, Err(Shortfall::Busy)), "{second:?}");
    }
}
