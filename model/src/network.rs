use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quorate_vsr::NodeId;

use crate::interned::Interned;

/// Everything that was ever said, each thing once.
///
/// Any of it may arrive at any time, again and again, or never. So loss, repetition, delay and
/// reordering need no steps of their own: a message is lost by never being delivered.
#[derive(Clone)]
pub(crate) struct Network<M> {
    /// Most steps say nothing, so states share it.
    said: Arc<Said<M>>,
    /// Counts what was said. It is no part of the state: see [`Network::forget_the_oldest`].
    clock: u64,
}

/// When each message was said last, by its hash.
type Said<M> = BTreeMap<u64, (u64, Interned<Envelope<M>>)>;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Envelope<M> {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) message: M,
}

impl<M: Hash> Network<M> {
    pub(crate) fn new() -> Self {
        Self {
            said: Arc::default(),
            clock: 0,
        }
    }

    pub(crate) fn say(&mut self, from: NodeId, to: NodeId, message: M) {
        let envelope = Interned::new(Envelope { from, to, message });
        self.clock += 1;
        let entry = (self.clock, envelope.clone());
        Arc::make_mut(&mut self.said).insert(envelope.hash(), entry);
    }

    /// Forgets what nobody will ever listen to again.
    pub(crate) fn forget(&mut self, mut is_dead: impl FnMut(&Envelope<M>) -> bool) {
        let dead = self
            .said
            .iter()
            .filter(|(_, (_, envelope))| is_dead(envelope));
        let dead: Vec<u64> = dead.map(|(hash, _)| *hash).collect();
        if !dead.is_empty() {
            let said = Arc::make_mut(&mut self.said);
            for hash in dead {
                said.remove(&hash);
            }
        }
    }

    /// Loses what was said longest ago, until there is room for `room` messages.
    ///
    /// Only for walks, which would otherwise drown in echoes. Which messages are the oldest is not
    /// seen in a state, so a search could not tell two states apart that differ in this.
    pub(crate) fn forget_the_oldest(&mut self, room: usize) {
        let surplus = self.said.len().saturating_sub(room);
        if surplus > 0 {
            let mut ages: Vec<u64> = self.said.values().map(|(age, _)| *age).collect();
            ages.sort_unstable();
            let oldest = ages[surplus - 1];
            Arc::make_mut(&mut self.said).retain(|_, (age, _)| *age > oldest);
        }
    }

    pub(crate) fn said(&self) -> impl Iterator<Item = &Interned<Envelope<M>>> {
        self.said.values().map(|(_, envelope)| envelope)
    }
}

impl<M> PartialEq for Network<M> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.said, &other.said) || self.said.keys().eq(other.said.keys())
    }
}

impl<M> Hash for Network<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for hash in self.said.keys() {
            hash.hash(state);
        }
    }
}

impl<M: fmt::Debug> fmt::Debug for Network<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.said.values().map(|(_, envelope)| envelope))
            .finish()
    }
}
