//! Good histories, made at random by a log that is right, and each made bad in one place.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::Kind;
use crate::{
    Append, Deletion, History, Keys, Moment, Outcome, Payload, Read, Record, Value, check,
};

const RECORDS: u64 = 60;
const SEEDS: u64 = 200;

/// Three processes append concurrently; a reader reads along; the last reading has everything.
fn good(random: &mut ChaCha8Rng) -> History {
    let mut history = History::default();
    let mut log: Vec<Value> = Vec::new();
    let mut counters = [0; 3];
    // A process begins its next append only after its last one was answered.
    let mut free_at = [0; 3];
    for now in (0..RECORDS).map(|step| step * 100) {
        let process = random.random_range(0..3);
        let value = Value {
            process: process as u32,
            counter: counters[process],
            partition: 0,
        };
        counters[process] += 1;
        let early = now - random.random_range(0..=now.min(150));
        let invoked = early.max(free_at[process]);
        let completed = now + random.random_range(1..100);
        free_at[process] = completed;
        let outcome = match random.random_range(0..10) {
            0 => Outcome::Info,
            1 => Outcome::Fail,
            _ => Outcome::Ok {
                offset: log.len() as u64,
            },
        };
        let takes_place = match outcome {
            Outcome::Ok { .. } => true,
            Outcome::Info => random.random(),
            Outcome::Fail => false,
        };
        if takes_place {
            log.push(value);
        }
        let (invoked, completed) = (Moment(invoked), Moment(completed));
        history.appends.push(Append {
            value,
            invoked,
            completed,
            outcome,
        });
        if random.random_range(0..5) == 0 && !log.is_empty() {
            let from = random.random_range(0..log.len());
            history.reads.push(reading(&log, from, now + 1, false));
        }
    }
    history
        .reads
        .push(reading(&log, 0, RECORDS * 100 + 1000, true));
    history
}

fn reading(log: &[Value], from: usize, at: u64, is_final: bool) -> Read {
    let record = |(offset, value): (usize, &Value)| Record {
        offset: offset as u64,
        payload: Payload::Value(*value),
    };
    Read {
        partition: 0,
        from: from as u64,
        invoked: Moment(at),
        completed: Moment(at + 1),
        finished: true,
        is_final,
        records: log.iter().enumerate().skip(from).map(record).collect(),
    }
}

fn last_read(history: &mut History) -> &mut Vec<Record> {
    &mut history.reads.last_mut().unwrap().records
}

/// Makes every good history bad in the same way, and expects it to be called by that name.
fn assert_found(kind: Kind, mutate: impl Fn(&mut History, &mut ChaCha8Rng)) {
    for seed in 0..SEEDS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut history = good(&mut random);
        mutate(&mut history, &mut random);
        let found: Vec<Kind> = check(&history)
            .into_iter()
            .map(|anomaly| anomaly.kind)
            .collect();
        assert!(
            found.contains(&kind),
            "seed {seed}: {kind:?} is not among {found:?}"
        );
    }
}

#[test]
fn good_histories_pass() {
    for seed in 0..SEEDS {
        let history = good(&mut ChaCha8Rng::seed_from_u64(seed));
        let found = check(&history);
        assert!(found.is_empty(), "seed {seed}: {found:?}");
    }
}

#[test]
fn lost_end_is_found() {
    assert_found(Kind::Lost, |history, _| {
        let acknowledged = history
            .appends
            .iter()
            .filter_map(|append| match append.outcome {
                Outcome::Ok { offset } => Some(offset),
                Outcome::Fail | Outcome::Info => None,
            });
        let last = acknowledged.max().unwrap();
        last_read(history).truncate(last as usize);
    });
}

#[test]
fn hole_is_found() {
    assert_found(Kind::Hole, |history, random| {
        let records = last_read(history);
        let middle = random.random_range(1..records.len() - 1);
        records.remove(middle);
    });
}

#[test]
fn repeated_record_is_found() {
    assert_found(Kind::Duplicate, |history, random| {
        let records = last_read(history);
        let mut again = records[random.random_range(0..records.len())].clone();
        again.offset = records.len() as u64;
        records.push(again);
    });
}

#[test]
fn exchange_of_two_acknowledged_records_is_found() {
    assert_found(Kind::Inconsistent, |history, random| {
        let acknowledged: Vec<usize> = history
            .appends
            .iter()
            .filter_map(|append| match append.outcome {
                Outcome::Ok { offset } => Some(offset as usize),
                Outcome::Fail | Outcome::Info => None,
            })
            .collect();
        let place = random.random_range(1..acknowledged.len());
        let (one, other) = (acknowledged[place - 1], acknowledged[place]);
        let records = last_read(history);
        let payload = records[one].payload.clone();
        records[one].payload = records[other].payload.clone();
        records[other].payload = payload;
    });
}

#[test]
fn foreign_record_is_found() {
    assert_found(Kind::Phantom, |history, random| {
        let records = last_read(history);
        let place = random.random_range(0..records.len());
        let stranger = Value {
            process: 99,
            counter: 0,
            partition: 0,
        };
        records[place].payload = Payload::Value(stranger);
    });
}

#[test]
fn record_that_goes_back_is_found() {
    assert_found(Kind::NonMonotonic, |history, random| {
        let records = last_read(history);
        let place = random.random_range(1..records.len());
        records.swap(place - 1, place);
    });
}

const KEYS: Keys = Keys {
    count: 5,
    tombstone_every: 4,
    tombstones_stay: Duration::from_secs(1),
};

/// Makes a good history one of a compacted partition: of the shadowed records some are gone.
fn compact(history: &mut History, random: &mut ChaCha8Rng) {
    history.rules.entry(0).or_default().keys = Some(KEYS);
    let records = last_read(history);
    let key = |record: &Record| match record.payload {
        Payload::Value(value) => KEYS.key(&value),
        Payload::Damaged(_) => unreachable!("a good history has no damage"),
    };
    let all = records.clone();
    records.retain(|record| {
        let is_shadowed = all
            .iter()
            .any(|later| later.offset > record.offset && key(later) == key(record));
        !is_shadowed || random.random()
    });
}

/// Makes a good history one in which the beginning was deleted; where it begins then.
fn delete(history: &mut History, random: &mut ChaCha8Rng) -> u64 {
    let before = random.random_range(1..last_read(history).len() as u64);
    let last = history.reads.last().unwrap().invoked.0;
    history
        .rules
        .entry(0)
        .or_default()
        .deletions
        .push(Deletion {
            before: Some(before),
            invoked: Moment(last - 200),
            completed: Moment(last - 100),
            outcome: Outcome::Ok { offset: before },
        });
    last_read(history).retain(|record| record.offset >= before);
    before
}

#[test]
fn good_histories_of_logs_that_lose_records_pass() {
    for seed in 0..SEEDS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut history = good(&mut random);
        match seed % 2 {
            0 => compact(&mut history, &mut random),
            _ => drop(delete(&mut history, &mut random)),
        }
        let found = check(&history);
        assert!(found.is_empty(), "seed {seed}: {found:?}");
    }
}

#[test]
fn last_record_of_a_key_that_is_gone_is_found() {
    for seed in 0..SEEDS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut history = good(&mut random);
        compact(&mut history, &mut random);
        let offsets = history.appends.iter().filter_map(|it| match it.outcome {
            Outcome::Ok { offset } => Some(offset),
            Outcome::Fail | Outcome::Info => None,
        });
        let last = offsets.max().unwrap();
        last_read(&mut history).retain(|record| record.offset < last);
        // It depends on what is left of its key what this is called.
        let found = check(&history);
        let is_named = |kind| matches!(kind, Kind::Lost | Kind::Returned);
        assert!(
            found.iter().any(|it| is_named(it.kind)),
            "seed {seed}: {found:?}"
        );
    }
}

#[test]
fn deleted_record_that_is_back_is_found() {
    assert_found(Kind::Returned, |history, random| {
        let whole = last_read(history).clone();
        let before = delete(history, random);
        let back = whole[before as usize - 1].clone();
        last_read(history).insert(0, back);
    });
}
