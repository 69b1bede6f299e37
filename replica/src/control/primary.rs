//! What the primary does beside ordering what it is asked: it looks at what shall be and what is,
//! and proposes the next step from here to there.
//!
//! It does so again and again, and nothing is remembered in between. So a step that was lost with a
//! primary is proposed by the next one, and a wish is fulfilled whoever is there.

use quorate_platform::{Instant, Platform};
use quorate_vsr::NodeId;
use quorate_vsr::group::{Event, Membership};
use quorate_wire::{Code, ControlOperation, ControlReply, Refusal, Response};

use super::reconfiguration::Sight;
use super::{Control, admission, change, reconfiguration};
use crate::error::NodeError;
use crate::metadata::{Founder, Operation, relieve};

impl<P: Platform> Control<P> {
    /// Proposes what is to be done next, if this node is the primary.
    pub(super) fn lead(&mut self, now: Instant) -> Result<(), NodeError> {
        if !self.driver.may_propose() {
            return Ok(());
        }
        for operation in self.decide(now) {
            self.driver.propose(&operation)?;
        }
        self.reconfigure(now)
    }

    /// Takes the group's membership one step nearer to what it shall be.
    fn reconfigure(&mut self, now: Instant) -> Result<(), NodeError> {
        let group = self.driver.group();
        // The catalog of a new primary may be behind what it has taken over.
        if group.executed() < group.commit_number() {
            return Ok(());
        }
        let heard = self.detector.disks(now);
        let catalog = self.driver.catalog();
        let sight = Sight {
            catalog,
            heard: &heard,
        };
        let steps = reconfiguration::next_steps(group.membership(), &sight);
        let possible = |step: &Membership| group.may_reconfigure(step).is_ok();
        let Some(membership) = steps.into_iter().find(possible) else {
            return Ok(());
        };
        tracing::info!(before = %group.membership(), after = %membership, "reconfigure");
        self.driver.step(Event::Reconfigure { membership })
    }

    /// Has another voter become the primary, if this node is it; the answer.
    pub(super) fn transfer(&mut self, to: NodeId) -> Result<Response, NodeError> {
        let group = self.driver.group();
        let refused = |detail| Ok(Response::Refused(Refusal::new(Code::InvalidNode, detail)));
        if !group.is_primary() {
            return Ok(Response::Refused(self.driver.not_primary()));
        }
        let voters = group.membership().voters();
        let Some(voter) = voters.iter().find(|voter| voter.node == to) else {
            let voters: Vec<_> = voters.iter().map(|voter| voter.node.to_string()).collect();
            return refused(format!(
                "node {to} cannot be the primary, for it has no vote: nodes {} have",
                voters.join(", ")
            ));
        };
        let now = self.platform.now();
        if self.detector.is_undecided(to, now) {
            return Ok(undecided(to));
        }
        let is_heard = self.detector.disk_of(to, now) == Some(voter.disk.0);
        if !is_heard {
            return refused(format!("node {to} is not heard: start it first"));
        }
        // Nothing happens if that is this node.
        self.driver.step(Event::Transfer { to })?;
        Ok(Response::TransferBegun)
    }

    fn decide(&mut self, now: Instant) -> Vec<Operation> {
        let catalog = self.driver.catalog();
        if catalog.members.is_empty() {
            return vec![self.founding()];
        }
        let membership = self.driver.group().membership();
        let votes = |node| membership.voters().iter().any(|voter| voter.node == node);
        let mut operations = self.detector.decide(catalog, votes, now);
        let known = (catalog.version, self.detector.done(catalog, now));
        if self.at_rest.as_ref() != Some(&known) {
            // It looks at all partitions, of which there may be many.
            let steps = change::due(catalog, &known.1);
            match steps.is_empty() {
                true => self.at_rest = Some(known),
                false => operations.push(Operation::AdvanceReplicas { steps }),
            }
        }
        let resigned = self.detector.resigned(catalog, now);
        let moves = relieve(catalog, &resigned);
        if !moves.is_empty() {
            operations.push(Operation::MoveLeaders { moves });
        }
        let is_member = |node| membership.members().any(|member| member.node == node);
        let leaving = catalog
            .members
            .iter()
            .filter(|(_, member)| member.is_leaving);
        let mut left = leaving.map(|(node, _)| *node);
        let left = left.find(|node| !is_member(*node) && !catalog.is_in_use(*node));
        operations.extend(left.map(|node| Operation::DropNode { node: node.0 }));
        operations
    }

    /// Who belongs to a cluster that begins: the nodes of the configuration. Those that founded the
    /// group are known by their disks.
    fn founding(&self) -> Operation {
        let membership = self.driver.group().membership();
        let disk = |node: u16| {
            let mut voters = membership.voters().iter();
            let voter = voters.find(|voter| voter.node == NodeId(node));
            voter.map(|voter| voter.disk.0)
        };
        let founder = |(node, control_address): (NodeId, std::net::SocketAddr)| Founder {
            node: node.0,
            control_address: control_address.to_string(),
            disk: disk(node.0),
        };
        let members = self.peering.configured().map(founder).collect();
        Operation::Found { members }
    }

    /// The operation for what a client asks, or what it is answered instead.
    pub(super) fn admit(&self, operation: ControlOperation) -> Result<Operation, Box<Response>> {
        if !self.driver.group().is_primary() {
            return Err(Box::new(Response::Refused(self.driver.not_primary())));
        }
        let now = self.platform.now();
        if let ControlOperation::RecoverNode { node } = operation
            && self.detector.is_undecided(NodeId(node), now)
        {
            return Err(Box::new(undecided(NodeId(node))));
        }
        let heard = |node| self.detector.disk_of(node, now);
        admission::admit(operation, self.driver.catalog(), heard)
            .map_err(|refusal| Box::new(Response::Control(ControlReply::Refused(refusal))))
    }
}

/// What is answered while it is too early to say whether `node` is there.
fn undecided(node: NodeId) -> Response {
    let detail = format!("the primary has not listened for long enough to know of node {node}");
    Response::Refused(Refusal::new(Code::Unavailable, detail))
}
