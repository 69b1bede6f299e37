use bytes::BytesMut;
use quorate_batch::{BatchError, BatchHeader, stamp, views};
use quorate_log::Verdict;
use quorate_platform::Platform;
use quorate_vsr::sabotage::{self, Sabotage};
use quorate_wire::{Acks, BATCH_BYTES_MAX, Code, Refusal};

use super::connection::Reply;
use super::kept::keep;
use super::producers::unknown_producers;
use super::state::State;
use super::waiting::Waiter;
use crate::metadata::Catalog;

/// Where a batch is in the log.
struct Place {
    base_offset: u64,
    next_offset: u64,
}

impl<P: Platform> State<P> {
    /// Appends the batch that a producer has sent, and answers when it has come as far as `acks`
    /// says.
    pub(super) fn produce(&mut self, id: u64, acks: Acks, batch: BytesMut, mut reply: Reply) {
        if acks == Acks::None {
            reply.silence();
        }
        let bytes = batch.len();
        let Place {
            base_offset,
            next_offset,
        } = match self.place(id, batch) {
            Ok(place) => place,
            Err(refusal) => return reply.refuse(refusal),
        };
        let waiter = Waiter {
            base_offset,
            next_offset,
            bytes,
            reply,
        };
        let Some(partition) = self.partitions.get_mut(&id) else {
            return;
        };
        // A batch that was sent before may have come far enough already.
        let (waiting, reached) = match acks {
            Acks::Quorum if !sabotage::is(Sabotage::AcknowledgedAlone) => (
                &mut partition.until_committed,
                partition.replica.high_watermark().0,
            ),
            Acks::Quorum | Acks::Leader | Acks::None => {
                (&mut partition.until_durable, partition.log.durable_offset())
            }
        };
        if next_offset <= reached {
            waiter.acknowledge();
        } else {
            waiting.push(waiter);
        }
    }

    /// Finds the batch its place in the log: a new one, or that of its first sending.
    ///
    /// **Why the producer table is right across changes of leader.** The table is a function of the
    /// batches in this replica's log, those that are not committed included; a cut takes them out
    /// again. Whoever leads has everything that was committed in its log, so every batch that was
    /// ever acknowledged is in its table and is not appended twice. A batch that is not in the
    /// table is in no log that can still win, and appending it again is what the producer wants.
    /// And a batch that is in the table but not committed yet is acknowledged only once it is:
    /// until then its repetition waits like its first sending.
    fn place(&mut self, id: u64, mut batch: BytesMut) -> Result<Place, Refusal> {
        if self.is_stopping {
            return Err(self.stopping());
        }
        let partition = match self.partitions.get_mut(&id) {
            Some(partition) if partition.replica.is_open() => partition,
            Some(_) | None => return Err(self.elsewhere(id)),
        };
        let header = BatchHeader::validate_produced(&batch, BATCH_BYTES_MAX)
            .map_err(|error| invalid(&error))?;
        if partition.compaction.is_some()
            && let Err(why) = check_keyed(&header, &batch)
        {
            return Err(not_keyed(&self.metadata.load().catalog, id, &why));
        }
        let records = header.last_offset_delta + 1;
        if header.producer.is_some() && partition.lacks_producers() {
            return Err(unknown_producers(id));
        }
        match partition.log.producers().check(&header) {
            Verdict::Accept => {}
            Verdict::Duplicate { base_offset }
                if sabotage::is(Sabotage::ProducersForgotten)
                    && partition.log.epochs().epoch_at(base_offset)
                        < Some(partition.replica.epoch().0) => {}
            Verdict::Duplicate { base_offset } => {
                let epoch = partition.replica.epoch();
                let written_in = partition.log.epochs().epoch_at(base_offset);
                tracing::debug!(partition = id, base_offset, %epoch, written_in, "sent again");
                let next_offset = base_offset + u64::from(records);
                return Ok(Place {
                    base_offset,
                    next_offset,
                });
            }
            Verdict::OutOfOrder { expected } => return Err(out_of_order(&header, expected)),
            Verdict::Fenced { epoch } => return Err(fenced(&header, epoch)),
        }
        let waiting_bytes = partition.until_committed.bytes();
        if waiting_bytes >= self.limits.uncommitted_bytes_max
            || self.platform.rarely("too much is not committed")
        {
            tracing::debug!(partition = id, "too much is not committed yet");
            return Err(overloaded(id, waiting_bytes));
        }
        if !self.space.admits(&self.platform, batch.len()) {
            return Err(self.space.refusal(self.node));
        }
        let mut effects = std::mem::take(&mut self.effects);
        let appended = partition.replica.append(records, &mut effects);
        let Ok(base_offset) = appended else {
            self.carry_out_all(id, effects, &[]);
            return Err(self.elsewhere(id));
        };
        let base_offset = base_offset.0;
        stamp(&mut batch, base_offset, partition.replica.epoch().0);
        partition.unflushed.grow(batch.len() as u64);
        self.status.count_appended(records, batch.len());
        partition.log.append(keep(batch.freeze(), true));
        // The followers' links read from the log, so the records have to be there first; from here
        // on they are sent and written at the same time.
        self.carry_out_all(id, effects, &[]);
        self.enqueue(id);
        let next_offset = base_offset + u64::from(records);
        Ok(Place {
            base_offset,
            next_offset,
        })
    }
}

/// Checks that a batch can be compacted: its records can be read here, and each has a key.
fn check_keyed(header: &BatchHeader, batch: &[u8]) -> Result<(), String> {
    let told = |error: BatchError| error.to_string();
    for (index, record) in views(header, batch).map_err(told)?.enumerate() {
        if record.map_err(told)?.key.is_none() {
            return Err(format!("record {index} of the batch has no key"));
        }
    }
    Ok(())
}

fn not_keyed(catalog: &Catalog, id: u64, why: &str) -> Refusal {
    let record = catalog.partitions.get(&id);
    let place = record.map_or_else(
        || format!("partition {id}"),
        |it| format!("topic \"{}\" partition {}", it.topic, it.index),
    );
    Refusal::new(
        Code::InvalidBatch,
        format!(
            "{place} is compacted, and {why}: give every record a key, and do not compress them"
        ),
    )
}

fn invalid(error: &BatchError) -> Refusal {
    let code = match error {
        BatchError::TooLarge { .. } => Code::BatchTooLarge,
        BatchError::Truncated { .. } | BatchError::Trailing { .. } | BatchError::Crc { .. } => {
            Code::CorruptBatch
        }
        _ => Code::InvalidBatch,
    };
    Refusal::new(code, error.to_string())
}

fn out_of_order(header: &BatchHeader, expected: i32) -> Refusal {
    let (id, got) = producer(header);
    Refusal::new(
        Code::OutOfOrderSequence,
        format!("producer {id} sent sequence {got}, but {expected} is the next one expected"),
    )
}

fn fenced(header: &BatchHeader, epoch: i16) -> Refusal {
    let (id, _) = producer(header);
    Refusal::new(
        Code::FencedProducer,
        format!("producer {id} has been taken over by its epoch {epoch}: end this one"),
    )
}

fn producer(header: &BatchHeader) -> (i64, i32) {
    header
        .producer
        .map_or((-1, -1), |producer| (producer.id, producer.base_sequence))
}

fn overloaded(id: u64, waiting_bytes: usize) -> Refusal {
    Refusal::new(
        Code::Overloaded,
        format!(
            "partition {id} has {} MiB that no majority of its replicas has confirmed yet: try \
             again later, and check that the nodes that hold it are running",
            waiting_bytes >> 20
        ),
    )
}
