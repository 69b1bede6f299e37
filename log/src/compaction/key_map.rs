//! The latest record of every key of a part of a log.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// From keys to the offsets of their latest records.
///
/// Two hashes stand for a key, 128 bits together, each under a random key of its own. Nobody who
/// writes records knows these, so that nobody can make two keys meet; and that two meet by chance
/// among a billion has a probability of less than 10^-20, once in which a disk lies to us far more
/// often.
#[derive(Debug)]
pub(crate) struct KeyMap {
    hashers: [RandomState; 2],
    latest: HashMap<[u64; 2], u64, BuildHasherDefault<FirstHash>>,
    keys_max: usize,
}

impl KeyMap {
    /// An empty map for about `keys_max` keys.
    pub(crate) fn new(keys_max: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            latest: HashMap::default(),
            keys_max,
        }
    }

    /// Whether it has as many keys as it should.
    pub(crate) fn is_full(&self) -> bool {
        self.latest.len() >= self.keys_max
    }

    /// Takes in a record. Those of a key come in the order of their offsets.
    pub(crate) fn learn(&mut self, key: &[u8], offset: u64) {
        let hashes = self.hashes(key);
        self.latest.insert(hashes, offset);
    }

    /// Whether a later record of the same key than the one at `offset` is known.
    pub(crate) fn is_shadowed(&self, key: &[u8], offset: u64) -> bool {
        let latest = self.latest.get(&self.hashes(key));
        latest.is_some_and(|latest| *latest > offset)
    }

    fn hashes(&self, key: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(key))
    }
}

/// The first of two hashes is as good a hash as any of both.
#[derive(Clone, Copy, Debug, Default)]
struct FirstHash(Option<u64>);

impl Hasher for FirstHash {
    fn write(&mut self, bytes: &[u8]) {
        // An array of numbers may come as its bytes.
        if let Some(first) = bytes.first_chunk() {
            self.write_u64(u64::from_ne_bytes(*first));
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0.get_or_insert(hash);
    }

    /// How many hashes there are is no news.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_record_of_a_key_shadows_those_before_it() {
        let mut keys = KeyMap::new(2);
        keys.learn(b"a", 5);
        assert!(!keys.is_full());
        keys.learn(b"", 6);
        keys.learn(b"a", 9);
        assert!(keys.is_full());
        assert!(keys.is_shadowed(b"a", 5) && keys.is_shadowed(b"a", 8));
        assert!(!keys.is_shadowed(b"a", 9) && !keys.is_shadowed(b"a", 10));
        assert!(keys.is_shadowed(b"", 0) && !keys.is_shadowed(b"", 6));
        assert!(!keys.is_shadowed(b"b", 0));
    }

    #[test]
    fn many_keys_are_told_apart_and_spread() {
        let mut keys = KeyMap::new(usize::MAX);
        for offset in 0..10_000u64 {
            keys.learn(&offset.to_le_bytes(), offset);
        }
        assert_eq!(keys.latest.len(), 10_000);
        let mut firsts: Vec<_> = keys.latest.keys().map(|hashes| hashes[0]).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 10_000);
        let hasher = keys.latest.hasher();
        assert!(keys.latest.keys().all(|key| hasher.hash_one(key) == key[0]));
        let is_latest = |offset: u64| !keys.is_shadowed(&offset.to_le_bytes(), offset);
        assert!((0..10_000).all(is_latest));
    }
}
