//! After all is healed: is everything well again, and in time?

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_client::{Client, PartitionInfo, PartitionStatus, Platform};
use quorate_platform::Instant;
use rand::rngs::ChaCha8Rng;

use super::administer::look_at_partitions;
use super::consume::{Plan, Reading};
use super::produce::{Habits, Writer};
use super::{Desk, Seen, Target};
use crate::simulation::oracle::replicas::Partition;

/// Between two looks, in milliseconds.
const AGAIN_MS: (u64, u64) = (100, 500);

/// What may be damaged when all else is healed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// Copies of which others are good, and which no node may have come by yet.
    Mendable,
    /// Anything, so that not all has to be well again.
    Any,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Conclusion {
    /// What may be damaged.
    pub damage: Damage,
    /// What was not well in time, in words.
    pub problems: Vec<String>,
    /// The logs of the partitions that were not.
    pub unwell: BTreeSet<u32>,
    /// The partitions that were, for whoever compares their copies.
    pub settled: Vec<Settled>,
}

/// A partition that has come to rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What is in it.
    pub partition: Partition,
    /// The nodes that hold it.
    pub holders: Vec<u16>,
}

/// Looks whether every partition of `targets` takes an append, can be read from its beginning to
/// its end, and is the same on all its replicas. Each of the three may take so long as `bound`.
///
/// What it writes and reads is noted as well; its readings are the final ones. Nobody else may
/// write meanwhile. `damage` is what may be damaged at first.
pub async fn settle<P: Platform>(
    desk: &Desk<P>,
    mut random: ChaCha8Rng,
    targets: &[Target],
    bound: Duration,
    damage: Damage,
) -> Conclusion {
    let desk = Desk {
        ledger: desk.ledger.reopened(),
        ..desk.clone()
    };
    let mut conclusion = Conclusion {
        damage,
        ..Conclusion::default()
    };
    let connected = desk.platform.timeout(bound, desk.connect()).await;
    let Ok(Some(client)) = connected else {
        let problem = format!("no client reaches the cluster within {bound:?}");
        conclusion.problems.push(problem);
        conclusion.unwell = targets.iter().map(|target| target.log).collect();
        return conclusion;
    };
    let deadline = desk.platform.now() + bound;
    for target in targets {
        if !write(&desk, &client, &mut random, target, deadline).await {
            conclusion.miss(target, "takes no append", bound);
        }
    }
    let deadline = desk.platform.now() + bound;
    for target in targets {
        if !read_to_the_end(&desk, &client, &mut random, target, deadline).await {
            conclusion.miss(target, "cannot be read to its end", bound);
        }
    }
    let deadline = desk.platform.now() + bound;
    for target in targets {
        match rest(&desk, &client, &mut random, target, deadline).await {
            Ok(mut settled) => {
                settled.partition.may_be_damaged = damage != Damage::None;
                conclusion.settled.push(settled);
            }
            Err(how) => conclusion.miss(target, &format!("is not at rest: {how}"), bound),
        }
    }
    conclusion
}

impl Conclusion {
    fn miss(&mut self, target: &Target, what: &str, bound: Duration) {
        let Target { topic, index, .. } = target;
        let problem = format!("topic \"{topic}\" partition {index} {what} (within {bound:?})");
        self.problems.push(problem);
        self.unwell.insert(target.log);
    }
}

/// Whether the partition takes an append before the deadline.
async fn write<P: Platform>(
    desk: &Desk<P>,
    client: &Client<P>,
    random: &mut ChaCha8Rng,
    target: &Target,
    deadline: Instant,
) -> bool {
    loop {
        let left = deadline.since(desk.platform.now());
        if left.is_zero() {
            return false;
        }
        let habits = Habits {
            delivery_timeout: left,
            ..Habits::default()
        };
        if let Some(mut writer) = Writer::open(desk, client, random, &habits).await {
            writer.send(target, 0).await;
            if writer.finish().await {
                return true;
            }
        }
        desk.pause(random, AGAIN_MS).await;
    }
}

/// Whether the partition can be read to its end before the deadline.
pub(in crate::simulation) async fn read_to_the_end<P: Platform>(
    desk: &Desk<P>,
    client: &Client<P>,
    random: &mut ChaCha8Rng,
    target: &Target,
    deadline: Instant,
) -> bool {
    loop {
        let left = deadline.since(desk.platform.now());
        if left.is_zero() {
            return false;
        }
        let asking = client.offsets(&target.topic, target.index);
        if let Some(Ok(offsets)) = desk.patiently("asking for offsets", asking).await {
            let plan = Plan::last(target, offsets.log_start, left);
            if Reading::new(desk, plan).run(client).await {
                return true;
            }
        }
        desk.pause(random, AGAIN_MS).await;
    }
}

/// How the partition is once all its replicas have everything; or what is still missing.
async fn rest<P: Platform>(
    desk: &Desk<P>,
    client: &Client<P>,
    random: &mut ChaCha8Rng,
    target: &Target,
    deadline: Instant,
) -> Result<Settled, String> {
    let mut missing = "it was never described".to_owned();
    while desk.platform.now() < deadline {
        let seen = look_at_partitions(desk, client, &target.topic).await;
        if let Some(seen) = seen.iter().find(|seen| seen.info.index == target.index) {
            match unrest(seen) {
                None => return Ok(settled(seen, target)),
                Some(what) => missing = what,
            }
        }
        desk.pause(random, AGAIN_MS).await;
    }
    Err(missing)
}

/// What keeps a partition from being at rest.
fn unrest(seen: &Seen) -> Option<String> {
    let Seen { info, status, .. } = seen;
    let PartitionInfo { leader, .. } = info;
    let PartitionStatus { high_watermark, .. } = status;
    let lags = |node: &u16| {
        let replica = status.replicas.iter().find(|it| it.node == *node);
        !replica.is_some_and(|it| it.in_sync && it.next_offset == *high_watermark)
    };
    if !info.is_settled() {
        return Some(format!("its replicas are being changed: {info:?}"));
    }
    if status.node != *leader || !status.is_open || status.epoch != info.epoch {
        return Some(format!(
            "its leader, node {leader}, is not open: {status:?}"
        ));
    }
    if status.damaged_ranges > 0 {
        return Some(format!("{} ranges are damaged", status.damaged_ranges));
    }
    let late = info.voters.iter().find(|node| lags(node));
    late.map(|node| format!("node {node} does not have everything: {status:?}"))
}

fn settled(seen: &Seen, target: &Target) -> Settled {
    Settled {
        partition: Partition {
            id: seen.info.id,
            log_start: seen.status.log_start_offset,
            high_watermark: seen.status.high_watermark,
            is_compacted: target.keys.is_some(),
            may_be_damaged: false,
        },
        holders: seen.info.holders(),
    }
}
