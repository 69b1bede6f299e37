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
        DiskLost = "a disk is lost",
        DisksReplaced = "all lost disks are replaced in the end",
        StandbyBehind = "a standby is to vote and is behind",
        DiskRecovered = "a node that had lost its disk votes again",
        StandbyPromoted = "a standby that was none of the founders votes",
        MembersChanged = "a change of the members is committed",
        ChangeCutOff = "a primary is cut off as it changes the members",
        ChangeLost = "a change of the members is lost that was never committed",
        EvenVoters = "there is an even number of voters",
        LeaverHandedOver = "a primary that votes no longer hands over",
        Transferred = "a primary has handed over to whom it was told to",
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

#[cfg(test)]
mod tests {
    use super::super::super::{Protocol, sometimes::Table};
    use super::Sometimes;

    /// What the long runs find within thousands of seeds is left to them.
    #[test]
    fn a_few_hundred_runs_see_all_that_becomes_of_members_and_disks() {
        let rows = [
            Sometimes::DiskLost,
            Sometimes::DisksReplaced,
            Sometimes::DiskRecovered,
            Sometimes::StandbyBehind,
            Sometimes::StandbyPromoted,
            Sometimes::MembersChanged,
            Sometimes::ChangeCutOff,
            Sometimes::ChangeLost,
            Sometimes::EvenVoters,
            Sometimes::LeaverHandedOver,
            Sometimes::Transferred,
            Sometimes::Abdicated,
            Sometimes::EntriesDamaged,
            Sometimes::EndDamaged,
            Sometimes::CheckpointDamaged,
            Sometimes::SeveralDamaged,
            Sometimes::EntryMended,
            Sometimes::StateReplaced,
            Sometimes::Repaired,
            Sometimes::Waiting,
        ];
        let mut table = Table::new(Sometimes::WORDS);
        for seed in 0..400 {
            table.add(&Protocol::Group.run(seed).tally);
        }
        let never = table.never();
        for row in rows {
            let words = Sometimes::WORDS[row as usize];
            assert!(!never.contains(&words), "never seen: {words}");
        }
    }
}
