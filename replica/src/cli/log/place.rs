//! What a path of the command line stands for: which logs, whose facts, and who may use them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use quorate_client::Compio;
use quorate_log::{FactStore, FactsSeen, Known, LogError};
use quorate_platform::Disk as _;
use quorate_vsr::partition::Facts;

use crate::cli::Failure;
use crate::shard::known_by;

/// The digits of an offset in the name of a segment.
const NAME_DIGITS: usize = 20;

/// What a path stands for.
pub(super) struct Place {
    /// The path, without links.
    pub(super) root: PathBuf,
    pub(super) logs: Vec<LogPlace>,
    /// The facts of the shards that are looked at as a whole.
    pub(super) facts: Vec<FactsPlace>,
    /// The lock of the node whose folder it is, if it is part of one.
    pub(super) lock: Option<PathBuf>,
}

/// The folder of a partition.
pub(super) struct LogPlace {
    pub(super) folder: PathBuf,
    /// Its one segment that is asked for.
    pub(super) segment: Option<u64>,
    /// What the node knows of the log from its facts.
    pub(super) known: Known,
    /// Where the facts are, and which are this partition's.
    pub(super) facts: Option<(PathBuf, u64)>,
    /// Whether its facts say that the end of the log was damaged once, and that nobody has made
    /// good for it.
    pub(super) is_uncertain: bool,
    /// Whether the folder is gone, of which the facts tell.
    pub(super) is_missing: bool,
}

/// The facts of a shard.
pub(super) struct FactsPlace {
    pub(super) path: PathBuf,
    pub(super) seen: Result<FactsSeen, LogError>,
    /// The partitions whose facts say nothing.
    pub(super) unreadable: Vec<u64>,
}

impl Place {
    /// Finds out what `path` is.
    pub(super) async fn find(path: &Path) -> Result<Self, Failure> {
        let root = fs::canonicalize(path).map_err(|error| unreachable_path(path, &error))?;
        let mut place = Self {
            lock: data_folder(&root).map(|folder| folder.join("lock")),
            logs: Vec::new(),
            facts: Vec::new(),
            root,
        };
        let root = place.root.clone();
        if root.is_file() {
            let segment = root.file_name().and_then(|name| segment_of(name.to_str()?));
            let segment = segment.ok_or_else(|| {
                Failure::usage(format!(
                    "{} is not a segment: those are named by the offset of their first record, \
                     20 digits, and end with .log",
                    path.display()
                ))
            })?;
            let folder = root.parent().expect("a file lies in a folder");
            place.add_log(folder, Some(segment), None).await?;
            return Ok(place);
        }
        let names = names_in(&root)?;
        let has = |name: &str| names.iter().any(|it| it == name);
        if names.iter().any(|name| segment_of(name).is_some()) || is_partition(&root) {
            place.add_log(&root, None, None).await?;
        } else if has("partitions") || has("facts") {
            place.add_shard(&root).await?;
        } else {
            for shard in names.iter().filter(|name| is_shard(name)) {
                if root.join(shard).is_dir() {
                    place.add_shard(&root.join(shard)).await?;
                }
            }
            if place.logs.is_empty() && place.facts.is_empty() && !has("identity") {
                return Err(Failure::usage(format!(
                    "{} is neither a segment, nor the folder of a partition (it holds files like \
                     00000000000000000000.log), of a shard (\"facts\" and \"partitions\") or of a \
                     node (\"identity\" and \"shard-0\")",
                    path.display()
                )));
            }
        }
        Ok(place)
    }

    /// Whether a node uses the folder now.
    ///
    /// The lock is taken for a moment, if it is free.
    pub(super) fn is_in_use(&self) -> bool {
        let Some(lock) = self.lock.as_ref().filter(|lock| lock.exists()) else {
            return false;
        };
        let taken = Compio.lock(lock).map(drop);
        taken.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn add_shard(&mut self, shard: &Path) -> Result<(), Failure> {
        let path = shard.join("facts");
        let seen = look(&path).await?;
        let partitions = shard.join("partitions");
        let names = match partitions.is_dir() {
            true => names_in(&partitions)?,
            false => Vec::new(),
        };
        let folders = names.iter().filter(|name| partitions.join(name).is_dir());
        let mut ids: BTreeSet<u64> = folders.filter_map(|name| name.parse().ok()).collect();
        if let Some(Ok(seen)) = &seen {
            ids.extend(seen.facts.keys());
        }
        let mut unreadable = Vec::new();
        for id in ids {
            let folder = partitions.join(id.to_string());
            let known = self
                .add_log(&folder, None, Some((&path, id, fact_of(&seen, id))))
                .await?;
            unreadable.extend((known == Fact::Unreadable).then_some(id));
        }
        self.facts.extend(seen.map(|seen| FactsPlace {
            path,
            seen,
            unreadable,
        }));
        Ok(())
    }

    /// Adds the log in `folder`. Its facts are looked up if they are not given.
    async fn add_log(
        &mut self,
        folder: &Path,
        segment: Option<u64>,
        facts: Option<(&Path, u64, Fact)>,
    ) -> Result<Fact, Failure> {
        let (path, fact) = match facts {
            Some((path, id, fact)) => (Some((path.to_owned(), id)), fact),
            None if is_partition(folder) => {
                let id = folder_id(folder).expect("a partition's folder is named by its id");
                let shard = folder.parent().and_then(Path::parent);
                let path = shard.expect("it lies in that of its shard").join("facts");
                let seen = look(&path).await?;
                (Some((path, id)), fact_of(&seen, id))
            }
            None => (None, Fact::Missing),
        };
        let is_missing = !folder.is_dir();
        let known = match fact {
            Fact::Known(facts) => known_by(&facts),
            Fact::Missing | Fact::Unreadable if is_missing => Known::default(),
            Fact::Missing | Fact::Unreadable => Known {
                log_start_offset: first_offset(folder)?,
                ..Known::default()
            },
        };
        self.logs.push(LogPlace {
            folder: folder.to_owned(),
            segment,
            known,
            is_uncertain: matches!(fact, Fact::Known(facts) if facts.is_uncertain()),
            facts: path.filter(|_| matches!(fact, Fact::Known(_))),
            is_missing,
        });
        Ok(fact)
    }
}

/// What the facts of a shard say of one partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fact {
    Known(Facts),
    Missing,
    Unreadable,
}

fn fact_of(seen: &Option<Result<FactsSeen, LogError>>, id: u64) -> Fact {
    let Some(Ok(seen)) = seen else {
        return Fact::Missing;
    };
    match seen.facts.get(&id).map(|bytes| Facts::decode(bytes)) {
        Some(Ok(facts)) => Fact::Known(facts),
        Some(Err(_)) => Fact::Unreadable,
        None => Fact::Missing,
    }
}

/// The facts in the file at `path`; `None` if it is missing.
async fn look(path: &Path) -> Result<Option<Result<FactsSeen, LogError>>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    match FactStore::look(&Compio, path).await {
        Err(error @ (LogError::Io { .. } | LogError::DiskFull { .. })) => {
            Err(Failure::failed(error.to_string()))
        }
        seen => Ok(Some(seen)),
    }
}

/// The node's data folder that `path` is, or is a part of.
fn data_folder(path: &Path) -> Option<PathBuf> {
    let is_data = |folder: &&Path| {
        let holds_shard = |path: &Path| {
            let inside = path.strip_prefix(folder).ok();
            let first = inside.and_then(|inside| inside.iter().next()?.to_str().map(is_shard));
            first.unwrap_or(false)
        };
        folder.join("identity").is_file() || holds_shard(path)
    };
    path.ancestors().find(is_data).map(Path::to_owned)
}

fn is_shard(name: &str) -> bool {
    let index = name.strip_prefix("shard-");
    index.is_some_and(|index| index.parse::<u16>().is_ok())
}

/// Whether the folder lies where a shard keeps those of its partitions.
fn is_partition(folder: &Path) -> bool {
    let parent = folder.parent();
    parent.is_some_and(|parent| parent.ends_with("partitions")) && folder_id(folder).is_some()
}

fn folder_id(folder: &Path) -> Option<u64> {
    folder.file_name()?.to_str()?.parse().ok()
}

/// The base offset in the name of a segment, or of its index.
fn segment_of(name: &str) -> Option<u64> {
    let stem = name
        .strip_suffix(".log")
        .or_else(|| name.strip_suffix(".index"))?;
    let is_plain = stem.len() == NAME_DIGITS && stem.bytes().all(|byte| byte.is_ascii_digit());
    stem.parse().ok().filter(|_| is_plain)
}

/// The first offset that a segment in the folder begins with; 0 if there is none.
fn first_offset(folder: &Path) -> Result<u64, Failure> {
    let names = names_in(folder)?;
    let offsets = names.iter().filter_map(|name| segment_of(name));
    Ok(offsets.min().unwrap_or(0))
}

/// The names in a folder, sorted.
fn names_in(folder: &Path) -> Result<Vec<String>, Failure> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.collect::<io::Result<Vec<_>>>()
    });
    let names = listed.map_err(|error| unreachable_path(folder, &error))?;
    let mut names: Vec<_> = names.into_iter().flatten().collect();
    names.sort();
    Ok(names)
}

fn unreachable_path(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("{} cannot be looked at: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments_are_as_they_are_given() {
        assert_eq!(segment_of("00000000000000000042.log"), Some(42));
        assert_eq!(segment_of("00000000000000000042.index"), Some(42));
        for other in [
            "42.log",
            "0000000000000000004x.log",
            "00000000000000000042.log.damaged-1",
        ] {
            assert_eq!(segment_of(other), None, "{other}");
        }
    }

    #[compio::test]
    async fn a_path_is_what_is_in_it() {
        let node = tempfile::tempdir().unwrap();
        let shard = node.path().join("shard-0");
        let partition = shard.join("partitions/7");
        fs::create_dir_all(&partition).unwrap();
        let segment = partition.join("00000000000000000005.log");
        fs::write(&segment, b"").unwrap();
        fs::write(node.path().join("identity"), b"").unwrap();
        let partition = fs::canonicalize(partition).unwrap();
        for path in [node.path(), &shard, &partition, &segment] {
            let place = Place::find(path).await.unwrap();
            let [log] = &place.logs[..] else {
                panic!("{}", path.display())
            };
            assert_eq!(log.folder, partition);
            assert_eq!(log.segment.is_some(), path == segment);
            assert_eq!(log.known.log_start_offset, 5);
            let lock = fs::canonicalize(node.path()).unwrap().join("lock");
            assert_eq!(place.lock.as_ref(), Some(&lock));
            assert!(!place.is_in_use());
            let held = Compio.lock(&lock).unwrap();
            assert!(place.is_in_use());
            drop(held);
            fs::remove_file(&lock).unwrap();
        }
        let other = tempfile::tempdir().unwrap();
        let refused = Place::find(other.path()).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("shard-0"), "{refused}");
        let file = other.path().join("notes.txt");
        fs::write(&file, b"").unwrap();
        let refused = Place::find(&file).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("20 digits"), "{refused}");
    }
}
