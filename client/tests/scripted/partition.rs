use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use quorate_batch::BatchHeader;
use quorate_wire::{Code, PartitionInfo, PartitionStatus, Refusal, ReplicaStatus};

/// How many of a producer's batches are recognized.
const REMEMBERED: usize = 5;

/// The one log of a partition, and what its leader remembers of producers: by Kafka's rules.
pub(crate) struct Partition {
    pub(crate) info: PartitionInfo,
    pub(crate) batches: Vec<Bytes>,
    pub(crate) log_start: u64,
    pub(crate) next_offset: u64,
    producers: BTreeMap<i64, VecDeque<Remembered>>,
    /// How often a batch came that had been appended before.
    pub(crate) duplicates: usize,
}

struct Remembered {
    first: i32,
    last: i32,
    base_offset: u64,
}

impl Partition {
    pub(crate) fn new(id: u64, index: u32, leader: u16, voters: Vec<u16>) -> Self {
        Self {
            info: PartitionInfo {
                id,
                index,
                leader,
                epoch: 1,
                replicas: voters.clone(),
                voters,
                previous: Vec::new(),
                learners: Vec::new(),
                absent: Vec::new(),
            },
            batches: Vec::new(),
            log_start: 0,
            next_offset: 0,
            producers: BTreeMap::new(),
            duplicates: 0,
        }
    }

    pub(crate) fn append(&mut self, batch: &[u8]) -> Result<u64, Refusal> {
        let header = BatchHeader::validate_produced(batch, quorate_wire::BATCH_BYTES_MAX)
            .map_err(|error| Refusal::new(Code::InvalidBatch, error.to_string()))?;
        if let Some(producer) = header.producer {
            let first = producer.base_sequence;
            let last = first.wrapping_add(header.last_offset_delta as i32) & i32::MAX;
            if let Some(known) = self.producers.get(&producer.id) {
                let twin = known.iter().find(|it| (it.first, it.last) == (first, last));
                if let Some(twin) = twin {
                    self.duplicates += 1;
                    return Ok(twin.base_offset);
                }
                let expected = known.back().unwrap().last.wrapping_add(1) & i32::MAX;
                if first != expected {
                    let detail = format!("sequence {first} came, {expected} was expected");
                    return Err(Refusal::new(Code::OutOfOrderSequence, detail));
                }
            }
            // A producer that is not known may begin with any sequence number.
            let known = self.producers.entry(producer.id).or_default();
            known.push_back(Remembered {
                first,
                last,
                base_offset: self.next_offset,
            });
            if known.len() > REMEMBERED {
                known.pop_front();
            }
        }
        let mut batch = BytesMut::from(batch);
        quorate_batch::stamp(&mut batch, self.next_offset, self.info.epoch);
        self.batches.push(batch.freeze());
        let base_offset = self.next_offset;
        self.next_offset += u64::from(header.last_offset_delta) + 1;
        Ok(base_offset)
    }

    /// Whole batches from the one that contains `offset` on.
    pub(crate) fn read(&self, offset: u64, bytes_max: usize) -> Bytes {
        let mut bytes = BytesMut::new();
        for batch in &self.batches {
            let header = BatchHeader::parse(batch).unwrap();
            let has_room = bytes.is_empty() || bytes.len() + batch.len() <= bytes_max;
            if header.next_offset() > offset && has_room {
                bytes.extend_from_slice(batch);
            }
        }
        bytes.freeze()
    }

    /// Offset and timestamp of the first record that is late enough.
    pub(crate) fn since(&self, timestamp: i64) -> Option<(u64, i64)> {
        let records = |batch| quorate_batch::records(batch).unwrap();
        let records = self.batches.iter().flat_map(records);
        let mut records = records.map(|record| record.unwrap());
        let found = records.find(|it| it.offset >= self.log_start && it.timestamp >= timestamp);
        found.map(|record| (record.offset, record.timestamp))
    }

    /// The values of all records, in order.
    pub(crate) fn values(&self) -> Vec<String> {
        let records = |batch| quorate_batch::records(batch).unwrap();
        let records = self.batches.iter().flat_map(records);
        let value = |value: Bytes| String::from_utf8(value.to_vec()).unwrap();
        records
            .map(|record| value(record.unwrap().value.unwrap()))
            .collect()
    }

    pub(crate) fn status(&self, node: u16) -> PartitionStatus {
        let replica = |voter: &u16| ReplicaStatus {
            node: *voter,
            next_offset: self.next_offset,
            in_sync: true,
        };
        PartitionStatus {
            partition: self.info.id,
            node,
            leader: self.info.leader,
            epoch: self.info.epoch,
            is_open: node == self.info.leader,
            log_start_offset: self.log_start,
            high_watermark: self.next_offset,
            bytes: 0,
            replicas: self.info.voters.iter().map(replica).collect(),
            damaged_ranges: 0,
            waits_for: None,
        }
    }
}
