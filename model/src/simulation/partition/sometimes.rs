//! What has to happen to a partition sometimes.

use super::super::sometimes::sometimes;

sometimes! {
    /// The rows of the partition's table.
    Sometimes {
        Acknowledged = "a record is acknowledged",
        Opened = "a leader opens",
        LeaderFell = "a leader falls that waits for acknowledgements",
        Crashed = "a node crashes",
        CrashedInCut = "a node crashes while it cuts its log",
        TailCut = "the end of a log is cut",
        Pulled = "a new leader takes records from a voter",
        Rewound = "records are sent again because some were lost",
        LeaderOutrun = "a record is committed before the leader's own disk has it",
        AdoptedLate = "a follower adopts an epoch after records were committed in it",
        AssignmentLate = "a node hears of an epoch after a later one",
        JointBegan = "others are to become voters, together with those that are",
        ChangeGivenUp = "a change of voters is given up half-way",
        VotersChanged = "the voters are others than before",
        LeaderLeaves = "a leader opens that is about to leave",
        RecordsDropped = "a node that takes no part any more drops its records",
        EndLost = "a disk loses the end of a log that was durable",
        EndGivenUp = "a replica gives up damaged records that are not known to be committed",
        LeaderResigned = "a leader resigns because its disk is damaged",
        Undecided = "a choice waits because a majority may have held what is lost",
        Healed = "an uncertain log becomes certain",
        HealedWithinEpoch = "a follower learns from its leader how far it was",
        Expired = "a leader lets old records expire",
        Settled = "a majority has a log start durably",
        BegunAnew = "a log begins anew because what comes next has expired",
        BegunAnewAtStart = "a log begins anew only when its node starts again",
        StartLost = "a disk has lost the end of a log down to its log start",
        Rotten = "durable records rot",
        Repaired = "damaged records are repaired",
        Compacted = "a log is compacted",
        CompactedEverywhere = "a log is compacted at all members, and deletions go",
        AskedToCompact = "a log is to be compacted to help repair another one",
        MinorityLeftOut = "a leader goes on without a minority",
        AllTogether = "all logs are equal in the end",
    }
}
