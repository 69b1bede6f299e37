use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quorate_batch::{BatchBuilder, BatchHeader, Batches, Producer, records};
use quorate_wire::{
    Acks, ClusterId, Code, Frame, HEADER_BYTES, Header, Kind, PartitionStatus, Refusal, Request,
    Response,
};

use crate::rig::CLUSTER;

/// A test that waits this long for an answer has failed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Looks again and again until it is so.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < deadline, "it did not come true: {what}");
        std::thread::yield_now();
    }
}

/// One connection to a shard, spoken to in raw frames.
pub(crate) struct Client {
    stream: TcpStream,
    correlation: u64,
}

/// Batches and where the partition stands.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) base_offset: u64,
    pub(crate) high_watermark: u64,
    pub(crate) log_start_offset: u64,
    pub(crate) batches: Vec<Bytes>,
}

impl Fetched {
    /// The values of all records at `from` and above.
    pub(crate) fn values(&self, from: u64) -> Vec<String> {
        let all = self
            .batches
            .iter()
            .flat_map(|batch| records(batch).expect("a sound batch"));
        let all = all.map(|record| record.expect("a sound record"));
        let wanted = all.filter(|record| record.offset >= from);
        let text = wanted.map(|record| record.value.expect("a value").to_vec());
        text.map(|value| String::from_utf8(value).expect("the tests write text"))
            .collect()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the shard listens");
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .expect("a socket takes a timeout");
        stream
            .set_nodelay(true)
            .expect("a socket takes this option");
        Self {
            stream,
            correlation: 0,
        }
    }

    /// The same connection, for a thread that only sends.
    pub(crate) fn clone_stream(&self) -> Self {
        let stream = self.stream.try_clone().expect("a socket can be shared");
        Self {
            stream,
            correlation: self.correlation,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the shard takes bytes");
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, request: &Request, payload: &[u8]) -> u64 {
        self.send_as(CLUSTER, request, payload)
    }

    pub(crate) fn send_as(&mut self, cluster: ClusterId, request: &Request, payload: &[u8]) -> u64 {
        self.correlation += 1;
        let body = quorate_wire::encode(request);
        let head = Frame::head(
            Kind::Request,
            cluster,
            self.correlation,
            &body,
            payload.len(),
        );
        self.send_raw(&head);
        self.send_raw(payload);
        self.correlation
    }

    /// The next answer, whichever it belongs to.
    pub(crate) fn receive(&mut self) -> (u64, Response, Bytes) {
        let mut header = [0; HEADER_BYTES];
        self.stream
            .read_exact(&mut header)
            .expect("an answer comes");
        let header = Header::decode(&header).expect("an answer is a frame");
        assert_eq!(header.kind, Kind::Response);
        let mut body = vec![0; header.body_len as usize];
        self.stream
            .read_exact(&mut body)
            .expect("an answer comes whole");
        let mut payload = vec![0; header.payload_len as usize];
        self.stream
            .read_exact(&mut payload)
            .expect("an answer comes whole");
        let response = quorate_wire::decode(&body).expect("an answer can be read");
        (header.correlation, response, payload.into())
    }

    /// Whether the shard has closed the connection; waits for that, or for anything else.
    pub(crate) fn is_closed(&mut self) -> bool {
        !matches!(self.stream.read(&mut [0; 1]), Ok(1..))
    }

    pub(crate) fn call(&mut self, request: &Request, payload: &[u8]) -> (Response, Bytes) {
        let correlation = self.send(request, payload);
        let (answered, response, payload) = self.receive();
        assert_eq!(answered, correlation, "{response:?}");
        (response, payload)
    }

    /// Calls while an earlier request is not answered: once this returns, the shard has it.
    pub(crate) fn call_behind(&mut self, request: &Request) {
        let correlation = self.send(request, &[]);
        assert_eq!(
            self.receive().0,
            correlation,
            "the earlier request is parked"
        );
    }

    pub(crate) fn produce(&mut self, partition: u64, batch: &[u8]) -> Result<u64, Refusal> {
        self.produce_with(partition, Acks::Quorum, batch)
    }

    pub(crate) fn produce_with(
        &mut self,
        partition: u64,
        acks: Acks,
        batch: &[u8],
    ) -> Result<u64, Refusal> {
        produced(self.call(&Request::Produce { partition, acks }, batch).0)
    }

    /// Begins to produce; [`receive_produced`](Self::receive_produced) waits for the answer.
    pub(crate) fn send_produce(&mut self, partition: u64, batch: &[u8]) {
        let acks = Acks::Quorum;
        self.send(&Request::Produce { partition, acks }, batch);
    }

    pub(crate) fn receive_produced(&mut self) -> Result<u64, Refusal> {
        produced(self.receive().1)
    }

    /// Produces again and again while the leader is not ready, or does not know yet what was
    /// produced before.
    pub(crate) fn produce_soon(&mut self, partition: u64, batch: &[u8]) -> u64 {
        loop {
            match self.produce(partition, batch) {
                Ok(base_offset) => return base_offset,
                Err(Refusal {
                    code: Code::NotLeader | Code::DamagedRecords,
                    ..
                }) => std::thread::yield_now(),
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    pub(crate) fn fetch(
        &mut self,
        partition: u64,
        offset: u64,
        wait_ms: u32,
    ) -> Result<Fetched, Refusal> {
        self.fetch_with(fetch_request(partition, offset, wait_ms, false))
    }

    /// Fetches from a replica, whoever leads; waits until there is something.
    pub(crate) fn fetch_any(&mut self, partition: u64, offset: u64) -> Fetched {
        loop {
            let fetched = self.fetch_with(fetch_request(partition, offset, 1_000, true));
            match fetched {
                Ok(fetched) if fetched.batches.is_empty() => {}
                Ok(fetched) => return fetched,
                Err(refusal) if refusal.code == Code::NotLeader => std::thread::yield_now(),
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    pub(crate) fn fetch_with(&mut self, request: Request) -> Result<Fetched, Refusal> {
        let (response, payload) = self.call(&request, &[]);
        fetched(response, payload)
    }

    /// All values of a replica from the beginning, once it has at least `count` of them committed.
    pub(crate) fn read_all(&mut self, partition: u64, count: usize) -> Vec<String> {
        let mut values = Vec::new();
        while values.len() < count {
            let offset = values.len() as u64;
            let fetched = self.fetch_any(partition, offset);
            values.extend(fetched.values(offset));
        }
        values
    }

    /// Deletes what is before an offset, or all; where the partition begins now.
    pub(crate) fn delete_records(
        &mut self,
        partition: u64,
        before: Option<u64>,
    ) -> Result<u64, Refusal> {
        match self
            .call(&Request::DeleteRecords { partition, before }, &[])
            .0
        {
            Response::RecordsDeleted { log_start_offset } => Ok(log_start_offset),
            Response::Refused(refusal) => Err(refusal),
            other => panic!("{other:?} is no answer to a deletion"),
        }
    }

    /// The place of the first record since a time, and its timestamp.
    pub(crate) fn look_up(
        &mut self,
        partition: u64,
        timestamp: i64,
    ) -> Result<(u64, Option<i64>), Refusal> {
        let request = Request::Lookup {
            partition,
            timestamp,
        };
        match self.call(&request, &[]).0 {
            Response::Found {
                offset, timestamp, ..
            } => Ok((offset, timestamp)),
            Response::Refused(refusal) => Err(refusal),
            other => panic!("{other:?} is no answer to a lookup"),
        }
    }

    /// Looks up again and again while the leader is not ready.
    pub(crate) fn look_up_soon(&mut self, partition: u64, timestamp: i64) -> (u64, Option<i64>) {
        loop {
            match self.look_up(partition, timestamp) {
                Ok(found) => return found,
                Err(refusal) if refusal.code == Code::NotLeader => std::thread::yield_now(),
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
    }

    pub(crate) fn describe(&mut self, partition: u64) -> Result<PartitionStatus, Refusal> {
        match self.call(&Request::Describe { partition }, &[]).0 {
            Response::Partition(status) => Ok(status),
            Response::Refused(refusal) => Err(refusal),
            other => panic!("{other:?} is no answer to a describe request"),
        }
    }

    /// Describes again and again until it is as wished.
    pub(crate) fn describe_until(
        &mut self,
        partition: u64,
        is_so: impl Fn(&PartitionStatus) -> bool,
    ) -> PartitionStatus {
        loop {
            match self.describe(partition) {
                Ok(status) if is_so(&status) => return status,
                Ok(_) | Err(_) => std::thread::yield_now(),
            }
        }
    }
}

fn produced(response: Response) -> Result<u64, Refusal> {
    match response {
        Response::Produced { base_offset } => Ok(base_offset),
        Response::Refused(refusal) => Err(refusal),
        other => panic!("{other:?} is no answer to a produce request"),
    }
}

pub(crate) fn fetch_request(
    partition: u64,
    offset: u64,
    wait_ms: u32,
    from_follower: bool,
) -> Request {
    Request::Fetch {
        partition,
        offset,
        bytes_max: 1 << 20,
        wait_ms,
        from_follower,
    }
}

pub(crate) fn fetched(response: Response, payload: Bytes) -> Result<Fetched, Refusal> {
    match response {
        Response::Fetched {
            base_offset,
            high_watermark,
            log_start_offset,
        } => Ok(Fetched {
            base_offset,
            high_watermark,
            log_start_offset,
            batches: Batches::new(payload)
                .map(|batch| batch.expect("a sound batch").1)
                .collect(),
        }),
        Response::Refused(refusal) => Err(refusal),
        other => panic!("{other:?} is no answer to a fetch request"),
    }
}

/// A batch of records with these values.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    build(values, None)
}

/// The same from an idempotent producer.
pub(crate) fn sequenced(id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    build(
        values,
        Some(Producer {
            id,
            epoch,
            base_sequence,
        }),
    )
}

/// A batch of records of these times.
pub(crate) fn timed(records: &[(i64, &str)]) -> Bytes {
    let mut builder = BatchBuilder::new(2 << 20);
    for (timestamp, value) in records {
        builder
            .push(*timestamp, None, Some(value.as_bytes()), &[])
            .expect("the values are short");
    }
    builder.finish(None)
}

/// A batch of records with keys; one without a value deletes its key.
pub(crate) fn keyed(records: &[(&str, Option<&str>)]) -> Bytes {
    let mut builder = BatchBuilder::new(2 << 20);
    for (key, value) in records {
        builder
            .push(1, Some(key.as_bytes()), value.map(str::as_bytes), &[])
            .expect("the records are short");
    }
    builder.finish(None)
}

fn build(values: &[&str], producer: Option<Producer>) -> Bytes {
    let mut builder = BatchBuilder::new(2 << 20);
    for value in values {
        builder
            .push(1, None, Some(value.as_bytes()), &[])
            .expect("the values are short");
    }
    let batch = builder.finish(producer);
    BatchHeader::validate(&batch).expect("what was built is sound");
    batch
}
