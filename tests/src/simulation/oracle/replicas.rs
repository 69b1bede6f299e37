//! Do all replicas of a partition hold the same records?
//!
//! Below the high watermark the copies are the same, byte for byte, whatever crashes and repairs
//! were between. Only where a topic is compacted one replica may have taken out records that
//! another still has: what is not in one copy is then shadowed by a later record of its key.

mod batch;
mod copy;
mod discord;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod sample;

use std::collections::BTreeMap;

pub use batch::{Batch, Producer};
pub use copy::Copy;
pub use discord::{Discord, Trouble};

use batch::Record;

/// A partition of which all copies are to be compared, as the cluster describes it at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its id, which is also the name of its folder on every node.
    pub id: u64,
    /// The first offset that is still there.
    pub log_start: u64,
    /// The first offset that is not committed.
    pub high_watermark: u64,
    /// Whether its topic is compacted.
    pub is_compacted: bool,
    /// Whether ranges of a few copies may be damaged that nobody has come by yet.
    pub may_be_damaged: bool,
}

/// Everything on which the copies disagree, and what is wrong with each of them.
pub fn compare(partition: &Partition, copies: &[Copy<'_>]) -> Vec<Discord> {
    let mut found = Vec::new();
    let lacking: Vec<_> = copies.iter().map(|copy| lacks(partition, copy)).collect();
    let whole = lacking.iter().filter(|lacks| lacks.is_empty()).count();
    // What a majority of the copies has is good, and comes to the others in time.
    if !(partition.may_be_damaged && 2 * whole > copies.len()) {
        found.extend(lacking.into_iter().flatten());
    }
    for copy in copies {
        check_sequences(copy, &mut found);
        check_epochs(copy, &mut found);
    }
    let mut sound = copies.iter().filter(|copy| !copy.batches.is_empty());
    if let Some(first) = sound.next() {
        for other in sound {
            let both = Pair { first, other };
            match partition.is_compacted {
                true => both.compare_compacted(partition, &mut found),
                false => both.compare_bytes(partition, &mut found),
            }
        }
    }
    found
}

/// What a copy lacks from the log's start to the high watermark.
fn lacks(partition: &Partition, copy: &Copy<'_>) -> Vec<Discord> {
    let mut found = Vec::new();
    if partition.log_start == partition.high_watermark {
        return found;
    }
    let mut note =
        |offset, trouble| found.push(Discord::new(partition.id, copy.node, offset, trouble));
    let Some(first) = copy.batches.first() else {
        note(partition.log_start, Trouble::Short);
        return found;
    };
    if first.base_offset > partition.log_start {
        note(partition.log_start, Trouble::LateStart);
    }
    let mut expected = first.base_offset;
    for batch in &copy.batches {
        let is_visible =
            batch.base_offset > partition.log_start && expected < partition.high_watermark;
        if batch.base_offset != expected && is_visible {
            note(expected, Trouble::Hole);
        }
        expected = batch.next_offset;
    }
    if expected < partition.high_watermark {
        note(expected, Trouble::Short);
    }
    found
}

/// Each batch of an idempotent producer stands once, and behind those that it sent before.
fn check_sequences(copy: &Copy<'_>, found: &mut Vec<Discord>) {
    let mut ends: BTreeMap<(i64, i16), i64> = BTreeMap::new();
    for batch in &copy.batches {
        let Some(producer) = batch.producer else {
            continue;
        };
        let base = i64::from(producer.base_sequence);
        let count = (batch.next_offset - batch.base_offset) as i64;
        let end = ends.insert((producer.id, producer.epoch), base + count);
        // After the greatest number a producer begins again with 0.
        let is_new = end.is_none_or(|end| base >= end || end > i64::from(i32::MAX));
        if !is_new {
            let trouble = Trouble::Sequence {
                producer: producer.id,
            };
            found.push(Discord::new(
                copy.partition,
                copy.node,
                batch.base_offset,
                trouble,
            ));
        }
    }
}

/// What a later leader wrote stands behind what an earlier one did.
fn check_epochs(copy: &Copy<'_>, found: &mut Vec<Discord>) {
    for pair in copy.batches.windows(2) {
        if pair[1].leader_epoch < pair[0].leader_epoch {
            let (offset, trouble) = (pair[1].base_offset, Trouble::Epoch);
            found.push(Discord::new(copy.partition, copy.node, offset, trouble));
        }
    }
}

struct Pair<'a> {
    first: &'a Copy<'a>,
    other: &'a Copy<'a>,
}

impl Pair<'_> {
    /// The batches of a copy that everybody may see, by their first offsets.
    fn visible<'a>(partition: &Partition, copy: &'a Copy<'a>) -> BTreeMap<u64, &'a Batch<'a>> {
        let is_visible = |batch: &&Batch<'_>| {
            batch.next_offset > partition.log_start && batch.next_offset <= partition.high_watermark
        };
        let visible = copy.batches.iter().filter(is_visible);
        visible.map(|batch| (batch.base_offset, batch)).collect()
    }

    fn differ(&self, partition: &Partition, offset: u64) -> Discord {
        let with = self.first.node;
        Discord::new(
            partition.id,
            self.other.node,
            offset,
            Trouble::Differs { with },
        )
    }

    fn compare_bytes(&self, partition: &Partition, found: &mut Vec<Discord>) {
        let first = Self::visible(partition, self.first);
        let other = Self::visible(partition, self.other);
        for (offset, batch) in &other {
            let is_same = match first.get(offset) {
                Some(twin) => twin.bytes == batch.bytes,
                // What is missing is told of the copy that misses it, unless a batch there spans
                // this offset.
                None => !Self::is_inside(&first, *offset),
            };
            if !is_same {
                // One difference may be followed by many.
                return found.push(self.differ(partition, *offset));
            }
        }
        if let Some(offset) = first
            .keys()
            .find(|offset| Self::is_inside(&other, **offset))
        {
            found.push(self.differ(partition, *offset));
        }
    }

    /// Whether a batch begins before `offset` and ends behind it.
    fn is_inside(batches: &BTreeMap<u64, &Batch<'_>>, offset: u64) -> bool {
        let before = batches.range(..offset).next_back();
        before.is_some_and(|(_, batch)| batch.next_offset > offset)
    }

    /// Batches begin and end at the same offsets and name the same writers; what is left of their
    /// records is the same, and what is not left of one is shadowed.
    fn compare_compacted(&self, partition: &Partition, found: &mut Vec<Discord>) {
        let first = Self::visible(partition, self.first);
        let other = Self::visible(partition, self.other);
        for (offset, batch) in &other {
            let is_same = match first.get(offset) {
                Some(twin) => twin.frame() == batch.frame(),
                None => !Self::is_inside(&first, *offset),
            };
            if !is_same {
                return found.push(self.differ(partition, *offset));
            }
        }
        let (one, two) = (records(&first), records(&other));
        for offset in first.keys().filter(|base| other.contains_key(base)) {
            let end = first[offset].next_offset;
            for at in *offset..end {
                let is_sound = match (one.get(&at), two.get(&at)) {
                    (None, None) => true,
                    (Some(a), Some(b)) => a.bytes == b.bytes,
                    (Some(left), None) | (None, Some(left)) => {
                        left.is_tombstone || is_shadowed(at, left, [&one, &two])
                    }
                };
                if !is_sound {
                    return found.push(self.differ(partition, at));
                }
            }
        }
    }
}

type Records<'a> = BTreeMap<u64, Record<'a>>;

fn records<'a>(batches: &BTreeMap<u64, &Batch<'a>>) -> Records<'a> {
    let all = batches.values().flat_map(|batch| batch.records());
    all.map(|record| (record.offset, record)).collect()
}

/// Whether a later record of the same key is in any of the copies.
fn is_shadowed(offset: u64, record: &Record<'_>, copies: [&Records<'_>; 2]) -> bool {
    copies.into_iter().any(|records| {
        let mut later = records.range(offset + 1..);
        later.any(|(_, later)| later.key == record.key)
    })
}

#[cfg(test)]
mod tests {
    use super::sample::{Segment, batch};
    use super::*;

    const PARTITION: Partition = Partition {
        id: 3,
        log_start: 0,
        high_watermark: 6,
        is_compacted: false,
        may_be_damaged: false,
    };
    const COMPACTED: Partition = Partition {
        is_compacted: true,
        ..PARTITION
    };

    /// Three batches of two records each, with keys 0 and 1, and the last one with key 0 and a
    /// tombstone of key 1.
    fn whole() -> Segment {
        Segment::new(0)
            .frame()
            .put(batch(0, 1).record(0, Some(7)).record(1, Some(8)))
            .put(batch(2, 1).record(0, Some(9)).record(1, Some(10)))
            .frame()
            .put(batch(4, 2).record(0, Some(11)).record(1, None))
    }

    fn troubles(partition: &Partition, segments: &[Segment]) -> Vec<(u16, u64, Trouble)> {
        let files: Vec<_> = segments.iter().map(Segment::files).collect();
        let copies: Vec<_> = (1..)
            .zip(&files)
            .map(|(node, files)| Copy::read(node, partition.id, files))
            .collect();
        let found = compare(partition, &copies);
        let found = found.into_iter();
        found.map(|it| (it.node, it.offset, it.trouble)).collect()
    }

    #[test]
    fn equal_copies_agree_however_they_were_written() {
        let plain = Segment::new(0)
            .put(batch(0, 1).record(0, Some(7)).record(1, Some(8)))
            .put(batch(2, 1).record(0, Some(9)).record(1, Some(10)))
            .put(batch(4, 2).record(0, Some(11)).record(1, None))
            .zeros(5000);
        assert_eq!(troubles(&PARTITION, &[whole(), plain]), []);
    }

    #[test]
    fn records_behind_the_high_watermark_may_differ() {
        let more = whole().put(batch(6, 2).record(5, Some(1)));
        let other = whole().put(batch(6, 3).record(5, Some(2)));
        assert_eq!(troubles(&PARTITION, &[more, other, whole()]), []);
    }

    #[test]
    fn another_value_below_it_differs() {
        let other = Segment::new(0)
            .put(batch(0, 1).record(0, Some(7)).record(1, Some(8)))
            .put(batch(2, 1).record(0, Some(9)).record(1, Some(99)))
            .put(batch(4, 2).record(0, Some(11)).record(1, None));
        let differs = (2, 2, Trouble::Differs { with: 1 });
        assert_eq!(troubles(&PARTITION, &[whole(), other]), [differs]);
    }

    #[test]
    fn other_bounds_of_batches_differ() {
        let other = Segment::new(0)
            .put(batch(0, 1).record(0, Some(7)).record(1, Some(8)))
            .put(batch(2, 1).record(0, Some(9)))
            .put(batch(3, 1).record(1, Some(10)))
            .put(batch(4, 2).record(0, Some(11)).record(1, None));
        for partition in [PARTITION, COMPACTED] {
            let differs = (2, 2, Trouble::Differs { with: 1 });
            assert_eq!(troubles(&partition, &[whole(), other.clone()]), [differs]);
        }
    }

    #[test]
    fn copy_that_ends_before_the_high_watermark_is_short() {
        let short = Segment::new(0).put(batch(0, 1).record(0, Some(7)).record(1, Some(8)));
        let found = troubles(&PARTITION, &[whole(), short]);
        assert_eq!(found, [(2, 2, Trouble::Short)]);
        let empty = Segment::new(0);
        assert_eq!(
            troubles(&PARTITION, &[empty, whole()]),
            [(1, 0, Trouble::Short)]
        );
    }

    #[test]
    fn copy_that_begins_behind_the_start_is_late_and_one_before_it_is_not() {
        let late = Segment::new(4).put(batch(4, 2).record(0, Some(11)).record(1, None));
        let found = troubles(&PARTITION, &[whole(), late.clone()]);
        assert_eq!(found, [(2, 0, Trouble::LateStart)]);
        let trimmed = Partition {
            log_start: 4,
            ..PARTITION
        };
        assert_eq!(troubles(&trimmed, &[whole(), late]), []);
    }

    #[test]
    fn damaged_bytes_leave_a_hole_or_a_short_copy() {
        let next = || Segment::new(6).put(batch(6, 2).record(0, Some(1)));
        let partition = Partition {
            high_watermark: 7,
            ..PARTITION
        };
        let damaged = whole().flip_last_byte().and(next());
        let found = troubles(&partition, &[whole().and(next()), damaged.clone()]);
        assert_eq!(found, [(2, 4, Trouble::Hole)]);
        let tolerant = Partition {
            may_be_damaged: true,
            ..partition
        };
        let whole_one = || whole().and(next());
        assert_eq!(
            troubles(&tolerant, &[whole_one(), whole_one(), damaged.clone()]),
            []
        );
        let found = troubles(&tolerant, &[whole_one(), damaged.clone(), damaged]);
        assert_eq!(found, [(2, 4, Trouble::Hole), (3, 4, Trouble::Hole)]);
        let found = troubles(&PARTITION, &[whole().flip_last_byte(), whole()]);
        assert_eq!(found, [(1, 4, Trouble::Short)]);
    }

    #[test]
    fn damaged_frame_hides_no_record() {
        let damaged = Segment::new(0)
            .frame()
            .flip_last_byte()
            .put(batch(0, 1).record(0, Some(7)).record(1, Some(8)))
            .put(batch(2, 1).record(0, Some(9)).record(1, Some(10)))
            .put(batch(4, 2).record(0, Some(11)).record(1, None));
        assert_eq!(troubles(&PARTITION, &[whole(), damaged]), []);
    }

    #[test]
    fn repeated_sequence_is_found_and_the_next_one_is_fine() {
        let copy = |second: i32| {
            Segment::new(0)
                .put(batch(0, 1).by(5, 0).record(0, Some(1)).record(0, Some(2)))
                .put(batch(2, 1).by(6, 0).record(0, Some(3)).record(0, Some(4)))
                .put(
                    batch(4, 1)
                        .by(5, second)
                        .record(0, Some(5))
                        .record(0, Some(6)),
                )
        };
        assert_eq!(troubles(&PARTITION, &[copy(2)]), []);
        let repeated = (1, 4, Trouble::Sequence { producer: 5 });
        assert_eq!(troubles(&PARTITION, &[copy(0)]), [repeated]);
        let repeated = (1, 4, Trouble::Sequence { producer: 5 });
        assert_eq!(troubles(&PARTITION, &[copy(1)]), [repeated]);
    }

    #[test]
    fn epoch_that_falls_is_found() {
        let copy = Segment::new(0)
            .put(batch(0, 2).record(0, Some(1)).record(0, Some(2)))
            .put(batch(2, 2).record(0, Some(3)).record(0, Some(4)))
            .put(batch(4, 1).record(0, Some(5)).record(0, Some(6)));
        assert_eq!(troubles(&PARTITION, &[copy]), [(1, 4, Trouble::Epoch)]);
    }

    #[test]
    fn shadowed_records_and_tombstones_may_be_gone_from_one_copy() {
        let compacted = Segment::new(0)
            .put(batch(0, 1).spanning(2))
            .put(batch(2, 1).spanning(2).record_at(1, 1, Some(10)))
            .put(batch(4, 2).record(0, Some(11)).record(1, None));
        assert_eq!(troubles(&COMPACTED, &[whole(), compacted.clone()]), []);
        let without_tombstone = Segment::new(0)
            .put(batch(0, 1).spanning(2))
            .put(batch(2, 1).spanning(2))
            .put(batch(4, 2).spanning(2).record_at(0, 0, Some(11)));
        assert_eq!(troubles(&COMPACTED, &[whole(), without_tombstone]), []);
        let differs = (2, 0, Trouble::Differs { with: 1 });
        assert_eq!(troubles(&PARTITION, &[whole(), compacted]), [differs]);
    }

    #[test]
    fn last_record_of_a_key_may_not_be_gone_from_one_copy() {
        let compacted = Segment::new(0)
            .put(batch(0, 1).spanning(2))
            .put(batch(2, 1).spanning(2).record_at(1, 1, Some(10)))
            .put(batch(4, 2).spanning(2).record_at(1, 1, None));
        let differs = (2, 4, Trouble::Differs { with: 1 });
        assert_eq!(troubles(&COMPACTED, &[whole(), compacted]), [differs]);
    }

    #[test]
    fn record_that_is_another_in_one_compacted_copy_differs() {
        let compacted = Segment::new(0)
            .put(batch(0, 1).spanning(2))
            .put(batch(2, 1).spanning(2).record_at(1, 1, Some(77)))
            .put(batch(4, 2).record(0, Some(11)).record(1, None));
        let differs = (2, 3, Trouble::Differs { with: 1 });
        assert_eq!(troubles(&COMPACTED, &[whole(), compacted]), [differs]);
    }
}
