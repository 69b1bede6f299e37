//! What comes in at the control address: clients, and the other nodes' links.
//!
//! Each connection has a task that reads, and that of a client one that writes. The first frame
//! tells who it is. Bytes that are no frames, frames of another cluster, silence where something
//! was to come and clients that do not take their answers all end the connection, and nothing else.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quorate_platform::{Listener, Platform, Reader, Writer};
use quorate_vsr::NodeId;
use quorate_vsr::group::{DiskId, Member as GroupMember, Message};
use quorate_wire::{
    ClusterId, Code, Consistency, Frame, FrameReader, Kind, ReadError, Refusal, Request, Response,
};

use super::client::Caller;
use super::heartbeat::Heartbeat;
use super::peering::Peers;
use crate::metadata::Published;
use crate::peer::PeerHello;

/// The most clients that are connected at once.
const CLIENTS_MAX: usize = 512;
/// Further connections, which must be those of nodes: a few for each of them, because a link that
/// broke is noticed at one end first.
const PEERS_MAX: usize = 256;
/// Whoever connects has something to say.
const FIRST_FRAME_MAX: Duration = Duration::from_secs(10);
/// A client that is silent for so long connects again when it needs to.
const CLIENT_SILENCE_MAX: Duration = Duration::from_secs(300);
/// Nodes send heartbeats ten times a second.
const PEER_SILENCE_MAX: Duration = Duration::from_secs(5);
/// A client that takes nothing for so long is gone.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// Answers that wait for a client to take them.
const ANSWERS_MAX: usize = 64;
/// Kinds of bad behaviour that are reported loudly, each once.
const WARNED_MAX: usize = 256;

/// Something that the control loop has to act upon.
#[derive(Debug)]
pub(super) enum Input {
    Group { from: GroupMember, message: Message },
    Heartbeat { from: NodeId, heartbeat: Heartbeat },
    Client { caller: Caller, request: Request },
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Reception {
    pub(super) me: NodeId,
    pub(super) incarnation: u64,
    pub(super) cluster: ClusterId,
    pub(super) peers: Peers,
    pub(super) metadata: Arc<Published>,
    pub(super) inputs: flume::Sender<Input>,
    connections: Cell<usize>,
    accepted: Cell<u64>,
    /// The latest link of each node, by the order in which they were accepted.
    links: RefCell<BTreeMap<NodeId, u64>>,
    warned: RefCell<BTreeSet<(IpAddr, String)>>,
}

impl Reception {
    pub(super) fn new(
        me: NodeId,
        incarnation: u64,
        cluster: ClusterId,
        peers: Peers,
        metadata: Arc<Published>,
        inputs: flume::Sender<Input>,
    ) -> Self {
        let (connections, accepted) = (Cell::new(0), Cell::new(0));
        let (links, warned) = (RefCell::default(), RefCell::default());
        Self {
            me,
            incarnation,
            cluster,
            peers,
            metadata,
            inputs,
            connections,
            accepted,
            links,
            warned,
        }
    }

    /// Counts a connection that was accepted, and gives its number.
    fn count_accepted(&self) -> u64 {
        let ordinal = self.accepted.get() + 1;
        self.accepted.set(ordinal);
        ordinal
    }

    /// Whether the link of `from` that was accepted as `ordinal` is the latest one known of.
    ///
    /// A node has one link to here and dials again only when that one has ended, or the node was
    /// restarted. What an earlier link still holds is out of date: the last heartbeats of a dead
    /// process must not be heard after the first ones of its successor.
    fn is_latest_link(&self, from: NodeId, ordinal: u64) -> bool {
        let mut links = self.links.borrow_mut();
        let latest = links.entry(from).or_default();
        *latest = ordinal.max(*latest);
        *latest == ordinal
    }

    /// Reports that a connection was ended, loudly only once for each address and reason.
    fn report(&self, address: SocketAddr, reason: &str) {
        let mut warned = self.warned.borrow_mut();
        if warned.len() < WARNED_MAX && warned.insert((address.ip(), reason.to_owned())) {
            tracing::warn!(%address, reason, "ended a connection");
        } else {
            tracing::debug!(%address, reason, "ended a connection");
        }
    }
}

/// Accepts connections, for ever.
pub(super) async fn accept<P: Platform>(
    platform: P,
    listener: P::Listener,
    reception: Rc<Reception>,
) {
    loop {
        match listener.accept().await {
            Ok((reader, writer, address)) => {
                let count = reception.connections.get();
                if count == CLIENTS_MAX + PEERS_MAX {
                    reception.report(address, "too many connections");
                    continue;
                }
                reception.connections.set(count + 1);
                let ordinal = reception.count_accepted();
                let (platform, reception) = (platform.clone(), Rc::clone(&reception));
                platform.clone().spawn(async move {
                    let connection = Connection {
                        platform,
                        reception,
                        address,
                        ordinal,
                    };
                    connection.serve(reader, writer, count >= CLIENTS_MAX).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Most likely too many files are open; trying at once would only burn the core.
                platform.sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Connection<P> {
    platform: P,
    reception: Rc<Reception>,
    address: SocketAddr,
    /// Its place in the order in which all were accepted.
    ordinal: u64,
}

impl<P: Platform> Connection<P> {
    async fn serve(self, reader: P::Reader, writer: P::Writer, peers_only: bool) {
        let close = writer.closer();
        let mut frames = FrameReader::new(reader);
        let result = match self.next(&mut frames, FIRST_FRAME_MAX).await {
            Ok(Some(first)) if first.header.kind == Kind::PeerHello => {
                self.serve_peer(&first, frames).await
            }
            Ok(Some(_)) if peers_only => Err("too many connections".to_owned()),
            Ok(Some(first)) => self.serve_client(first, frames, writer).await,
            Ok(None) => Ok(()),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = result {
            self.reception.report(self.address, &reason);
        }
        close();
        self.reception
            .connections
            .set(self.reception.connections.get() - 1);
    }

    /// The next frame; `None` at the end of the stream. After an error the stream is not used any
    /// more, so a read may be abandoned half-way.
    async fn next<R: Reader>(
        &self,
        frames: &mut FrameReader<R>,
        silence_max: Duration,
    ) -> Result<Option<Frame>, String> {
        match self.platform.timeout(silence_max, frames.next()).await {
            Ok(Ok(frame)) => Ok(frame),
            // That the other side went away is no news.
            Ok(Err(ReadError::Io(error))) => {
                tracing::trace!(address = %self.address, %error, "a connection failed");
                Ok(None)
            }
            Ok(Err(ReadError::Frame(error))) => Err(error.to_string()),
            Err(_) => Err("no whole frame came for too long".to_owned()),
        }
    }

    async fn serve_peer<R: Reader>(
        &self,
        first: &Frame,
        mut frames: FrameReader<R>,
    ) -> Result<(), String> {
        let reception = &self.reception;
        let hello = PeerHello::accept(first, reception.cluster, reception.me, None)
            .map_err(|refused| format!("the link of a node is refused: {refused}"))?;
        let from = hello.from();
        if !reception.peers.accepts(from) {
            return Err(format!(
                "node {from} is no member of the cluster: add it with `quorate cluster add`, or \
                 stop it"
            ));
        }
        let member = GroupMember {
            node: from,
            disk: DiskId(hello.disk),
        };
        let is_latest = || reception.is_latest_link(from, self.ordinal);
        // The introduction alone puts an end to earlier links.
        is_latest();
        loop {
            let frame = self.next(&mut frames, PEER_SILENCE_MAX).await?;
            // It may have left the cluster meanwhile.
            let is_wanted = || is_latest() && reception.peers.accepts(from);
            let Some(frame) = frame.filter(|_| is_wanted()) else {
                return Ok(());
            };
            let input = match frame.header.kind {
                Kind::Group => {
                    let message = Message::decode(&frame.body);
                    let message = message.map_err(|error| format!("from {from:?}: {error}"))?;
                    Input::Group {
                        from: member,
                        message,
                    }
                }
                Kind::Heartbeat => {
                    let heartbeat = read_heartbeat(&hello, &frame.body)?;
                    Input::Heartbeat { from, heartbeat }
                }
                Kind::Request | Kind::Response | Kind::PeerHello | Kind::Partitions => {
                    return Err(format!("{from:?} sent a frame that has no place here"));
                }
            };
            if reception.inputs.send_async(input).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn serve_client<R: Reader>(
        &self,
        first: Frame,
        mut frames: FrameReader<R>,
        writer: P::Writer,
    ) -> Result<(), String> {
        let (answers, receiver) = flume::bounded(ANSWERS_MAX);
        let (platform, close) = (self.platform.clone(), writer.closer());
        self.platform.spawn(async move {
            write_answers(&platform, writer, receiver).await;
            // The client may still be there, but it will not hear anything any more.
            close();
        });
        let mut next = Some(first);
        while let Some(frame) = next {
            let cluster = self.reception.cluster;
            let correlation = frame.header.correlation;
            let caller = Caller {
                cluster,
                correlation,
                answers: answers.clone(),
            };
            if let Err(refusal) = self.on_request(&frame, &caller).await {
                let reason = refusal.detail.clone();
                caller.answer_in_turn(&Response::Refused(refusal)).await;
                drop((caller, answers));
                // Let the writer bring the refusal on its way before the connection is closed.
                self.linger(&mut frames).await;
                return Err(reason);
            }
            drop(caller);
            next = self.next(&mut frames, CLIENT_SILENCE_MAX).await?;
        }
        Ok(())
    }

    /// Answers one request, or passes it on. A refusal as the error ends the connection.
    async fn on_request(&self, frame: &Frame, caller: &Caller) -> Result<(), Refusal> {
        let reception = &self.reception;
        if frame.header.kind != Kind::Request {
            let detail = "a client sends requests, and this frame is none";
            return Err(Refusal::new(Code::InvalidRequest, detail));
        }
        let request: Request = quorate_wire::decode(&frame.body).map_err(|error| {
            Refusal::new(
                Code::InvalidRequest,
                format!("the request makes no sense: {error}"),
            )
        })?;
        let asked = frame.header.cluster;
        let may_ask = matches!(request, Request::Metadata { .. }) && asked == ClusterId::UNKNOWN;
        if asked != reception.cluster && !may_ask {
            let detail = format!(
                "the request is for cluster {asked}, and this is a node of cluster {}: check the \
                 addresses",
                reception.cluster
            );
            return Err(Refusal::new(Code::ForeignCluster, detail));
        }
        match request {
            Request::Metadata {
                topics,
                consistency: Consistency::AsKnown,
            } => {
                let metadata = reception.metadata.load();
                let (me, incarnation) = (reception.me, reception.incarnation);
                let answer = metadata.answer(me, incarnation, topics.as_deref());
                caller.answer_in_turn(&answer).await;
            }
            Request::Metadata {
                consistency: Consistency::Linearizable,
                ..
            }
            | Request::Status
            | Request::Register { .. }
            | Request::Control { .. }
            | Request::Transfer { .. } => {
                let input = Input::Client {
                    caller: caller.clone(),
                    request,
                };
                // If nobody listens any more, the node ends.
                let _ = reception.inputs.send_async(input).await;
            }
            Request::Produce { partition, .. }
            | Request::Fetch { partition, .. }
            | Request::DeleteRecords { partition, .. }
            | Request::Describe { partition }
            | Request::Lookup { partition, .. } => {
                let refusal = wrong_address(&reception.metadata, partition);
                caller.answer_in_turn(&Response::Refused(refusal)).await;
            }
        }
        Ok(())
    }

    /// Reads and forgets until the client or the writer ends the connection.
    async fn linger<R: Reader>(&self, frames: &mut FrameReader<R>) {
        while let Ok(Some(_)) = self.next(frames, FIRST_FRAME_MAX).await {}
    }
}

/// The heartbeat of whoever introduced itself, and of nobody else.
fn read_heartbeat(hello: &PeerHello, body: &[u8]) -> Result<Heartbeat, String> {
    let heartbeat = Heartbeat::read(body).ok_or("a heartbeat that makes no sense")?;
    if heartbeat.incarnation != hello.incarnation || heartbeat.disk != hello.disk {
        return Err(format!(
            "node {} sent a heartbeat of another incarnation or disk than its link's",
            hello.from
        ));
    }
    Ok(heartbeat)
}

/// Sends answers until nobody has any more to give, or the client does not take them.
async fn write_answers<P: Platform>(
    platform: &P,
    mut writer: P::Writer,
    answers: flume::Receiver<Bytes>,
) {
    while let Ok(answer) = answers.recv_async().await {
        let frames = std::iter::once(answer).chain(answers.try_iter()).collect();
        match platform.timeout(WRITE_MAX, writer.write_all(frames)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// The refusal of a request that only a shard can answer.
fn wrong_address(metadata: &Published, partition: u64) -> Refusal {
    let metadata = metadata.load();
    let catalog = &metadata.catalog;
    let leader = catalog
        .partitions
        .get(&partition)
        .map(|partition| partition.leader);
    let address = leader.and_then(|leader| catalog.shard_address(leader, partition));
    Refusal {
        instead: address.map(|address| address.to_string()),
        ..Refusal::new(
            Code::WrongShard,
            format!(
                "this is the control address of a node; partition {partition} is served by a \
                 shard, whose address the metadata tells"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_counts_only_on_the_link_of_its_own_incarnation() {
        let heartbeat = Heartbeat {
            incarnation: 5,
            disk: 9,
            control_address: "127.0.0.1:7000".to_owned(),
            shard_addresses: Vec::new(),
            is_ready: true,
            is_stopping: false,
            is_stalled: false,
            leaderships: 0,
            lagging: Vec::new(),
            done: Vec::new(),
            resigned: Vec::new(),
        };
        let body = quorate_wire::encode(&heartbeat);
        let hello = |incarnation| PeerHello {
            from: 2,
            to: 1,
            shard: None,
            incarnation,
            disk: 9,
        };
        assert_eq!(read_heartbeat(&hello(5), &body), Ok(heartbeat));
        assert!(read_heartbeat(&hello(6), &body).is_err());
        assert!(read_heartbeat(&hello(5), b"nothing").is_err());
    }
}
