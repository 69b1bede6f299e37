//! A disk that is looked at and never changed.

use std::io;
use std::path::Path;

use quorate_platform::{BufResult, Disk, Entry, File, IoBuf, IoBufMut, OpenHow, OpenMode};

/// Passes on what reads, and nothing that writes: that succeeds, and is gone.
///
/// So the code that opens a log can be asked what it would make of it.
#[derive(Clone, Debug)]
pub(crate) struct Onlooker<D>(pub(crate) D);

/// A file that is only read, or what is written to nowhere.
#[derive(Clone, Debug)]
pub(crate) enum Seen<F> {
    File(F),
    Nowhere,
}

impl<D: Disk> Disk for Onlooker<D> {
    type File = Seen<D::File>;
    type Lock = ();

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<Self::File> {
        let how = how.into();
        match how.mode {
            OpenMode::Read => Ok(Seen::File(self.0.open(path, how).await?)),
            OpenMode::Write | OpenMode::CreateOrWrite | OpenMode::CreateNew => Ok(Seen::Nowhere),
        }
    }

    async fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    async fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    async fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(path).await
    }

    async fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    async fn remove_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    async fn remove_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.available_bytes(path)
    }

    fn lock(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl<F: File> File for Seen<F> {
    async fn read_at<B: IoBufMut>(&self, buffer: B, position: u64) -> BufResult<usize, B> {
        match self {
            Self::File(file) => file.read_at(buffer, position).await,
            Self::Nowhere => BufResult(Ok(0), buffer),
        }
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, _: u64) -> BufResult<(), B> {
        BufResult(Ok(()), buffer)
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_direct(&self) -> bool {
        match self {
            Self::File(file) => file.is_direct(),
            Self::Nowhere => false,
        }
    }

    async fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => file.len().await,
            Self::Nowhere => Ok(0),
        }
    }

    async fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use quorate_platform::Compio;

    use super::*;

    #[compio::test]
    async fn what_is_written_is_gone_and_what_is_there_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&path, b"old").unwrap();
        let disk = Onlooker(Compio);
        for mode in [
            OpenMode::Write,
            OpenMode::CreateOrWrite,
            OpenMode::CreateNew,
        ] {
            let file = disk.open(&path, mode).await.unwrap();
            file.set_len(0).await.unwrap();
            file.write_all_at(b"new".to_vec(), 0).await.0.unwrap();
            file.sync_data().await.unwrap();
            disk.open(&new, mode).await.unwrap();
        }
        disk.rename(&path, &new).await.unwrap();
        disk.remove_file(&path).await.unwrap();
        disk.remove_folder(folder.path()).await.unwrap();
        let file = disk.open(&path, OpenMode::Read).await.unwrap();
        let read = file.read_at(Vec::with_capacity(3), 0).await.1;
        assert_eq!((read, file.len().await.unwrap()), (b"old".to_vec(), 3));
        assert_eq!(disk.list(folder.path()).await.unwrap().len(), 1);
    }
}
