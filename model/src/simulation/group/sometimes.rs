//! What has to happen to a group sometimes.

use super::super::sometimes::sometimes;

sometimes! {
    /// The rows of the group's table.
    Sometimes {
        Committed = "an operation is committed",
        Answered = "a client is answered",
        Crashed = "a node crashes",
        CrashedTogether = "all nodes crash at once",
        Deposed = "the others start anew without their primary",
        Paused = "a node stands still",
        Hung = "a disk hangs",
        ViewServed = "a view is served",
        ViewWithSuffix = "a view starts with what was not committed",
        LogTaken = "a new primary takes its log from another member",
        ViewStalled = "a view change gets stuck",
        TailCut = "the end of a journal is cut",
        SuffixLost = "a prepare is lost that was never committed",
        CheckpointTaken = "a checkpoint is taken",
        CheckpointInstalled = "a checkpoint of another member is installed",
        EntriesDamaged = "entries of a journal are damaged",
        EndDamaged = "the end of a journal is damaged",
        CheckpointDamaged = "a checkpoint is damaged",
        SeveralDamaged = "several disks are damaged at once",
        EntryMended = "a damaged entry is mended from another member",
        EntryDropped = "a damaged entry is dropped by a majority",
        StateReplaced = "a damaged checkpoint is replaced",
        Repaired = "a damaged member is whole again",
        Waiting = "a group waits for what may have been lost",
        Deduplicated = "a request is repeated after a view change, not executed again",
        ReadByLease = "a read is answered by a lease",
        ReadByRound = "a read is answered by a round",
        ReadAtReplaced = "a read is answered while a later view is served",
        ReadRefused = "a read is refused",
        LeaseAwaited = "a new primary waits for the end of a lease",
        Evicted = "a client is evicted",
        PrimaryDeposed = "a primary learns that it was replaced",
        QuorumSilent = "a primary hears no majority",
        Abdicated = "a primary hands over because its disk hangs",
        HandoverGivenUp = "a primary that hands over is not relieved",
        PrimaryDeaf = "a primary is heard and hears nobody",
        MinorityLeftOut = "the group goes on without a minority",
        AllTogether = "all members come together in the end",
    }
}
