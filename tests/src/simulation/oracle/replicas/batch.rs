//! A reader of RecordBatch v2 that shares nothing with the one of the nodes.

/// Where the records begin.
const RECORDS_AT: usize = 61;
/// Where the bytes begin that the checksum covers.
const CHECKED_FROM: usize = 21;
/// The bytes that the length leaves out: the base offset and the length.
const BEFORE_LENGTH: usize = 12;

/// A batch as it stands on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// The offset of its first record.
    pub base_offset: u64,
    /// One past the offset of its last record.
    pub next_offset: u64,
    /// The epoch of the leader that wrote it.
    pub leader_epoch: u32,
    /// The idempotent producer that sent it.
    pub producer: Option<Producer>,
    /// All of it.
    pub bytes: &'a [u8],
}

/// Who sent a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// The producer's id.
    pub id: i64,
    /// Its incarnation.
    pub epoch: i16,
    /// Where in its sequence the batch begins.
    pub base_sequence: i32,
}

/// A record of a batch that is not compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) offset: u64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) is_tombstone: bool,
    pub(super) bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the start of `bytes`, if a sound one stands there.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = bytes.get(..RECORDS_AT)?;
        let length = usize::try_from(i32::from_be_bytes(four(head, 8))).ok()?;
        let bytes = bytes.get(..BEFORE_LENGTH + length)?;
        let checked = bytes.get(CHECKED_FROM..)?;
        let is_sound =
            head[16] == 2 && crc32c::crc32c(checked) == u32::from_be_bytes(four(head, 17));
        if !is_sound {
            return None;
        }
        let base_offset = u64::try_from(i64::from_be_bytes(eight(head, 0))).ok()?;
        let delta = u64::try_from(i32::from_be_bytes(four(head, 23))).ok()?;
        let producer = Producer {
            id: i64::from_be_bytes(eight(head, 43)),
            epoch: i16::from_be_bytes([head[51], head[52]]),
            base_sequence: i32::from_be_bytes(four(head, 53)),
        };
        Some(Self {
            base_offset,
            next_offset: base_offset + delta + 1,
            leader_epoch: u32::from_be_bytes(four(head, 12)),
            producer: (producer.id >= 0 && producer.base_sequence >= 0).then_some(producer),
            bytes,
        })
    }

    /// What compaction leaves alone: everything but length, checksum, count and records.
    pub(super) fn frame(&self) -> [&'a [u8]; 4] {
        let bytes = self.bytes;
        [&bytes[..8], &bytes[12..17], &bytes[21..57], &[]]
    }

    /// The records that are left of it; none of what cannot be read.
    pub(super) fn records(&self) -> Vec<Record<'a>> {
        let count = i32::from_be_bytes(four(self.bytes, 57));
        let mut rest = &self.bytes[RECORDS_AT..];
        let records = (0..count).map_while(|_| take_record(&mut rest, self.base_offset));
        records.collect()
    }
}

fn take_record<'a>(rest: &mut &'a [u8], base_offset: u64) -> Option<Record<'a>> {
    let whole = *rest;
    let length = usize::try_from(take_number(rest)?).ok()?;
    let head = whole.len() - rest.len();
    let bytes = whole.get(..head + length)?;
    let mut body = &bytes[head..];
    *rest = &whole[bytes.len()..];
    let (_attributes, after) = body.split_first()?;
    body = after;
    let _timestamp = take_number(&mut body)?;
    let offset = base_offset.checked_add_signed(take_number(&mut body)?)?;
    let key = take_bytes(&mut body)?;
    let value = take_bytes(&mut body)?;
    Some(Record {
        offset,
        key,
        is_tombstone: value.is_none(),
        bytes,
    })
}

/// Bytes behind their length; -1 stands for none.
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = take_number(rest)?;
    if length < 0 {
        return Some(None);
    }
    let (bytes, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = behind;
    Some(Some(bytes))
}

/// A number in groups of seven bits, the lowest first, whose lowest bit is its sign.
fn take_number(rest: &mut &[u8]) -> Option<i64> {
    let length = rest.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (groups, behind) = rest.split_at(length);
    *rest = behind;
    let joined = groups.iter().rev().fold(0u64, |joined, group| {
        (joined << 7) | u64::from(group & 0x7f)
    });
    let magnitude = (joined >> 1) as i64;
    Some(if joined & 1 == 0 {
        magnitude
    } else {
        !magnitude
    })
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    let field = bytes[at..at + 4].try_into();
    field.expect("four bytes")
}

fn eight(bytes: &[u8], at: usize) -> [u8; 8] {
    let field = bytes[at..at + 8].try_into();
    field.expect("eight bytes")
}

#[cfg(test)]
mod tests {
    use quorate_batch::BatchBuilder;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_defined() {
        for (bytes, number) in [
            (&[0x00][..], 0),
            (&[0x01], -1),
            (&[0x02], 1),
            (&[0x7f], -64),
            (&[0x80, 0x01], 64),
            (&[0xac, 0x02], 150),
        ] {
            let mut rest = bytes;
            assert_eq!(take_number(&mut rest), Some(number));
            assert!(rest.is_empty());
        }
        assert_eq!(take_number(&mut &[0x80, 0x80][..]), None);
    }

    #[test]
    fn batch_of_the_real_builder_is_read() {
        let mut builder = BatchBuilder::new(4096);
        builder.push(1000, Some(b"a"), Some(b"one"), &[]).unwrap();
        builder
            .push(1007, Some(b"b"), None, &[("c", None)])
            .unwrap();
        let bytes = builder.finish(None);
        let batch = Batch::read(&bytes).unwrap();
        assert_eq!((batch.base_offset, batch.next_offset), (0, 2));
        assert_eq!(batch.bytes.len(), bytes.len());
        let records = batch.records();
        assert_eq!(records[0].key, Some(&b"a"[..]));
        assert_eq!(records[1].key, Some(&b"b"[..]));
        assert_eq!(
            [false, true],
            [records[0].is_tombstone, records[1].is_tombstone]
        );
        assert_eq!([0, 1], [records[0].offset, records[1].offset]);
        for at in CHECKED_FROM..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            assert_eq!(Batch::read(&flipped), None, "byte {at}");
        }
    }
}
