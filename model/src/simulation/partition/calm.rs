//! The end of the bad times: a quorum is healed for good, and its leader has to go on.

use quorate_vsr::{NodeId, quorum};

use super::node::{Idle, Node};
use super::sometimes::Sometimes;
use super::world::World;

/// A healed world must have settled within this many steps.
const REST_MAX: usize = 20_000;

impl World {
    /// Heals a quorum and expects that it commits, while the rest stays as it is; then heals all,
    /// and expects that a change of voters comes to its end, that all who take part get equal logs
    /// and that they fall silent.
    pub(crate) fn come_to_rest(&mut self) {
        let core = self.draw_core();
        let everybody = (1 << self.nodes.len()) - 1;
        self.tally
            .saw_if(core != everybody, Sometimes::MinorityLeftOut);
        self.calm_down(core);
        self.lead_on(core);
        if !self.dice.happens(300) {
            return;
        }
        self.calm_down(everybody);
        if self.last_assignment().electorate.is_joint() {
            self.settle("adopt the new voters", Self::is_adopted);
            self.end_change(self.last_assignment().clone());
            self.lead_on(everybody);
        }
        self.append(self.last_leader());
        self.settle("become equal", |world| {
            let next = world.nodes[world.last_leader()].next_offset();
            world.members().all(|node| {
                let is_whole = !node.is_faulty();
                is_whole && node.next_offset() == next && node.has_committed(next)
            })
        });
        let last = self.last_assignment();
        self.ledger.check_converged(&self.nodes, last);
        self.settle("fall silent", |world| {
            let is_idle = world.members().all(|node| node.timers.is_empty());
            is_idle && world.network.is_silent()
        });
        let replica = self.nodes[self.last_leader()].replica.as_ref();
        let lagging = replica.map(|replica| replica.lagging().count());
        assert_eq!(lagging, Some(0), "nobody lags at the end");
        self.tally.saw(Sometimes::AllTogether);
    }

    /// One of these nodes leads, opens and commits, or another one if it has to resign.
    fn lead_on(&mut self, core: u8) {
        let wanted = self.last_assignment().clone();
        let may_lead = |at: &usize| {
            let id = self.nodes[*at].id;
            core & (1 << at) != 0 && wanted.electorate.contains(id)
        };
        let all: Vec<_> = (0..self.nodes.len()).filter(may_lead).collect();
        let leader = self.dice.pick(&all);
        self.assign_to(self.nodes[leader].id, wanted);
        self.settle("open", |world| world.nodes[world.last_leader()].is_open());
        for _ in 0..3 {
            self.append(self.last_leader());
        }
        self.settle("commit", |world| {
            let node = &world.nodes[world.last_leader()];
            node.is_open() && node.has_committed(node.next_offset())
        });
    }

    fn last_leader(&self) -> usize {
        usize::from(self.last_assignment().leader.0) - 1
    }

    /// Who takes part in the newest epoch.
    fn members(&self) -> impl Iterator<Item = &Node> {
        let last = self.last_assignment();
        self.nodes.iter().filter(|node| last.names(node.id))
    }

    /// Draws nodes without which the others cannot have committed anything, so that they can tell
    /// what was: the faulty ones among them and those who are left out are no majority.
    fn draw_core(&mut self) -> u8 {
        let count = self.nodes.len();
        let mut core = 0u8;
        while !self.is_enough(core) {
            core |= 1 << self.dice.below(count);
        }
        for at in 0..count {
            core |= u8::from(self.dice.happens(200)) << at;
        }
        core
    }

    fn is_enough(&self, core: u8) -> bool {
        let can_tell = |id: &&NodeId| {
            let at = usize::from(id.0) - 1;
            core & (1 << at) != 0 && !self.nodes[at].is_faulty()
        };
        let mut sets = self.last_assignment().electorate.sets();
        sets.all(|set| set.iter().filter(can_tell).count() >= quorum::majority(set.len()))
    }

    fn calm_down(&mut self, core: u8) {
        let now = self.now;
        self.timeline
            .note(now, || format!("the nodes {core:08b} are healed"));
        self.calm = core;
        for at in 0..self.nodes.len() {
            if !self.is_calm_at(at) {
                continue;
            }
            for other in (0..self.nodes.len()).filter(|other| core & (1 << other) != 0) {
                self.network.set_cut(at, other, false);
            }
            self.nodes[at].idle = Idle::default();
            if !self.nodes[at].is_up() {
                self.start(at);
            }
        }
    }

    /// What is left to do besides, where all is calm.
    fn works_in_calm(&mut self, at: usize) -> bool {
        self.is_calm_at(at) && (self.scrub(at) || self.compact_if_asked(at))
    }

    /// Work goes on wherever there is some; time passes, and timers run out, only when there is
    /// none.
    fn settle(&mut self, wish: &str, is_settled: impl Fn(&Self) -> bool) {
        for _ in 0..REST_MAX {
            if is_settled(self) {
                return;
            }
            self.now += 1;
            let count = self.nodes.len();
            let first = self.dice.below(count);
            let mut order = (first..first + count).map(|at| at % count);
            let mut busy = order.clone();
            if !busy.any(|at| self.work_somewhere(at) || self.works_in_calm(at)) {
                match order.find(|at| !self.nodes[*at].timers.is_empty()) {
                    Some(at) => self.fire_timer(at),
                    None => assert!(
                        is_settled(self),
                        "the world stands still, and did not {wish}"
                    ),
                }
            }
        }
        panic!("the healed world did not {wish}");
    }
}
