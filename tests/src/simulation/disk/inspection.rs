//! What judges and scenarios see of a disk from outside of time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::pages::Pages;
use super::{DiskEvent, DiskOperation, SimDisk};

impl SimDisk {
    /// The paths of all files that are seen, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.0.tree.borrow().files();
        files.into_iter().map(|(path, _)| path).collect()
    }

    /// The bytes of a file as they are seen.
    pub fn current_bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let inode = self.0.tree.borrow().find(path).ok()??;
        let content = inode.content()?.borrow();
        Some(all(content.current()))
    }

    /// The files in a folder as they are seen, by their names.
    pub fn folder(&self, path: &Path) -> BTreeMap<String, Vec<u8>> {
        let files = self.files().into_iter();
        let files = files.filter(|file| file.parent() == Some(path));
        let named = files.filter_map(|file| {
            let name = file.file_name()?.to_str()?.to_owned();
            Some((name, self.current_bytes(&file)?))
        });
        named.collect()
    }

    /// The bytes of a file that a loss of power surely leaves, if it surely leaves the name.
    pub fn durable_bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let inode = self.0.tree.borrow().find_durable(path)?;
        let content = inode.content()?.borrow();
        Some(all(content.durable()))
    }

    /// How often something was done so far.
    pub fn count(&self, operation: DiskOperation) -> u64 {
        let counts = self.0.counts.borrow();
        counts.get(&operation).copied().unwrap_or(0)
    }

    /// Calls `hook` after every operation.
    pub fn on_event(&self, hook: impl FnMut(&DiskEvent<'_>) + 'static) {
        *self.0.hook.borrow_mut() = Some(Box::new(hook));
    }

    /// Bytes that are used.
    pub fn used_bytes(&self) -> u64 {
        self.0.used.get()
    }
}

fn all(pages: &Pages) -> Vec<u8> {
    let len = usize::try_from(pages.len()).expect("a simulated file fits in memory");
    let mut bytes = vec![0; len];
    pages.read(0, &mut bytes);
    bytes
}
