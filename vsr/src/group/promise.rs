use rkyv::{Archive, Deserialize, Serialize};

use super::{Head, Membership};
use crate::{OpNumber, ViewNumber};

/// What a `DoViewChange` says of its sender's journal, all of it on stable storage.
///
/// It stays true for good, also across a crash: its sender takes no part in earlier views any more,
/// and supports no lease of theirs any longer than it said.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// The last view whose log the journal is.
    pub log_view: ViewNumber,
    /// How far the log of `log_view` reached when the journal became it.
    pub log_view_op: OpNumber,
    /// The end of the journal.
    pub head: Head,
    /// The end of the part before the first faulty entry; that of the journal if there is none.
    pub sound: Head,
    /// Whether prepares that were acknowledged may be missing after `head`.
    pub is_tail_uncertain: bool,
    /// Who belongs to the group as of `sound`.
    pub membership: Membership,
    /// How far the sender knows the log to be committed, perhaps beyond its own journal.
    pub commit_number: OpNumber,
    /// Whether a primary of an earlier view may hold a lease that rests on what the sender
    /// acknowledged.
    pub lease_may_hold: bool,
}
