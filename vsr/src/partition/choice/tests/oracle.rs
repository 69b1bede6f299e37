//! All small worlds: could a record that is not in the chosen log have been committed, given
//! everything that was promised?
//!
//! A world is what each voter promised, or that it is absent. The oracle knows nothing of the
//! argument at [`choose`]. It goes through all records that might exist, and all epochs in which a
//! record might have been committed, and asks of every voter whether it might have acknowledged it
//! and whether its promise contradicts that anybody did.

use super::*;

/// The epochs that wrote records, and the one that is being led.
const WRITERS: u32 = 2;
const LED: u32 = 3;
/// Longer than any log that is seen, so that a record may be one that nobody shows.
const OFFSETS: usize = 4;

/// What one voter promises. `log` names the epoch of each record.
#[derive(Clone, Copy, Debug)]
struct Voter {
    log: &'static [u32],
    log_epoch: u32,
    is_uncertain: bool,
}

/// A record is known by its place and the epoch that wrote it.
#[derive(Clone, Copy, Debug)]
struct Record {
    offset: usize,
    epoch: u32,
}

impl Voter {
    fn shows(&self, record: Record) -> bool {
        self.log.get(record.offset) == Some(&record.epoch)
    }

    /// Whether it may have acknowledged the record as one that has adopted epoch `of`.
    fn may_have_acknowledged(&self, record: Record, of: u32) -> bool {
        let may_have_lost = self.is_uncertain
            && record.offset >= self.log.len()
            && self.log.last().is_none_or(|last| *last <= record.epoch);
        self.log_epoch >= of && (self.shows(record) || may_have_lost)
    }

    /// Whether its log could not be what it is, had the record been committed in epoch `of`.
    ///
    /// Who has adopted a later epoch holds all that was committed; who has adopted that very one
    /// holds nothing else in its place.
    fn contradicts(&self, record: Record, of: u32) -> bool {
        let reaches = record.offset < self.log.len();
        let should_hold = self.log_epoch > of || self.log_epoch == of && reaches;
        let can_tell = reaches || !self.is_uncertain;
        should_hold && can_tell && !self.shows(record)
    }

    fn promise(&self) -> Promise {
        let mut history = EpochHistory::default();
        for (offset, epoch) in (0..).zip(self.log) {
            history.extend(Epoch(*epoch), Offset(offset));
        }
        Promise {
            epoch: Epoch(LED),
            log_epoch: Epoch(self.log_epoch),
            next_offset: Offset(self.log.len() as u64),
            high_watermark: Offset(0),
            log_start: Offset(0),
            history,
            is_uncertain: self.is_uncertain,
        }
    }
}

/// A record that `chosen` lacks and that one of the sets may have committed.
fn missed(world: &[Option<Voter>], electorate: &Electorate, chosen: Voter) -> Option<Record> {
    let offsets = 0..OFFSETS;
    let records = offsets.flat_map(|offset| {
        let epochs = 1..=WRITERS;
        epochs.map(move |epoch| Record { offset, epoch })
    });
    let mut unseen = records.filter(|record| !chosen.shows(*record));
    unseen.find(|&record| {
        (record.epoch..LED).any(|of| {
            let promised = world.iter().flatten();
            let is_contradicted = promised.clone().any(|voter| voter.contradicts(record, of));
            let may_have = |node: NodeId| {
                let voter = world[usize::from(node.0) - 1];
                voter.is_none_or(|voter| voter.may_have_acknowledged(record, of))
            };
            let is_majority =
                |set: &[NodeId]| set.iter().filter(|node| may_have(**node)).count() > set.len() / 2;
            !is_contradicted && electorate.sets().any(is_majority)
        })
    })
}

/// Every voter there can be, with logs of these kinds.
fn every_voter(logs: &[&'static [u32]], log_epochs: u32) -> Vec<Option<Voter>> {
    let mut all = Vec::new();
    for &log in logs {
        for log_epoch in 0..=log_epochs {
            for is_uncertain in [false, true] {
                all.push(Some(Voter {
                    log,
                    log_epoch,
                    is_uncertain,
                }));
            }
        }
    }
    all.push(None);
    all
}

/// What a run has met, so that a test that proves nothing is noticed.
#[derive(Debug, Default)]
struct Met {
    chosen: usize,
    chosen_with_uncertain: usize,
    uncertain: usize,
    needless: usize,
}

/// Calls `check` with every world of `count` voters, in any order if it does not matter who is
/// who.
fn every_world(
    count: usize,
    kinds: &[Option<Voter>],
    is_ordered: bool,
    check: &mut impl FnMut(&[Option<Voter>]),
) {
    let mut picked = vec![0; count];
    loop {
        let world: Vec<_> = picked.iter().map(|kind| kinds[*kind]).collect();
        check(&world);
        let Some(at) = picked.iter().rposition(|kind| kind + 1 < kinds.len()) else {
            return;
        };
        picked[at] += 1;
        let restart = if is_ordered { 0 } else { picked[at] };
        picked[at + 1..].fill(restart);
    }
}

fn judge(world: &[Option<Voter>], electorate: &Electorate, met: &mut Met) {
    let promised = (1..).map(NodeId).zip(world);
    let promises: BTreeMap<_, _> = promised
        .filter_map(|(node, voter)| Some((node, (*voter)?.promise())))
        .collect();
    match choose(&promises, electorate, NodeId(1)) {
        Ok(choice) => {
            let chosen = world[usize::from(choice.source.0) - 1];
            let chosen = chosen.expect("the absent have promised nothing");
            let missed = missed(world, electorate, chosen);
            assert!(missed.is_none(), "{missed:?} is dropped: {world:?}");
            met.chosen += 1;
            let has_uncertain = world.iter().flatten().any(|voter| voter.is_uncertain);
            met.chosen_with_uncertain += usize::from(has_uncertain);
        }
        Err(Undecided::Uncertain) => {
            met.uncertain += 1;
            let certain = world.iter().flatten().filter(|voter| !voter.is_uncertain);
            let best = certain.max_by_key(|voter| (voter.log_epoch, voter.log.len()));
            if let Some(best) = best
                && missed(world, electorate, *best).is_none()
            {
                met.needless += 1;
            }
        }
        Err(Undecided::NoMajority | Undecided::CommitsMissing) => {}
    }
}

const LOGS: [&[u32]; 6] = [&[], &[1], &[2], &[1, 1], &[1, 2], &[2, 2]];

fn alone(count: u16) -> Electorate {
    Electorate::new((1..=count).map(NodeId).collect(), Vec::new())
}

#[test]
fn no_choice_of_three_drops_what_may_have_been_committed() {
    let mut met = Met::default();
    let kinds = every_voter(&LOGS, WRITERS);
    every_world(3, &kinds, true, &mut |world| {
        judge(world, &alone(3), &mut met)
    });
    assert!(met.chosen_with_uncertain > 1000, "{met:?}");
    assert!(met.uncertain > 1000, "{met:?}");
}

#[test]
fn no_choice_of_five_drops_what_may_have_been_committed() {
    let mut met = Met::default();
    let kinds = every_voter(&LOGS, WRITERS);
    every_world(5, &kinds, false, &mut |world| {
        judge(world, &alone(5), &mut met)
    });
    assert!(met.chosen_with_uncertain > 1000, "{met:?}");
    assert!(met.uncertain > 1000, "{met:?}");
}

#[test]
fn no_choice_of_two_sets_drops_what_either_may_have_committed() {
    let mut met = Met::default();
    let kinds = every_voter(&[&[], &[1]], 1);
    let electorate = Electorate::new(voters(&[1, 4, 5]), voters(&[1, 2, 3]));
    every_world(5, &kinds, true, &mut |world| {
        judge(world, &electorate, &mut met)
    });
    assert!(met.chosen_with_uncertain > 1000, "{met:?}");
    assert_eq!(met.needless, 0, "{met:?}");
}

#[test]
fn nobody_waits_without_a_cause() {
    let mut met = Met::default();
    let kinds = every_voter(&[&[], &[1], &[1, 1]], 1);
    every_world(3, &kinds, true, &mut |world| {
        judge(world, &alone(3), &mut met)
    });
    every_world(5, &kinds, false, &mut |world| {
        judge(world, &alone(5), &mut met)
    });
    assert!(met.uncertain > 1000, "{met:?}");
    assert_eq!(met.needless, 0, "{met:?}");
}
