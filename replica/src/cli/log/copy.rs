//! Copies of files, made and durable before anything in the files is changed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_client::Compio;
use quorate_platform::{Disk as _, File as _, OpenMode, read_around};

use crate::cli::Failure;

const PIECE_BYTES: usize = 1 << 20;
/// What is left free on a file system besides the copies.
const SPARE_BYTES: u64 = 16 << 20;
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Where copies go, and what they are called.
pub(super) struct Copies {
    /// Beside the files themselves, if none is given.
    to: Option<PathBuf>,
    /// What the paths of the files begin with.
    root: PathBuf,
    suffix: String,
}

impl Copies {
    /// Copies of files in `root`, that are made now.
    pub(super) fn new(to: Option<PathBuf>, root: &Path) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let folder = if root.is_file() {
            root.parent()
        } else {
            Some(root)
        };
        Self {
            to,
            root: folder.unwrap_or(root).to_owned(),
            suffix: format!(".before-repair-{}", moment(now)),
        }
    }

    /// Where the copy of a file goes. A node ignores the name.
    pub(super) fn path(&self, file: &Path) -> PathBuf {
        let place = match &self.to {
            // A file of the shard may lie above what was asked for.
            Some(to) => match file.strip_prefix(&self.root) {
                Ok(inside) => to.join(inside),
                Err(_) => to.join(file.file_name().unwrap_or_default()),
            },
            None => file.to_owned(),
        };
        let mut name = place.into_os_string();
        name.push(&self.suffix);
        name.into()
    }

    /// Refuses if there is no room for copies of all these files.
    pub(super) fn check_room(&self, files: &[PathBuf]) -> Result<(), Failure> {
        let length = |file: &PathBuf| std::fs::metadata(file).map_or(0, |it| it.len());
        let needed = files.iter().map(length).sum::<u64>() + SPARE_BYTES;
        let folder = self.to.as_ref().unwrap_or(&self.root);
        let exists = folder.ancestors().find(|folder| folder.is_dir());
        let folder = exists.unwrap_or(Path::new("."));
        let available = Compio.available_bytes(folder).map_err(|error| {
            Failure::failed(format!(
                "cannot tell the room in {}: {error}",
                folder.display()
            ))
        })?;
        match available >= needed {
            true => Ok(()),
            false => Err(Failure::refused(format!(
                "the copies take {needed} bytes, and {} has room for {available}: free some, or \
                 name a folder of another file system with --copy-to",
                folder.display()
            ))),
        }
    }

    /// Copies the file, durably; gives the path of the copy.
    pub(super) async fn make(&self, file: &Path) -> Result<PathBuf, Failure> {
        let copy = self.path(file);
        let made = async {
            let folder = copy.parent().unwrap_or(Path::new("."));
            Compio.create_folder(folder).await?;
            let from = Compio.open(file, OpenMode::Read).await?;
            let to = Compio.open(&copy, OpenMode::CreateNew).await?;
            let mut position = 0;
            loop {
                // What the disk cannot read is not to keep the rest from being saved.
                let piece = read_around(&from, position, PIECE_BYTES).await?;
                if piece.is_empty() {
                    break;
                }
                let len = piece.len() as u64;
                to.write_all_at(piece, position).await.0?;
                position += len;
            }
            to.sync_data().await?;
            Compio.sync_folder(folder).await
        };
        match made.await {
            Ok(()) => Ok(copy),
            Err(error) => Err(Failure::failed(format!(
                "{} cannot be copied to {}: {error}; nothing was changed",
                file.display(),
                copy.display()
            ))),
        }
    }
}

/// A moment since 1970 as digits, `20260131T235959Z`.
fn moment(since: Duration) -> String {
    let seconds = since.as_secs();
    let (mut days, rest) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let day = days + 1;
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_767_225_599, "20251231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(moment(Duration::from_secs(seconds)), expected);
        }
    }

    #[compio::test]
    async fn a_copy_is_what_the_file_was_and_never_replaces_another() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/file.log");
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let bytes: Vec<u8> = (0..2_500_000u32).map(|at| at as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        let elsewhere = folder.path().join("copies/deep");
        for to in [None, Some(elsewhere.clone())] {
            let copies = Copies::new(to.clone(), folder.path());
            copies.check_room(std::slice::from_ref(&file)).unwrap();
            let copy = copies.make(&file).await.unwrap();
            assert!(std::fs::read(&copy).unwrap() == bytes);
            let parent = to.map_or(folder.path().join("a"), |to| to.join("a"));
            assert_eq!(copy.parent(), Some(&*parent));
            let again = copies.make(&file).await.unwrap_err();
            assert!(again.to_string().contains("nothing was changed"), "{again}");
        }
    }
}
