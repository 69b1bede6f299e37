//! Which copies may be damaged, so that a good one of everything that was committed remains.
//!
//! What a majority holds survives any damage to a minority, if it is always the same one. So of
//! the nodes that may hold a partition a fixed few, drawn from the seed, may be damaged in their
//! copies of it; others in those of another partition. The control plane's journal and checkpoints
//! are shared out likewise.
//!
//! A node's own promises (`facts`, `superblock`) cannot be had from others: a node that has lost
//! them does not start. They are never damaged within the bound, and neither is what tells whose
//! folder it is or what is set aside for later.

use std::path::Path;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// The copies that may be damaged.
#[derive(Clone, Debug)]
pub struct Atlas {
    seed: u64,
    nodes: Vec<u16>,
    /// How many nodes may be damaged in their copies of one thing; no bound if none.
    bound: Option<usize>,
}

/// What several nodes have a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    Partition(u64),
    Control,
}

impl Atlas {
    /// Bounds damage so that what a majority of `copies` holds remains.
    ///
    /// Every node that will ever be is among `nodes`.
    pub fn bounded(seed: u64, nodes: &[u16], copies: usize) -> Self {
        Self {
            seed,
            nodes: nodes.to_vec(),
            bound: Some(copies.saturating_sub(1) / 2),
        }
    }

    /// Lets everything be damaged: then a cluster has to be loud, and never wrong.
    pub fn unbounded() -> Self {
        Self {
            seed: 0,
            nodes: Vec::new(),
            bound: None,
        }
    }

    /// Whether the file at `path` of `node` may be damaged.
    pub fn may_damage(&self, node: u16, path: &Path) -> bool {
        let Some(bound) = self.bound else {
            return true;
        };
        let Some(shared) = shared(path) else {
            return false;
        };
        let stream = match shared {
            Shared::Partition(id) => id.wrapping_add(1),
            Shared::Control => 0,
        };
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        // The first numbers of neighbouring streams have nothing to do with each other.
        random.next_u64();
        let mut nodes = self.nodes.clone();
        nodes.shuffle(&mut random);
        nodes.iter().take(bound).any(|damaged| *damaged == node)
    }
}

/// What the file at `path` is a part of, if others have copies of it.
fn shared(path: &Path) -> Option<Shared> {
    let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
    match names[..] {
        [.., shard, "partitions", id, _] if shard.starts_with("shard-") => {
            id.parse().ok().map(Shared::Partition)
        }
        [.., "control", name] if name != "superblock" => Some(Shared::Control),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damaged(atlas: &Atlas, path: &str) -> Vec<u16> {
        let path = Path::new(path);
        (1..=5).filter(|it| atlas.may_damage(*it, path)).collect()
    }

    #[test]
    fn a_minority_is_damaged_and_not_the_same_for_all() {
        let atlas = Atlas::bounded(7, &[1, 2, 3, 4, 5], 3);
        let of = |id: u64| damaged(&atlas, &format!("/data/shard-1/partitions/{id}/0.log"));
        let all: Vec<_> = (0..40).map(of).collect();
        assert!(all.iter().all(|nodes| nodes.len() == 1), "{all:?}");
        for node in 1..=5 {
            assert!(all.contains(&vec![node]), "{node} of {all:?}");
        }
        assert_eq!(all[3], damaged(&atlas, "/shard-0/partitions/3/7.index"));
        assert_eq!(damaged(&atlas, "/data/control/journal-1").len(), 1);
        let atlas = Atlas::bounded(7, &[1, 2, 3, 4, 5], 5);
        assert_eq!(damaged(&atlas, "/data/control/journal-1").len(), 2);
    }

    #[test]
    fn promises_are_damaged_only_without_a_bound() {
        let atlas = Atlas::bounded(7, &[1, 2, 3], 3);
        let promises = ["/shard-0/facts", "/control/superblock", "/identity"];
        for path in promises {
            assert!(damaged(&atlas, path).is_empty());
            assert_eq!(damaged(&Atlas::unbounded(), path), [1, 2, 3, 4, 5]);
        }
        let alone = Atlas::bounded(7, &[1], 1);
        assert!(damaged(&alone, "/control/journal-1").is_empty());
    }
}
