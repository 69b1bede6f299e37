//! Who is there: every node hears every other node's heartbeats, the primary draws conclusions.
//!
//! A node is up when its heartbeats come and say that it is ready, and down when none of these has
//! come for [`SILENCE_MAX`], or when it says that it stops. The conclusions are operations for the
//! group; they are drawn again and again from what the catalog says now, so one that gets lost in a
//! change of the view does no harm.
//!
//! Everybody keeps the list, not only the primary, so that a new primary knows at once who is
//! there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_platform::Instant;
use quorate_vsr::NodeId;
use quorate_vsr::group::DiskId;

use super::heartbeat::Heartbeat;
use crate::metadata::{Catalog, Operation, balance};

/// How often a node sends its heartbeat.
pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);
/// Six heartbeats in a row: about as long as the group needs to notice a dead primary, so that a
/// new primary can act at once.
pub(super) const SILENCE_MAX: Duration = Duration::from_millis(600);

/// The heartbeats that were heard.
#[derive(Debug)]
pub(super) struct Detector {
    heard: BTreeMap<NodeId, Heard>,
    /// Since when this node listens.
    listens_since: Instant,
    last_tick: Instant,
    /// What was known when there was nothing to balance.
    balanced: Option<(u64, BTreeSet<NodeId>)>,
}

#[derive(Debug)]
struct Heard {
    at: Instant,
    /// When it last said that it is ready; for a node that never was, when it was first heard.
    ready_at: Instant,
    heartbeat: Heartbeat,
}

impl Heard {
    fn is_present(&self, now: Instant) -> bool {
        now - self.at <= SILENCE_MAX
    }

    fn is_available(&self, now: Instant) -> bool {
        self.is_present(now) && self.heartbeat.is_ready && !self.heartbeat.is_stopping
    }
}

impl Detector {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard: BTreeMap::new(),
            listens_since: now,
            last_tick: now,
            balanced: None,
        }
    }

    pub(super) fn on_heartbeat(&mut self, from: NodeId, heartbeat: Heartbeat, now: Instant) {
        let before = self.heard.get(&from).filter(|_| !heartbeat.is_ready);
        let ready_at = before.map_or(now, |before| before.ready_at);
        let heard = Heard {
            at: now,
            ready_at,
            heartbeat,
        };
        self.heard.insert(from, heard);
    }

    /// To be called once in every [`HEARTBEAT_INTERVAL`].
    ///
    /// If it was not, this process did not run, and so could not hear: the silence that it finds
    /// says nothing about the others, and they get their time anew.
    pub(super) fn on_tick(&mut self, now: Instant) {
        if now - self.last_tick > SILENCE_MAX / 2 {
            self.listens_since = now;
        }
        self.last_tick = now;
    }

    /// Whether `node` could take over leaderships: it is there and does not stop.
    pub(super) fn is_available(&self, node: NodeId, now: Instant) -> bool {
        self.heard
            .get(&node)
            .is_some_and(|heard| heard.is_available(now))
    }

    /// The nodes that are heard, and with which disks.
    pub(super) fn disks(&self, now: Instant) -> BTreeMap<NodeId, DiskId> {
        let present = self.heard.iter().filter(|(_, heard)| heard.is_present(now));
        present
            .map(|(node, heard)| (*node, DiskId(heard.heartbeat.disk)))
            .collect()
    }

    /// The disk with which `node` is heard.
    pub(super) fn disk_of(&self, node: NodeId, now: Instant) -> Option<u64> {
        let heard = self
            .heard
            .get(&node)
            .filter(|heard| heard.is_present(now))?;
        Some(heard.heartbeat.disk)
    }

    /// Whether nothing can be said of `node` yet: it is not heard, but this node has not listened
    /// for long enough to call it silent.
    pub(super) fn is_undecided(&self, node: NodeId, now: Instant) -> bool {
        self.disk_of(node, now).is_none() && now - self.listens_since <= SILENCE_MAX
    }

    /// The partitions and epochs of which their leader tells that the present stage of a change of
    /// voters has done its work.
    pub(super) fn done(&self, catalog: &Catalog, now: Instant) -> BTreeSet<(u64, u32)> {
        self.told_by_leaders(catalog, now, |heartbeat| &heartbeat.done)
    }

    /// The partitions and epochs of which their leader tells that it has resigned, or that no
    /// majority answers it.
    pub(super) fn resigned(&self, catalog: &Catalog, now: Instant) -> BTreeSet<(u64, u32)> {
        self.told_by_leaders(catalog, now, |heartbeat| &heartbeat.resigned)
    }

    fn told_by_leaders(
        &self,
        catalog: &Catalog,
        now: Instant,
        list: impl Fn(&Heartbeat) -> &Vec<(u64, u32)>,
    ) -> BTreeSet<(u64, u32)> {
        let present = self.heard.iter().filter(|(_, heard)| heard.is_present(now));
        let told =
            present.flat_map(|(id, heard)| list(&heard.heartbeat).iter().map(|it| (*id, *it)));
        let leads = |from: NodeId, partition: u64| {
            let record = catalog.partitions.get(&partition);
            record.is_some_and(|record| record.leader == from)
        };
        told.filter(|(from, (partition, _))| leads(*from, *partition))
            .map(|(_, it)| it)
            .collect()
    }

    /// What the primary should propose, the most urgent first; empty if all is as it should be.
    ///
    /// `votes` tells who has a vote in the control plane's group.
    pub(super) fn decide(
        &mut self,
        catalog: &Catalog,
        votes: impl Fn(NodeId) -> bool,
        now: Instant,
    ) -> Vec<Operation> {
        let is_stalled = |heard: &Heard| heard.heartbeat.is_stalled;
        let mut available = self.heard.values().filter(|heard| heard.is_available(now));
        // When all stand still there is nobody to whom anything could be moved.
        let all_stalled = available.all(is_stalled);
        let is_stalled = |heard: &Heard| !all_stalled && is_stalled(heard);
        let up = self.heard.iter();
        let up = up.filter(|(_, heard)| heard.is_available(now) && !is_stalled(heard));
        let up = up.filter_map(|(id, heard)| node_up(catalog, *id, &heard.heartbeat, votes(*id)));
        let alive = catalog.nodes.values().filter(|node| node.is_alive);
        let down = alive.filter(|node| match self.heard.get(&node.id) {
            // What it had is lost, however lively it is.
            Some(heard) if !catalog.is_disk_of(node.id, heard.heartbeat.disk) => true,
            // It was there and said so itself, or it cannot do its work.
            Some(heard) if heard.is_present(now) && heard.heartbeat.is_stopping => true,
            Some(heard) if heard.is_present(now) && is_stalled(heard) => true,
            // A node that opens what it holds after a restart serves as little as a silent one.
            Some(heard) => now - heard.ready_at.max(self.listens_since) > SILENCE_MAX,
            None => now - self.listens_since > SILENCE_MAX,
        });
        let down = down.map(|node| Operation::NodeDown {
            node: node.id.0,
            incarnation: node.incarnation,
        });
        let operations: Vec<_> = up.chain(down).collect();
        if operations.is_empty() {
            self.decide_balance(catalog, now)
        } else {
            operations
        }
    }

    /// Spreads the leaderships, once all that were given out are taken up.
    fn decide_balance(&mut self, catalog: &Catalog, now: Instant) -> Vec<Operation> {
        let mut led: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut lagging = BTreeSet::new();
        // What a dead node said last is not true any more.
        for (id, heard) in self.heard.iter().filter(|(_, heard)| heard.is_present(now)) {
            led.insert(*id, heard.heartbeat.leaderships);
            lagging.extend(heard.heartbeat.lagging.iter().copied().map(NodeId));
        }
        if self.balanced.as_ref() == Some(&(catalog.version, lagging.clone())) {
            return Vec::new();
        }
        for partition in catalog.partitions.values() {
            if !partition.may_be_led_by(partition.leader) {
                // Too many disks are lost for anybody to lead it: it must not hold up the rest.
                continue;
            }
            if catalog
                .nodes
                .get(&partition.leader)
                .is_some_and(|node| node.is_alive)
            {
                let Some(left) = led
                    .get_mut(&partition.leader)
                    .and_then(|led| led.checked_sub(1))
                else {
                    return Vec::new();
                };
                led.insert(partition.leader, left);
            }
        }
        let moves = balance(catalog, &lagging);
        if moves.is_empty() {
            self.balanced = Some((catalog.version, lagging));
            return Vec::new();
        }
        vec![Operation::MoveLeaders { moves }]
    }
}

/// The operation that registers `heartbeat`, unless the catalog says the same already or would not
/// take it.
fn node_up(catalog: &Catalog, id: NodeId, heartbeat: &Heartbeat, votes: bool) -> Option<Operation> {
    let member = catalog.members.get(&id)?;
    if !member.may_run_on(heartbeat.disk, votes || catalog.is_named(id)) {
        return None;
    }
    let is_known = catalog.nodes.get(&id).is_some_and(|node| {
        let shards = node.shard_addresses.iter().map(ToString::to_string);
        node.is_alive
            && member.disk == Some(heartbeat.disk)
            && node.incarnation == heartbeat.incarnation
            && node.control_address.to_string() == heartbeat.control_address
            && shards.eq(heartbeat.shard_addresses.iter().cloned())
    });
    (!is_known).then(|| Operation::NodeUp {
        node: id.0,
        incarnation: heartbeat.incarnation,
        disk: heartbeat.disk,
        control_address: heartbeat.control_address.clone(),
        shard_addresses: heartbeat.shard_addresses.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Founder;

    fn heartbeat(node: u16) -> Heartbeat {
        Heartbeat {
            incarnation: u64::from(node),
            disk: 0,
            control_address: format!("127.0.0.1:{}", 7000 + node),
            shard_addresses: vec![format!("127.0.0.1:{}", 7100 + node)],
            is_ready: true,
            is_stopping: false,
            is_stalled: false,
            leaderships: 0,
            lagging: Vec::new(),
            done: Vec::new(),
            resigned: Vec::new(),
        }
    }

    fn nobody(_: NodeId) -> bool {
        false
    }

    const START: Instant = Instant::from_nanos(0);

    fn at(ms: u64) -> Instant {
        START + Duration::from_millis(ms)
    }

    /// Three nodes, heard at the start and registered.
    fn cluster() -> (Detector, Catalog) {
        let mut detector = Detector::new(START);
        let mut catalog = Catalog::default();
        let founder = |node| Founder {
            node,
            control_address: heartbeat(node).control_address,
            disk: Some(0),
        };
        catalog.apply(&Operation::Found {
            members: (1..=3).map(founder).collect(),
        });
        for node in 1..=3 {
            detector.on_heartbeat(NodeId(node), heartbeat(node), START);
        }
        for operation in detector.decide(&catalog, nobody, START) {
            catalog.apply(&operation);
        }
        assert_eq!(catalog.nodes.len(), 3);
        (detector, catalog)
    }

    fn hear(detector: &mut Detector, nodes: &[u16], ms: u64) {
        for node in nodes {
            detector.on_heartbeat(NodeId(*node), heartbeat(*node), at(ms));
        }
    }

    fn tick_until(detector: &mut Detector, ms: u64) {
        for ms in (0..=ms).step_by(100) {
            detector.on_tick(at(ms));
        }
    }

    #[test]
    fn a_node_is_not_called_silent_before_one_has_listened() {
        let (mut detector, _) = cluster();
        tick_until(&mut detector, 5_000);
        assert!(!detector.is_undecided(NodeId(3), at(5_000)), "it is silent");
        // This process stood still: the first that it hears may be a question about node 3.
        detector.on_tick(at(9_000));
        assert!(detector.is_undecided(NodeId(3), at(9_010)));
        hear(&mut detector, &[3], 9_020);
        assert!(!detector.is_undecided(NodeId(3), at(9_030)), "it is there");
        assert!(!detector.is_undecided(NodeId(2), at(9_700)), "it is silent");
    }

    #[test]
    fn a_silent_node_is_down_and_a_returning_one_is_up() {
        let (mut detector, mut catalog) = cluster();
        tick_until(&mut detector, 700);
        hear(&mut detector, &[1, 2], 600);
        assert_eq!(detector.decide(&catalog, nobody, at(600)), []);
        let down = Operation::NodeDown {
            node: 3,
            incarnation: 3,
        };
        assert_eq!(
            detector.decide(&catalog, nobody, at(700)),
            std::slice::from_ref(&down)
        );
        catalog.apply(&down);
        assert_eq!(detector.decide(&catalog, nobody, at(700)), []);
        hear(&mut detector, &[1, 2, 3], 800);
        assert!(matches!(
            detector.decide(&catalog, nobody, at(800))[..],
            [Operation::NodeUp { node: 3, .. }]
        ));
    }

    #[test]
    fn a_registered_node_that_was_never_heard_is_down_after_the_same_silence() {
        let (_, catalog) = cluster();
        let mut fresh = Detector::new(START);
        hear(&mut fresh, &[1, 2], 550);
        tick_until(&mut fresh, 700);
        assert_eq!(fresh.decide(&catalog, nobody, at(550)), []);
        let down = Operation::NodeDown {
            node: 3,
            incarnation: 3,
        };
        assert_eq!(fresh.decide(&catalog, nobody, at(700)), [down]);
    }

    #[test]
    fn who_did_not_listen_suspects_nobody() {
        let (mut detector, catalog) = cluster();
        tick_until(&mut detector, 100);
        detector.on_tick(at(10_000));
        assert_eq!(detector.decide(&catalog, nobody, at(10_000)), []);
    }

    #[test]
    fn a_stopping_node_is_down_at_once_and_stays_down() {
        let (mut detector, mut catalog) = cluster();
        let stopping = Heartbeat {
            is_stopping: true,
            ..heartbeat(2)
        };
        detector.on_heartbeat(NodeId(2), stopping, at(10));
        let down = Operation::NodeDown {
            node: 2,
            incarnation: 2,
        };
        assert_eq!(
            detector.decide(&catalog, nobody, at(10)),
            std::slice::from_ref(&down)
        );
        catalog.apply(&down);
        assert_eq!(detector.decide(&catalog, nobody, at(10)), []);
        assert!(detector.is_available(NodeId(1), at(10)));
        assert!(!detector.is_available(NodeId(2), at(10)));
        assert!(!detector.is_available(NodeId(1), at(900)));
    }

    #[test]
    fn a_restarted_node_is_up_when_it_is_ready_and_down_if_that_takes_long() {
        let (mut detector, catalog) = cluster();
        let restarted = |is_ready| Heartbeat {
            incarnation: 99,
            is_ready,
            ..heartbeat(3)
        };
        for ms in (100..=600).step_by(100) {
            hear(&mut detector, &[1, 2], ms);
            detector.on_heartbeat(NodeId(3), restarted(false), at(ms));
            detector.on_tick(at(ms));
            assert_eq!(detector.decide(&catalog, nobody, at(ms)), [], "{ms} ms");
        }
        detector.on_heartbeat(NodeId(3), restarted(false), at(700));
        let down = Operation::NodeDown {
            node: 3,
            incarnation: 3,
        };
        assert_eq!(detector.decide(&catalog, nobody, at(700)), [down]);
        detector.on_heartbeat(NodeId(3), restarted(true), at(700));
        assert!(matches!(
            detector.decide(&catalog, nobody, at(700))[..],
            [Operation::NodeUp {
                node: 3,
                incarnation: 99,
                ..
            }]
        ));
    }

    #[test]
    fn a_node_that_has_lost_its_disk_is_down_until_it_may_come_with_another_one() {
        let (mut detector, mut catalog) = cluster();
        let name = "events".to_owned();
        catalog.apply(&Operation::CreateTopic {
            name,
            partitions: 1,
            replication: 3,
            compaction: None,
        });
        let emptied = Heartbeat {
            incarnation: 99,
            disk: 77,
            ..heartbeat(3)
        };
        detector.on_heartbeat(NodeId(3), emptied, at(10));
        let down = Operation::NodeDown {
            node: 3,
            incarnation: 3,
        };
        assert_eq!(
            detector.decide(&catalog, nobody, at(10)),
            std::slice::from_ref(&down)
        );
        catalog.apply(&down);
        assert_eq!(detector.decide(&catalog, nobody, at(10)), []);
        assert_eq!(detector.disk_of(NodeId(3), at(10)), Some(77));
        // Without partitions it may come with whatever disk it has, unless it has a vote.
        let mut idle = catalog.clone();
        idle.partitions.clear();
        assert_eq!(detector.decide(&idle, |node| node == NodeId(3), at(10)), []);
        assert!(!detector.decide(&idle, nobody, at(10)).is_empty());
        catalog.apply(&Operation::RecoverNode { node: 3, disk: 77 });
        assert!(matches!(
            detector.decide(&catalog, nobody, at(10))[..],
            [Operation::NodeUp {
                node: 3,
                disk: 77,
                ..
            }]
        ));
    }

    #[test]
    fn a_stalled_node_is_down_unless_all_are_stalled() {
        let (mut detector, catalog) = cluster();
        let stalled = |node| Heartbeat {
            is_stalled: true,
            ..heartbeat(node)
        };
        detector.on_heartbeat(NodeId(1), stalled(1), at(10));
        let down = Operation::NodeDown {
            node: 1,
            incarnation: 1,
        };
        assert_eq!(detector.decide(&catalog, nobody, at(10)), [down]);
        detector.on_heartbeat(NodeId(2), stalled(2), at(10));
        detector.on_heartbeat(NodeId(3), stalled(3), at(10));
        assert_eq!(detector.decide(&catalog, nobody, at(10)), []);
    }

    #[test]
    fn leaderships_are_spread_once_they_are_taken_up_and_nobody_lags() {
        let (mut detector, mut catalog) = cluster();
        let name = "events".to_owned();
        catalog.apply(&Operation::CreateTopic {
            name,
            partitions: 6,
            replication: 3,
            compaction: None,
        });
        for partition in catalog.partitions.values_mut() {
            partition.leader = NodeId(1);
        }
        assert_eq!(detector.decide(&catalog, nobody, START), []);
        let leading = |lagging: &[u16]| Heartbeat {
            leaderships: 6,
            lagging: lagging.to_vec(),
            ..heartbeat(1)
        };
        detector.on_heartbeat(NodeId(1), leading(&[2, 3]), START);
        assert_eq!(detector.decide(&catalog, nobody, START), []);
        detector.on_heartbeat(NodeId(1), leading(&[]), START);
        let operations = detector.decide(&catalog, nobody, START);
        let [Operation::MoveLeaders { moves }] = &operations[..] else {
            panic!("{operations:?}");
        };
        assert_eq!(moves.len(), 4);
    }
}
