use std::collections::BTreeMap;

use quorate_vsr::group::{Prepare, Replica, Status};
use quorate_vsr::{NodeId, OpNumber, ViewNumber};

use super::node::Node;
use super::rule::{AGREEMENT, BACKWARDS, COMPLETENESS, ONE_PRIMARY};
use crate::broken::Broken;

/// What has to be remembered of the past to judge the present. No node knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ledger {
    /// What anybody ever took for committed, and in which view somebody first did.
    pub(crate) committed: BTreeMap<OpNumber, (Prepare, ViewNumber)>,
    /// What was executed first by anybody, in order.
    pub(crate) executed: Vec<u8>,
    /// Who served a view first, and how often it had been restarted then.
    pub(crate) primaries: BTreeMap<ViewNumber, (NodeId, u8)>,
}

impl Ledger {
    /// Whether a node knows of something that is not written here yet.
    pub(crate) fn is_behind(&self, node: &Node) -> bool {
        let Some(process) = &node.process else {
            return false;
        };
        let replica = &process.replica;
        process.machine.len() > self.executed.len()
            || replica.is_primary() && !self.primaries.contains_key(&replica.view())
            || committed(replica).any(|prepare| !self.committed.contains_key(&prepare.op))
    }

    /// Writes down what a node is the first to know.
    pub(crate) fn catch_up(&mut self, id: NodeId, node: &Node) {
        let Some(process) = &node.process else {
            return;
        };
        let replica = &process.replica;
        for prepare in committed(replica) {
            let first = || (prepare.clone(), replica.view());
            self.committed.entry(prepare.op).or_insert_with(first);
        }
        if self.executed.len() < process.machine.len() {
            self.executed = process.machine.clone();
        }
        if replica.is_primary() {
            let first = (id, node.restarts);
            self.primaries.entry(replica.view()).or_insert(first);
        }
    }

    /// Compares what a node knows with what is written here.
    pub(crate) fn judge(&self, id: NodeId, node: &Node) -> Result<(), Broken> {
        let Some(process) = &node.process else {
            return Ok(());
        };
        let replica = &process.replica;
        for prepare in committed(replica) {
            let first = &self.committed[&prepare.op].0;
            if first != prepare {
                let what = format!("both \"{first}\" and \"{prepare}\" are committed");
                return Err(Broken::new(AGREEMENT, what));
            }
        }
        if !self.executed.starts_with(&process.machine) {
            let what = "two members executed different operations at one place";
            return Err(Broken::new(AGREEMENT, what));
        }
        if replica.is_primary() && self.primaries[&replica.view()] != (id, node.restarts) {
            let view = replica.view();
            let what = format!("{id:?} serves {view:?} again, as it did before a crash");
            return Err(Broken::new(ONE_PRIMARY, what));
        }
        self.check_completeness(replica)
    }

    /// Whether the log of who takes part in a view holds everything that was committed in earlier
    /// ones.
    fn check_completeness(&self, replica: &Replica) -> Result<(), Broken> {
        if replica.status() != Status::Normal {
            return Ok(());
        }
        let view = replica.view();
        let mut earlier = self
            .committed
            .values()
            .filter(|(_, committed_in)| *committed_in < view)
            .map(|(prepare, _)| prepare);
        let is_missing = |prepare: &&Prepare| match replica.prepare(prepare.op) {
            Some(own) => own != *prepare,
            None => {
                let is_covered = prepare.op <= replica.checkpoint_op();
                // What is damaged is in the log too, and stands in the way of nothing but itself.
                let is_damaged = prepare.op <= replica.op_number() && !replica.is_primary();
                !is_covered && !is_damaged
            }
        };
        match earlier.find(is_missing) {
            None => Ok(()),
            Some(prepare) => {
                let me = replica.config().me;
                let what = format!("{me:?} takes part in {view:?} without \"{prepare}\"");
                Err(Broken::new(COMPLETENESS, what))
            }
        }
    }
}

/// What a replica holds for committed, as far as no checkpoint covers it.
fn committed(replica: &Replica) -> impl Iterator<Item = &Prepare> {
    let ops = (1..=replica.commit_number().0).map(OpNumber);
    ops.filter_map(|op| replica.prepare(op))
}

/// Whether nothing goes back from one moment to the next in the life of a process.
pub(crate) fn check_direction(before: &Replica, after: &Replica) -> Result<(), Broken> {
    let numbers = |replica: &Replica| {
        [
            ("view", replica.view().0),
            ("log view", replica.log_view().0),
            ("commit number", replica.commit_number().0),
            ("executed number", replica.executed().0),
            ("checkpoint", replica.checkpoint_op().0),
        ]
    };
    for ((name, before), (_, after)) in numbers(before).into_iter().zip(numbers(after)) {
        if after < before {
            return Err(Broken::new(
                BACKWARDS,
                format!("the {name} of a replica goes back"),
            ));
        }
    }
    Ok(())
}
