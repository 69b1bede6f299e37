//! The link to one shard of another node: one task, which sends what the queue holds.
//!
//! A frame takes all messages that wait and then the records of partitions whose turn it is, read
//! from the log at that moment. Records that have to come from disk are passed over and follow in a
//! frame of their own; so they hold up nothing that is at hand, and nothing at hand holds them up
//! for longer than one frame. While the stream does not take more, nothing more is read; that is
//! all the backpressure there is, and all it needs. What a broken link had sent may be lost; the
//! protocol notices. A node that is down is dialled now and then for as long as there is something
//! for it.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use futures_util::future::{Either, select};
use quorate_log::{LogError, Read, ReadJob};
use quorate_platform::Platform;
use quorate_vsr::Offset;
use quorate_vsr::partition::{Event, RepairWish};
use quorate_wire::{BATCH_BYTES_MAX, ClusterId, Frame, Kind, PAYLOAD_BYTES_MAX};

use super::Shard;
use super::connection::pieces;
use super::damage::offsets_of;
use super::link_queue::LinkQueue;
use super::peer_frame::{Envelope, Said, Wish};
use super::state::{LinkKey, State};
use super::{damage, repair};
use crate::peer::{Backoff, Dialled, PeerHello, dial};

/// A peer that takes nothing for this long gets a new link, in case the old one is dead.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A link that ends sooner has not shown that the other side is well: the next try waits like one
/// after a failure.
const SETTLED_AFTER: Duration = Duration::from_secs(1);
/// Records that could not be read for a peer are tried again after this time.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// Messages in one frame, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Records of one partition in one frame, in bytes.
const RECORD_BYTES_MAX: usize = 1 << 20;
/// A frame with this many bytes of records takes no more.
const FRAME_RECORD_BYTES_MAX: usize = 2 << 20;
/// Partitions whose records are on disk that one frame passes over.
const PASSED_OVER_MAX: usize = 64;
const _: () = assert!(
    FRAME_RECORD_BYTES_MAX + RECORD_BYTES_MAX + BATCH_BYTES_MAX <= PAYLOAD_BYTES_MAX as usize
);

/// What a link does next.
enum Next<P: Platform> {
    Send(Vec<Bytes>),
    /// The records that a partition wants to send are on disk.
    Read(u64, Wish, ReadJob<P>),
    /// Records are damaged where they shall go, and so they are read for it.
    Repair(u64, RepairWish),
    Wait,
    Close(&'static str),
}

/// Keeps the link up as long as there is something to say.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>, key: LinkKey) {
    let mut backoff = Backoff::new();
    let Some(changed) = shard
        .state
        .borrow()
        .links
        .get(&key)
        .map(|queue| queue.changed())
    else {
        return;
    };
    while !shard.is_over() {
        if shard.state.borrow().is_silent(key) {
            changed.wait().await;
            continue;
        }
        let LinkKey { node, shard: index } = key;
        shard.state.borrow_mut().renew_link(key);
        let is_settled = match connect(&shard, key).await {
            Ok(link) => {
                tracing::debug!(%node, shard = index, "linked");
                let linked = shard.platform.now();
                let end = pump(&shard, key, link).await;
                tracing::debug!(%node, shard = index, %end, "link ended");
                let is_settled = shard.platform.now() - linked >= SETTLED_AFTER;
                // A node that has come back has earned a try at once.
                is_settled || shard.state.borrow().is_reset(key)
            }
            Err(error) => {
                tracing::debug!(%node, shard = index, %error, "cannot link");
                false
            }
        };
        shard.state.borrow_mut().drop_messages(key);
        if is_settled {
            backoff.reset();
        } else {
            let wait = backoff.after_failure(shard.platform.random());
            shard.platform.sleep(wait).await;
        }
    }
}

async fn connect<P: Platform>(shard: &Shard<P>, key: LinkKey) -> io::Result<Dialled<P::Writer>> {
    let metadata = shard.metadata.load();
    let node = metadata.catalog.nodes.get(&key.node);
    let address = node.and_then(|node| node.shard_addresses.get(key.shard as usize));
    let Some(address) = address else {
        return Err(io::Error::other("the address is not known"));
    };
    let Some(disk) = metadata.disk else {
        return Err(io::Error::other("the own disk is not known"));
    };
    let hello = PeerHello {
        from: shard.node.0,
        to: key.node.0,
        shard: Some(key.shard),
        incarnation: shard.incarnation,
        disk,
    };
    dial(&shard.platform, *address, shard.cluster, hello).await
}

/// Sends until the link ends; says why.
async fn pump<P: Platform>(
    shard: &Rc<Shard<P>>,
    key: LinkKey,
    mut link: Dialled<P::Writer>,
) -> Box<dyn fmt::Display> {
    let Some(changed) = shard
        .state
        .borrow()
        .links
        .get(&key)
        .map(|queue| queue.changed())
    else {
        return Box::new("the queue is gone");
    };
    loop {
        let next = shard.state.borrow_mut().next_frame(key, shard.cluster);
        let buffers = match next {
            Next::Send(buffers) => buffers,
            Next::Read(id, wish, job) => {
                let read = match job.run().await {
                    Ok(batches) => batches,
                    Err(error) => {
                        on_unread(shard, key, id, wish, error).await;
                        continue;
                    }
                };
                match shard
                    .state
                    .borrow_mut()
                    .frame_of_read(id, wish, read, shard.cluster)
                {
                    Some(buffers) => buffers,
                    None => continue,
                }
            }
            Next::Repair(id, repair) => {
                let batches = repair::read(shard, id, repair, RECORD_BYTES_MAX).await;
                if batches.is_empty() {
                    continue;
                }
                frame_of_repair(id, repair.compacted, batches, shard.cluster)
            }
            Next::Wait => {
                // The other side never sends, so all that can come from it is the end.
                match select(pin!(changed.wait()), pin!(link.ended())).await {
                    Either::Left(((), _)) => continue,
                    Either::Right(((), _)) => return Box::new("the other side closed it"),
                }
            }
            Next::Close(reason) => return Box::new(reason),
        };
        if shard.platform.rarely("a link to a shard ends") {
            return Box::new("for no reason");
        }
        for piece in pieces(buffers) {
            match shard
                .platform
                .timeout(STALL_TIMEOUT, link.send(piece))
                .await
            {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Box::new(error),
                Err(elapsed) => return Box::new(elapsed),
            }
        }
    }
}

/// The records for a peer cannot be read. If they are damaged, the protocol is told, and wishes for
/// them again when they are good.
async fn on_unread<P: Platform>(
    shard: &Rc<Shard<P>>,
    key: LinkKey,
    id: u64,
    wish: Wish,
    error: LogError,
) {
    let error = match error {
        LogError::Damaged { offset, .. } => match damage::survey(shard, id, offset).await {
            Ok(true) => return,
            Ok(false) => LogError::Superseded,
            Err(error) => error,
        },
        error => error,
    };
    try_later(shard, key, id, wish, &error);
}

/// The records for a peer cannot be read: no file handle may be left, or the log was cut or mended
/// meanwhile. The wish is still there, and so is the follower that waits for it.
fn try_later<P: Platform>(
    shard: &Rc<Shard<P>>,
    key: LinkKey,
    id: u64,
    wish: Wish,
    error: &LogError,
) {
    if !matches!(error, LogError::Superseded) {
        tracing::error!(partition = id, to = %key.node, %error, "cannot read records for a peer");
    }
    let later = Rc::clone(shard);
    shard.platform.spawn(async move {
        later.platform.sleep(READ_AGAIN).await;
        if let Some(queue) = later.state.borrow_mut().links.get_mut(&key) {
            queue.postpone(id, wish);
        }
    });
}

/// A frame with records that are damaged where it goes.
fn frame_of_repair(
    id: u64,
    compacted: Offset,
    batches: Vec<Bytes>,
    cluster: ClusterId,
) -> Vec<Bytes> {
    let (base_offset, _) = offsets_of(&batches);
    let payload_len: usize = batches.iter().map(Bytes::len).sum();
    let said = Said::Repair {
        base_offset,
        compacted,
        payload_len: u32::try_from(payload_len).expect("a frame's records are few megabytes"),
    };
    let draft = Draft {
        envelopes: vec![Envelope {
            partition: id,
            said,
        }],
        batches,
        payload_len,
    };
    draft.finish(cluster)
}

/// A frame that is being put together.
#[derive(Default)]
struct Draft {
    envelopes: Vec<Envelope>,
    batches: Vec<Bytes>,
    payload_len: usize,
}

impl Draft {
    fn finish(self, cluster: ClusterId) -> Vec<Bytes> {
        let body = quorate_wire::encode(&self.envelopes);
        let head = Frame::head(Kind::Partitions, cluster, 0, &body, self.payload_len);
        let mut buffers = Vec::with_capacity(1 + self.batches.len());
        buffers.push(head);
        buffers.extend(self.batches);
        buffers
    }
}

impl<P: Platform> State<P> {
    fn is_silent(&self, key: LinkKey) -> bool {
        self.links.get(&key).is_none_or(|queue| queue.is_empty())
    }

    fn is_reset(&self, key: LinkKey) -> bool {
        self.links.get(&key).is_some_and(LinkQueue::is_reset)
    }

    fn renew_link(&mut self, key: LinkKey) {
        if let Some(queue) = self.links.get_mut(&key) {
            queue.renew();
        }
    }

    fn drop_messages(&mut self, key: LinkKey) {
        if let Some(queue) = self.links.get_mut(&key) {
            queue.drop_messages();
        }
    }

    fn next_frame(&mut self, key: LinkKey, cluster: ClusterId) -> Next<P> {
        if self.is_over {
            return Next::Close("the shard has ended");
        }
        let Some(queue) = self.links.get_mut(&key) else {
            return Next::Close("not needed");
        };
        if queue.is_reset() {
            return Next::Close("the node was away or has been started again");
        }
        if let Some((id, repair)) = queue.take_repair() {
            return Next::Repair(id, repair);
        }
        if let Some((id, wish)) = queue.take_due_read() {
            match self.begin_send(id, wish) {
                Some(Read::Job(job)) => return Next::Read(id, wish, job),
                // It has been cut or replaced meanwhile: it goes with what is at hand.
                Some(Read::Ready(_)) => self.postpone_all(key, vec![(id, wish)]),
                // What is damaged is wished for again when it is good.
                Some(Read::Damaged(_) | Read::OutOfRange) | None => {}
            }
        }
        let mut draft = Draft::default();
        if let Some(queue) = self.links.get_mut(&key) {
            for (partition, message) in queue.take_messages(MESSAGE_BYTES_MAX) {
                let said = Said::Message(message);
                draft.envelopes.push(Envelope { partition, said });
            }
            if let Some((partition, said)) = queue.take_of_producers() {
                let said = Said::OfProducers(said);
                draft.envelopes.push(Envelope { partition, said });
            }
        }
        let mut on_disk = self.add_what_is_at_hand(key, &mut draft).into_iter();
        let is_empty = draft.envelopes.is_empty();
        let read = if is_empty { on_disk.next() } else { None };
        let passed_over: Vec<_> = on_disk.map(|(id, wish, _)| (id, wish)).collect();
        let owes_read = !is_empty && !passed_over.is_empty();
        self.postpone_all(key, passed_over);
        if let Some(queue) = self.links.get_mut(&key).filter(|_| owes_read) {
            queue.owe_read();
        }
        match read {
            Some((id, wish, job)) => Next::Read(id, wish, job),
            None if is_empty => Next::Wait,
            None => Next::Send(draft.finish(cluster)),
        }
    }

    /// Fills a frame with records from memory; whose records are on disk instead.
    fn add_what_is_at_hand(
        &mut self,
        key: LinkKey,
        draft: &mut Draft,
    ) -> Vec<(u64, Wish, ReadJob<P>)> {
        let mut on_disk = Vec::new();
        while draft.payload_len < FRAME_RECORD_BYTES_MAX && on_disk.len() < PASSED_OVER_MAX {
            let queue = self.links.get_mut(&key);
            let Some((id, wish)) = queue.and_then(LinkQueue::take_wish) else {
                break;
            };
            match self.begin_send(id, wish) {
                Some(Read::Ready(batches)) => self.add_records(draft, id, wish, batches),
                Some(Read::Job(job)) => on_disk.push((id, wish, job)),
                Some(Read::Damaged(_) | Read::OutOfRange) | None => {}
            }
        }
        on_disk
    }

    fn postpone_all(&mut self, key: LinkKey, wishes: Vec<(u64, Wish)>) {
        if let Some(queue) = self.links.get_mut(&key) {
            queue.postpone_all(wishes);
        }
    }

    /// Begins to read what `wish` asks for; nothing if it is out of date.
    fn begin_send(&self, id: u64, wish: Wish) -> Option<Read<P>> {
        let partition = self.partitions.get(&id)?;
        partition
            .replica
            .records_head(wish.to, wish.epoch, wish.from)?;
        // Durable here or not: whether it is counts only when it comes to committing.
        Some(
            partition
                .log
                .begin_read(wish.from.0, RECORD_BYTES_MAX, u64::MAX),
        )
    }

    /// Adds records to a frame, unless the wish is out of date by now.
    fn add_records(&mut self, draft: &mut Draft, id: u64, wish: Wish, batches: Vec<Bytes>) {
        let Some(partition) = self.partitions.get(&id) else {
            return;
        };
        let head = partition
            .replica
            .records_head(wish.to, wish.epoch, wish.from);
        let (Some(head), Some(last)) = (head, batches.last()) else {
            return;
        };
        let next_offset = Offset(super::batch_header(last).next_offset());
        let payload_len: usize = batches.iter().map(Bytes::len).sum();
        draft.payload_len += payload_len;
        draft.batches.extend(batches);
        let payload_len = u32::try_from(payload_len).expect("a frame's records are few megabytes");
        let said = Said::Records { head, payload_len };
        draft.envelopes.push(Envelope {
            partition: id,
            said,
        });
        self.step(
            id,
            Event::RecordsSent {
                to: wish.to,
                head,
                next_offset,
            },
        );
    }

    /// A frame with records that were read from disk.
    fn frame_of_read(
        &mut self,
        id: u64,
        wish: Wish,
        batches: Vec<Bytes>,
        cluster: ClusterId,
    ) -> Option<Vec<Bytes>> {
        let mut draft = Draft::default();
        self.add_records(&mut draft, id, wish, batches);
        (!draft.envelopes.is_empty()).then(|| draft.finish(cluster))
    }
}
