//! One stream that somebody else opened: a client with requests, or a peer with its messages.
//!
//! A reader task takes frames off the stream and carries out each at once, in the order of arrival;
//! so the order in which a producer sends batches to a partition is the order in which they are
//! appended. A writer task sends the answers in the order in which they become ready.
//!
//! **Memory is bounded by not reading.** Before it takes a frame off the stream the reader waits
//! until the connection has few enough requests and bytes under way, and the shard few enough bytes
//! that are not yet on disk. TCP hands the pressure on to the sender. A fetch takes from the read
//! budgets of its connection and of the shard before it reads anything, and gives back what was
//! sent.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorate_platform::{Platform, Writer};
use quorate_wire::{ClusterId, Frame, Kind, PAYLOAD_BYTES_MAX, Refusal, Response};

use super::budget::{Budget, Permit};
use super::fetch::Parked;
use super::signal::Signal;

/// Requests of one connection that are not yet answered, parked fetches included.
const REQUESTS_MAX: u64 = 1_024;
/// Bytes of one connection's batches that are appended and not yet acknowledged.
const APPENDING_BYTES_MAX: u64 = 32 << 20;
/// Bytes of batches that are read for one connection and not yet sent. Little more than twice this
/// is under way at most, since the last fetch to start may ask for as much again.
const READING_BYTES_MAX: u64 = PAYLOAD_BYTES_MAX as u64;
/// A stream whose other end takes nothing for this long is closed.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Buffers in one write: the operating system takes no more than 1,024.
const BUFFERS_PER_WRITE_MAX: usize = 512;

/// The answering half of a connection.
pub(super) struct Connection {
    cluster: ClusterId,
    answers: RefCell<VecDeque<Answer>>,
    changed: Signal,
    is_closed: Cell<bool>,
    close: Box<dyn Fn()>,
    requests: Rc<Budget>,
    appending: Rc<Budget>,
    reading: Rc<Budget>,
    /// Fetches of this connection that wait for more to be committed.
    parked: RefCell<Parked>,
}

struct Answer {
    head: Bytes,
    batches: Vec<Bytes>,
    // Given back once the answer is sent.
    _permits: (Permit, Option<Reading>),
}

/// What a fetch has taken of the read budgets.
pub(super) struct Reading {
    connection: Permit,
    shard: Permit,
}

impl Connection {
    pub(super) fn new(cluster: ClusterId, close: impl Fn() + 'static) -> Rc<Self> {
        Rc::new(Self {
            cluster,
            answers: RefCell::default(),
            changed: Signal::default(),
            is_closed: Cell::new(false),
            close: Box::new(close),
            requests: Budget::new(REQUESTS_MAX),
            appending: Budget::new(APPENDING_BYTES_MAX),
            reading: Budget::new(READING_BYTES_MAX),
            parked: RefCell::default(),
        })
    }

    /// Waits until the connection may have one more request under way.
    pub(super) async fn has_room(&self) {
        self.requests.has_room().await;
        self.appending.has_room().await;
    }

    /// Waits until one more fetch may read, and counts it.
    pub(super) async fn start_reading(&self, shard: &Rc<Budget>, bytes_max: u64) -> Reading {
        self.reading.has_room().await;
        // Nothing is awaited between the wait and this, so no other fetch of this connection slips
        // in. Several connections may slip in together, each once.
        let connection = self.reading.take(bytes_max);
        shard.has_room().await;
        let shard = shard.take(bytes_max);
        Reading { connection, shard }
    }

    /// What the answer to a request that brought `appending` bytes of records goes through.
    pub(super) fn reply(self: &Rc<Self>, correlation: u64, appending: usize) -> Reply {
        Reply {
            connection: Rc::clone(self),
            correlation,
            is_silent: false,
            request: self.requests.take(1),
            _appending: self.appending.take(appending as u64),
        }
    }

    /// Closes both directions. Answers that are not sent yet are dropped.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        (self.close)();
        for budget in [&self.requests, &self.appending, &self.reading] {
            budget.close();
        }
        self.parked.borrow_mut().wake_all();
        self.changed.notify();
    }

    /// The fetches that have to look again when the connection is closed.
    pub(super) const fn parked(&self) -> &RefCell<Parked> {
        &self.parked
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Whether every answer has been handed to the network.
    pub(super) fn is_drained(&self) -> bool {
        self.is_closed() || self.answers.borrow().is_empty()
    }

    /// The bytes of the first `count` answers.
    fn buffers(&self, count: usize) -> Vec<Bytes> {
        let answers = self.answers.borrow();
        answers
            .iter()
            .take(count)
            .flat_map(Answer::buffers)
            .collect()
    }

    fn push(&self, answer: Answer) {
        if !self.is_closed() {
            self.answers.borrow_mut().push_back(answer);
            self.changed.notify();
        }
    }
}

/// Sends the connection's answers until it is closed.
pub(super) async fn write_answers<P: Platform>(
    platform: P,
    mut writer: P::Writer,
    connection: Rc<Connection>,
) {
    while !connection.is_closed() {
        let Some(count) = next_write(&connection.answers.borrow()) else {
            connection.changed.wait().await;
            continue;
        };
        let writing = write(&mut writer, connection.buffers(count));
        match platform.timeout(STALL_TIMEOUT, writing).await {
            Ok(Ok(())) => drop(connection.answers.borrow_mut().drain(..count)),
            // The other end has gone away, or does not read: both end the connection.
            Ok(Err(_)) | Err(_) => connection.close(),
        }
    }
    connection.answers.borrow_mut().clear();
}

/// How many answers to send with the next write: some for one round trip to the operating system,
/// not so many that those in front wait for those behind.
fn next_write(answers: &VecDeque<Answer>) -> Option<usize> {
    let mut buffers = 0;
    let fitting = answers.iter().take_while(|answer| {
        buffers += 1 + answer.batches.len();
        buffers <= BUFFERS_PER_WRITE_MAX
    });
    match fitting.count() {
        0 if answers.is_empty() => None,
        count => Some(count.max(1)),
    }
}

/// The buffers in pieces that the operating system takes, in order.
pub(super) fn pieces(mut buffers: Vec<Bytes>) -> impl Iterator<Item = Vec<Bytes>> {
    std::iter::from_fn(move || {
        let rest = buffers.split_off(buffers.len().min(BUFFERS_PER_WRITE_MAX));
        let piece = std::mem::replace(&mut buffers, rest);
        (!piece.is_empty()).then_some(piece)
    })
}

async fn write<W: Writer>(writer: &mut W, buffers: Vec<Bytes>) -> io::Result<()> {
    for piece in pieces(buffers) {
        writer.write_all(piece).await?;
    }
    Ok(())
}

impl Answer {
    fn buffers(&self) -> impl Iterator<Item = Bytes> {
        std::iter::once(&self.head).chain(&self.batches).cloned()
    }
}

/// The way back to whoever sent a request. While it lives, the request counts as under way.
pub(super) struct Reply {
    connection: Rc<Connection>,
    correlation: u64,
    is_silent: bool,
    request: Permit,
    _appending: Permit,
}

impl Reply {
    /// Sends nothing, whatever the answer is; the request still counts until then.
    pub(super) const fn silence(&mut self) {
        self.is_silent = true;
    }

    pub(super) fn send(self, response: &Response) {
        self.send_batches(response, Vec::new(), None);
    }

    pub(super) fn refuse(self, refusal: Refusal) {
        self.send(&Response::Refused(refusal));
    }

    /// Sends `response` with `batches` behind it, for which `reading` was taken.
    pub(super) fn send_batches(
        self,
        response: &Response,
        batches: Vec<Bytes>,
        mut reading: Option<Reading>,
    ) {
        if self.is_silent || self.connection.is_closed() {
            return;
        }
        let body = quorate_wire::encode(response);
        let payload_len = batches.iter().map(Bytes::len).sum();
        if let Some(reading) = &mut reading {
            reading.connection.shrink(payload_len as u64);
            reading.shard.shrink(payload_len as u64);
        }
        let cluster = self.connection.cluster;
        let head = Frame::head(
            Kind::Response,
            cluster,
            self.correlation,
            &body,
            payload_len,
        );
        self.connection.push(Answer {
            head,
            batches,
            _permits: (self.request, reading),
        });
    }

    /// The connection that the request came from.
    pub(super) const fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }
}
