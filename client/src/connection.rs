//! One stream to one address.
//!
//! Two tasks own the halves of the stream: one writes what is queued, the other reads answers and
//! hands each to the request that waits for it. A third looks after the clock: when the oldest
//! request has gone unanswered for longer than it was given, the connection is given up, because
//! a silent peer cannot be told from a dead one. However a connection ends, every waiting request
//! hears why, and whether it had left at all: an unsent request certainly had no effect.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorate_platform::{Instant, Platform, Reader, Writer};
use quorate_wire::{ClusterId, Frame, FrameReader, Kind, ReadError, Request, Response};

use crate::Error;
use crate::signal::{Signal, Slot};

/// Bytes that may wait to be written; whoever has more to send waits for room.
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// Frames per write: two buffers each, well below the kernel's limit of 1024.
const FRAMES_PER_WRITE_MAX: usize = 128;

/// An open stream, closed when the last clone of its `Rc` goes.
pub(crate) struct Connection {
    shared: Rc<Shared>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) payload: Bytes,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitsFor {
    Answer,
    /// No answer will come: being handed to the network is all there is.
    Write,
}

struct Shared {
    address: SocketAddr,
    cluster: Rc<Cell<ClusterId>>,
    state: RefCell<State>,
    /// Something was queued, or the connection failed.
    queued: Signal,
    /// The queue became shorter, or the connection failed.
    room: Signal,
    /// A request waits where none did, or the connection failed.
    awaited: Signal,
    closer: Box<dyn Fn()>,
}

#[derive(Default)]
struct State {
    correlation: u64,
    queue: VecDeque<Outgoing>,
    queue_bytes: usize,
    waiting: BTreeMap<u64, Waiting>,
    failure: Option<Error>,
}

struct Outgoing {
    correlation: u64,
    head: Bytes,
    payload: Bytes,
}

struct Waiting {
    slot: Rc<Slot<Result<Option<Answer>, Error>>>,
    waits_for: WaitsFor,
    deadline: Instant,
    is_sent: bool,
}

impl Connection {
    /// Opens a stream to `address` and starts the tasks that own it.
    pub(crate) async fn open<P: Platform>(
        platform: &P,
        address: SocketAddr,
        cluster: Rc<Cell<ClusterId>>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let (reader, writer) = match platform.timeout(timeout, platform.connect(address)).await {
            Ok(Ok(halves)) => halves,
            Ok(Err(error)) => {
                return Err(Error::Connect {
                    address,
                    reason: error.to_string(),
                });
            }
            Err(_) => {
                let reason = format!("no answer within {timeout:?}");
                return Err(Error::Connect { address, reason });
            }
        };
        let shared = Rc::new(Shared {
            address,
            cluster,
            state: RefCell::default(),
            queued: Signal::default(),
            room: Signal::default(),
            awaited: Signal::default(),
            closer: Box::new(writer.closer()),
        });
        platform.spawn(write(shared.clone(), writer));
        platform.spawn(read(shared.clone(), reader));
        platform.spawn(watch(shared.clone(), platform.clone()));
        Ok(Self { shared })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.address
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.state.borrow().failure.is_some()
    }

    /// Whether the queue may take another request. One that is queued regardless is kept.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.shared.state.borrow();
        state.failure.is_some() || state.queue_bytes < QUEUE_BYTES_MAX
    }

    /// Waits until the queue may take another request, or the connection has failed.
    pub(crate) async fn room(&self) {
        self.shared
            .room
            .wait_until(|| self.has_room().then_some(()))
            .await;
    }

    /// Queues a request, behind all that were queued before. The connection is given up if no
    /// answer comes before `deadline`.
    pub(crate) fn request(
        &self,
        request: &Request,
        payload: Bytes,
        deadline: Instant,
    ) -> impl Future<Output = Result<Answer, Error>> + use<> {
        let slot = self.queue(request, payload, deadline, WaitsFor::Answer);
        async move {
            let answer = slot.take().await?;
            Ok(answer.expect("a request that waits for an answer is completed by one"))
        }
    }

    /// Queues a request that is not answered; resolves once it is handed to the network.
    pub(crate) fn notify(
        &self,
        request: &Request,
        payload: Bytes,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), Error>> + use<> {
        let slot = self.queue(request, payload, deadline, WaitsFor::Write);
        async move { slot.take().await.map(|_| ()) }
    }

    fn queue(
        &self,
        request: &Request,
        payload: Bytes,
        deadline: Instant,
        waits_for: WaitsFor,
    ) -> Rc<Slot<Result<Option<Answer>, Error>>> {
        let slot = Rc::new(Slot::new());
        let mut state = self.shared.state.borrow_mut();
        if state.failure.is_some() {
            slot.fill(Err(state.unsent(self.shared.address)));
            return slot;
        }
        state.correlation += 1;
        let correlation = state.correlation;
        let body = quorate_wire::encode(request);
        let cluster = self.shared.cluster.get();
        let head = Frame::head(Kind::Request, cluster, correlation, &body, payload.len());
        state.queue_bytes += head.len() + payload.len();
        state.queue.push_back(Outgoing {
            correlation,
            head,
            payload,
        });
        let waiting = Waiting {
            slot: slot.clone(),
            waits_for,
            deadline,
            is_sent: false,
        };
        state.waiting.insert(correlation, waiting);
        drop(state);
        self.shared.queued.notify();
        self.shared.awaited.notify();
        slot
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let reason = "this side closed it".to_owned();
        let address = self.shared.address;
        self.shared.fail(Error::Disconnected {
            address,
            reason,
            sent: true,
        });
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection")
            .field(&self.shared.address)
            .finish()
    }
}

impl State {
    /// The error of a request that never left, after the connection has failed.
    fn unsent(&self, address: SocketAddr) -> Error {
        let reason = match &self.failure {
            Some(Error::Disconnected { reason, .. }) => reason.clone(),
            Some(error) => error.to_string(),
            None => "it is being closed".to_owned(),
        };
        Error::Disconnected {
            address,
            reason,
            sent: false,
        }
    }
}

impl Shared {
    /// Ends the connection, once; everyone who waits hears why.
    fn fail(&self, error: Error) {
        let mut state = self.state.borrow_mut();
        if state.failure.is_some() {
            return;
        }
        state.failure = Some(error.clone());
        state.queue.clear();
        state.queue_bytes = 0;
        let unsent = state.unsent(self.address);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        (self.closer)();
        for waiting in waiting.into_values() {
            let error = if waiting.is_sent { &error } else { &unsent };
            waiting.slot.fill(Err(error.clone()));
        }
        self.queued.notify();
        self.room.notify();
        self.awaited.notify();
    }

    /// Takes what one write carries; `None` once the connection has failed.
    async fn next_write(&self) -> Option<Vec<Outgoing>> {
        let outgoing = self.queued.wait_until(|| {
            let mut state = self.state.borrow_mut();
            if state.failure.is_some() {
                return Some(None);
            }
            if state.queue.is_empty() {
                return None;
            }
            let frames = state.queue.len().min(FRAMES_PER_WRITE_MAX);
            let outgoing: Vec<_> = state.queue.drain(..frames).collect();
            for frame in &outgoing {
                if let Some(waiting) = state.waiting.get_mut(&frame.correlation) {
                    waiting.is_sent = true;
                }
            }
            Some(Some(outgoing))
        });
        outgoing.await
    }

    fn on_written(&self, written: &[Outgoing]) {
        let mut done = Vec::new();
        let mut state = self.state.borrow_mut();
        for frame in written {
            let bytes = frame.head.len() + frame.payload.len();
            state.queue_bytes = state.queue_bytes.saturating_sub(bytes);
            let waiting = state.waiting.get(&frame.correlation);
            if waiting.is_some_and(|waiting| waiting.waits_for == WaitsFor::Write) {
                done.extend(state.waiting.remove(&frame.correlation));
            }
        }
        drop(state);
        for waiting in done {
            waiting.slot.fill(Ok(None));
        }
        self.room.notify();
    }

    fn on_frame(&self, frame: Frame) -> Result<(), Error> {
        let address = self.address;
        let expected = self.cluster.get();
        let found = frame.header.cluster;
        if expected != ClusterId::UNKNOWN && expected != found {
            return Err(Error::ForeignCluster {
                address,
                expected,
                found,
            });
        }
        let protocol = |reason: String| Error::Protocol { address, reason };
        if frame.header.kind != Kind::Response {
            return Err(protocol(format!(
                "a frame of kind {:?} came",
                frame.header.kind
            )));
        }
        let response: Response =
            quorate_wire::decode(&frame.body).map_err(|error| protocol(error.to_string()))?;
        let correlation = frame.header.correlation;
        let waiting = self.state.borrow_mut().waiting.remove(&correlation);
        let Some(waiting) = waiting else {
            return Err(protocol(format!(
                "an answer to request {correlation}, never asked, came"
            )));
        };
        waiting.slot.fill(Ok(Some(Answer {
            response,
            payload: frame.payload.freeze(),
        })));
        Ok(())
    }

    /// The earliest deadline of all who wait; `None` inside once the connection has failed.
    async fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.awaited.wait_until(|| {
            let state = self.state.borrow();
            if state.failure.is_some() {
                return Some(None);
            }
            state
                .waiting
                .values()
                .map(|waiting| waiting.deadline)
                .min()
                .map(Some)
        });
        deadline.await
    }
}

async fn write<W: Writer>(shared: Rc<Shared>, mut writer: W) {
    while let Some(outgoing) = shared.next_write().await {
        let mut buffers = Vec::with_capacity(2 * outgoing.len());
        for frame in &outgoing {
            buffers.push(frame.head.clone());
            if !frame.payload.is_empty() {
                buffers.push(frame.payload.clone());
            }
        }
        if let Err(error) = writer.write_all(buffers).await {
            let (address, reason) = (shared.address, error.to_string());
            shared.fail(Error::Disconnected {
                address,
                reason,
                sent: true,
            });
            return;
        }
        shared.on_written(&outgoing);
    }
}

async fn read<R: Reader>(shared: Rc<Shared>, reader: R) {
    let address = shared.address;
    let disconnected = |reason| Error::Disconnected {
        address,
        reason,
        sent: true,
    };
    let mut frames = FrameReader::new(reader);
    let error = loop {
        match frames.next().await {
            Ok(Some(frame)) => match shared.on_frame(frame) {
                Ok(()) => {}
                Err(error) => break error,
            },
            Ok(None) => break disconnected("the other side closed it".to_owned()),
            Err(ReadError::Io(error)) => break disconnected(error.to_string()),
            Err(ReadError::Frame(error)) => {
                break Error::Protocol {
                    address,
                    reason: error.to_string(),
                };
            }
        }
    };
    shared.fail(error);
}

async fn watch<P: Platform>(shared: Rc<Shared>, platform: P) {
    while let Some(deadline) = shared.next_deadline().await {
        let now = platform.now();
        if now < deadline {
            platform.sleep(deadline.since(now)).await;
            continue;
        }
        let (address, reason) = (shared.address, "it left a request unanswered".to_owned());
        shared.fail(Error::Disconnected {
            address,
            reason,
            sent: true,
        });
    }
}
