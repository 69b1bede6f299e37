use std::rc::Rc;
use std::time::Duration;

use quorate_jepsen::Keys;

/// A topic that shall exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// On how many nodes each of them is held.
    pub replication: u16,
    /// What becomes of its records.
    pub fate: Fate,
}

/// What becomes of the records of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They stay.
    Kept,
    /// They go when they are older than this, by the clocks of the nodes.
    Expiring {
        /// After so long the cluster may remove them.
        after: Duration,
        /// Before so long it certainly must not, however the clocks differ.
        not_before: Duration,
    },
    /// Of every key the last one stays.
    Compacted(Keys),
}

/// A partition to write to and to read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name of its topic.
    pub topic: Rc<str>,
    /// Its index in the topic.
    pub index: u32,
    /// Its number in the history. A topic that is created again has other ones.
    pub log: u32,
    /// Its keys, if the topic is compacted.
    pub keys: Option<Keys>,
}
