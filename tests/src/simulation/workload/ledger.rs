use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorate_client::{Certainty, Error, PartitionInfo, PartitionStatus};
use quorate_jepsen::{Append, Deletion, History, Moment, Outcome, Read, Rules};

use super::{Fate, Target, Topic};
use crate::simulation::oracle::control::{ControlHistory, MemberAction, TopicAction};

/// What the clients of a run did and were told. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    notes: Rc<Notes>,
    /// Each of them stops those who write into this ledger.
    stops: Vec<Rc<Cell<bool>>>,
}

#[derive(Debug, Default)]
struct Notes {
    next_process: Cell<u32>,
    history: RefCell<History>,
    control: RefCell<ControlHistory>,
    seen: RefCell<Vec<Seen>>,
    /// The topics and indexes of the logs, by their numbers.
    logs: RefCell<Vec<(Rc<str>, u32)>>,
    /// One past the highest offset that was acknowledged, by log.
    ends: RefCell<BTreeMap<u32, u64>>,
    tallies: RefCell<BTreeMap<&'static str, Tally>>,
}

/// A partition as a node described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Before it was asked.
    pub invoked: Moment,
    /// After it answered.
    pub completed: Moment,
    /// Where the control plane has it.
    pub info: PartitionInfo,
    /// How the node has it.
    pub status: PartitionStatus,
}

/// How often operations of one kind ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// They were done.
    pub done: u64,
    /// They certainly were not.
    pub refused: u64,
    /// It is not known.
    pub doubtful: u64,
}

/// How an operation ended that gives a `T`.
pub(super) enum Ending<T> {
    Done(T),
    Refused(Error),
    Doubtful,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            notes: Rc::default(),
            stops: vec![Rc::default()],
        }
    }
}

impl Ledger {
    /// The same notes, for clients who go on when the others have stopped.
    pub fn reopened(&self) -> Self {
        Self {
            notes: self.notes.clone(),
            stops: vec![Rc::default()],
        }
    }

    /// The same notes, for clients who may be stopped before the others.
    pub(super) fn for_some(&self) -> Self {
        let mut stops = self.stops.clone();
        stops.push(Rc::default());
        Self {
            notes: self.notes.clone(),
            stops,
        }
    }

    /// Has all clients come to an end who note here.
    pub fn stop(&self) {
        let own = self.stops.last();
        own.expect("every ledger can be stopped").set(true);
    }

    /// Whether clients shall begin nothing new.
    pub fn is_stopping(&self) -> bool {
        self.stops.iter().any(|stop| stop.get())
    }

    /// What was written and read, for [`quorate_jepsen::check`]. Its notes are taken out.
    pub fn take_history(&self) -> History {
        self.notes.history.take()
    }

    /// Looks at what was written and read so far.
    pub(in crate::simulation) fn with_history<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.notes.history.borrow())
    }

    /// What was asked of the control plane. Its notes are taken out.
    pub fn take_control(&self) -> ControlHistory {
        self.notes.control.take()
    }

    /// What nodes said of partitions. Its notes are taken out.
    pub fn take_seen(&self) -> Vec<Seen> {
        self.notes.seen.take()
    }

    /// How often what was done. A kind of operation that never succeeds proves nothing.
    pub fn tallies(&self) -> BTreeMap<&'static str, Tally> {
        self.notes.tallies.borrow().clone()
    }

    /// How many appends were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.notes
            .tallies
            .borrow()
            .get("append")
            .map_or(0, |it| it.done)
    }

    /// The topic and the index of a log of the history.
    pub fn log(&self, log: u32) -> Option<(Rc<str>, u32)> {
        self.notes.logs.borrow().get(log as usize).cloned()
    }

    /// Notes that somebody did what nobody may.
    pub fn promise_broken(&self, what: impl Into<String>) {
        let mut history = self.notes.history.borrow_mut();
        history.broken_promises.push(what.into());
    }

    /// Notes from when to when nodes may not have heard what others said.
    pub fn note_parted(&self, parted: &[(Duration, Duration)]) {
        let moment = |time: Duration| {
            let nanos = u64::try_from(time.as_nanos());
            Moment(nanos.unwrap_or(u64::MAX))
        };
        let parted = parted.iter().map(|(from, to)| (moment(*from), moment(*to)));
        self.notes.history.borrow_mut().parted = parted.collect();
    }

    /// The nodes of which the cluster consists at first.
    pub fn note_founders(&self, founders: &[u16]) {
        self.notes.control.borrow_mut().founders = founders.to_vec();
    }

    /// The number of a new logical process.
    pub(super) fn new_process(&self) -> u32 {
        let process = self.notes.next_process.get();
        self.notes.next_process.set(process + 1);
        process
    }

    /// The partitions of a topic that has just been created.
    pub(super) fn open(&self, topic: &Topic) -> Vec<Target> {
        let name: Rc<str> = topic.name.as_str().into();
        let mut logs = self.notes.logs.borrow_mut();
        let target = |index| {
            let log = u32::try_from(logs.len()).expect("there are fewer logs than numbers");
            logs.push((name.clone(), index));
            let rules = match topic.fate {
                Fate::Kept => Rules::default(),
                Fate::Expiring { not_before, .. } => Rules {
                    retention: Some(not_before),
                    ..Rules::default()
                },
                Fate::Compacted(keys) => Rules {
                    keys: Some(keys),
                    ..Rules::default()
                },
            };
            let keys = rules.keys;
            self.notes.history.borrow_mut().rules.insert(log, rules);
            Target {
                topic: name.clone(),
                index,
                log,
                keys,
            }
        };
        (0..topic.partitions).map(target).collect()
    }

    /// Notes that a topic shall be deleted: its records may be gone from now on.
    pub(super) fn doom(&self, targets: &[Target]) {
        let mut history = self.notes.history.borrow_mut();
        for target in targets {
            history.rules.entry(target.log).or_default().is_doomed = true;
        }
    }

    /// One past the highest offset that is known of a log.
    pub(in crate::simulation) fn end_of(&self, log: u32) -> u64 {
        self.notes.ends.borrow().get(&log).copied().unwrap_or(0)
    }

    /// Whether records may go from the beginning of a log.
    pub(super) fn may_begin_late(&self, log: u32) -> bool {
        self.notes.history.borrow().rules_of(log).may_begin_late()
    }

    pub(super) fn note_append(&self, append: Append) {
        if let Outcome::Ok { offset } = append.outcome {
            let mut ends = self.notes.ends.borrow_mut();
            let end = ends.entry(append.value.partition).or_default();
            *end = (*end).max(offset + 1);
        }
        self.count("append", append.outcome);
        self.notes.history.borrow_mut().appends.push(append);
    }

    pub(super) fn note_read(&self, read: Read) {
        self.count_as("read", read.finished);
        self.notes.history.borrow_mut().reads.push(read);
    }

    /// Notes a request to delete records. It may take effect from `invoked` on, so it is noted
    /// before it is sent; the number is for its end.
    pub(super) fn begin_deletion(&self, log: u32, before: Option<u64>, now: Moment) -> usize {
        let mut history = self.notes.history.borrow_mut();
        let deletions = &mut history.rules.entry(log).or_default().deletions;
        deletions.push(Deletion {
            before,
            invoked: now,
            completed: Moment(u64::MAX),
            outcome: Outcome::Info,
        });
        deletions.len() - 1
    }

    pub(super) fn end_deletion(&self, log: u32, number: usize, now: Moment, outcome: Outcome) {
        self.count("delete records", outcome);
        let mut history = self.notes.history.borrow_mut();
        let rules = history.rules.entry(log).or_default();
        let deletion = &mut rules.deletions[number];
        (deletion.completed, deletion.outcome) = (now, outcome);
    }

    pub(super) fn note_topic(
        &self,
        name: &str,
        action: TopicAction,
        invoked: Moment,
        completed: Option<Moment>,
    ) {
        let mut control = self.notes.control.borrow_mut();
        control.note_topic(name, action, invoked, completed);
    }

    pub(super) fn note_member(
        &self,
        id: u16,
        action: MemberAction,
        invoked: Moment,
        completed: Option<Moment>,
    ) {
        let mut control = self.notes.control.borrow_mut();
        control.note_member(id, action, invoked, completed);
    }

    pub(super) fn note_seen(&self, seen: Seen) {
        self.notes.seen.borrow_mut().push(seen);
    }

    pub(super) fn count(&self, kind: &'static str, outcome: Outcome) {
        let mut tallies = self.notes.tallies.borrow_mut();
        let tally = tallies.entry(kind).or_default();
        match outcome {
            Outcome::Ok { .. } => tally.done += 1,
            Outcome::Fail => tally.refused += 1,
            Outcome::Info => tally.doubtful += 1,
        }
    }

    pub(super) fn count_as(&self, kind: &'static str, is_done: bool) {
        let outcome = match is_done {
            true => Outcome::Ok { offset: 0 },
            false => Outcome::Fail,
        };
        self.count(kind, outcome);
    }

    /// Counts how an operation ended, and says whether it is certain.
    pub(super) fn ending<T>(
        &self,
        kind: &'static str,
        result: Option<Result<T, Error>>,
    ) -> Ending<T> {
        let ending = match result {
            Some(Ok(done)) => Ending::Done(done),
            Some(Err(error)) if error.certainty() == Certainty::Definite => Ending::Refused(error),
            Some(Err(_)) | None => Ending::Doubtful,
        };
        self.count(
            kind,
            match ending {
                Ending::Done(_) => Outcome::Ok { offset: 0 },
                Ending::Refused(_) => Outcome::Fail,
                Ending::Doubtful => Outcome::Info,
            },
        );
        ending
    }
}
