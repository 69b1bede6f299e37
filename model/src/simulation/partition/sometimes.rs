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
        MinorityLeftOut = "a leader goes on without a minority",
        AllTogether = "all logs are equal in the end",
    }
}
