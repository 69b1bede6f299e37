use std::io;
use std::path::Path;

use compio::io::{AsyncReadAt, AsyncWriteAtExt};
use compio_buf::{BufResult, IoBuf, IoBufMut};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::{Compio, durable_write};
use crate::{Disk, Entry, File, OpenHow, OpenMode};

impl Disk for Compio {
    type File = CompioFile;
    type Lock = std::fs::File;

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<CompioFile> {
        let OpenHow { mode, is_direct } = how.into();
        let mut options = compio::fs::OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateOrWrite => options.write(true).create(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        let file = options.open(path).await?;
        let is_direct = is_direct && pass_by_cache(&file)?;
        Ok(CompioFile { file, is_direct })
    }

    async fn create_folder(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        let mut folder = path;
        while !folder.as_os_str().is_empty() && !folder.is_dir() {
            missing.push(folder);
            let Some(parent) = folder.parent() else { break };
            folder = parent;
        }
        if missing.is_empty()
            && let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
        {
            // Whoever created it may have crashed before its name was durable.
            self.sync_folder(parent).await?;
        }
        for folder in missing.into_iter().rev() {
            compio::fs::create_dir_all(folder).await?;
            if let Some(parent) = folder
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                self.sync_folder(parent).await?;
            }
        }
        Ok(())
    }

    async fn sync_folder(&self, path: &Path) -> io::Result<()> {
        compio::fs::File::open(path).await?.sync_all().await
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let path = path.to_owned();
        let listing = compio::runtime::spawn_blocking(move || -> io::Result<Vec<Entry>> {
            let mut entries = Vec::new();
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                let is_folder = entry.file_type()?.is_dir();
                if let Ok(name) = entry.file_name().into_string() {
                    entries.push(Entry { name, is_folder });
                }
            }
            entries.sort();
            Ok(entries)
        });
        listing
            .await
            .map_err(|_| io::Error::other("the thread that listed a folder has ended"))?
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        compio::fs::rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> io::Result<()> {
        compio::fs::remove_file(path).await
    }

    async fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let path = path.to_owned();
        let removal = compio::runtime::spawn_blocking(move || std::fs::remove_dir_all(path));
        removal
            .await
            .map_err(|_| io::Error::other("the thread that removed a folder has ended"))?
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<std::fs::File> {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }
}

/// Makes an open file a direct one; answers whether its file system can do that.
///
/// A file system that cannot would have created the file before it refused to open it that way, so
/// it is opened first and asked then.
fn pass_by_cache(file: &compio::fs::File) -> io::Result<bool> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    match rustix::fs::fcntl_setfl(file, flags | OFlags::DIRECT) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A file of the [`Compio`] platform.
#[derive(Clone, Debug)]
pub struct CompioFile {
    file: compio::fs::File,
    is_direct: bool,
}

impl File for CompioFile {
    async fn read_at<B: IoBufMut>(&self, buffer: B, position: u64) -> BufResult<usize, B> {
        // A regular file gives fewer bytes than asked for only at its end (or to a signal, which
        // io_uring retries), so one read is enough.
        self.file.read_at(buffer, position).await
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        (&self.file).write_all_at(buffer, position).await
    }

    async fn write_durable_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        durable_write::write_durable_at(&self.file, buffer, position).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().await
    }

    fn is_direct(&self) -> bool {
        self.is_direct
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().await?.len())
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).await
    }
}

#[cfg(test)]
mod tests;
