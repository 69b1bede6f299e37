//! Streams between simulated hosts.
//!
//! Turmoil carries them. It never sends lost bytes again: a stream that has lost some stays silent
//! for good, where the kernel would go on after the network has healed, or give the stream up. So
//! both ends of a stream share a [`Wire`] here, which tells how much of what one end has sent the
//! other has taken; when nothing is taken for as long as production gives the kernel, or no word of
//! that comes back, the stream ends.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use quorate_platform::{BufResult, IoBufMut, Listener, Network, Reader, Writer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

use super::host_name;
use super::platform::SimPlatform;
use super::trace::{Action, Operation};

/// Bytes that the other end has not taken for this long end the stream, as in production.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
/// One in so many writes goes out, and one in so many reads comes in, in two pieces.
const SPLIT_ONE_IN: u64 = 16;

/// All streams of a run that an end still holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Wires(Rc<Known>);

#[derive(Debug, Default)]
struct Known {
    wires: RefCell<BTreeMap<Ends, Weak<Wire>>>,
    /// Ways on which everything is lost, from one host to another.
    cut: RefCell<BTreeSet<(IpAddr, IpAddr)>>,
}

/// The addresses of who connected and of who accepted.
type Ends = (SocketAddr, SocketAddr);

/// What the ends of one stream know of each other: of those who connected, and of those who
/// accepted.
#[derive(Debug, Default)]
struct Wire {
    flows: [Flow; 2],
    /// Whether the stream was reset; then neither end has anything of it any more.
    is_reset: Cell<bool>,
    /// Who waits to read and to write at each of the ends.
    wakers: [[RefCell<Option<Waker>>; 2]; 2],
}

impl Wire {
    fn reset(&self) {
        self.is_reset.set(true);
        self.wakers.iter().for_each(wake);
    }

    fn check_not_reset(&self) -> io::Result<()> {
        match self.is_reset.get() {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

/// Wakes all who wait at one end.
fn wake(end: &[RefCell<Option<Waker>>; 2]) {
    for waker in end {
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Flow {
    sent: Cell<u64>,
    taken: Cell<u64>,
    /// What the sender knows to be taken.
    confirmed: Cell<u64>,
    /// Since when something waits, of which nothing was confirmed.
    waiting_since: Cell<Duration>,
}

impl Wires {
    fn between(&self, ends: Ends) -> Rc<Wire> {
        let mut wires = self.0.wires.borrow_mut();
        let known = wires.entry(ends).or_default();
        known.upgrade().unwrap_or_else(|| {
            let wire = Rc::new(Wire::default());
            *known = Rc::downgrade(&wire);
            wire
        })
    }

    fn forget(&self, ends: Ends) {
        self.0.wires.borrow_mut().remove(&ends);
    }

    /// Notes that what `from` sends to `to` is lost from now on, or no longer.
    pub(super) fn set_cut(&self, from: IpAddr, to: IpAddr, is_cut: bool) {
        let mut cut = self.0.cut.borrow_mut();
        match is_cut {
            true => cut.insert((from, to)),
            false => cut.remove(&(from, to)),
        };
    }

    /// Resets all streams between two hosts, in both of their eyes; how many those were. What was
    /// on its way is lost.
    pub(super) fn reset(&self, one: IpAddr, other: IpAddr) -> usize {
        let wires = self.0.wires.borrow();
        let is_between =
            |(from, to): &Ends| [(one, other), (other, one)].contains(&(from.ip(), to.ip()));
        let between = wires.iter().filter(|(ends, _)| is_between(ends));
        let between: Vec<_> = between.filter_map(|(_, wire)| wire.upgrade()).collect();
        drop(wires);
        between.iter().for_each(|wire| wire.reset());
        between.len()
    }

    /// Whether word from the receiver reaches the sender, who has this side of a stream.
    fn is_confirmed(&self, ends: Ends, side: usize) -> bool {
        let addresses = [ends.0.ip(), ends.1.ip()];
        !self.is_cut(addresses[1 - side], addresses[side])
    }

    fn is_cut(&self, from: IpAddr, to: IpAddr) -> bool {
        self.0.cut.borrow().contains(&(from, to))
    }
}

impl Flow {
    fn on_sent(&self, bytes: usize, now: Duration) {
        if self.confirmed.get() == self.sent.get() {
            self.waiting_since.set(now);
        }
        self.sent.set(self.sent.get() + bytes as u64);
    }

    fn on_taken(&self, bytes: usize) {
        self.taken.set(self.taken.get() + bytes as u64);
    }

    /// The sender hears of all that was taken.
    fn confirm(&self, now: Duration) {
        if self.confirmed.replace(self.taken.get()) < self.taken.get() {
            self.waiting_since.set(now);
        }
    }

    fn is_stuck(&self, now: Duration) -> bool {
        let is_waiting = self.confirmed.get() < self.sent.get();
        is_waiting && now.saturating_sub(self.waiting_since.get()) > UNCONFIRMED_MAX
    }
}

impl Network for SimPlatform {
    type Listener = SimListener;
    type Reader = SimReader;
    type Writer = SimWriter;

    async fn listen(&self, address: SocketAddr) -> io::Result<SimListener> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?;
        let port = listener.local_addr()?.port();
        let address = SocketAddr::new(address.ip(), port);
        self.note(format!("listens on port {port}"));
        Ok(SimListener {
            listener,
            address,
            platform: self.clone(),
        })
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<(SimReader, SimWriter)> {
        // Turmoil would take a connection for made of which the one who makes it hears nothing.
        if self
            .host()
            .wires
            .is_cut(address.ip(), turmoil::lookup(host_name(self.host().id)))
        {
            tokio::time::sleep(UNCONFIRMED_MAX).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        let connected = TcpStream::connect(address).await;
        let port = address.port();
        match connected {
            Ok(stream) => {
                self.note(format!("connects to port {port} of {}", address.ip()));
                let ends = (stream.local_addr()?, address);
                Ok(halves(self, stream, ends, 0, port))
            }
            Err(error) => {
                self.note(format!("cannot connect to {address}: {error}"));
                Err(error)
            }
        }
    }
}

/// A listening socket of a simulated host.
pub struct SimListener {
    listener: TcpListener,
    address: SocketAddr,
    platform: SimPlatform,
}

impl std::fmt::Debug for SimListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimListener({})", self.address)
    }
}

impl Listener for SimListener {
    type Reader = SimReader;
    type Writer = SimWriter;

    async fn accept(&self) -> io::Result<(SimReader, SimWriter, SocketAddr)> {
        let (stream, origin) = self.listener.accept().await?;
        let port = self.address.port();
        self.platform
            .note(format!("accepts {} on port {port}", origin.ip()));
        let ends = (origin, stream.local_addr()?);
        let (reader, writer) = halves(&self.platform, stream, ends, 1, port);
        Ok((reader, writer, origin))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// One end of a stream, shared by its halves and by those who may close it.
#[derive(Debug)]
struct Stream {
    platform: SimPlatform,
    /// The port that was connected to, for the trace.
    port: u16,
    ends: Ends,
    wire: Rc<Wire>,
    /// Which of the wire's directions it sends.
    side: usize,
    read: RefCell<OwnedReadHalf>,
    write: RefCell<OwnedWriteHalf>,
    is_closed: Cell<bool>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The other end keeps the wire for itself, or has let go of it before.
        if Rc::strong_count(&self.wire) == 1 {
            self.platform.host().wires.forget(self.ends);
        }
    }
}

/// The receiving half of a simulated stream.
#[derive(Debug)]
pub struct SimReader(Rc<Stream>);

/// The sending half of a simulated stream.
#[derive(Debug)]
pub struct SimWriter(Rc<Stream>);

fn halves(
    platform: &SimPlatform,
    stream: TcpStream,
    ends: Ends,
    side: usize,
    port: u16,
) -> (SimReader, SimWriter) {
    let (read, write) = stream.into_split();
    let wire = platform.host().wires.between(ends);
    let stream = Rc::new(Stream {
        platform: platform.clone(),
        port,
        ends,
        wire,
        side,
        read: RefCell::new(read),
        write: RefCell::new(write),
        is_closed: Cell::new(false),
    });
    (SimReader(Rc::clone(&stream)), SimWriter(stream))
}

impl Stream {
    fn close(&self) {
        if self.is_closed.replace(true) || !turmoil::in_simulation() {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        // It sends the end of the stream at once; one that was reset has none to send.
        let _ = Pin::new(&mut *self.write.borrow_mut()).poll_shutdown(&mut context);
        wake(&self.wire.wakers[self.side]);
    }

    /// Whoever reads or writes waits until he is woken.
    fn wait(&self, is_writer: bool, context: &Context<'_>) {
        let wakers = &self.wire.wakers[self.side];
        wakers[usize::from(is_writer)].replace(Some(context.waker().clone()));
    }

    fn poll_read<B: IoBufMut>(
        &self,
        context: &mut Context<'_>,
        buffer: &mut B,
        skip: usize,
        max: usize,
    ) -> Poll<io::Result<usize>> {
        if self.is_closed.get() {
            return Poll::Ready(Ok(0));
        }
        self.wire.check_not_reset()?;
        let end = buffer.as_uninit().len().min(skip.saturating_add(max));
        let mut room = ReadBuf::uninit(&mut buffer.as_uninit()[skip..end]);
        let mut half = self.read.borrow_mut();
        match Pin::new(&mut *half).poll_read(context, &mut room) {
            Poll::Pending => {
                self.wait(false, context);
                return Poll::Pending;
            }
            Poll::Ready(result) => result?,
        }
        let bytes = room.filled().len();
        let flow = &self.wire.flows[1 - self.side];
        flow.on_taken(bytes);
        if self.is_confirmed(1 - self.side) {
            flow.confirm(self.platform.elapsed());
        }
        self.trace(Action::Receive, room.filled());
        // SAFETY: turmoil has just filled these bytes; those before them were filled before.
        unsafe { buffer.advance_to(skip + bytes) };
        Poll::Ready(Ok(bytes))
    }

    fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<()>> {
        if self.is_closed.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.wire.check_not_reset()?;
        let (flow, now) = (&self.wire.flows[self.side], self.platform.elapsed());
        if self.is_confirmed(self.side) {
            flow.confirm(now);
        }
        if flow.is_stuck(now) {
            self.close();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = Pin::new(&mut *self.write.borrow_mut()).poll_write(context, bytes);
        if written.is_pending() {
            self.wait(true, context);
        }
        let written = ready!(written)?;
        assert_eq!(written, bytes.len(), "a segment holds whatever it is given");
        flow.on_sent(written, now);
        self.trace(Action::Send, bytes);
        Poll::Ready(Ok(()))
    }

    fn is_confirmed(&self, side: usize) -> bool {
        self.platform.host().wires.is_confirmed(self.ends, side)
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        poll_fn(|context| self.poll_write(context, bytes)).await
    }

    fn trace(&self, action: Action, bytes: &[u8]) {
        self.platform.trace(Operation {
            action,
            on: u32::from(self.port),
            position: 0,
            bytes: bytes.len(),
            sum: crc32c::crc32c(bytes),
        });
    }

    /// Where `bytes` bytes are to be cut in two, if they are.
    fn cut(&self, bytes: usize) -> Option<usize> {
        let random = self.platform.life().random();
        let is_cut = random.is_multiple_of(SPLIT_ONE_IN) && bytes > 1;
        is_cut.then(|| 1 + (random >> 32) as usize % (bytes - 1))
    }
}

impl Reader for SimReader {
    async fn read<B: IoBufMut>(&mut self, mut buffer: B) -> BufResult<usize, B> {
        let room = buffer.as_uninit().len();
        let max = self.0.cut(room.min(4096)).unwrap_or(room);
        let read = poll_fn(|context| self.0.poll_read(context, &mut buffer, 0, max)).await;
        BufResult(read, buffer)
    }

    async fn read_exact<B: IoBufMut>(&mut self, mut buffer: B) -> BufResult<(), B> {
        let (mut filled, room) = (0, buffer.as_uninit().len());
        while filled < room {
            let read =
                poll_fn(|context| self.0.poll_read(context, &mut buffer, filled, room)).await;
            match read {
                Ok(0) => return BufResult(Err(io::ErrorKind::UnexpectedEof.into()), buffer),
                Ok(bytes) => filled += bytes,
                Err(error) => return BufResult(Err(error), buffer),
            }
        }
        BufResult(Ok(()), buffer)
    }
}

impl Writer for SimWriter {
    async fn write_all(&mut self, buffers: Vec<Bytes>) -> io::Result<()> {
        let bytes = match &buffers[..] {
            [] => return Ok(()),
            [one] => one.clone(),
            [..] => {
                let all = buffers.iter().map(Bytes::len).sum();
                let mut joined = BytesMut::with_capacity(all);
                buffers
                    .iter()
                    .for_each(|bytes| joined.extend_from_slice(bytes));
                joined.freeze()
            }
        };
        if bytes.is_empty() {
            return Ok(());
        }
        let cut = self.0.cut(bytes.len()).unwrap_or(0);
        if cut > 0 {
            self.0.write(&bytes[..cut]).await?;
        }
        self.0.write(&bytes[cut..]).await
    }

    fn closer(&self) -> impl Fn() + 'static {
        let stream = Rc::clone(&self.0);
        move || stream.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_stuck_once_nothing_is_taken_for_long() {
        let second = Duration::from_secs;
        let flow = Flow::default();
        assert!(!flow.is_stuck(second(100)));
        flow.on_sent(5, second(100));
        flow.on_sent(5, second(109));
        assert!(!flow.is_stuck(second(110)));
        assert!(flow.is_stuck(second(111)));
        flow.on_taken(5);
        assert!(flow.is_stuck(second(111)));
        flow.confirm(second(111));
        assert!(!flow.is_stuck(second(120)));
        flow.on_taken(5);
        flow.confirm(second(120));
        assert!(!flow.is_stuck(second(200)));
    }
}
