use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use quorate_platform::{Compio, Tasks as _};
use rustix::fs::{AtFlags, OFlags, StatVfsMountFlags, StatxFlags, stat, statfs, statvfs, statx};
use rustix::io::Errno;

use super::{BlockDevice, Mount};
use crate::node::IDENTITY;

/// The data folder, and the file system that it lies on.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// As it was asked for.
    pub(crate) asked: PathBuf,
    /// The folder itself or, while it does not exist, the nearest one above it that does, without
    /// links: a node creates what is missing.
    pub(crate) existing: PathBuf,
    /// Whether a node has begun to keep its data there.
    pub(crate) holds_node: bool,
    /// What was found while a file was created, opened and removed again, or why that failed.
    pub(crate) trial: Result<DirectFiles, Errno>,
    /// `None` where the file system does not answer.
    pub(crate) file_system: Option<FileSystem>,
    pub(crate) mount: Option<Mount>,
    pub(crate) block_device: Option<BlockDevice>,
}

/// Whether files can be read and written past the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectFiles {
    /// With what positions and sizes must be a multiple of, where the kernel tells (since 6.1).
    Work {
        block_bytes: Option<u32>,
    },
    Refused(Errno),
}

/// What a file system says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// The number by which the kernel tells kinds of file systems apart.
    pub(crate) magic: u32,
    pub(crate) is_read_only: bool,
    pub(crate) total_bytes: u64,
    /// What this process may still write.
    pub(crate) available_bytes: u64,
    /// Files that may still be created; `None` where their number is not limited.
    pub(crate) available_files: Option<u64>,
}

impl Folder {
    pub(super) fn try_out(asked: &Path) -> Self {
        let existing = nearest_existing(asked);
        let mount = Mount::of(&existing);
        Self {
            asked: asked.to_owned(),
            holds_node: asked.join(IDENTITY).exists(),
            trial: try_to_write(&existing),
            file_system: FileSystem::of(&existing),
            block_device: block_device_of(&existing, mount.as_ref()),
            mount,
            existing,
        }
    }
}

/// Some file systems have numbers of their own, and only what is mounted leads to their device.
fn block_device_of(folder: &Path, mount: Option<&Mount>) -> Option<BlockDevice> {
    let number = stat(folder).ok().map(|stat| stat.st_dev);
    number.and_then(BlockDevice::of).or_else(|| {
        let source = &mount?.source;
        let stat = source.is_absolute().then(|| stat(source))?.ok()?;
        BlockDevice::of(stat.st_rdev)
    })
}

fn nearest_existing(asked: &Path) -> PathBuf {
    let absolute = std::path::absolute(asked).unwrap_or_else(|_| asked.to_owned());
    let mut candidates = absolute.ancestors();
    let existing = candidates.find_map(|folder| folder.canonicalize().ok());
    existing.unwrap_or_else(|| PathBuf::from("/"))
}

/// Tries in a folder of its own with a name that nobody else uses.
///
/// To ask for permission is not enough: a file system may be read-only below, or full, or refuse
/// even those whom its permissions let in.
fn try_to_write(folder: &Path) -> Result<DirectFiles, Errno> {
    let own = folder.join(format!("quorate-check-{:016x}", Compio.random()));
    fs::create_dir(&own).map_err(|error| errno(&error))?;
    let path = own.join("file");
    let tried = DirectFiles::try_out(&path);
    // What is not there need not be removed.
    let _ = fs::remove_file(&path);
    fs::remove_dir(&own).map_err(|error| errno(&error))?;
    tried
}

impl DirectFiles {
    /// Creates a file at `path`.
    fn try_out(path: &Path) -> Result<Self, Errno> {
        File::create_new(path).map_err(|error| errno(&error))?;
        let flags = OFlags::DIRECT.bits().cast_signed();
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) => return Ok(Self::Refused(errno(&error))),
        };
        let told = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
        let told = told
            .ok()
            .filter(|told| told.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
        Ok(match told.map(|told| told.stx_dio_offset_align) {
            // That is how a file system says that it only pretends.
            Some(0) => Self::Refused(Errno::INVAL),
            block_bytes => Self::Work { block_bytes },
        })
    }
}

impl FileSystem {
    fn of(folder: &Path) -> Option<Self> {
        let kind = statfs(folder).ok()?;
        let stat = statvfs(folder).ok()?;
        Some(Self {
            // The numbers have 32 bits; some are sign-extended on their way here.
            magic: (kind.f_type as u64 & u64::from(u32::MAX)) as u32,
            is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            available_files: (stat.f_files > 0).then_some(stat.f_favail),
        })
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_tried_out_in_the_nearest_one_above_and_nothing_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::try_out(&temporary.path().join("a/b"));
        assert_eq!(folder.existing, temporary.path().canonicalize().unwrap());
        assert!(folder.trial.is_ok() && !folder.holds_node);
        assert!(
            folder
                .file_system
                .is_some_and(|found| found.total_bytes > 0)
        );
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_nobody_can_write_to_is_no_folder_for_a_node() {
        // The kernel's own file system takes no files, not even from root.
        assert!(Folder::try_out(Path::new("/proc/quorate")).trial.is_err());
    }
}
