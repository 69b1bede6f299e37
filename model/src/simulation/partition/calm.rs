//! The end of the bad times: a quorum is healed for good, and its leader has to go on.

use quorate_vsr::quorum;

use super::node::Idle;
use super::sometimes::Sometimes;
use super::world::World;

/// A healed world must have settled within this many steps.
const REST_MAX: usize = 20_000;

impl World {
    /// Heals a quorum and expects that it commits, while the rest stays as it is; then heals all,
    /// and expects that their logs become equal and that they fall silent.
    pub(crate) fn come_to_rest(&mut self) {
        let core = self.draw_core();
        let everybody = (1 << self.nodes.len()) - 1;
        self.tally
            .saw_if(core != everybody, Sometimes::MinorityLeftOut);
        self.calm_down(core);
        let leader = self.draw_from(core);
        self.assign_to(self.nodes[leader].id);
        self.settle("open", |world| world.nodes[leader].is_open());
        for _ in 0..3 {
            self.append(leader);
        }
        self.settle("commit", |world| {
            let node = &world.nodes[leader];
            node.has_committed(node.next_offset())
        });
        if !self.dice.happens(300) {
            return;
        }
        self.calm_down(everybody);
        self.append(leader);
        self.settle("become equal", |world| {
            let next = world.nodes[leader].next_offset();
            let mut nodes = world.nodes.iter();
            nodes.all(|node| node.next_offset() == next && node.has_committed(next))
        });
        self.ledger.check_converged(&self.nodes);
        self.settle("fall silent", |world| {
            let is_idle = world.nodes.iter().all(|node| node.timers.is_empty());
            is_idle && world.network.is_silent()
        });
        let replica = self.nodes[leader].replica.as_ref();
        let lagging = replica.map(|replica| replica.lagging().count());
        assert_eq!(lagging, Some(0), "nobody lags at the end");
        self.tally.saw(Sometimes::AllTogether);
    }

    fn draw_core(&mut self) -> u8 {
        let count = self.nodes.len();
        let mut core = 0u8;
        while (core.count_ones() as usize) < quorum::majority(count) {
            core |= 1 << self.dice.below(count);
        }
        for at in 0..count {
            core |= u8::from(self.dice.happens(200)) << at;
        }
        core
    }

    fn draw_from(&mut self, core: u8) -> usize {
        let count = self.nodes.len();
        let first = self.dice.below(count);
        let mut order = (first..first + count).map(|at| at % count);
        let drawn = order.find(|at| core & (1 << at) != 0);
        drawn.expect("a majority is not empty")
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
            if !order.clone().any(|at| self.work_somewhere(at)) {
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
