use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::interned::Interned;

/// Everything that was ever said, each thing once.
///
/// Any of it may arrive at any time, again and again, or never. So loss, repetition, delay and
/// reordering need no steps of their own: a message is lost by never being delivered.
#[derive(Clone)]
pub(crate) struct Network<E> {
    /// Ordered by hash. Most steps say nothing, so states share it.
    said: Arc<Vec<Said<E>>>,
    /// Counts what was said. It is no part of the state: see [`Network::forget_the_oldest`].
    clock: u64,
}

struct Said<E> {
    envelope: Interned<E>,
    /// When it was said last.
    age: u64,
}

impl<E> Clone for Said<E> {
    fn clone(&self) -> Self {
        Self {
            envelope: self.envelope.clone(),
            age: self.age,
        }
    }
}

impl<E: Hash> Network<E> {
    pub(crate) fn new() -> Self {
        Self {
            said: Arc::default(),
            clock: 0,
        }
    }

    pub(crate) fn say(&mut self, envelope: E) {
        self.clock += 1;
        let envelope = Interned::new(envelope);
        let said = Arc::make_mut(&mut self.said);
        let entry = Said {
            envelope,
            age: self.clock,
        };
        match said.binary_search_by_key(&entry.envelope.hash(), |said| said.envelope.hash()) {
            Ok(place) => said[place] = entry,
            Err(place) => said.insert(place, entry),
        }
    }

    /// Forgets what nobody will ever listen to again.
    pub(crate) fn forget(&mut self, mut is_dead: impl FnMut(&E) -> bool) {
        let is_alive: Vec<bool> = self.said().map(|envelope| !is_dead(envelope)).collect();
        if is_alive.contains(&false) {
            let mut is_alive = is_alive.into_iter();
            Arc::make_mut(&mut self.said).retain(|_| is_alive.next().unwrap_or(true));
        }
    }

    /// Loses what was said longest ago, until there is room for `room` messages.
    ///
    /// Only for walks, which would otherwise drown in echoes. Which messages are the oldest is not
    /// seen in a state, so a search could not tell two states apart that differ in this.
    pub(crate) fn forget_the_oldest(&mut self, room: usize) {
        let surplus = self.said.len().saturating_sub(room);
        if surplus > 0 {
            let mut ages: Vec<u64> = self.said.iter().map(|said| said.age).collect();
            ages.sort_unstable();
            let oldest = ages[surplus - 1];
            Arc::make_mut(&mut self.said).retain(|said| said.age > oldest);
        }
    }

    pub(crate) fn said(&self) -> impl Iterator<Item = &Interned<E>> {
        self.said.iter().map(|said| &said.envelope)
    }
}

impl<E: Hash> PartialEq for Network<E> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.said, &other.said) || self.said().eq(other.said())
    }
}

impl<E: Hash> Hash for Network<E> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.said().for_each(|envelope| envelope.hash().hash(state));
    }
}

impl<E: Hash + fmt::Debug> fmt::Debug for Network<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.said()).finish()
    }
}
