use quorate_batch::{BatchBuilder, BatchHeader, Producer};

use super::*;

fn batch(id: i64, epoch: i16, base_sequence: i32, count: u32) -> BatchHeader {
    let mut builder = BatchBuilder::new(1 << 20);
    for _ in 0..count {
        builder.push(0, None, None, &[]).unwrap();
    }
    let producer = Producer {
        id,
        epoch,
        base_sequence,
    };
    BatchHeader::validate(&builder.finish(Some(producer))).unwrap()
}

/// A table of producer 7, whose batches of ten records begin at these sequence numbers and went to
/// offsets 100, 200 and so on.
fn table(epoch: i16, base_sequences: &[i32]) -> ProducerTable {
    let mut table = ProducerTable::default();
    for (at, &base_sequence) in base_sequences.iter().enumerate() {
        table.observe(&batch(7, epoch, base_sequence, 10), 100 * (at as u64 + 1));
    }
    table
}

#[test]
fn the_next_sequence_is_accepted() {
    let table = table(0, &[0, 10]);
    assert_eq!(table.check(&batch(7, 0, 20, 5)), Verdict::Accept);
}

#[test]
fn the_last_five_batches_are_known_again_when_they_are_resent() {
    let table = table(0, &[0, 10, 20, 30, 40, 50]);
    for at in 1..6u64 {
        let base_offset = 100 * (at + 1);
        let resent = batch(7, 0, 10 * at as i32, 10);
        assert_eq!(table.check(&resent), Verdict::Duplicate { base_offset });
    }
    let too_old = batch(7, 0, 0, 10);
    assert_eq!(table.check(&too_old), Verdict::OutOfOrder { expected: 60 });
}

#[test]
fn a_batch_that_only_resembles_a_known_one_is_not_a_duplicate() {
    let table = table(0, &[0, 10]);
    for resembling in [batch(7, 0, 0, 9), batch(7, 0, 10, 11), batch(7, 0, 5, 10)] {
        assert_eq!(
            table.check(&resembling),
            Verdict::OutOfOrder { expected: 20 }
        );
    }
}

#[test]
fn a_gap_is_out_of_order() {
    let table = table(0, &[0]);
    assert_eq!(
        table.check(&batch(7, 0, 11, 1)),
        Verdict::OutOfOrder { expected: 10 }
    );
    assert_eq!(
        table.check(&batch(7, 0, 20, 1)),
        Verdict::OutOfOrder { expected: 10 }
    );
}

#[test]
fn an_older_epoch_is_fenced_even_if_its_batch_is_known() {
    let mut table = table(2, &[0]);
    assert_eq!(
        table.check(&batch(7, 1, 0, 10)),
        Verdict::Fenced { epoch: 2 }
    );
    table.observe(&batch(7, 3, 0, 1), 500);
    assert_eq!(
        table.check(&batch(7, 2, 0, 10)),
        Verdict::Fenced { epoch: 3 }
    );
}

#[test]
fn a_newer_epoch_begins_at_zero_and_forgets_the_older_one() {
    let mut table = table(0, &[0, 10]);
    assert_eq!(
        table.check(&batch(7, 1, 20, 1)),
        Verdict::OutOfOrder { expected: 0 }
    );
    assert_eq!(table.check(&batch(7, 1, 0, 10)), Verdict::Accept);
    table.observe(&batch(7, 1, 0, 3), 900);
    assert_eq!(
        table.check(&batch(7, 1, 0, 3)),
        Verdict::Duplicate { base_offset: 900 }
    );
    assert_eq!(
        table.check(&batch(7, 1, 10, 10)),
        Verdict::OutOfOrder { expected: 3 }
    );
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let table = table(0, &[0]);
    assert_eq!(table.check(&batch(8, 3, 12345, 1)), Verdict::Accept);
}

#[test]
fn after_the_largest_sequence_comes_zero() {
    let mut table = ProducerTable::default();
    table.observe(&batch(7, 0, i32::MAX - 9, 10), 100);
    assert_eq!(table.check(&batch(7, 0, 0, 1)), Verdict::Accept);
    // A batch across the end: 2147483646, 2147483647, 0, 1.
    let mut table = ProducerTable::default();
    table.observe(&batch(7, 0, i32::MAX - 1, 4), 100);
    let again = batch(7, 0, i32::MAX - 1, 4);
    assert_eq!(table.check(&again), Verdict::Duplicate { base_offset: 100 });
    assert_eq!(table.check(&batch(7, 0, 2, 1)), Verdict::Accept);
    assert_eq!(
        table.check(&batch(7, 0, 3, 1)),
        Verdict::OutOfOrder { expected: 2 }
    );
}

#[test]
fn batches_without_a_producer_are_always_accepted_and_leave_no_trace() {
    let mut builder = BatchBuilder::new(1 << 20);
    builder.push(0, None, None, &[]).unwrap();
    let header = BatchHeader::validate(&builder.finish(None)).unwrap();
    let mut table = ProducerTable::default();
    assert_eq!(table.check(&header), Verdict::Accept);
    table.observe(&header, 0);
    assert!(table.is_empty());
}

#[test]
fn the_producer_that_was_silent_for_longest_is_forgotten() {
    let mut table = ProducerTable::default();
    for id in 0..PRODUCERS_MAX as i64 {
        table.observe(&batch(id, 0, 0, 1), id as u64);
    }
    table.observe(&batch(0, 0, 1, 1), 1_000_000);
    table.observe(&batch(PRODUCERS_MAX as i64, 0, 0, 1), 1_000_001);
    assert_eq!(table.len(), PRODUCERS_MAX);
    let is_known = |id| table.check(&batch(id, 0, 5, 1)) != Verdict::Accept;
    assert!(is_known(0), "it was silent for a short time only");
    assert!(!is_known(1));
    assert!(is_known(2));
}

#[test]
fn a_snapshot_comes_back_and_a_damaged_one_does_not() {
    let mut table = table(3, &[0, 10, 20, 30, 40, 50]);
    table.observe(&batch(9, 0, 0, 1), 1000);
    let mut bytes = Vec::new();
    table.encode(&mut bytes);
    assert_eq!(ProducerTable::decode(&bytes), Some(table));
    for len in 0..bytes.len() {
        assert_eq!(ProducerTable::decode(&bytes[..len]), None);
    }
    bytes.push(0);
    assert_eq!(ProducerTable::decode(&bytes), None);
    assert_eq!(ProducerTable::decode(&[0xff; 100]), None);
}

#[test]
fn what_is_told_of_earlier_batches_makes_a_table_whole_again() {
    let whole = table(0, &[0, 10, 20, 30, 40, 50]);
    for known_from in [100, 350, 400, 700] {
        let mut late = ProducerTable::default();
        for at in 0..6u64 {
            let base_offset = 100 * (at + 1);
            if base_offset >= known_from {
                late.observe(&batch(7, 0, 10 * at as i32, 10), base_offset);
            }
        }
        let earlier = whole.before(known_from);
        late.join_earlier(&earlier);
        assert_eq!(late, whole, "known from {known_from}");
        // To be told twice does no harm.
        late.join_earlier(&earlier);
        assert_eq!(late, whole);
    }
}

#[test]
fn what_comes_later_is_not_told_of_and_a_newer_epoch_ends_what_was_before() {
    let whole = table(0, &[0, 10, 20]);
    assert_eq!(whole.before(300), table(0, &[0, 10]));
    assert!(whole.before(100).is_empty());
    let mut newer = ProducerTable::default();
    newer.observe(&batch(7, 1, 0, 10), 400);
    let known = newer.clone();
    newer.join_earlier(&whole);
    assert_eq!(newer, known);
}
