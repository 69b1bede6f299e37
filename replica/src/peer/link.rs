use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use quorate_platform::{Platform, Reader, Writer};
use quorate_wire::ClusterId;

use super::PeerHello;

/// A node that does not take a connection within this time counts as unreachable for now.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The sending end of a link that has introduced itself. Dropping it ends the link.
pub struct Dialled<W> {
    writer: W,
    ended: flume::Receiver<Infallible>,
    close: Box<dyn Fn()>,
}

/// Opens a link to `address` and introduces it.
pub async fn dial<P: Platform>(
    platform: &P,
    address: SocketAddr,
    cluster: ClusterId,
    hello: PeerHello,
) -> io::Result<Dialled<P::Writer>> {
    let connected = platform
        .timeout(CONNECT_TIMEOUT, platform.connect(address))
        .await;
    let (mut reader, writer) = connected.unwrap_or(Err(io::ErrorKind::TimedOut.into()))?;
    let (sender, ended) = flume::bounded(0);
    platform.spawn(async move {
        // Nothing is ever sent back: whatever this read brings, the link is over.
        let _ = reader.read(Vec::with_capacity(1)).await;
        drop::<flume::Sender<Infallible>>(sender);
    });
    let close = Box::new(writer.closer());
    let mut link = Dialled {
        writer,
        ended,
        close,
    };
    link.send(vec![hello.frame(cluster)]).await?;
    Ok(link)
}

impl<W: Writer> Dialled<W> {
    /// Sends all buffers, in order, as if they were one.
    pub async fn send(&mut self, buffers: Vec<Bytes>) -> io::Result<()> {
        self.writer.write_all(buffers).await
    }

    /// Completes once the other side has ended the link.
    pub async fn ended(&self) {
        // The only result is that the sender is gone.
        let _ = self.ended.recv_async().await;
    }
}

impl<W> Drop for Dialled<W> {
    fn drop(&mut self) {
        // The task that reads shares the stream and would keep it open.
        (self.close)();
    }
}

impl<W: fmt::Debug> fmt::Debug for Dialled<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialled")
            .field("writer", &self.writer)
            .finish_non_exhaustive()
    }
}
