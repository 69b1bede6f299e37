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
    said: Arc<BTreeMap<u64, Interned<Envelope<M>>>>,
}

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
        }
    }

    pub(crate) fn say(&mut self, from: NodeId, to: NodeId, message: M) {
        let envelope = Interned::new(Envelope { from, to, message });
        if !self.said.contains_key(&envelope.hash()) {
            Arc::make_mut(&mut self.said).insert(envelope.hash(), envelope);
        }
    }

    /// Forgets what nobody will ever listen to again.
    pub(crate) fn forget(&mut self, mut is_dead: impl FnMut(&Envelope<M>) -> bool) {
        let dead = self.said.iter().filter(|(_, envelope)| is_dead(envelope));
        let dead: Vec<u64> = dead.map(|(hash, _)| *hash).collect();
        if !dead.is_empty() {
            let said = Arc::make_mut(&mut self.said);
            for hash in dead {
                said.remove(&hash);
            }
        }
    }

    pub(crate) fn said(&self) -> impl Iterator<Item = &Interned<Envelope<M>>> {
        self.said.values()
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
        f.debug_set().entries(self.said.values()).finish()
    }
}
