//! Files of segments, written by hand for the tests.

use std::collections::BTreeMap;

/// Segments with batches, one behind the other.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    base_offset: u64,
    bytes: Vec<u8>,
    before: Vec<Segment>,
}

/// A batch that begins at `base_offset`, of a leader's epoch.
pub(super) fn batch(base_offset: u64, leader_epoch: u32) -> Sample {
    Sample {
        base_offset,
        leader_epoch,
        producer: None,
        span: None,
        records: Vec::new(),
        count: 0,
    }
}

/// A batch in the making.
pub(super) struct Sample {
    base_offset: u64,
    leader_epoch: u32,
    producer: Option<(i64, i32)>,
    span: Option<i32>,
    records: Vec<u8>,
    count: i32,
}

impl Sample {
    /// Names the producer and where in its sequence the batch begins.
    pub(super) fn by(self, producer: i64, base_sequence: i32) -> Self {
        Self {
            producer: Some((producer, base_sequence)),
            ..self
        }
    }

    /// Takes so many offsets, however many records there are.
    pub(super) fn spanning(self, offsets: i32) -> Self {
        Self {
            span: Some(offsets),
            ..self
        }
    }

    /// Appends a record of one byte of key, and one of value or none.
    pub(super) fn record(self, key: u8, value: Option<u8>) -> Self {
        let delta = self.count as u8;
        self.record_at(delta, key, value)
    }

    /// The same, with its place in the batch.
    pub(super) fn record_at(mut self, delta: u8, key: u8, value: Option<u8>) -> Self {
        // All numbers are small: one byte, twice the number, less one if negative.
        let mut body = vec![0, 0, 2 * delta, 2, key];
        match value {
            Some(value) => body.extend([2, value]),
            None => body.push(1),
        }
        body.push(0);
        self.records.push(2 * body.len() as u8);
        self.records.extend(body);
        self.count += 1;
        self
    }

    fn encode(&self) -> Vec<u8> {
        let (producer, sequence) = self.producer.unwrap_or((-1, -1));
        let epoch: i16 = if producer < 0 { -1 } else { 0 };
        let mut checked = vec![0, 0];
        checked.extend((self.span.unwrap_or(self.count) - 1).to_be_bytes());
        checked.extend([0; 16]);
        checked.extend(producer.to_be_bytes());
        checked.extend(epoch.to_be_bytes());
        checked.extend(sequence.to_be_bytes());
        checked.extend(self.count.to_be_bytes());
        checked.extend(&self.records);
        let mut batch = self.base_offset.to_be_bytes().to_vec();
        batch.extend((checked.len() as u32 + 9).to_be_bytes());
        batch.extend(self.leader_epoch.to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&checked).to_be_bytes());
        batch.extend(checked);
        batch
    }
}

impl Segment {
    pub(super) fn new(base_offset: u64) -> Self {
        Self {
            base_offset,
            bytes: Vec::new(),
            before: Vec::new(),
        }
    }

    pub(super) fn put(mut self, batch: Sample) -> Self {
        self.bytes.extend(batch.encode());
        self
    }

    /// Appends a frame that covers what it does not look at.
    pub(super) fn frame(mut self) -> Self {
        let mut head = b"QFR2".to_vec();
        head.extend(30u32.to_le_bytes());
        head.extend(7u32.to_le_bytes());
        head.extend(0u32.to_le_bytes());
        let mut crc = crc32c::crc32c(&head);
        crc = crc32c::crc32c_append(crc, &self.base_offset.to_le_bytes());
        crc = crc32c::crc32c_append(crc, &(self.bytes.len() as u64).to_le_bytes());
        self.bytes.extend(head);
        self.bytes.extend(crc.to_le_bytes());
        self.bytes.extend([0xff; 10]);
        self
    }

    pub(super) fn zeros(mut self, count: usize) -> Self {
        self.bytes.resize(self.bytes.len() + count, 0);
        self
    }

    pub(super) fn flip_last_byte(mut self) -> Self {
        *self.bytes.last_mut().unwrap() ^= 0x80;
        self
    }

    /// The next segment behind this one.
    pub(super) fn and(self, mut next: Self) -> Self {
        next.before.push(self);
        next
    }

    /// The folder.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files: BTreeMap<_, _> = self.before.iter().flat_map(Self::files).collect();
        let name = format!("{:020}.log", self.base_offset);
        files.insert(name, self.bytes.clone());
        files
    }
}
