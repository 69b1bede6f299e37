use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use compio_buf::{BufResult, IoBufMut};

/// Byte streams between addresses (TCP in production).
pub trait Network: Clone + 'static {
    /// A bound, listening address.
    type Listener: Listener<Reader = Self::Reader, Writer = Self::Writer>;
    /// The receiving half of a stream.
    type Reader: Reader;
    /// The sending half of a stream.
    type Writer: Writer;

    /// Listens on `address`; port 0 chooses a free port.
    fn listen(&self, address: SocketAddr) -> impl Future<Output = io::Result<Self::Listener>>;

    /// Opens a stream to `address`, without delay for small writes.
    fn connect(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<(Self::Reader, Self::Writer)>>;
}

/// Accepts streams at one address.
pub trait Listener: 'static {
    /// The receiving half of an accepted stream.
    type Reader: Reader;
    /// The sending half of an accepted stream.
    type Writer: Writer;

    /// Waits for the next stream; also gives the address of its other end.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Reader, Self::Writer, SocketAddr)>>;

    /// The address that is listened on, with the port that was chosen.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// The receiving half of a stream; owned by one task.
pub trait Reader: 'static {
    /// Reads what has arrived, at most the buffer's capacity, behind the bytes that the buffer
    /// does *not* keep: the result overwrites from its start. 0 means that the other end is done.
    fn read<B: IoBufMut>(&mut self, buffer: B) -> impl Future<Output = BufResult<usize, B>>;

    /// Fills the buffer's whole capacity, or fails with `UnexpectedEof`.
    fn read_exact<B: IoBufMut>(&mut self, buffer: B) -> impl Future<Output = BufResult<(), B>>;
}

/// The sending half of a stream; owned by one task.
pub trait Writer: 'static {
    /// Sends all buffers, in order, as if they were one.
    fn write_all(&mut self, buffers: Vec<Bytes>) -> impl Future<Output = io::Result<()>>;

    /// A handle that closes both directions from another task: a pending read then returns 0.
    fn closer(&self) -> impl Fn() + 'static;
}
