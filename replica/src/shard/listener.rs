use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use quorate_platform::{Listener, Platform, Writer};
use quorate_vsr::NodeId;
use quorate_wire::{FrameReader, Kind, ReadError};

use super::Shard;
use super::connection::{self, Connection};
use super::frame_watch::{FrameWatch, WatchedReader};
use super::{peer_frame, request};
use crate::metadata::Catalog;
use crate::peer::PeerHello;

/// Connections of one shard, peers included. Each has two tasks and at least one buffer.
const CONNECTIONS_MAX: usize = 2_000;
/// Connections beyond that which only peers may keep, so that clients cannot cut a node off from
/// the others. Who somebody is shows in the first frame, for which the time is limited.
const SPARE_FOR_PEERS: usize = 64;
/// A failure to accept most often means that the process has no file handle left; this is how long
/// the next try waits for one.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Why a connection was ended by us.
enum Hangup {
    Read(ReadError),
    /// A peer that we do not want, or do not understand.
    Peer(String),
    /// A peer of which nothing is known here yet.
    Unknown(NodeId),
    /// A client that has got a place which is kept for peers.
    TooMany,
}

impl From<ReadError> for Hangup {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// Takes connections until the shard stops.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>, listener: P::Listener) {
    loop {
        let accepted = {
            let accept = pin!(listener.accept());
            let closing = pin!(shard.closing.wait());
            match select(closing, accept).await {
                Either::Left(((), _)) => return,
                Either::Right((accepted, _)) => accepted,
            }
        };
        match accepted {
            Ok((reader, writer, address)) => {
                tracing::trace!(%address, "connected");
                welcome(&shard, reader, writer);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                shard.platform.sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn welcome<P: Platform>(shard: &Rc<Shard<P>>, reader: P::Reader, writer: P::Writer) {
    let connection = Connection::new(shard.cluster, writer.closer());
    let close = Box::new(writer.closer());
    let others = shard.connections.borrow().len();
    if others >= CONNECTIONS_MAX + SPARE_FOR_PEERS {
        warn_of_too_many();
        return close();
    }
    let is_spare = others >= CONNECTIONS_MAX;
    let id = shard
        .next_connection
        .replace(shard.next_connection.get() + 1);
    shard
        .connections
        .borrow_mut()
        .insert(id, Rc::clone(&connection));
    let platform = shard.platform.clone();
    let answers = connection::write_answers(platform.clone(), writer, Rc::clone(&connection));
    platform.spawn(answers);
    let reader = WatchedReader {
        platform: platform.clone(),
        reader,
        watch: Rc::new(FrameWatch::default()),
        close,
    };
    let shard = Rc::clone(shard);
    platform.spawn(async move {
        match read_frames(&shard, &connection, reader, is_spare).await {
            Ok(()) => {}
            Err(Hangup::Read(ReadError::Io(error))) => tracing::debug!(%error, "disconnected"),
            Err(Hangup::Read(ReadError::Frame(error))) => tracing::info!(%error, "hung up"),
            Err(Hangup::TooMany) => warn_of_too_many(),
            Err(Hangup::Unknown(node)) => tracing::debug!(%node, "it is not known here yet"),
            Err(Hangup::Peer(problem)) => tracing::warn!(problem, "refused a peer's link"),
        }
        connection.close();
        shard.connections.borrow_mut().remove(&id);
    });
}

/// Whether `disk` counts as that of the node which has sent a frame.
///
/// **Why only that disk is heard.** The protocol counts promises and acknowledgements by the
/// number of a node, and means by it all that the node has ever said. So one number must not stand
/// for two disks. Which one it stands for is decided with the epochs, in the same order: whoever
/// knows an epoch that was given out after a disk was given up knows that too, and does not count
/// the old one in it. Whoever does not know it yet counts the old disk in older epochs only, in
/// which that is the voter that it always was; and the new one waits until it does know. That is
/// asked again for each frame, for a link may be older than the decision.
fn check_disk(catalog: &Catalog, from: NodeId, disk: u64) -> Result<(), Hangup> {
    let member = catalog.members.get(&from);
    match member.and_then(|member| member.disk) {
        Some(expected) if expected == disk => Ok(()),
        Some(_) => Err(Hangup::Peer(format!(
            "node {from} speaks from another disk than the one that counts as its own: if its old \
             folder was given up, it must not be started with it again"
        ))),
        None => Err(Hangup::Unknown(from)),
    }
}

fn warn_of_too_many() {
    tracing::warn!(
        limit = CONNECTIONS_MAX,
        "too many connections: one was closed"
    );
}

async fn read_frames<P: Platform>(
    shard: &Rc<Shard<P>>,
    connection: &Rc<Connection>,
    reader: WatchedReader<P>,
    mut is_spare: bool,
) -> Result<(), Hangup> {
    let watch = Rc::clone(&reader.watch);
    let mut frames = FrameReader::new(reader);
    let mut peer: Option<PeerHello> = None;
    loop {
        connection.has_room().await;
        shard.unflushed.has_room().await;
        if connection.is_closed() || shard.is_over() {
            return Ok(());
        }
        watch.begin(shard.platform.now());
        let Some(frame) = frames.next().await? else {
            return Ok(());
        };
        watch.end(&frame);
        match (frame.header.kind, peer) {
            (Kind::Request, None) => {
                // Others may have left since it was accepted; then it is a client like any other.
                is_spare &= shard.connections.borrow().len() > CONNECTIONS_MAX;
                if is_spare {
                    return Err(Hangup::TooMany);
                }
                request::carry_out(shard, connection, frame);
            }
            (Kind::PeerHello, None) => {
                let me = Some(shard.index);
                let hello = PeerHello::accept(&frame, shard.cluster, shard.node, me)
                    .map_err(|refused| Hangup::Peer(refused.to_string()))?;
                peer = Some(hello);
            }
            (Kind::Partitions, Some(hello)) => {
                let from = hello.from();
                check_disk(&shard.metadata.load().catalog, from, hello.disk)?;
                let heard = peer_frame::open(frame).map_err(Hangup::Peer)?;
                shard.state.borrow_mut().hear_all(from, heard);
            }
            (kind, _) => return Err(Hangup::Peer(format!("a frame of kind {kind:?} came"))),
        }
    }
}
