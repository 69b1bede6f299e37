//! Every combination of what a handful of voters may say, judged by counting who may hold what.
//!
//! There are two views. The log of view 1 is one sequence of entries. If view 2 has begun, its log
//! begins with some of them and goes on with entries of its own. A voter's true journal is a part
//! of one of the two logs, or a part of the second one although its `log_view` is still the first
//! (it was on its way there). Damage makes some of it faulty, or its end uncertain, or the voter is
//! not there at all.
//!
//! The judge asks for each entry how many voters may hold it, as far as the promises tell. It knows
//! nothing of witnesses.

use super::*;

use crate::group::{Checksum, DiskId, Membership};

/// How long the logs are.
const OPS: u64 = 3;

/// What there is to know about the logs: where the log of view 2 leaves that of view 1, if there is
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Logs {
    parting: Option<u64>,
}

/// What a voter's disk once held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Journal {
    log_view: u64,
    /// Of which view's log it is a part.
    log: u64,
    end: u64,
}

/// An entry of the log of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    log: u64,
    op: u64,
}

impl Logs {
    /// All there may be, seen by somebody who knows nothing.
    fn all(ops: u64) -> Vec<Self> {
        let partings = (0..=ops).map(Some).chain([None]);
        partings.map(|parting| Self { parting }).collect()
    }

    fn journals(self, ops: u64) -> Vec<Journal> {
        let mut journals = Vec::new();
        let mut add = |log_view, log, from| {
            journals.extend((from..=ops).map(|end| Journal { log_view, log, end }));
        };
        add(1, 1, 0);
        if let Some(parting) = self.parting {
            add(1, 2, parting + 1);
            add(2, 2, parting);
        }
        journals
    }

    fn entry(self, log: u64, op: u64) -> Entry {
        let is_common = self.parting.is_none_or(|parting| op <= parting);
        Entry {
            log: if is_common { 1 } else { log },
            op,
        }
    }

    fn head(self, log: u64, op: u64) -> Head {
        let entry = self.entry(log, op);
        Head {
            op: OpNumber(op),
            checksum: Checksum(if op == 0 { 0 } else { 100 * entry.log + op }),
        }
    }

    /// The entries that can have been committed: those of view 1 that view 2 has left behind have
    /// not been, or it would not have begun like that.
    fn entries(self, ops: u64) -> Vec<Entry> {
        let last = if self.parting.is_some() { 2 } else { 1 };
        (1..=ops).map(|op| self.entry(last, op)).collect()
    }

    fn promise(self, journal: Journal, sound: u64, is_tail_uncertain: bool) -> Promise {
        let log_view_op = if journal.log_view == 2 {
            self.parting
        } else {
            None
        };
        Promise {
            log_view: ViewNumber::of(journal.log_view, NodeId(1)),
            log_view_op: OpNumber(log_view_op.unwrap_or_default()),
            head: self.head(journal.log, journal.end),
            sound: self.head(journal.log, sound),
            is_tail_uncertain,
            membership: Membership::default(),
            commit_number: OpNumber(0),
            lease_may_hold: false,
        }
    }
}

impl Journal {
    /// Whether its voter may have acknowledged the entry, in the view in which it was committed.
    fn may_count_for(self, logs: Logs, entry: Entry) -> bool {
        let holds = entry.op <= self.end && logs.entry(self.log, entry.op) == entry;
        holds && self.log_view >= entry.log
    }
}

/// What one voter says, or that it is not there; and what its disk may have held.
#[derive(Clone, Debug)]
struct Said {
    promise: Option<Promise>,
    /// Whether it is on its way from one log to the other.
    is_between: bool,
    /// The entry that cannot be read.
    faulty: Option<Entry>,
    /// The entries that can.
    readable: Vec<Entry>,
    journals: Vec<(Logs, Journal)>,
}

impl Said {
    fn absent(ops: u64) -> Self {
        // Of what is not seen there may be more than of what is.
        let ops = ops + 1;
        let every = |logs: Logs| logs.journals(ops).into_iter().map(move |it| (logs, it));
        Self {
            promise: None,
            is_between: false,
            faulty: None,
            readable: Vec::new(),
            journals: Logs::all(ops).into_iter().flat_map(every).collect(),
        }
    }

    /// Everything that a voter may say while the logs are these.
    fn all(logs: Logs, ops: u64) -> Vec<Self> {
        let mut all = vec![Self::absent(ops)];
        for journal in logs.journals(ops) {
            for sound in 0..=journal.end {
                let promise = logs.promise(journal, sound, false);
                let is_between = journal.log_view < journal.log;
                let told = |logs: Logs, it: Journal| {
                    let (sound, head) = (logs.head(it.log, sound), logs.head(it.log, it.end));
                    (it.log_view, sound, head)
                };
                let is_told = |other, it| told(other, it) == told(logs, journal);
                all.push(Self::of(promise, is_told, ops));
                let entries = (1..=journal.end).map(|op| logs.entry(journal.log, op));
                let (faulty, readable): (Vec<_>, _) =
                    entries.partition(|entry| entry.op == sound + 1);
                let said = all.last_mut().expect("just added");
                *said = Self {
                    is_between,
                    faulty: faulty.first().copied(),
                    readable,
                    ..said.clone()
                };
            }
            let promise = logs.promise(journal, journal.end, true);
            all.push(Self::of(
                promise,
                |_, it| it.log_view == journal.log_view && it.end >= journal.end,
                ops,
            ));
        }
        all
    }

    fn of(promise: Promise, may_be: impl Fn(Logs, Journal) -> bool, ops: u64) -> Self {
        let is_possible = |(logs, journal): &(Logs, Journal)| {
            let log_view_op = logs.parting.filter(|_| journal.log_view == 2);
            may_be(*logs, *journal) && promise.log_view_op.0 == log_view_op.unwrap_or_default()
        };
        let mut journals = Self::absent(ops).journals;
        journals.retain(is_possible);
        Self {
            promise: Some(promise),
            is_between: false,
            faulty: None,
            readable: Vec::new(),
            journals,
        }
    }
}

/// The fewest voters of whom it takes to commit something, with one voter more or fewer as well:
/// the members may be about to change by one step.
fn fewest(voters: usize) -> usize {
    let with_one_more = quorum::majority(voters + 1) - 1;
    let with_one_less = quorum::majority(voters - 1);
    quorum::majority(voters)
        .min(with_one_more)
        .min(with_one_less)
}

/// Something that may have been committed, as far as is known, and is not in the log.
fn missing(said: &[&Said], ops: u64, log: Head) -> Option<(Logs, Entry)> {
    for logs in Logs::all(ops + 1) {
        let may_hold = |said: &&&Said, entry| {
            said.journals
                .iter()
                .any(|(other, it)| *other == logs && it.may_count_for(logs, entry))
        };
        let is_possible = said
            .iter()
            .all(|said| said.journals.iter().any(|(other, _)| *other == logs));
        if !is_possible {
            continue;
        }
        for entry in logs.entries(ops + 1) {
            let holders = said.iter().filter(|said| may_hold(said, entry)).count();
            let is_in_log = [1, 2].iter().any(|of| {
                logs.head(*of, log.op.0) == log
                    && entry.op <= log.op.0
                    && logs.entry(*of, entry.op) == entry
            });
            if holders >= fewest(said.len()) && !is_in_log {
                return Some((logs, entry));
            }
        }
    }
    None
}

/// Whether somebody has what is faulty at another.
fn can_mend(said: &[&Said]) -> bool {
    let is_readable = |entry: Entry| said.iter().any(|said| said.readable.contains(&entry));
    said.iter().filter_map(|said| said.faulty).any(is_readable)
}

fn is_latest_uncertain(promises: &BTreeMap<Member, Promise>) -> bool {
    let latest = promises.values().map(|promise| promise.log_view).max();
    let mut of_latest = promises
        .values()
        .filter(|promise| Some(promise.log_view) == latest);
    of_latest.all(|promise| promise.is_tail_uncertain)
}

fn founder(node: u16) -> Member {
    Member {
        node: NodeId(node),
        disk: DiskId(0),
    }
}

fn promises(said: &[&Said]) -> BTreeMap<Member, Promise> {
    let numbered = (1..).map(founder).zip(said);
    numbered
        .filter_map(|(node, said)| Some((node, said.promise.clone()?)))
        .collect()
}

fn chosen(promises: &BTreeMap<Member, Promise>, voters: usize) -> Option<Head> {
    let nodes: Vec<_> = (1..).map(NodeId).take(voters).collect();
    let mut promises = promises.clone();
    for promise in promises.values_mut() {
        promise.membership = Membership::founded_by(&nodes);
    }
    choose(&promises, founder(1)).map(|choice| choice.head)
}

/// Calls `judge` with every selection of `count` of `all`; the order does not matter.
fn each_selection<'a>(
    all: &'a [Said],
    count: usize,
    selected: &mut Vec<&'a Said>,
    judge: &mut impl FnMut(&[&'a Said]),
) {
    if selected.len() == count {
        judge(selected);
        return;
    }
    for (place, said) in all.iter().enumerate() {
        selected.push(said);
        each_selection(&all[place..], count, selected, judge);
        selected.pop();
    }
}

/// Judges every combination; gives how many logs were chosen, and how often none.
fn judge_all(voters: usize, ops: u64) -> (u64, u64) {
    let (mut choices, mut waits) = (0, 0);
    for logs in Logs::all(ops) {
        let all = Said::all(logs, ops);
        each_selection(&all, voters, &mut Vec::new(), &mut |said| {
            let promises = promises(said);
            match chosen(&promises, voters) {
                Some(log) => {
                    choices += 1;
                    let missing = missing(said, ops, log);
                    assert_eq!(missing, None, "{log:?} of {promises:#?}");
                }
                // The judge knows better than anybody can whose checksum it is that a voter on its
                // way between two logs tells.
                None if said.iter().any(|said| said.is_between) => {}
                // They will soon say more.
                None if can_mend(said) => {}
                // Where the log of that view began, the judge can tell from its number alone.
                None if is_latest_uncertain(&promises) => {}
                None => {
                    waits += 1;
                    for offer in promises.values().filter(|it| it.is_offer()) {
                        let missing = missing(said, ops, offer.sound);
                        assert!(missing.is_some(), "{:?} of {promises:#?}", offer.sound);
                    }
                }
            }
        });
    }
    (choices, waits)
}

#[test]
fn what_may_be_committed_is_in_the_log_and_nothing_is_waited_for_in_vain() {
    for (voters, ops) in [(1, OPS), (2, OPS), (3, OPS), (4, 2), (5, 2)] {
        let (choices, waits) = judge_all(voters, ops);
        assert!(choices > 0 && waits > 0, "{voters} voters");
    }
}
