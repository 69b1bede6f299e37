use std::rc::Rc;

use quorate_platform::Platform;
use quorate_vsr::partition::{MemberStatus, Role, Undecided};
use quorate_wire::{
    ClusterId, Code, Consistency, Frame, PartitionStatus, Refusal, ReplicaStatus, Request, Response,
};

use super::Shard;
use super::connection::{Connection, Reply};
use super::deletion;
use super::fetch::{self, Fetch};
use super::lookup;
use super::state::State;

/// Carries out one request, or starts to.
pub(super) fn carry_out<P: Platform>(
    shard: &Rc<Shard<P>>,
    connection: &Rc<Connection>,
    frame: Frame,
) {
    let appending = frame.payload.len();
    let reply = connection.reply(frame.header.correlation, appending);
    let request: Request = match quorate_wire::decode(&frame.body) {
        Ok(request) => request,
        Err(invalid) => {
            return reply.refuse(Refusal::new(Code::InvalidRequest, invalid.to_string()));
        }
    };
    if let Err(refusal) = check(shard, &frame, &request) {
        return reply.refuse(refusal);
    }
    match request {
        Request::Produce { partition, acks } => {
            shard
                .state
                .borrow_mut()
                .produce(partition, acks, frame.payload, reply);
        }
        Request::Fetch {
            partition,
            offset,
            bytes_max,
            wait_ms,
            from_follower,
        } => {
            let fetch = Fetch {
                partition,
                offset,
                bytes_max,
                wait_ms,
                from_follower,
            };
            fetch::start(shard, fetch, reply);
        }
        Request::DeleteRecords { partition, before } => {
            deletion::start(shard, partition, before, reply);
        }
        Request::Describe { partition } => shard.state.borrow().describe(partition, reply),
        Request::Lookup {
            partition,
            timestamp,
        } => lookup::start(shard, partition, timestamp, reply),
        Request::Metadata {
            topics,
            consistency: Consistency::AsKnown,
        } => {
            let metadata = shard.metadata.load();
            reply.send(&metadata.answer(shard.node, shard.incarnation, topics.as_deref()));
        }
        Request::Metadata {
            consistency: Consistency::Linearizable,
            ..
        }
        | Request::Status
        | Request::Register { .. }
        | Request::Control { .. }
        | Request::Transfer { .. } => {
            reply.refuse(shard.state.borrow().not_control());
        }
    }
}

fn check<P: Platform>(shard: &Shard<P>, frame: &Frame, request: &Request) -> Result<(), Refusal> {
    let asks_who = matches!(request, Request::Metadata { .. });
    let cluster = frame.header.cluster;
    if cluster != shard.cluster && !(asks_who && cluster == ClusterId::UNKNOWN) {
        return Err(Refusal::new(
            Code::ForeignCluster,
            format!(
                "the request is meant for cluster {cluster}, but this is cluster {}: check the \
                 bootstrap address",
                shard.cluster
            ),
        ));
    }
    let has_batch = matches!(request, Request::Produce { .. });
    if !has_batch && !frame.payload.is_empty() {
        let detail = "only a produce request brings a payload";
        return Err(Refusal::new(Code::InvalidRequest, detail));
    }
    Ok(())
}

impl<P: Platform> State<P> {
    fn describe(&self, id: u64, reply: Reply) {
        let Some(partition) = self.partitions.get(&id) else {
            return reply.refuse(self.elsewhere(id));
        };
        let replica = &partition.replica;
        let mut replicas: Vec<_> = replica
            .member_statuses()
            .iter()
            .map(replica_status)
            .collect();
        if replicas.is_empty() {
            // Only an open leader knows of the others.
            let has_adopted = replica.facts().log_epoch == replica.epoch();
            replicas.push(ReplicaStatus {
                node: self.node.0,
                next_offset: replica.durable_offset().0,
                in_sync: replica.role() == Role::Follower && has_adopted,
            });
        }
        reply.send(&Response::Partition(PartitionStatus {
            partition: id,
            node: self.node.0,
            leader: replica.leader().map_or(0, |leader| leader.0),
            epoch: replica.epoch().0,
            is_open: replica.is_open(),
            log_start_offset: replica.log_start().0,
            high_watermark: replica.high_watermark().0,
            bytes: partition.log.bytes(),
            replicas,
            damaged_ranges: partition.standing.damaged_ranges,
            waits_for: replica.undecided().map(|why| why.to_string()),
        }));
    }

    pub(super) fn stopping(&self) -> Refusal {
        Refusal::new(
            Code::Stopping,
            format!("node {} is stopping: ask another node", self.node),
        )
    }

    /// Why this shard cannot serve a partition as its leader, and who can.
    pub(super) fn elsewhere(&self, id: u64) -> Refusal {
        let metadata = self.metadata.load();
        let catalog = &metadata.catalog;
        let refusal = |code, detail| Refusal::new(code, detail);
        let Some(record) = catalog.partitions.get(&id) else {
            return if catalog.is_deleted(id) {
                refusal(
                    Code::UnknownPartition,
                    format!("there is no partition {id} any more"),
                )
            } else {
                // A client may hear of a new partition before the node that holds it.
                let detail = format!("node {} has not heard of partition {id} yet", self.node);
                refusal(Code::NotLeader, detail)
            };
        };
        let is_here = id % u64::from(self.shards) == u64::from(self.index);
        let (leader, epoch) = (record.leader, record.epoch);
        let (code, detail) = if leader != self.node {
            let detail = format!("partition {id} is led by node {leader} in epoch {epoch}");
            (Code::NotLeader, detail)
        } else if !is_here {
            let detail = format!("partition {id} lives on another shard of node {leader}");
            (Code::WrongShard, detail)
        } else {
            let undecided = self
                .partitions
                .get(&id)
                .and_then(|it| it.replica.undecided());
            let why = undecided.unwrap_or(Undecided::NoMajority);
            let detail = format!(
                "node {leader} is not yet ready to lead partition {id} in epoch {epoch}: {why}"
            );
            (Code::NotLeader, detail)
        };
        let is_elsewhere = leader != self.node || !is_here;
        let instead = is_elsewhere
            .then(|| catalog.shard_address(leader, id))
            .flatten();
        Refusal {
            instead: instead.map(|address| address.to_string()),
            ..refusal(code, detail)
        }
    }

    /// A shard takes no control operations: its own node's control address does, or knows who.
    fn not_control(&self) -> Refusal {
        let metadata = self.metadata.load();
        let primary = metadata.catalog.nodes.get(&metadata.primary);
        Refusal {
            instead: primary.map(|node| node.control_address.to_string()),
            ..Refusal::new(
                Code::NotPrimary,
                "this is the address of a shard: a control address takes this request",
            )
        }
    }
}

fn replica_status(member: &MemberStatus) -> ReplicaStatus {
    ReplicaStatus {
        node: member.node.0,
        next_offset: member.next_offset.0,
        in_sync: member.in_sync,
    }
}
