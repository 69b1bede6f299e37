//! The end of the bad times: a quorum is healed for good, and has to come together and go on.
//!
//! The rest of the group stays as it is, or worse: down, cut off, deaf, mute, slow. Afterwards
//! everybody is healed in some of the runs, and everybody has to come together.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Replica, Status};

use super::node::Node;
use super::sometimes::Sometimes;
use super::world::World;

/// Within this time a healed quorum has to be together and to have answered every client.
const REST_MAX: u64 = 4000;
/// A group that may have lost something is given so much time to do something wrong.
const WAIT: u64 = 600;
/// How often it is looked at.
const LOOK: u64 = 20;
/// A write takes at most so long where the bad times are over.
const WRITE_MAX: u64 = 4;
/// Nothing said in the bad times arrives later than so long after them.
const ECHO_MAX: u64 = 500;

impl World {
    /// Heals a quorum, then everybody, and checks that the group goes on.
    pub(crate) fn come_to_rest(&mut self, is_long: bool) {
        let everybody = self.everybody();
        let core = self.draw_core();
        let leaves_out = self.members() & !core != 0;
        self.leave_out(core);
        let goes_on = self.rest_or_wait(core);
        self.tally
            .saw_if(goes_on && leaves_out, Sometimes::MinorityLeftOut);
        if !goes_on || self.dice.happens(300) {
            self.network.mend_all();
            if self.rest_or_wait(everybody) {
                self.tally.saw(Sometimes::AllTogether);
                self.replace_lost_disks();
                if is_long {
                    self.expect_stability();
                }
            }
        }
        let is_lost = self.checker.agreement.has_lost_prepares();
        self.tally.saw_if(is_lost, Sometimes::SuffixLost);
    }

    /// Heals these nodes and expects them to go on, unless what was acknowledged may be lost with
    /// them: then it is enough that they do nothing wrong.
    fn rest_or_wait(&mut self, core: u8) -> bool {
        let goes_on = self.is_recoverable(core);
        self.calm_down(core);
        if goes_on {
            self.expect_rest(core);
        } else {
            self.pass(WAIT);
            let is_led = self.nodes.iter().any(Node::is_primary);
            self.tally.saw_if(!is_led, Sometimes::Waiting);
        }
        goes_on
    }

    /// A majority of the voters, whoever may be some by now, and perhaps some more nodes.
    fn draw_core(&mut self) -> u8 {
        let (everybody, members) = (self.everybody(), self.members());
        let mut core = 0u8;
        for at in 0..self.nodes.len() {
            core |= u8::from(self.dice.happens(300)) << at;
        }
        while !self.is_quorum(core) && core != everybody {
            let lacking = members & !core;
            let at = self.dice.below(self.nodes.len());
            core |= if lacking == 0 {
                everybody
            } else {
                lacking & (1 << at)
            };
        }
        core
    }

    fn is_quorum(&self, core: u8) -> bool {
        let is_in = |node: &Node| core & (1 << (node.id.0 - 1)) != 0;
        let mut live = self.checker.agreement.members.live();
        live.all(|membership| self.has_majority(membership, is_in))
    }

    /// Brings back the members that have lost their disks, step by step, as an operator does.
    fn replace_lost_disks(&mut self) {
        if self.have_members_disks() {
            return;
        }
        let deadline = self.calendar.now() + REST_MAX;
        loop {
            if let Some(at) = self.latest_primary()
                && let Some(replica) = &self.nodes[at].replica
            {
                let present = replica.membership().clone();
                match self.recovering(&present) {
                    Some(next) => self.reconfigure(at, next),
                    None if self.checker.agreement.members.committed() == &present => break,
                    None => {}
                }
            }
            self.pass(LOOK);
            let now = self.calendar.now();
            assert!(
                now < deadline,
                "the lost disks are not replaced:\n{}",
                self.describe()
            );
        }
        assert!(self.have_members_disks(), "a lost disk is still a member");
        self.tally.saw(Sometimes::DisksReplaced);
        self.expect_rest(self.everybody());
    }

    /// The node that serves the latest view.
    fn latest_primary(&self) -> Option<usize> {
        let primaries = self.nodes.iter().enumerate().filter_map(|(at, node)| {
            let replica = node.replica.as_ref().filter(|it| it.is_primary())?;
            Some((replica.view(), at))
        });
        primaries.max().map(|(_, at)| at)
    }

    /// Who is not in the core has a lasting misfortune.
    fn leave_out(&mut self, core: u8) {
        let count = self.nodes.len();
        let is_in = |at: usize| core & (1 << at) != 0;
        for at in (0..count).filter(|at| !is_in(*at)) {
            let fate = self.dice.below(5);
            if fate == 0 {
                self.crash(at);
            }
            for other in (0..count).filter(|other| is_in(*other)) {
                self.network.mend(at, other);
                self.network.mend(other, at);
                if fate == 1 || fate == 2 {
                    self.network.cut(other, at);
                }
                if fate == 1 || fate == 3 {
                    self.network.cut(at, other);
                }
            }
        }
    }

    fn calm_down(&mut self, core: u8) {
        let now = self.calendar.now();
        self.timeline
            .note(now, || format!("the nodes {core:08b} are healed"));
        self.calm = core;
        for at in 0..self.nodes.len() {
            if !self.is_calm_at(at) {
                continue;
            }
            for other in (0..self.nodes.len()).filter(|other| core & (1 << other) != 0) {
                self.network.mend(at, other);
            }
            let node = &mut self.nodes[at];
            node.write_max = WRITE_MAX;
            node.clock.calm();
            self.start(at);
        }
    }

    /// Lets time pass until the core is together and every client was answered.
    fn expect_rest(&mut self, core: u8) {
        let deadline = self.calendar.now() + REST_MAX;
        let committed = self.checker.agreement.committed();
        let before: Vec<u64> = self.clients.iter().map(|client| client.answered).collect();
        let read_before = self.readings.answered;
        loop {
            self.pass(LOOK);
            let is_read = self.swarm.read_gap == 0 || self.readings.answered > read_before;
            if self.is_together(core, committed) && self.is_served(&before) && is_read {
                return;
            }
            let now = self.calendar.now();
            assert!(
                now < deadline,
                "the nodes {core:08b} do not come together and serve:\n{}",
                self.describe()
            );
        }
    }

    /// A group at rest does not change its view.
    fn expect_stability(&mut self) {
        self.pass(ECHO_MAX);
        let view = self.latest_view();
        self.pass(ECHO_MAX);
        assert!(
            view == self.latest_view(),
            "a view is left although all is well:\n{}",
            self.describe()
        );
    }

    fn pass(&mut self, time: u64) {
        let until = self.calendar.now() + time;
        while self.happen(until) {}
    }

    fn latest_view(&self) -> Option<quorate_vsr::ViewNumber> {
        let replicas = self.nodes.iter().filter_map(|node| node.replica.as_ref());
        replicas.map(Replica::view).max()
    }

    /// Whether all members in the core take part in the latest view, and have executed everything
    /// up to `op`.
    fn is_together(&self, core: u8, op: OpNumber) -> bool {
        let primary = self.latest_primary();
        let Some(primary) = primary.and_then(|at| self.nodes[at].replica.as_ref()) else {
            return false;
        };
        let is_there = |replica: &Replica| {
            let is_normal = replica.status() == Status::Normal;
            is_normal && replica.view() == primary.view() && replica.executed() >= op
        };
        let core = (0..)
            .zip(&self.nodes)
            .filter(|(at, _)| core & (1 << at) != 0);
        let mut members = core.filter(|(_, node)| primary.membership().contains(node.member()));
        members.all(|(_, node)| node.replica.as_ref().is_some_and(is_there))
    }

    /// Whether each client was answered since; or any of them, where there are so many that they
    /// drive out each other's sessions or keep each other from being heard.
    fn is_served(&self, before: &[u64]) -> bool {
        let limits = &self.swarm.limits;
        let has_room = self.clients.len() <= limits.clients_max.min(limits.pipeline_max);
        let mut answered = self.clients.iter().zip(before);
        let is_answered =
            |(client, before): (&super::client::Client, &u64)| client.answered > *before;
        if has_room {
            answered.all(is_answered)
        } else {
            answered.any(is_answered)
        }
    }

    /// How the nodes stand, for a run that failed.
    fn describe(&self) -> String {
        let now = self.calendar.now();
        let mut text = format!("at {now}, {:?}\n", self.network);
        for node in &self.nodes {
            let id = node.id;
            let Some(replica) = &node.replica else {
                text += &format!("{id:?} is down\n");
                continue;
            };
            text += &format!(
                "{} {:?} in {:?}, log of {:?}, op {}, commit {}, executed {}{} {:?}, {:?}\n",
                node.member(),
                replica.status(),
                replica.view(),
                replica.log_view(),
                replica.op_number(),
                replica.commit_number(),
                replica.executed(),
                if replica.is_damaged() {
                    ", damaged"
                } else {
                    ""
                },
                replica.faulty_ops().collect::<Vec<_>>(),
                replica.membership(),
            );
        }
        for client in &self.clients {
            text += &format!("{client:?}\n");
        }
        text
    }
}
