use std::path::{Path, PathBuf};

use crate::retention::SegmentSpan;
use crate::segment_index::SegmentIndex;

/// A run of batches that is one file of a partition's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The offset of the first record, and so the file's name.
    pub(crate) base_offset: u64,
    /// The bytes of all batches in it, whether written yet or not.
    pub(crate) bytes: u64,
    pub(crate) index: SegmentIndex,
}

impl Segment {
    pub(crate) fn new(base_offset: u64) -> Self {
        Self {
            base_offset,
            bytes: 0,
            index: SegmentIndex::default(),
        }
    }

    pub(crate) fn span(&self) -> SegmentSpan {
        SegmentSpan {
            base_offset: self.base_offset,
            bytes: self.bytes,
            newest: self.index.newest(),
            oldest: self.index.oldest(),
        }
    }
}

/// What a name in a partition's folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The batches of the segment with this base offset.
    Batches(u64),
    /// The checkpoint of the segment with this base offset.
    Checkpoint(u64),
    /// What is known before the segment with this base offset, which is the first one.
    Start(u64),
    /// What shall take the place of the segments from this base offset up to another offset, while
    /// it is being written.
    Compacting(u64, u64),
    /// The same, when it is complete.
    Compacted(u64, u64),
    /// Not a name that the log gives to anything that lasts.
    Other,
}

impl Name {
    pub(crate) fn parse(name: &str) -> Self {
        let Some((stem, extension)) = name.split_once('.') else {
            return Self::Other;
        };
        if let Some((base_offset, next_offset)) = stem.split_once('-') {
            return match (offset(base_offset), offset(next_offset), extension) {
                (Some(base), Some(next), _) if base >= next => Self::Other,
                (Some(base), Some(next), "compacting") => Self::Compacting(base, next),
                (Some(base), Some(next), "compacted") => Self::Compacted(base, next),
                _ => Self::Other,
            };
        }
        match (offset(stem), extension) {
            (Some(base_offset), "log") => Self::Batches(base_offset),
            (Some(base_offset), "index") => Self::Checkpoint(base_offset),
            (Some(base_offset), "start") => Self::Start(base_offset),
            _ => Self::Other,
        }
    }
}

/// An offset as names have it: always twenty digits.
fn offset(digits: &str) -> Option<u64> {
    let is_one = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_one)
}

pub(crate) fn compacting_path(folder: &Path, base_offset: u64, next_offset: u64) -> PathBuf {
    folder.join(format!("{base_offset:020}-{next_offset:020}.compacting"))
}

pub(crate) fn compacted_path(folder: &Path, base_offset: u64, next_offset: u64) -> PathBuf {
    folder.join(format!("{base_offset:020}-{next_offset:020}.compacted"))
}

pub(crate) fn batches_path(folder: &Path, base_offset: u64) -> PathBuf {
    folder.join(format!("{base_offset:020}.log"))
}

pub(crate) fn checkpoint_path(folder: &Path, base_offset: u64) -> PathBuf {
    folder.join(format!("{base_offset:020}.index"))
}

pub(crate) fn start_path(folder: &Path, base_offset: u64) -> PathBuf {
    folder.join(format!("{base_offset:020}.start"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_only_as_they_are_given() {
        let folder = Path::new("");
        let name = batches_path(folder, 42);
        assert_eq!(name, Path::new("00000000000000000042.log"));
        assert_eq!(Name::parse("00000000000000000042.log"), Name::Batches(42));
        let name = checkpoint_path(folder, 42);
        assert_eq!(name, Path::new("00000000000000000042.index"));
        assert_eq!(
            Name::parse("00000000000000000042.index"),
            Name::Checkpoint(42)
        );
        let name = start_path(folder, 42);
        assert_eq!(name, Path::new("00000000000000000042.start"));
        assert_eq!(Name::parse("00000000000000000042.start"), Name::Start(42));
        let name = compacting_path(folder, 42, 50);
        let digits = "00000000000000000042-00000000000000000050";
        assert_eq!(name, Path::new(&format!("{digits}.compacting")));
        let parsed = Name::parse(&format!("{digits}.compacting"));
        assert_eq!(parsed, Name::Compacting(42, 50));
        let name = compacted_path(folder, 42, 50);
        assert_eq!(name, Path::new(&format!("{digits}.compacted")));
        let parsed = Name::parse(&format!("{digits}.compacted"));
        assert_eq!(parsed, Name::Compacted(42, 50));
        for other in [
            "42.log",
            "42-50.compacted",
            "00000000000000000042-00000000000000000042.compacted",
            "00000000000000000042-.compacted",
            "00000000000000000042-00000000000000000050.log",
            "00000000000000000042.index.new",
            "",
            "99999999999999999999.log",
        ] {
            assert_eq!(Name::parse(other), Name::Other, "{other}");
        }
        assert_eq!(Name::parse("+0000000000000000042.log"), Name::Other);
    }
}
