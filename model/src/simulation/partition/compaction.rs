//! Logs are compacted, and what says that something is deleted goes where it may.

use quorate_vsr::Offset;
use quorate_vsr::partition::Event;

use super::sometimes::Sometimes;
use super::world::World;

impl World {
    /// A node compacts its log as far as it can: what is committed, durable and sound.
    pub(crate) fn compact(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(replica) = &node.replica else {
            return;
        };
        let rotten = node.rotten.first().copied();
        let sound = rotten.unwrap_or(Offset(u64::MAX)).min(node.log_on_disk);
        let to = sound.min(replica.high_watermark());
        if node.cutting_to.is_some() || replica.is_beginning_anew() {
            return;
        }
        let places = node.log.iter().map(|batch| batch.base);
        let begin = node.begin;
        node.thinned
            .compact(places.filter(|place| *place >= begin), to);
        self.tally.saw_if(to > Offset(0), Sometimes::Compacted);
        self.step(at, Event::Compacted { to }, &[]);
    }

    /// A node does what it was asked for; false if it was not.
    pub(crate) fn compact_if_asked(&mut self, at: usize) -> bool {
        let is_asked = std::mem::take(&mut self.nodes[at].is_asked_to_compact);
        if is_asked {
            self.compact(at);
        }
        is_asked
    }

    /// What says that something is deleted goes at once where it may. Then nothing may be there
    /// that it had deleted.
    ///
    /// That is not said of nodes that leave and come back with the log that they had: these have to
    /// drop it first, and in a run in which voters change not all of them do.
    pub(crate) fn drop_deletions(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if let Some(replica) = &node.replica {
            let everywhere = replica.compacted_everywhere();
            let droppable = everywhere.min(node.facts_on_disk.compacted);
            node.thinned.drop_deletions(droppable);
            let is_some = droppable > Offset(0);
            self.tally.saw_if(is_some, Sometimes::CompactedEverywhere);
        }
        if self.swarm.change > 0 {
            return;
        }
        let sound = node.log.iter().map(|batch| batch.base);
        let sound = sound.filter(|base| *base >= node.begin && !node.rotten.contains(base));
        assert!(
            !node.thinned.brings_back(sound),
            "in the log of {:?} is what was deleted",
            node.id
        );
    }
}
