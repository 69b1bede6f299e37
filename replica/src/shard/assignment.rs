//! Follows the metadata: tells the partitions who leads them, opens new ones, removes those that
//! were deleted or have moved to other nodes.
//!
//! Two tasks do this. Who leads is told at once, without waiting for anything, for that is what
//! everybody waits for when a node has died. Opening and removing take their time, one step after
//! the other, so that they never meet.
//!
//! # Who was away while others let deletions go
//!
//! In a compacted topic, what deletes a key goes once the logs of all members are compacted that
//! far. A node that was taken out of the lists of those who hold a partition, and put into them
//! again, without having heard of it, may hold records of the key in the log that it still has.
//! When it hears of it, it *drops that log*, with the facts, before it takes part again, and begins
//! with nothing, as a new learner does (`Partition::is_outdated`). The catalog tells since which
//! epoch a node is in the lists without a break; the facts tell the newest that was promised.
//!
//! **Why nothing is lost by that.** Between those two is an epoch that did not name the node, and
//! then it might have dropped the log, as any node does that hears of such an epoch. Since then it
//! has said nothing at all: it says and does nothing in an epoch before its promise to that is
//! durable, and the newest one that is durable is older. So nobody can tell that the log is dropped
//! only now. The lists and the promise alone decide, so it makes no difference in which stage of
//! which change the node was taken out and put in again, nor whether it had left the cluster
//! meanwhile. Who is wanted again before any epoch was without it was never away.
//! The change of voters that has left the node out has seen to it that all that was committed with
//! its help is at a majority of the others. A joint epoch that was given up was one of the previous
//! voters as well; and who was a learner has never counted.
//!
//! **Crashes.** The facts go first, durably, then the folder. If the node crashes before that, it
//! finds the same old promise and drops the log again; in between, it finds a folder without facts,
//! which is removed before the partition is opened; and after that, nothing. What it opens then
//! takes in the newest epoch before anything else, and the first facts that it writes are the
//! promise to that one.
//!
//! **Why no voter ever drops its log.** Who is put into the lists is a learner at first. It becomes
//! a voter only after it has adopted an epoch in which it was one, durably, and its promise to that
//! is durable with it; and each voter of a new partition begins with nothing, and with the promise
//! to an epoch of it. So in no choice of a log does anybody speak who has dropped what it had
//! acknowledged as a voter. A node with a new disk has no promise, and nothing to drop.
//!
//! **Why it hears of it in time.** A leader tells of its epoch as well, and may be faster than the
//! control plane. If the node promised to that epoch, one would not see any more that it had been
//! away. So epochs of a compacted topic begin by the word of the control plane alone, and what a
//! leader says of a later one waits for it (`State::awaits_assignment`). While the control plane
//! cannot be heard, such a partition cannot go over to a new leader on this node's word.
//!
//! **Topics that are not compacted** keep their logs and do not wait: there the log is a prefix of
//! the leader's but for what is cut as always, saves that it is copied anew, and, should the others
//! lose their disks, it is all that is left.

use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use quorate_platform::Platform;
use quorate_vsr::partition::Event;
use quorate_wire::{Code, Refusal};

use super::effect::leadership_lost;
use super::link_queue::LinkQueue;
use super::opening::{self, OPENING_MAX};
use super::state::{LinkKey, PeerNode, State};
use super::{Shard, link};
use crate::error::NodeError;
use crate::metadata::{Catalog, PartitionRecord, Stage};

/// A new partition for which there is no room is tried again after this time.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Tells the partitions who leads them, until the shard stops.
pub(super) async fn tell_leaders<P: Platform>(shard: Rc<Shard<P>>) {
    let published = shard.metadata.subscribe();
    loop {
        let catalog = current(&shard);
        link_peers(&shard, &catalog);
        shard.state.borrow_mut().assign_all(&catalog);
        shard.state.borrow_mut().hear_early();
        if !has_more(&shard, &published).await {
            return;
        }
    }
}

/// Opens and removes partitions, until the shard stops.
///
/// `leftover` are folders without facts that were found at the start.
pub(super) async fn hold<P: Platform>(shard: Rc<Shard<P>>, mut leftover: BTreeSet<u64>) {
    let published = shard.metadata.subscribe();
    loop {
        let catalog = current(&shard);
        let removed = remove_unneeded(&shard, &catalog, &mut leftover).await;
        let opened = match removed {
            Ok(()) => open_missing(&shard, &catalog, &mut leftover).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(()) => {}
            // Nothing was promised for it yet, so the others go on without this replica.
            Err(error) if error.is_disk_full() => {
                tracing::error!(%error, "a new partition finds no room: trying again");
                shard.platform.sleep(TRY_AGAIN).await;
                if shard.is_over() || shard.closing.is_set() {
                    return;
                }
                continue;
            }
            Err(error) => return shard.fail(error),
        }
        if !has_more(&shard, &published).await {
            return;
        }
    }
}

fn current<P: Platform>(shard: &Shard<P>) -> Arc<Catalog> {
    Arc::clone(&shard.metadata.load().catalog)
}

/// Waits until something new was published; false once the shard stops.
async fn has_more<P: Platform>(shard: &Shard<P>, published: &flume::Receiver<()>) -> bool {
    match select(pin!(shard.closing.wait()), pin!(published.recv_async())).await {
        Either::Left(((), _)) => false,
        Either::Right((published, _)) => published.is_ok() && !shard.is_over(),
    }
}

/// Starts the links that are needed now and were not before.
fn link_peers<P: Platform>(shard: &Rc<Shard<P>>, catalog: &Catalog) {
    let new = shard.state.borrow_mut().note_nodes(catalog);
    for key in new {
        shard.platform.spawn(link::run(Rc::clone(shard), key));
    }
}

async fn open_missing<P: Platform>(
    shard: &Rc<Shard<P>>,
    catalog: &Arc<Catalog>,
    leftover: &mut BTreeSet<u64>,
) -> Result<(), NodeError> {
    link_peers(shard, catalog);
    let missing = shard.state.borrow().missing(catalog);
    for &id in &missing {
        if leftover.remove(&id) {
            // What is in it was dropped, and the node was interrupted before it was removed.
            opening::remove(shard, id).await?;
        }
    }
    let opened = missing.iter().map(|&id| async move {
        opening::open_new(shard, id)
            .await
            .map(|partition| (id, partition))
    });
    let mut opened = pin!(futures_util::stream::iter(opened).buffer_unordered(OPENING_MAX));
    while let Some(opened) = opened.next().await {
        let (id, partition) = opened?;
        shard.state.borrow_mut().insert(id, partition);
        // Its leader may have changed while it was opened.
        let newest = current(shard);
        if !Arc::ptr_eq(&newest, catalog) {
            link_peers(shard, &newest);
        }
        let mut state = shard.state.borrow_mut();
        state.assign(&newest, id);
        state.hear_early();
    }
    Ok(())
}

/// Removes what the control plane has deleted, or has moved to other nodes.
///
/// The facts go first: a folder without facts is known to hold nothing, while facts without a
/// folder would speak of records that are gone.
async fn remove_unneeded<P: Platform>(
    shard: &Rc<Shard<P>>,
    catalog: &Catalog,
    leftover: &mut BTreeSet<u64>,
) -> Result<(), NodeError> {
    let held = shard.state.borrow().unneeded(catalog);
    for &id in &held {
        shard.state.borrow_mut().give_up(id, catalog);
    }
    let fact_write = shard.state.borrow().next_fact_write();
    while !held.is_empty()
        && !shard.is_over()
        && !shard.state.borrow().is_given_up(&held, fact_write)
    {
        shard.signals.removed.wait().await;
    }
    let orphaned: Vec<_> = leftover
        .iter()
        .copied()
        .filter(|id| shard.state.borrow().is_needless(catalog, *id))
        .collect();
    for id in held.into_iter().chain(orphaned) {
        if shard.is_over() {
            return Ok(());
        }
        opening::remove(shard, id).await?;
        leftover.remove(&id);
        let is_named = |record: &PartitionRecord| record.names(shard.node);
        if catalog.partitions.get(&id).is_some_and(is_named) {
            tracing::info!(
                partition = id,
                "dropped a log from before this node was taken out of the replicas and put in again"
            );
        } else {
            tracing::info!(partition = id, "removed");
        }
    }
    Ok(())
}

impl<P: Platform> State<P> {
    /// Takes in who the other nodes are; the links that are needed now and were not before.
    fn note_nodes(&mut self, catalog: &Catalog) -> Vec<LinkKey> {
        for node in catalog.nodes.values().filter(|node| node.id != self.node) {
            let peer = PeerNode {
                incarnation: node.incarnation,
                is_alive: node.is_alive,
                shards: u32::try_from(node.shard_addresses.len()).unwrap_or(u32::MAX),
            };
            if self
                .peers
                .insert(node.id, peer)
                .is_some_and(|before| before != peer)
            {
                // A link to what the node was may look alive for minutes.
                let links = self.links.iter_mut().filter(|(key, _)| key.node == node.id);
                links.for_each(|(_, queue)| queue.reset());
            }
        }
        let mut new = Vec::new();
        for partition in catalog.partitions_of_shard(self.node, self.index, self.shards) {
            for node in partition.named().into_iter().filter(|id| *id != self.node) {
                let Some(peer) = self.peers.get(&node).filter(|peer| peer.shards > 0) else {
                    continue;
                };
                let shard = (partition.id % u64::from(peer.shards)) as u32;
                let key = LinkKey { node, shard };
                self.links.entry(key).or_insert_with(|| {
                    new.push(key);
                    LinkQueue::default()
                });
            }
        }
        new
    }

    fn assign_all(&mut self, catalog: &Catalog) {
        let ids: Vec<_> = self.partitions.keys().copied().collect();
        for id in ids {
            self.assign(catalog, id);
        }
    }

    /// Tells a partition who leads it, if that is news.
    ///
    /// A leadership of this very node counts only once the control plane knows this run of it: an
    /// earlier run may have promised, appended and acknowledged in that epoch what this one has
    /// forgotten. With the registration comes a new epoch.
    fn assign(&mut self, catalog: &Catalog, id: u64) {
        let (Some(record), Some(partition)) =
            (catalog.partitions.get(&id), self.partitions.get_mut(&id))
        else {
            return;
        };
        partition.compaction = catalog.compaction_of(id);
        let is_ours = record.leader == self.node;
        if is_ours && !catalog.is_registered(self.node, self.incarnation) {
            return;
        }
        if partition.is_outdated(catalog, record, self.node) {
            return;
        }
        if record.epoch > partition.assigned {
            partition.assigned = record.epoch;
            let (epoch, leader) = (record.epoch, record.leader);
            let (voters, previous) = (record.voters.clone(), record.previous.clone());
            let learners = record.learners.clone();
            partition.is_changing = record.stage() != Stage::Rest;
            self.step(
                id,
                Event::Assign {
                    epoch,
                    leader,
                    voters,
                    previous,
                    learners,
                },
            );
        }
    }

    /// Partitions that this shard shall hold and does not.
    ///
    /// None before the control plane knows this run of the node. Until then the catalog may be from
    /// long ago, and a replica that begins with nothing must not take part in what was said long
    /// ago: it may have held records and promises on a disk that was lost, or have dropped them
    /// when others took its place. What the catalog says of the node since its registration is said
    /// of the disk with which it has registered.
    fn missing(&self, catalog: &Catalog) -> Vec<u64> {
        if !catalog.is_registered(self.node, self.incarnation) {
            return Vec::new();
        }
        let wanted = catalog.partitions_of_shard(self.node, self.index, self.shards);
        let missing = wanted.filter(|wanted| !self.partitions.contains_key(&wanted.id));
        missing.map(|partition| partition.id).collect()
    }

    fn unneeded(&self, catalog: &Catalog) -> Vec<u64> {
        let held = self.partitions.iter();
        let unneeded = held.filter(|(id, partition)| {
            let record = catalog.partitions.get(id);
            // A leader that has heard of a later epoch may have asked for a promise to it, and
            // that may be an epoch in which the node holds the partition again.
            let is_current = record.is_none_or(|record| partition.replica.epoch() <= record.epoch);
            let is_outdated = record.is_some_and(|record| {
                let is_known = catalog.is_registered(self.node, self.incarnation);
                is_known && partition.is_outdated(catalog, record, self.node)
            });
            is_current && (is_outdated || self.is_needless(catalog, **id))
        });
        unneeded.map(|(id, _)| *id).collect()
    }

    /// Whether what this node has of a partition is needed by nobody: the partition was deleted, or
    /// no epoch names the node any more, so that others have all of it.
    ///
    /// What the node has promised goes with it. That is no harm, for it begins anew only in an
    /// epoch that was given out later (see [`missing`](Self::missing)).
    fn is_needless(&self, catalog: &Catalog, id: u64) -> bool {
        let is_elsewhere = |record: &PartitionRecord| {
            !record.names(self.node) && catalog.is_registered(self.node, self.incarnation)
        };
        catalog.is_deleted(id) || catalog.partitions.get(&id).is_some_and(is_elsewhere)
    }

    /// Refuses all who wait for a partition that was deleted or moved, and has its facts removed.
    ///
    /// What producers wait for may have been committed, and read, before that.
    fn give_up(&mut self, id: u64, catalog: &Catalog) {
        let Some(mut partition) = self.remove(id) else {
            return;
        };
        let refusal = match catalog.is_deleted(id) {
            true => deleted_meanwhile(id),
            false => leadership_lost(id),
        };
        partition.refuse_waiting(&refusal);
        let under_way = [
            partition.is_writing,
            partition.log.is_retiring(),
            self.compacting == Some(id),
        ];
        let under_way = under_way.map(u32::from).iter().sum();
        if under_way > 0 {
            self.condemned.insert(id, under_way);
        }
        self.retirable.remove(&id);
        self.facts.insert(id, None);
        self.signals.facts.notify();
    }

    /// Whether the disk has finished with these, and so many writes of facts have ended.
    fn is_given_up(&self, ids: &[u64], fact_write: u64) -> bool {
        let is_free = |id| !self.condemned.contains_key(id);
        self.fact_writes >= fact_write && ids.iter().all(is_free)
    }
}

fn deleted_meanwhile(id: u64) -> Refusal {
    Refusal::new(
        Code::LeadershipLost,
        format!(
            "the topic of partition {id} was deleted while the batch was under way: it may or may \
             not have been committed before that, and is gone with the topic"
        ),
    )
}
