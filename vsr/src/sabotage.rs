//! Rules that can be broken on purpose, to see whether the checks would notice.
//!
//! A check that finds nothing proves something only if it can find. So each rule that a check is to
//! defend has a place in this crate, marked with `is`, where it can be switched off. In the
//! product nothing can: `is` is constant there, and its branches are not even compiled. The model
//! checker compiles these same sources a second time, as a package of its own that declares the
//! feature `sabotage`, and there one rule at a time is broken by `choose`. This package does not
//! declare that feature, so no build of a node can ever have it.
//!
//! The node has rules of its own, which are broken in the same way: whole clusters in simulation
//! run a second copy of the node, over the second copy of this package.

#![allow(
    unexpected_cfgs,
    reason = "only the twin of this package declares the feature"
)]

#[cfg(feature = "sabotage")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sabotage {
    /// A primary or leader takes its own copy for a majority.
    CommitWithoutQuorum,
    /// What was received is acknowledged before it is on stable storage.
    PrepareOkBeforeDurable,
    /// A promise is given before it is on stable storage.
    ViewNotDurable,
    /// A new primary or leader takes the longest log, of whatever view or epoch it is.
    LongestLogWins,
    /// A follower calls its log the epoch's before it holds what the leader opened with.
    AdoptedTooEarly,
    /// A follower whose log parts from its leader's drops all of it, and fetches it anew.
    TruncatedBelowWatermark,
    /// A damaged entry counts as one that was never there.
    NackOfFaulty,
    /// A node that comes back with an empty disk votes as the one that it was.
    LostDiskVotes,
    /// A primary or leader promises to follow another one, and goes on as before.
    StaleLeaderAcknowledges,
    /// A new primary does not know which requests were executed before its view.
    DedupForgotten,
    /// A primary trusts in its lease for longer than its successor waits.
    LeaseTooLong,
    /// A change of members is in force without a majority of the members before it.
    ReconfiguredWithoutOldMajority,
    /// Records that have expired are removed before that is on stable storage.
    ExpiredBeforeDurable,
    /// Damaged records are repaired from a replica that has compacted its log less.
    RepairedUncompacted,
    /// The log counts as compacted everywhere once it is at a majority.
    CompactedAtMajority,
    /// A node serves records that are not committed yet.
    ServedAboveWatermark,
    /// A node acknowledges to a producer what its own disk holds, and no other perhaps.
    AcknowledgedAlone,
    /// A leader does not know which batches were appended before it led.
    ProducersForgotten,
    /// A block of the journal counts as written even if its checksum says that it is damaged.
    DamageTrusted,
}

impl Sabotage {
    /// Those of the protocol cores.
    pub const CORES: [Self; 15] = [
        Self::CommitWithoutQuorum,
        Self::PrepareOkBeforeDurable,
        Self::ViewNotDurable,
        Self::LongestLogWins,
        Self::AdoptedTooEarly,
        Self::TruncatedBelowWatermark,
        Self::NackOfFaulty,
        Self::LostDiskVotes,
        Self::StaleLeaderAcknowledges,
        Self::DedupForgotten,
        Self::LeaseTooLong,
        Self::ReconfiguredWithoutOldMajority,
        Self::ExpiredBeforeDurable,
        Self::RepairedUncompacted,
        Self::CompactedAtMajority,
    ];
}

/// No rule.
#[cfg(feature = "sabotage")]
const NONE: u8 = u8::MAX;

/// The rule that is broken at present, for all replicas of the process.
#[cfg(feature = "sabotage")]
static CHOSEN: AtomicU8 = AtomicU8::new(NONE);

/// Breaks one rule from now on, in the whole process, or none.
#[cfg(feature = "sabotage")]
pub fn choose(sabotage: Option<Sabotage>) {
    let number = sabotage.map_or(NONE, |sabotage| sabotage as u8);
    CHOSEN.store(number, Ordering::SeqCst);
}

/// Whether this rule is broken at present.
#[cfg(feature = "sabotage")]
pub fn is(sabotage: Sabotage) -> bool {
    CHOSEN.load(Ordering::Relaxed) == sabotage as u8
}

/// Whether this rule is broken at present: never.
#[cfg(not(feature = "sabotage"))]
pub const fn is(_: Sabotage) -> bool {
    false
}
