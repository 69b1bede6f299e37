use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use compio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio_buf::{BufResult, IoBufMut};
use socket2::{SockRef, TcpKeepalive};

use super::Compio;
use crate::{Listener, Network, Reader, Writer};

impl Network for Compio {
    type Listener = CompioListener;
    type Reader = CompioReader;
    type Writer = CompioWriter;

    async fn listen(&self, address: SocketAddr) -> io::Result<CompioListener> {
        Ok(CompioListener(TcpListener::bind(address).await?))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<(CompioReader, CompioWriter)> {
        halves(TcpStream::connect(address).await?)
    }
}

/// Bytes that the other end has not confirmed for this long end the stream. Without it, a stream
/// that a partition has cut looks alive for minutes after the partition has healed.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);
/// A silent stream is probed after this long, so that one whose other end has vanished ends too.
const KEEPALIVE: Duration = Duration::from_secs(30);

fn halves(stream: TcpStream) -> io::Result<(CompioReader, CompioWriter)> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_user_timeout(Some(UNCONFIRMED_MAX))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok((CompioReader(stream.clone()), CompioWriter(stream)))
}

/// A listening TCP socket.
#[derive(Debug)]
pub struct CompioListener(TcpListener);

impl Listener for CompioListener {
    type Reader = CompioReader;
    type Writer = CompioWriter;

    async fn accept(&self) -> io::Result<(CompioReader, CompioWriter, SocketAddr)> {
        let (stream, address) = self.0.accept().await?;
        let (reader, writer) = halves(stream)?;
        Ok((reader, writer, address))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The receiving half of a TCP stream.
#[derive(Debug)]
pub struct CompioReader(TcpStream);

impl Reader for CompioReader {
    async fn read<B: IoBufMut>(&mut self, buffer: B) -> BufResult<usize, B> {
        self.0.read(buffer).await
    }

    async fn read_exact<B: IoBufMut>(&mut self, buffer: B) -> BufResult<(), B> {
        self.0.read_exact(buffer).await
    }
}

/// The sending half of a TCP stream.
#[derive(Debug)]
pub struct CompioWriter(TcpStream);

impl Writer for CompioWriter {
    async fn write_all(&mut self, buffers: Vec<Bytes>) -> io::Result<()> {
        self.0.write_vectored_all(buffers).await.0
    }

    fn closer(&self) -> impl Fn() + 'static {
        let stream = self.0.clone();
        move || {
            // A socket that is already gone needs no closing.
            let _ = SockRef::from(&stream).shutdown(Shutdown::Both);
        }
    }
}
