use std::fmt;

/// Something that a correct log never shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What kind of thing.
    pub kind: Kind,
    /// The partition that showed it, if it was one.
    pub partition: Option<u32>,
    /// What exactly, for people.
    pub what: String,
}

/// The kinds of anomalies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An acknowledged record, or one that was read before, is missing from the final reading.
    Lost,
    /// One value stands at two offsets.
    Duplicate,
    /// Two values were seen at one offset.
    Inconsistent,
    /// What one process sent later stands earlier.
    Reordered,
    /// An append that was invoked after another was acknowledged stands before it.
    AgainstRealTime,
    /// A reading went backwards or stood still.
    NonMonotonic,
    /// A reading began below the offset that was asked for.
    BelowStart,
    /// A value that nobody sent, or that was certainly refused.
    Phantom,
    /// A value was read before it was sent.
    FromTheFuture,
    /// A value was read from a partition to which it was not sent.
    Misplaced,
    /// The bytes of a record are not what any writer sends.
    Corrupt,
    /// A reading skipped offsets.
    Hole,
    /// What was deleted was read again.
    Returned,
    /// There is no final reading of a partition that acknowledged appends.
    Unread,
    /// A client or a node did what it never should.
    BrokenPromise,
}

impl Anomaly {
    pub(super) fn new(kind: Kind, partition: u32, what: String) -> Self {
        Self {
            kind,
            partition: Some(partition),
            what,
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            partition,
            what,
        } = self;
        match partition {
            Some(partition) => write!(f, "{kind:?} in partition {partition}: {what}"),
            None => write!(f, "{kind:?}: {what}"),
        }
    }
}
