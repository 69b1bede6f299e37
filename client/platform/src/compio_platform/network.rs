use std::io;
use std::net::{Shutdown, SocketAddr};

use bytes::Bytes;
use compio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio_buf::{BufResult, IoBufMut};
use socket2::SockRef;

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

fn halves(stream: TcpStream) -> io::Result<(CompioReader, CompioWriter)> {
    stream.set_nodelay(true)?;
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
