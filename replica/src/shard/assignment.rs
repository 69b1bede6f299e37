//! Follows the metadata: opens new partitions, tells all of them who leads, removes deleted ones.
//!
//! One task does this for the whole shard, one step after the other, so that opening and removing
//! never meet.

use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use quorate_platform::Platform;
use quorate_vsr::partition::Event;

use super::link_queue::LinkQueue;
use super::opening::{self, OPENING_MAX};
use super::state::{LinkKey, PeerNode, State};
use super::{Shard, link};
use crate::error::NodeError;
use crate::metadata::Catalog;

/// Follows the metadata until the shard stops.
///
/// `leftover` are folders without facts that were found at the start.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>, mut leftover: BTreeSet<u64>) {
    let published = shard.metadata.subscribe();
    while !shard.is_over() {
        let catalog = Arc::clone(&shard.metadata.load().catalog);
        if let Err(error) = follow(&shard, &catalog, &mut leftover).await {
            return shard.fail(error);
        }
        let next = pin!(published.recv_async());
        match select(pin!(shard.closing.wait()), next).await {
            Either::Left(((), _)) => return,
            Either::Right((Ok(()), _)) => {}
            // Nothing will ever be published again: the node is about to end.
            Either::Right((Err(_), _)) => return shard.closing.wait().await,
        }
    }
}

async fn follow<P: Platform>(
    shard: &Rc<Shard<P>>,
    catalog: &Catalog,
    leftover: &mut BTreeSet<u64>,
) -> Result<(), NodeError> {
    let new_links = shard.state.borrow_mut().note_nodes(catalog);
    for key in new_links {
        shard.platform.spawn(link::run(Rc::clone(shard), key));
    }
    // Who leads what they have already matters most when a node has died: opening can wait.
    shard.state.borrow_mut().assign_all(catalog);
    remove_deleted(shard, catalog, leftover).await?;
    let missing = shard.state.borrow().missing(catalog);
    let opened = missing.iter().map(|&id| async move {
        opening::open_new(shard, id)
            .await
            .map(|partition| (id, partition))
    });
    let mut opened = pin!(futures_util::stream::iter(opened).buffer_unordered(OPENING_MAX));
    while let Some(opened) = opened.next().await {
        let (id, partition) = opened?;
        leftover.remove(&id);
        let mut state = shard.state.borrow_mut();
        state.insert(id, partition);
        state.assign(catalog, id);
        state.hear_early(id);
    }
    if !missing.is_empty() {
        shard.state.borrow_mut().shrink_tails();
    }
    Ok(())
}

/// Removes what the control plane has deleted.
///
/// The facts go first: a folder without facts is known to hold nothing, while facts without a
/// folder would speak of records that are gone.
async fn remove_deleted<P: Platform>(
    shard: &Rc<Shard<P>>,
    catalog: &Catalog,
    leftover: &mut BTreeSet<u64>,
) -> Result<(), NodeError> {
    let held = shard.state.borrow().deleted(catalog);
    for &id in &held {
        shard.state.borrow_mut().give_up(id);
    }
    while !shard.is_over() && !shard.state.borrow().is_given_up(&held) {
        shard.signals.removed.wait().await;
    }
    let orphaned: Vec<_> = leftover
        .iter()
        .copied()
        .filter(|id| catalog.is_deleted(*id))
        .collect();
    for id in held.into_iter().chain(orphaned) {
        opening::remove(shard, id).await?;
        leftover.remove(&id);
        tracing::info!(partition = id, "removed");
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
            for &node in partition.voters.iter().filter(|node| **node != self.node) {
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
        let is_ours = record.leader == self.node;
        if is_ours && !catalog.is_registered(self.node, self.incarnation) {
            return;
        }
        if record.epoch > partition.assigned {
            partition.assigned = record.epoch;
            let (epoch, leader) = (record.epoch, record.leader);
            let voters = record.voters.clone();
            self.step(
                id,
                Event::Assign {
                    epoch,
                    leader,
                    voters,
                },
            );
        }
    }

    /// Partitions that this shard shall hold and does not.
    fn missing(&self, catalog: &Catalog) -> Vec<u64> {
        let wanted = catalog.partitions_of_shard(self.node, self.index, self.shards);
        let missing = wanted.filter(|wanted| !self.partitions.contains_key(&wanted.id));
        missing.map(|partition| partition.id).collect()
    }

    fn deleted(&self, catalog: &Catalog) -> Vec<u64> {
        self.partitions
            .keys()
            .copied()
            .filter(|id| catalog.is_deleted(*id))
            .collect()
    }

    /// Refuses all who wait for a deleted partition, and has its facts removed.
    fn give_up(&mut self, id: u64) {
        let Some(mut partition) = self.remove(id) else {
            return;
        };
        partition.refuse_waiting(&self.elsewhere(id));
        if partition.is_writing {
            self.condemned.insert(id);
        }
        self.facts.insert(id, None);
        self.signals.facts.notify();
    }

    /// Whether neither the disk nor the facts have anything to do with these any more.
    fn is_given_up(&self, ids: &[u64]) -> bool {
        let is_free = |id| !self.condemned.contains(id);
        self.are_facts_written() && ids.iter().all(is_free)
    }
}
