//! A disk that is looked at and never changed.
//!
//! If files were about to take the place of others when a log was closed, it is looked at as if
//! they had: whoever opens it carries that to its end before all else.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use quorate_platform::{BufResult, Disk, Entry, File, IoBuf, IoBufMut, OpenHow, OpenMode};

use crate::segment::{Name, batches_path};

/// Passes on what reads, and nothing that writes: that succeeds, and is gone.
///
/// So the code that opens a log can be asked what it would make of it.
#[derive(Clone, Debug)]
pub(crate) struct Onlooker<D> {
    disk: D,
    /// Files that are seen under another name, by that.
    renamed: Rc<BTreeMap<PathBuf, PathBuf>>,
    /// Files that are not seen.
    hidden: Rc<BTreeSet<PathBuf>>,
}

/// A file that is only read, or what is written to nowhere.
#[derive(Clone, Debug)]
pub(crate) enum Seen<F> {
    File(F),
    Nowhere,
}

impl<D: Disk> Onlooker<D> {
    /// Looks at the log in `folder`, with all files of it where they belong.
    pub(crate) async fn of_log(disk: D, folder: &Path) -> io::Result<Self> {
        let entries = match disk.list(folder).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            entries => entries?,
        };
        let (mut renamed, mut hidden) = (BTreeMap::new(), BTreeSet::new());
        let names = || {
            entries
                .iter()
                .map(|it| (Name::parse(&it.name), folder.join(&it.name)))
        };
        for (name, path) in names() {
            match name {
                Name::Compacting(..) => drop(hidden.insert(path)),
                Name::Compacted(base_offset, next_offset) => {
                    let inside = base_offset..next_offset;
                    hidden.extend(names().filter_map(|(name, path)| match name {
                        Name::Batches(base) | Name::Checkpoint(base) => {
                            inside.contains(&base).then_some(path)
                        }
                        Name::Start(base) => {
                            (base > base_offset && base < next_offset).then_some(path)
                        }
                        Name::Compacting(..) | Name::Compacted(..) | Name::Other => None,
                    }));
                    hidden.insert(path.clone());
                    renamed.insert(batches_path(folder, base_offset), path);
                }
                Name::Batches(_) | Name::Checkpoint(_) | Name::Start(_) | Name::Other => {}
            }
        }
        Ok(Self {
            disk,
            renamed: Rc::new(renamed),
            hidden: Rc::new(hidden),
        })
    }

    /// The files that compactions have not written to their end, the last one first.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let is_one = |path: &&PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| matches!(Name::parse(name), Name::Compacting(..)))
        };
        self.hidden.iter().rev().filter(is_one).cloned().collect()
    }

    /// The size of one of these files; `None` if it is gone.
    pub(crate) async fn leftover_bytes(&self, path: &Path) -> io::Result<Option<u64>> {
        match self.disk.open(path, OpenMode::Read).await {
            Ok(file) => file.len().await.map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file that is seen at `path`.
    fn seen(&self, path: &Path) -> io::Result<PathBuf> {
        match self.renamed.get(path) {
            Some(renamed) => Ok(renamed.clone()),
            None if self.hidden.contains(path) => Err(io::ErrorKind::NotFound.into()),
            None => Ok(path.to_owned()),
        }
    }
}

impl<D: Disk> Disk for Onlooker<D> {
    type File = Seen<D::File>;
    type Lock = ();

    async fn open(&self, path: &Path, how: impl Into<OpenHow>) -> io::Result<Self::File> {
        let how = how.into();
        match how.mode {
            OpenMode::Read => {
                let path = self.seen(path)?;
                Ok(Seen::File(self.disk.open(&path, how).await?))
            }
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
        let mut entries = self.disk.list(path).await?;
        entries.retain(|entry| !self.hidden.contains(&path.join(&entry.name)));
        let here = self.renamed.keys().filter(|it| it.parent() == Some(path));
        let names = here.filter_map(|it| it.file_name()?.to_str());
        entries.extend(names.map(|name| Entry {
            name: name.to_owned(),
            is_folder: false,
        }));
        entries.sort_unstable();
        Ok(entries)
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
        self.disk.available_bytes(path)
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
        let disk = Onlooker::of_log(Compio, folder.path()).await.unwrap();
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

    #[compio::test]
    async fn what_is_about_to_take_a_place_is_seen_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let [one, two, three] = [0, 5, 9].map(|base| format!("{base:020}"));
        for name in [&one, &two, &three] {
            std::fs::write(at(&format!("{name}.log")), b"old").unwrap();
            std::fs::write(at(&format!("{name}.index")), b"old").unwrap();
        }
        std::fs::write(at(&format!("{one}-{three}.compacted")), b"new").unwrap();
        std::fs::write(at(&format!("{three}-{three}.compacting")), b"").unwrap();
        std::fs::write(at(&format!("{two}-{three}.compacting")), b"").unwrap();
        let disk = Onlooker::of_log(Compio, folder.path()).await.unwrap();
        let entries = disk.list(folder.path()).await.unwrap().into_iter();
        let names: Vec<_> = entries.map(|entry| entry.name).collect();
        let strange = format!("{three}-{three}.compacting");
        let expected = [format!("{one}.log"), strange, format!("{three}.index")];
        assert_eq!(names[..2], expected[..2]);
        assert_eq!(names[2..], [expected[2].clone(), format!("{three}.log")]);
        let first = at(&format!("{one}.log"));
        let file = disk.open(&first, OpenMode::Read).await.unwrap();
        let read = file.read_at(Vec::with_capacity(3), 0).await;
        assert_eq!(read.1, b"new");
        let gone = disk.open(&at(&format!("{two}.log")), OpenMode::Read).await;
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
