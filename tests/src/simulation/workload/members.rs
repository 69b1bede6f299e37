//! Those who change who belongs to the cluster, and which nodes hold what.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use quorate_client::{Client, ClusterMetadata, Code, MemberInfo, PartitionInfo, Platform, Role};
use quorate_jepsen::Moment;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::administer::code_of;
use super::ledger::Ending;
use super::{Desk, Target};
use crate::simulation::nemesis::LostDisk;
use crate::simulation::oracle::control::{Member, MemberAction};

/// Between two looks at what goes on, in milliseconds.
const AGAIN_MS: (u64, u64) = (100, 500);
/// How long is waited at most for a partition to have moved, in milliseconds.
const MOVE_MS_MAX: u64 = 20_000;
/// How long it may take, once all is healed, until what was lost is there again.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

/// Has nodes leave and come back, and looks at who belongs to the cluster, until the workload ends.
/// Nodes that are not among `movable`, with their control addresses, are only looked at.
pub async fn change_members<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    movable: Vec<(u16, SocketAddr)>,
    looked_at: Vec<u16>,
    pause_ms: RangeInclusive<u64>,
) {
    while let Some(client) = desk.connect().await {
        desk.pause(&mut random, (*pause_ms.start(), *pause_ms.end()))
            .await;
        let draw = random.random_range(0..6);
        if draw > 2 || movable.is_empty() {
            look_at_members(&desk, &client, &looked_at).await;
            continue;
        }
        let (id, address) = movable[random.random_range(0..movable.len())];
        let invoked = desk.now();
        let (action, result) = match draw {
            0 | 1 => {
                let adding = client.add_node(id, address);
                (
                    MemberAction::Added,
                    desk.patiently("adding a node", adding).await,
                )
            }
            _ => {
                // With fewer replicas than there are meant to be, less may break than does.
                let removing = client.remove_node(id, false);
                (
                    MemberAction::Removed,
                    desk.patiently("removing a node", removing).await,
                )
            }
        };
        let note = |action, completed| desk.ledger.note_member(id, action, invoked, completed);
        match desk.ledger.ending("change members", result) {
            Ending::Done(()) => note(action, Some(desk.now())),
            Ending::Refused(error) if code_of(&error) == Some(Code::UnknownNode) => {
                note(MemberAction::Missing, Some(desk.now()));
            }
            Ending::Refused(_) => {}
            Ending::Doubtful => note(action, None),
        }
    }
}

async fn look_at_members<P: Platform>(desk: &Desk<P>, client: &Client<P>, looked_at: &[u16]) {
    let invoked = desk.now();
    let described = desk
        .patiently("describing nodes", client.describe_nodes())
        .await;
    let Ending::Done(nodes) = desk.ledger.ending("describe nodes", described) else {
        return;
    };
    let completed: Moment = desk.now();
    let members: BTreeMap<u16, &MemberInfo> = nodes
        .iter()
        .map(|node| (node.member.id, &node.member))
        .collect();
    for id in looked_at {
        let member = match members.get(id) {
            Some(member) if member.is_leaving => Member::Leaving,
            Some(_) => Member::Present,
            None => Member::Absent,
        };
        let action = MemberAction::Seen(member);
        desk.ledger
            .note_member(*id, action, invoked, Some(completed));
    }
}

/// Moves the partitions of `targets` to other nodes, until the workload ends.
///
/// Most of the time the next move comes once the one before is done, or takes too long: who always
/// wishes for something else sees nothing of it fulfilled.
pub async fn move_partitions<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    targets: Vec<Target>,
    replication: u16,
    pause_ms: RangeInclusive<u64>,
) {
    while let Some(client) = desk.connect().await {
        desk.pause(&mut random, (*pause_ms.start(), *pause_ms.end()))
            .await;
        let metadata = desk
            .patiently("asking for nodes", client.cluster_metadata())
            .await;
        let Some(Ok(metadata)) = metadata else {
            continue;
        };
        let target = &targets[random.random_range(0..targets.len())];
        let nodes = some_nodes(&metadata, &mut random, replication);
        let Some(before) = partition_of(&metadata, target).map(|it| it.voters.clone()) else {
            continue;
        };
        let moving = client.alter_topic(&target.topic, Some(target.index), &nodes);
        let moved = desk.patiently("moving a partition", moving).await;
        let Ending::Done(()) = desk.ledger.ending("move partition", moved) else {
            continue;
        };
        if before != nodes && random.random_range(0..4) > 0 {
            let patience = random.random_range(0..=MOVE_MS_MAX);
            let patience = Duration::from_millis(patience);
            let awaited = await_move(&desk, &client, &mut random, target, &nodes);
            let awaited = desk.platform.timeout(patience, awaited).await;
            if awaited.is_ok_and(|has_moved| has_moved) {
                tracing::debug!(?before, now = ?nodes, "a partition has moved");
            }
        }
    }
}

/// So many of the members that stay and were there once, in their order.
fn some_nodes(metadata: &ClusterMetadata, random: &mut ChaCha8Rng, count: u16) -> Vec<u16> {
    let members = metadata.members.iter();
    let able = members.filter(|it| !it.is_leaving && metadata.node(it.id).is_some());
    let mut nodes: Vec<u16> = able.map(|member| member.id).collect();
    while nodes.len() > usize::from(count) {
        nodes.remove(random.random_range(0..nodes.len()));
    }
    nodes
}

fn partition_of<'a>(metadata: &'a ClusterMetadata, target: &Target) -> Option<&'a PartitionInfo> {
    let topic = metadata.topic(&target.topic).ok()?;
    topic.partitions.get(target.index as usize)
}

/// Waits until `nodes` alone hold the partition; false if that is not wanted any more.
async fn await_move<P: Platform>(
    desk: &Desk<P>,
    client: &Client<P>,
    random: &mut ChaCha8Rng,
    target: &Target,
    nodes: &[u16],
) -> bool {
    while !desk.ledger.is_stopping() {
        if let Ok(topic) = client.topic_info(&target.topic).await
            && let Some(partition) = topic.partitions.get(target.index as usize)
        {
            if partition.replicas != nodes {
                return false;
            }
            if partition.is_settled() && partition.voters == nodes {
                return true;
            }
        }
        desk.pause(random, AGAIN_MS).await;
    }
    false
}

/// Has the cluster give up every disk that is lost, as an operator does, and looks after the node
/// until it has everything again; also when the workload ends meanwhile.
pub async fn recover_disks<P: Platform>(desk: Desk<P>, mut random: ChaCha8Rng, lost: LostDisk) {
    let own = Desk {
        ledger: desk.ledger.reopened(),
        ..desk.clone()
    };
    let mut deadline = None;
    loop {
        desk.pause(&mut random, AGAIN_MS).await;
        let is_stopping = desk.ledger.is_stopping();
        let Some(node) = lost.node() else {
            match is_stopping {
                true => return,
                false => continue,
            }
        };
        let now = desk.platform.now();
        if let Some(client) = own.connect().await
            && is_recovered(&own, &client, node).await
        {
            tracing::debug!(node, "a lost disk is given up and filled again");
            lost.is_made_up();
        } else if is_stopping && now > *deadline.get_or_insert(now + RECOVERY_MAX) {
            own.ledger.promise_broken(format!(
                "node {node}, which has lost its disk, is no full part of the cluster within \
                 {RECOVERY_MAX:?}"
            ));
            return;
        }
    }
}

/// Whether the node has everything again; has its old disk given up if that is to be done.
async fn is_recovered<P: Platform>(desk: &Desk<P>, client: &Client<P>, node: u16) -> bool {
    let describing = client.describe_nodes();
    let Some(Ok(nodes)) = desk.patiently("describing nodes", describing).await else {
        return false;
    };
    let Some(described) = nodes.iter().find(|it| it.member.id == node) else {
        return false;
    };
    // Nobody but the node itself can say that it runs on its new disk.
    let Ok(status) = &described.status else {
        return false;
    };
    if described.member.disk != Some(status.disk) {
        // The primary may still take the old disk for the one that is there, and change nothing.
        let recovering = client.recover_node(node);
        let recovered = desk.patiently("recovering a node", recovering).await;
        let _ = desk.ledger.ending("recover node", recovered);
        return false;
    }
    let has_part = match status.role {
        Role::Primary | Role::Backup => true,
        Role::Standby => !described.member.shall_vote,
        Role::Blank | Role::ViewChange | Role::Recovering => false,
    };
    let asking = client.cluster_metadata();
    let Some(Ok(metadata)) = desk.patiently("asking for nodes", asking).await else {
        return false;
    };
    let is_alive = metadata.node(node).is_some_and(|it| it.alive);
    has_part && is_alive && !lacks_something(&metadata, node)
}

/// Whether a partition that `node` shall hold is not as it shall be, or one of those of which
/// there are several copies could not bear that another disk is lost: who is absent is taken out of
/// the voters first, and only then comes whoever shall take the place.
fn lacks_something(metadata: &ClusterMetadata, node: u16) -> bool {
    let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
    // What nobody else shall hold is lost for good, and nothing was written to it.
    let mut shared = partitions.filter(|it| it.replicas.len() > 1);
    let is_weak = |voters: &[u16]| voters.len() < 3;
    shared.any(|it| {
        let is_behind = it.replicas.contains(&node) && !it.is_settled();
        let has_weak_previous = !it.previous.is_empty() && is_weak(&it.previous);
        is_behind || !it.absent.is_empty() || is_weak(&it.voters) || has_weak_previous
    })
}
