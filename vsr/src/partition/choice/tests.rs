//! The choice by example; an oracle that tries everything stands beside.

use super::*;

mod oracle;

fn promise(log_epoch: u32, next_offset: u64, high_watermark: u64) -> Promise {
    Promise {
        epoch: Epoch(9),
        log_epoch: Epoch(log_epoch),
        next_offset: Offset(next_offset),
        high_watermark: Offset(high_watermark),
        log_start: Offset(0),
        history: EpochHistory::default(),
        is_uncertain: false,
    }
}

fn uncertain(log_epoch: u32, next_offset: u64, high_watermark: u64) -> Promise {
    Promise {
        is_uncertain: true,
        ..promise(log_epoch, next_offset, high_watermark)
    }
}

fn voters(ids: &[u16]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn chosen_by(electorate: &Electorate, promises: &[(u16, Promise)]) -> Result<u16, Undecided> {
    let promises = promises
        .iter()
        .map(|(node, promise)| (NodeId(*node), promise.clone()));
    choose(&promises.collect(), electorate, NodeId(1)).map(|choice| choice.source.0)
}

fn chosen(promises: &[(u16, Promise)]) -> Result<u16, Undecided> {
    chosen_by(&Electorate::new(voters(&[1, 2, 3]), Vec::new()), promises)
}

#[test]
fn the_newest_adopted_epoch_beats_the_longest_log() {
    assert_eq!(
        chosen(&[(1, promise(3, 90, 0)), (2, promise(4, 10, 0))]),
        Ok(2)
    );
}

#[test]
fn in_the_same_epoch_the_longest_log_is_taken() {
    assert_eq!(
        chosen(&[(1, promise(4, 10, 0)), (2, promise(4, 11, 0))]),
        Ok(2)
    );
}

#[test]
fn among_equals_the_own_log_is_taken() {
    assert_eq!(
        chosen(&[(1, promise(4, 10, 0)), (2, promise(4, 10, 0))]),
        Ok(1)
    );
}

#[test]
fn nothing_is_chosen_without_a_majority_that_includes_oneself() {
    let nothing = Err(Undecided::NoMajority);
    assert_eq!(chosen(&[(1, promise(4, 10, 0))]), nothing);
    assert_eq!(
        chosen(&[(2, promise(4, 10, 0)), (3, promise(4, 10, 0))]),
        nothing
    );
}

#[test]
fn two_sets_of_voters_need_a_majority_of_each() {
    let joint = Electorate::new(voters(&[1, 4, 5]), voters(&[1, 2, 3]));
    let of = |ids: &[u16]| -> Vec<_> { ids.iter().map(|id| (*id, promise(4, 10, 0))).collect() };
    let nothing = Err(Undecided::NoMajority);
    assert_eq!(chosen_by(&joint, &of(&[1, 4, 5])), nothing);
    assert_eq!(chosen_by(&joint, &of(&[1, 2, 3])), nothing);
    assert_eq!(chosen_by(&joint, &of(&[1, 2, 4])), Ok(1));
}

#[test]
fn known_commits_are_never_chosen_away() {
    let short = [(1, promise(4, 5, 0)), (2, promise(3, 9, 8))];
    assert_eq!(chosen(&short), Err(Undecided::CommitsMissing));
    let with_third = [short[0].clone(), short[1].clone(), (3, promise(4, 8, 8))];
    assert_eq!(chosen(&with_third), Ok(3));
}

#[test]
fn one_damaged_disk_and_one_dead_node_may_be_a_majority() {
    let two = [(1, uncertain(4, 5, 0)), (2, promise(4, 3, 0))];
    assert_eq!(chosen(&two), Err(Undecided::Uncertain));
    let three = [two[0].clone(), two[1].clone(), (3, promise(4, 8, 0))];
    assert_eq!(chosen(&three), Ok(3), "until the third tells what it was");
    let three = [two[0].clone(), two[1].clone(), (3, promise(4, 2, 0))];
    assert_eq!(chosen(&three), Ok(2), "or that it was nothing");
}

#[test]
fn a_damaged_disk_of_long_ago_holds_up_nobody() {
    let two = [(1, uncertain(3, 5, 0)), (2, promise(4, 3, 0))];
    assert_eq!(chosen(&two), Ok(2), "what it lost, epoch 4 has adopted");
    let fresh = [(1, uncertain(0, 0, 0)), (2, promise(0, 0, 0))];
    assert_eq!(chosen(&fresh), Ok(2), "it has never acknowledged anything");
}

#[test]
fn an_uncertain_log_is_never_taken() {
    let all = [
        (1, uncertain(4, 9, 0)),
        (2, promise(4, 3, 0)),
        (3, promise(4, 3, 0)),
    ];
    assert_eq!(chosen(&all), Ok(3));
    let all = [
        (1, uncertain(4, 9, 7)),
        (2, promise(4, 3, 0)),
        (3, promise(4, 3, 0)),
    ];
    assert_eq!(
        chosen(&all),
        Err(Undecided::CommitsMissing),
        "but what it knows counts"
    );
}

#[test]
fn each_of_two_sets_may_have_held_what_is_not_seen() {
    let joint = Electorate::new(voters(&[1, 4, 5]), voters(&[1, 2, 3]));
    let promises = [
        (1, promise(4, 3, 0)),
        (2, uncertain(4, 3, 0)),
        (4, promise(4, 3, 0)),
        (5, promise(4, 3, 0)),
    ];
    assert_eq!(
        chosen_by(&joint, &promises),
        Err(Undecided::Uncertain),
        "2 and 3 are a majority of the previous voters"
    );
    let everybody = [&promises[..], &[(3, promise(4, 3, 0))]].concat();
    assert_eq!(chosen_by(&joint, &everybody), Ok(1));
}
