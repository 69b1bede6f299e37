use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// A part of a state that is shared by all states which have it, with its hash at hand.
///
/// A step changes one node and leaves the others alone, so states are cheap to copy and to hash.
/// Two parts with the same 64-bit hash count as equal, as two states do for the checker anyway.
pub(crate) struct Interned<T> {
    hash: u64,
    value: Arc<T>,
}

impl<T: Hash> Interned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            hash: hash(&value),
            value: Arc::new(value),
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Changes the value here, and in no other state.
    pub(crate) fn change<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone,
    {
        let value = Arc::make_mut(&mut self.value);
        let result = change(value);
        self.hash = hash(value);
        result
    }
}

/// Always with the same keys: hashes must not differ between runs, nor between threads.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl<T> Clone for Interned<T> {
    fn clone(&self) -> Self {
        Self {
            hash: self.hash,
            value: Arc::clone(&self.value),
        }
    }
}

impl<T> Deref for Interned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Hash + Default> Default for Interned<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Interned<T> {}

impl<T> Hash for Interned<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
