use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use quorate_platform::{Compio, CompioReader, CompioWriter, Network as _, Tasks as _, Writer as _};
use quorate_wire::{
    ClusterId, ClusterMetadata, Consistency, Frame, FrameReader, Kind, NodeStatus, ReadError,
    Request, Response,
};

/// How often each node is asked.
const PERIOD: Duration = Duration::from_millis(500);
/// A node that does not answer within this time is silent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// What came of asking a node.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) node: u16,
    /// `None` if it is silent.
    pub(super) answer: Option<Answer>,
}

/// What a node tells.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: NodeStatus,
    /// Told until the cluster is ready, not later: it may be large.
    pub(super) metadata: Option<ClusterMetadata>,
}

/// Asks one node again and again how it is, by its control address.
#[derive(Debug)]
pub(super) struct Probe {
    node: u16,
    cluster: ClusterId,
    address: SocketAddr,
    is_ready: Rc<Cell<bool>>,
    connection: Option<(FrameReader<CompioReader>, CompioWriter)>,
}

impl Probe {
    pub(super) fn new(
        node: u16,
        cluster: ClusterId,
        address: SocketAddr,
        is_ready: Rc<Cell<bool>>,
    ) -> Self {
        Self {
            node,
            cluster,
            address,
            is_ready,
            connection: None,
        }
    }

    /// Asks until nobody listens.
    pub(super) async fn run(mut self, listener: impl Fn(Report) -> bool) {
        loop {
            let asked = Compio.timeout(ANSWER_TIMEOUT, self.ask()).await;
            let answer = asked.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
            if answer.is_err() {
                // Whatever may still come on it belongs to no question any more.
                self.connection = None;
            }
            let answer = answer.ok().filter(|answer| answer.status.node == self.node);
            if !listener(Report {
                node: self.node,
                answer,
            }) {
                return;
            }
            Compio.sleep(PERIOD).await;
        }
    }

    async fn ask(&mut self) -> io::Result<Answer> {
        let Response::Status(status) = self.call(&Request::Status).await? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let metadata = match self.is_ready.get() {
            true => None,
            false => {
                let request = Request::Metadata {
                    topics: None,
                    consistency: Consistency::AsKnown,
                };
                match self.call(&request).await? {
                    Response::Metadata(metadata) => Some(metadata),
                    _ => None,
                }
            }
        };
        Ok(Answer { status, metadata })
    }

    async fn call(&mut self, request: &Request) -> io::Result<Response> {
        if self.connection.is_none() {
            let (reader, writer) = Compio.connect(self.address).await?;
            self.connection = Some((FrameReader::new(reader), writer));
        }
        let Some((reader, writer)) = &mut self.connection else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let body = quorate_wire::encode(request);
        writer
            .write_all(vec![Frame::head(Kind::Request, self.cluster, 1, &body, 0)])
            .await?;
        let frame = reader.next().await.map_err(|error| match error {
            ReadError::Io(error) => error,
            ReadError::Frame(error) => io::Error::other(error),
        })?;
        let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
        quorate_wire::decode(&frame.body).map_err(io::Error::other)
    }
}
