//! Breaks a cluster while it works: takes nodes and links away and gives them back.
//!
//! Every fault has an end, drawn when it begins. Nobody is spared: a majority may be gone at once,
//! or all. What that must never cost is a record; that it costs time is in the nature of things, so
//! whether the cluster comes back is looked at after [`Nemesis::heal`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::{CLIENTS, Cluster, Failure, Shape, host_name};

mod clock;
mod damage;
mod members;

pub use members::LostDisk;

/// How long a node that was asked to stop may take when all is healed.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A node loses its power.
    Crash,
    /// Several nodes do at once, or all of them.
    CrashMany,
    /// The process of a node ends.
    Kill,
    /// A node ends in order.
    Stop,
    /// All nodes do, one after the other, each once the one before has been back for a while.
    Roll,
    /// A node stands still.
    Pause,
    /// A node loses its power, and its disk for good; it comes back with an empty one.
    Replace,
    /// A node hears nobody and nobody hears it, in one direction or both.
    Isolate,
    /// The nodes fall into two groups, of which one may be reached by clients.
    Halves,
    /// The nodes fall into two groups, but for one that both hear.
    Bridge,
    /// Every node hears a majority of the nodes, and no two of them the same.
    Ring,
    /// Some links lose everything, in one direction or both.
    Cut,
    /// Some links lose the connections that there are, and take new ones at once.
    Reset,
    /// What goes over some links waits, and comes in the end.
    Hold,
    /// Some links are slow.
    Lag,
    /// The wall clock of a node jumps or runs wrong.
    Clock,
    /// The wall clock of a node is set back at the moment at which others cease to hear it.
    Mistime,
    /// The disk of a node has little room, or none.
    Fill,
    /// Nothing that a node asks of its disk is done for a while.
    Stall,
    /// Something on the disk of a node changes, where it may.
    Rot,
    /// Something on the disk of a node cannot be read any more, where that may be.
    WearOut,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Crash,
        Self::CrashMany,
        Self::Kill,
        Self::Stop,
        Self::Roll,
        Self::Pause,
        Self::Replace,
        Self::Isolate,
        Self::Halves,
        Self::Bridge,
        Self::Ring,
        Self::Cut,
        Self::Reset,
        Self::Hold,
        Self::Lag,
        Self::Clock,
        Self::Mistime,
        Self::Fill,
        Self::Stall,
        Self::Rot,
        Self::WearOut,
    ];
}

/// What a nemesis does, and how often.
#[derive(Clone, Debug)]
pub struct Habits {
    /// The faults that it knows.
    pub kinds: Vec<Kind>,
    /// Between the beginnings of two faults, in milliseconds.
    pub pause_ms: (u64, u64),
    /// How long a fault lasts, in milliseconds.
    pub lasts_ms: (u64, u64),
}

/// A direction of a link, between hosts.
type Way = (u16, u16);

/// Something that has to be given back.
#[derive(Clone, Debug)]
enum Ending {
    Start(u16),
    /// The first of the nodes that are to be restarted starts; the others follow.
    Roll(Vec<u16>),
    /// It has been up for a while, and these are still to be restarted.
    RollOn(Vec<u16>),
    Resume(u16),
    Repair(Vec<Way>),
    Release(Vec<Way>),
    Quicken(Vec<Way>),
    Empty(u16),
    Unstall(u16),
    PowerOff(u16),
}

impl Ending {
    /// The node that is off, or ends, and starts with this.
    fn restarted(&self) -> Option<u16> {
        match self {
            Self::Start(node) => Some(*node),
            Self::Roll(nodes) => nodes.first().copied(),
            Self::RollOn(_)
            | Self::Resume(_)
            | Self::Repair(_)
            | Self::Release(_)
            | Self::Quicken(_)
            | Self::Empty(_)
            | Self::Unstall(_)
            | Self::PowerOff(_) => None,
        }
    }
}

/// Whoever breaks a cluster.
#[derive(Debug)]
pub struct Nemesis {
    random: ChaCha8Rng,
    habits: Habits,
    nodes: Vec<u16>,
    /// The nodes that belong to the cluster for the whole run.
    founders: Vec<u16>,
    latency_max: Duration,
    next: Duration,
    /// By when they are due, and in which order they were made.
    endings: BTreeMap<(Duration, u64), Ending>,
    faults: u64,
    /// Nodes that are off, or about to be, or stand still.
    busy: BTreeSet<u16>,
    /// By how many faults a way is cut now.
    cut: BTreeMap<Way, u32>,
    held: BTreeSet<Way>,
    /// From when to when something was in the way of what nodes say to each other, or one was away.
    parted: Vec<(Duration, Duration)>,
    /// Whether all nodes are being restarted, one after the other.
    is_rolling: bool,
    lost: LostDisk,
}

impl Nemesis {
    /// For the nodes of a cluster of this shape.
    pub fn new(seed: u64, habits: Habits, shape: &Shape) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX - 1);
        Self {
            random,
            habits,
            nodes: (1..=shape.nodes + shape.spares).collect(),
            founders: (1..=shape.nodes).collect(),
            latency_max: shape.latency.end,
            next: Duration::ZERO,
            endings: BTreeMap::new(),
            faults: 0,
            busy: BTreeSet::new(),
            cut: BTreeMap::new(),
            held: BTreeSet::new(),
            parted: Vec::new(),
            is_rolling: false,
            lost: LostDisk::default(),
        }
    }

    /// Which node has lost its disk, for whoever has the cluster give it up.
    pub fn lost_disk(&self) -> LostDisk {
        self.lost.clone()
    }

    /// How many faults there were.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// From when to when nodes may not have heard what others said.
    pub fn parted(&self) -> &[(Duration, Duration)] {
        &self.parted
    }

    /// Does what is due. To be called before every step.
    pub fn turn(&mut self, cluster: &mut Cluster) {
        self.attend(cluster);
        let now = cluster.elapsed();
        if now >= self.next {
            let pause = self.habits.pause_ms;
            self.next = now + self.drawn_ms(pause);
            self.begin(cluster);
        }
        self.note_parted(now);
    }

    fn note_parted(&mut self, now: Duration) {
        let is_whole = self.cut.is_empty() && self.held.is_empty() && self.busy.is_empty();
        match self.open_parting() {
            Some(parting) if is_whole => parting.1 = now,
            None if !is_whole => self.parted.push((now, Duration::MAX)),
            Some(_) | None => {}
        }
    }

    /// The last of `parted`, if it goes on.
    fn open_parting(&mut self) -> Option<&mut (Duration, Duration)> {
        let last = self.parted.last_mut();
        last.filter(|last| last.1 == Duration::MAX)
    }

    /// Ends what is due, and breaks nothing more. To be called before every step once all is
    /// healed: nodes may end even then, of what had happened before.
    pub fn attend(&mut self, cluster: &mut Cluster) {
        let now = cluster.elapsed();
        while let Some(entry) = self.endings.first_entry()
            && entry.key().0 <= now
        {
            let ending = entry.remove();
            self.end(cluster, ending);
        }
        self.tend(cluster);
    }

    /// Ends all faults, and starts every node that is off.
    pub fn heal(&mut self, cluster: &mut Cluster) -> Result<(), Failure> {
        cluster.note(CLIENTS, "everything is healed");
        self.mend_disks(cluster);
        // Nodes that end in order do so first.
        let is_stopping = |cluster: &Cluster, ending: &Ending| {
            let stopping = ending.restarted();
            stopping.is_some_and(|node| cluster.is_on(node))
        };
        let endings = std::mem::take(&mut self.endings);
        let (stopping, rest): (Vec<_>, Vec<_>) = endings
            .into_values()
            .partition(|ending| is_stopping(cluster, ending));
        for ending in rest {
            match ending {
                // It keeps its power.
                Ending::PowerOff(node) => self.unstall(cluster, node),
                // Whatever is off is started below.
                Ending::Roll(_) | Ending::RollOn(_) => {}
                other => self.end(cluster, other),
            }
        }
        for ending in stopping {
            if let Some(node) = ending.restarted() {
                if !cluster.run_until(STOP_MAX, |cluster| !cluster.is_on(node))? {
                    cluster.note(node, "does not end, so it is killed");
                    cluster.kill(node);
                }
                Self::start(cluster, node);
            }
        }
        for node in self.nodes.clone() {
            if !cluster.is_on(node) {
                Self::start(cluster, node);
            }
        }
        self.busy.clear();
        self.note_parted(cluster.elapsed());
        self.is_rolling = false;
        Ok(())
    }

    fn begin(&mut self, cluster: &mut Cluster) {
        let kinds = &self.habits.kinds;
        let Some(kind) = kinds.choose(&mut self.random).copied() else {
            return;
        };
        self.faults += 1;
        match kind {
            Kind::Crash => self.power_off(cluster, 1),
            Kind::CrashMany => {
                let count = self.random.random_range(1..=self.nodes.len());
                self.power_off(cluster, count);
            }
            Kind::Kill => {
                for node in self.free_nodes(cluster, 1) {
                    cluster.kill(node);
                    self.until_later(cluster, Ending::Start(node));
                }
            }
            Kind::Stop => {
                for node in self.free_nodes(cluster, 1) {
                    cluster.stop(node);
                    self.until_later(cluster, Ending::Start(node));
                }
            }
            Kind::Roll => self.roll(cluster),
            Kind::Replace => self.lose_disk(cluster),
            Kind::Pause => {
                for node in self.free_nodes(cluster, 1) {
                    cluster.pause(node);
                    self.until_later(cluster, Ending::Resume(node));
                }
            }
            Kind::Isolate | Kind::Halves | Kind::Bridge | Kind::Ring | Kind::Cut => {
                let ways = self.ways_of(kind);
                self.cut(cluster, ways);
            }
            Kind::Reset => self.reset(cluster),
            Kind::Hold => self.hold(cluster),
            Kind::Lag => self.lag(cluster),
            Kind::Clock => self.turn_clock(cluster),
            Kind::Mistime => self.mistime(cluster),
            Kind::Fill => self.fill(cluster),
            Kind::Stall => self.stall(cluster),
            Kind::Rot => self.rot(cluster),
            Kind::WearOut => self.wear_out(cluster),
        }
    }

    fn is_free(&self, cluster: &Cluster, node: u16) -> bool {
        cluster.is_on(node) && !self.busy.contains(&node)
    }

    /// So many nodes that run and of which nothing else is under way, or fewer; they are taken.
    fn free_nodes(&mut self, cluster: &Cluster, count: usize) -> Vec<u16> {
        let nodes = self.nodes.iter().copied();
        let mut free: Vec<u16> = nodes.filter(|node| self.is_free(cluster, *node)).collect();
        free.shuffle(&mut self.random);
        free.truncate(count);
        self.busy.extend(&free);
        free
    }

    /// The ways that a fault of the network cuts.
    fn ways_of(&mut self, kind: Kind) -> Vec<Way> {
        let mut nodes = self.nodes.clone();
        nodes.shuffle(&mut self.random);
        let clients_too = self.random.random_bool(0.5);
        let (one, rest) = nodes.split_first().expect("there are nodes");
        let (one, mut rest) = (*one, rest.to_vec());
        let half = self.random.random_range(1..nodes.len());
        match kind {
            Kind::Isolate => {
                rest.extend(clients_too.then_some(CLIENTS));
                let mut ways = both(&[one], &rest);
                match self.random.random_range(0..3) {
                    0 => ways.retain(|way| way.0 == one),
                    1 => ways.retain(|way| way.1 == one),
                    _ => {}
                }
                ways
            }
            Kind::Halves => {
                let (left, right) = nodes.split_at(half);
                let mut right = right.to_vec();
                right.extend(clients_too.then_some(CLIENTS));
                both(left, &right)
            }
            Kind::Bridge => {
                let (left, right) = rest.split_at(rest.len() / 2);
                both(left, right)
            }
            Kind::Ring => ring(&nodes),
            _ => {
                let all = [&nodes[..], &[CLIENTS]].concat();
                let mut ways = Vec::new();
                for (at, a) in all.iter().enumerate() {
                    for b in &all[at + 1..] {
                        match self.random.random_range(0..8) {
                            0 => ways.extend([(*a, *b), (*b, *a)]),
                            1 => ways.push((*a, *b)),
                            2 => ways.push((*b, *a)),
                            _ => {}
                        }
                    }
                }
                ways
            }
        }
    }

    fn cut(&mut self, cluster: &mut Cluster, mut ways: Vec<Way>) {
        ways.retain(|(a, b)| !self.held.contains(&(*a, *b)) && !self.held.contains(&(*b, *a)));
        for way in &ways {
            let faults = self.cut.entry(*way).or_default();
            *faults += 1;
            if *faults == 1 {
                cluster.cut(way.0, way.1);
            }
        }
        self.until_later(cluster, Ending::Repair(ways));
    }

    fn reset(&mut self, cluster: &Cluster) {
        // What was on its way is lost, as in a cut that is over at once.
        let now = cluster.elapsed();
        if self.open_parting().is_none() {
            self.parted.push((now, now));
        }
        let all = [&self.nodes[..], &[CLIENTS]].concat();
        for (at, a) in all.iter().enumerate() {
            for b in &all[at + 1..] {
                if self.random.random_bool(0.3) {
                    cluster.reset(*a, *b);
                }
            }
        }
    }

    /// Some links between nodes that nothing else is wrong with.
    fn some_links(&mut self) -> Vec<Way> {
        let mut links = Vec::new();
        for (at, a) in self.nodes.iter().enumerate() {
            for b in &self.nodes[at + 1..] {
                let is_free = !self.held.contains(&(*a, *b))
                    && !self.cut.contains_key(&(*a, *b))
                    && !self.cut.contains_key(&(*b, *a));
                if is_free && self.random.random_bool(0.5) {
                    links.push((*a, *b));
                }
            }
        }
        links
    }

    fn hold(&mut self, cluster: &mut Cluster) {
        let links = self.some_links();
        for (a, b) in &links {
            self.held.insert((*a, *b));
            cluster.note(*a, format!("what it and {} say waits", host_name(*b)));
            cluster.network().hold(host_name(*a), host_name(*b));
        }
        self.until_later(cluster, Ending::Release(links));
    }

    fn lag(&mut self, cluster: &mut Cluster) {
        let links = self.some_links();
        let slowest = Duration::from_millis(self.random.random_range(20..=400));
        for (a, b) in &links {
            let what = format!("it and {} are up to {slowest:?} apart", host_name(*b));
            cluster.note(*a, what);
            let network = cluster.network();
            network.set_link_max_message_latency(host_name(*a), host_name(*b), slowest);
        }
        self.until_later(cluster, Ending::Quicken(links));
    }

    fn end(&mut self, cluster: &mut Cluster, ending: Ending) {
        match ending {
            // It has not ended yet.
            Ending::Start(node) if cluster.is_on(node) => {
                self.until_later(cluster, Ending::Start(node));
            }
            Ending::Start(node) => {
                Self::start(cluster, node);
                self.busy.remove(&node);
            }
            Ending::Roll(nodes) => self.roll_back(cluster, nodes),
            Ending::RollOn(nodes) => self.roll_on(cluster, nodes),
            Ending::Resume(node) => {
                cluster.resume(node);
                self.busy.remove(&node);
            }
            Ending::Repair(ways) => {
                for way in ways {
                    let faults = self.cut.get_mut(&way).expect("it is cut by this fault");
                    *faults -= 1;
                    if *faults == 0 {
                        self.cut.remove(&way);
                        cluster.repair(way.0, way.1);
                    }
                }
            }
            Ending::Release(links) => {
                for (a, b) in links {
                    self.held.remove(&(a, b));
                    cluster.note(a, format!("it and {} speak again", host_name(b)));
                    cluster.network().release(host_name(a), host_name(b));
                }
            }
            Ending::Quicken(links) => {
                let latency_max = self.latency_max;
                for (a, b) in links {
                    let network = cluster.network();
                    network.set_link_max_message_latency(host_name(a), host_name(b), latency_max);
                }
            }
            Ending::Empty(node) => self.empty(cluster, node),
            Ending::Unstall(node) => self.unstall(cluster, node),
            Ending::PowerOff(node) => self.power_off_now(cluster, node),
        }
    }

    fn until_later(&mut self, cluster: &Cluster, ending: Ending) {
        let lasts = self.habits.lasts_ms;
        let due = cluster.elapsed() + self.drawn_ms(lasts);
        self.until(due, ending);
    }

    fn until(&mut self, due: Duration, ending: Ending) {
        let number = self.random.random();
        self.endings.insert((due, number), ending);
    }

    fn drawn_ms(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(self.random.random_range(least..=most))
    }
}

/// The ways between all of the ones and all of the others.
fn both(left: &[u16], right: &[u16]) -> Vec<Way> {
    let pairs = left.iter().flat_map(|a| right.iter().map(|b| (*a, *b)));
    pairs.flat_map(|(a, b)| [(a, b), (b, a)]).collect()
}

/// The ways that are cut where the nodes stand in a ring, in this order, and each hears as many of
/// its neighbours as make a majority with it. Of three nodes each would hear all, so there one link
/// is cut: two hear the third only, which are two majorities and that of all.
fn ring(nodes: &[u16]) -> Vec<Way> {
    let count = nodes.len();
    if count <= 3 {
        return both(&nodes[..1], &nodes[count - 1..]);
    }
    // On either side of it.
    let heard = (count / 2).div_ceil(2);
    let mut ways = Vec::new();
    for (at, a) in nodes.iter().enumerate() {
        for (step, b) in nodes[at + 1..].iter().enumerate() {
            let apart = (step + 1).min(count - step - 1);
            if apart > heard {
                ways.extend([(*a, *b), (*b, *a)]);
            }
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_each_node_hears_another_majority() {
        for count in [3, 4, 5, 7] {
            let nodes: Vec<u16> = (1..=count).collect();
            let cut = ring(&nodes);
            let heard = |a: u16| -> BTreeSet<u16> {
                let others = nodes.iter().copied();
                others.filter(|b| !cut.contains(&(a, *b))).collect()
            };
            let sets: BTreeSet<_> = nodes.iter().map(|node| heard(*node)).collect();
            assert_eq!(sets.len(), nodes.len(), "{sets:?}");
            assert!(sets.iter().all(|set| 2 * set.len() > nodes.len()));
            assert!(cut.iter().all(|(a, b)| cut.contains(&(*b, *a))));
        }
    }
}
