//! The only notion of time in the group: timers with names.

/// A named timer; the driver owns its duration and its jitter.
///
/// [`Effect::Arm`](super::Effect::Arm) starts one (or starts it afresh), `Disarm` stops it, and
/// when it runs out it is stopped and answered by [`Event::Timeout`](super::Event::Timeout). A
/// timer that fires late, early or superfluously costs messages or a view change, never safety;
/// with these exceptions, upon which linearizable reads rest:
///
/// - [`LeaseEven`](Self::LeaseEven) and [`LeaseOdd`](Self::LeaseOdd) are never late: when the
///   driver gives the replica an event, it looks at the clock after it has taken that event, and
///   gives it first those of the two that have run out by then.
/// - [`LeaseOver`](Self::LeaseOver) and [`LeaseWait`](Self::LeaseWait) are never early.
/// - Each of the latter takes longer than each of the former, on whichever members and by whichever
///   clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The primary has operations that are not committed yet and sends them again to the backups
    /// that have not acknowledged them. A few round trips, and longer than a disk usually takes.
    Prepare,
    /// The primary tells everyone how far it has committed, and that it is there. Several times
    /// shorter than [`Timer::PrimarySilent`].
    Commit,
    /// The primary has not heard from a majority and stops claiming to be there. About as long as
    /// [`Timer::PrimarySilent`].
    QuorumSilent,
    /// A backup has heard nothing from the primary of its view and asks for a view change. This is
    /// the time in which a dead primary is noticed; give it jitter.
    PrimarySilent,
    /// A view change has not come to its end and the next view is asked for. Longer than a view
    /// change takes; give it jitter.
    ViewChangeStalled,
    /// A message of a view change may have been lost and is sent again. A few round trips.
    ViewChangeResend,
    /// State was asked for and has not come; it is asked for again. A few round trips, and longer
    /// than the transfer of a chunk takes.
    GetState,
    /// Damaged entries of the journal were asked for and have not come; they are asked for again.
    /// A few round trips.
    Repair,
    /// The lease that rests on an entry with one of the two timers is over. Much longer than it
    /// takes to commit an entry, and so short that the end of [`Timer::LeaseOver`] comes before
    /// that of [`Timer::PrimarySilent`]: then no view change has to wait for it.
    LeaseEven,
    /// The same with the other timer.
    LeaseOdd,
    /// No primary has a lease any more that rests on an acknowledgement of this replica.
    LeaseOver,
    /// No primary before this one has a lease any more.
    LeaseWait,
    /// A primary hands over to another voter, and the view has not changed: it goes on as primary.
    /// As long as [`Timer::ViewChangeStalled`].
    Transfer,
    /// The primary's own disk has finished nothing of what it is to write, and another voter is to
    /// be the primary. Longer than a disk takes for its largest write.
    DiskSilent,
}

impl Timer {
    /// All of them, for drivers that keep a table of deadlines.
    pub const ALL: [Self; 14] = [
        Self::Prepare,
        Self::Commit,
        Self::QuorumSilent,
        Self::PrimarySilent,
        Self::ViewChangeStalled,
        Self::ViewChangeResend,
        Self::GetState,
        Self::Repair,
        Self::LeaseEven,
        Self::LeaseOdd,
        Self::LeaseOver,
        Self::LeaseWait,
        Self::Transfer,
        Self::DiskSilent,
    ];
}
