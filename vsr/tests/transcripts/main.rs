//! Whole runs of both protocols, as files that can be read: `testdata/group` and
//! `testdata/partition`.
//!
//! A line that begins with `>` is a command; what follows it is what happened. The commands are run
//! again and what happens is compared. `QUORATE_REWRITE=1` writes down what happens now; whoever
//! changes a protocol reads the difference.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../group_paper/group.rs"]
#[expect(dead_code, reason = "some of its ways to do harm are not needed here")]
mod group;
mod group_stage;
mod partition_stage;
mod script;

use group_stage::GroupStage;
use partition_stage::PartitionStage;
use script::replay;

#[test]
fn the_group_does_what_its_transcripts_say() {
    replay("group", GroupStage::default);
}

#[test]
fn partitions_do_what_their_transcripts_say() {
    replay("partition", PartitionStage::default);
}
