//! Those who change the cluster while others use it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use quorate_client::{Client, Code, Compaction, Error, Limit, Platform, Retention, TopicInfo};
use quorate_jepsen::Outcome;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::ledger::Ending;
use super::{Desk, Fate, Seen, Target, Topic, compaction_of, consume, produce};
use crate::simulation::oracle::control::Topic as Known;
use crate::simulation::oracle::control::TopicAction;

/// Between two tries to do what must be done, in milliseconds.
const AGAIN_MS: (u64, u64) = (50, 500);

/// Creates `topic`, however long it takes; its partitions. None if the workload ends before.
pub async fn create<P: Platform>(
    desk: &Desk<P>,
    random: &mut ChaCha8Rng,
    topic: &Topic,
) -> Vec<Target> {
    let compaction = match &topic.fate {
        Fate::Compacted(keys) => Some(compaction_of(keys)),
        Fate::Kept | Fate::Expiring { .. } => None,
    };
    while let Some(client) = desk.connect().await {
        let shape = (topic.partitions, topic.replication);
        let is_there = create_once(desk, &client, &topic.name, shape, compaction).await;
        let is_there = match topic.fate {
            Fate::Expiring { after, .. } if is_there => {
                let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                retain_once(desk, &client, &topic.name, (Some(millis), None)).await
            }
            Fate::Kept | Fate::Compacted(_) | Fate::Expiring { .. } => is_there,
        };
        if is_there {
            return desk.ledger.open(topic);
        }
        desk.pause(random, AGAIN_MS).await;
    }
    Vec::new()
}

/// Whether the topic certainly exists after this.
async fn create_once<P: Platform>(
    desk: &Desk<P>,
    client: &Client<P>,
    name: &str,
    (partitions, replication): (u32, u16),
    compaction: Option<Compaction>,
) -> bool {
    let invoked = desk.now();
    let creating = async {
        match compaction {
            Some(compaction) => {
                let creating =
                    client.create_compacted_topic(name, partitions, replication, compaction);
                creating.await
            }
            None => client.create_topic(name, partitions, replication).await,
        }
    };
    let created = desk.patiently("creating a topic", creating).await;
    let note = |action, completed| desk.ledger.note_topic(name, action, invoked, completed);
    let unseen = Known {
        id: None,
        partitions,
        is_compacted: compaction.is_some(),
        retention: (None, None),
    };
    match desk.ledger.ending("create topic", created) {
        // The answer tells how the topic is now, and so of what others have done since; they may
        // even have deleted it.
        Ending::Done(info) => {
            let id = known(&info).id;
            note(
                TopicAction::Created(Known { id, ..unseen }),
                Some(desk.now()),
            );
            id.is_some()
        }
        Ending::Refused(error) if code_of(&error) == Some(Code::TopicExists) => {
            note(TopicAction::Exists, Some(desk.now()));
            true
        }
        Ending::Refused(_) => false,
        Ending::Doubtful => {
            note(TopicAction::Created(unseen), None);
            false
        }
    }
}

/// Whether the topic certainly does not exist after this.
async fn delete_once<P: Platform>(desk: &Desk<P>, client: &Client<P>, name: &str) -> bool {
    let invoked = desk.now();
    let deleting = client.delete_topic(name);
    let deleted = desk.patiently("deleting a topic", deleting).await;
    let note = |action, completed| desk.ledger.note_topic(name, action, invoked, completed);
    match desk.ledger.ending("delete topic", deleted) {
        Ending::Done(()) => {
            note(TopicAction::Deleted, Some(desk.now()));
            true
        }
        Ending::Refused(error) if code_of(&error) == Some(Code::UnknownTopic) => {
            note(TopicAction::Missing, Some(desk.now()));
            true
        }
        Ending::Refused(_) => false,
        Ending::Doubtful => {
            note(TopicAction::Deleted, None);
            false
        }
    }
}

/// Whether the topic certainly keeps its records so after this.
async fn retain_once<P: Platform>(
    desk: &Desk<P>,
    client: &Client<P>,
    name: &str,
    retention: (Option<u64>, Option<u64>),
) -> bool {
    let limit = |limit: Option<u64>| limit.map_or(Limit::Lift, Limit::Set);
    let invoked = desk.now();
    let retaining = client.retain_topic(name, limit(retention.0), limit(retention.1));
    let retained = desk.patiently("changing a retention", retaining).await;
    let note = |action, completed| desk.ledger.note_topic(name, action, invoked, completed);
    match desk.ledger.ending("retain topic", retained) {
        Ending::Done(()) => {
            note(TopicAction::Retained(retention), Some(desk.now()));
            true
        }
        Ending::Refused(error) if code_of(&error) == Some(Code::UnknownTopic) => {
            note(TopicAction::Missing, Some(desk.now()));
            false
        }
        Ending::Refused(_) => false,
        Ending::Doubtful => {
            note(TopicAction::Retained(retention), None);
            false
        }
    }
}

async fn look_once<P: Platform>(desk: &Desk<P>, client: &Client<P>, name: &str) {
    let invoked = desk.now();
    let looking = client.topic_info(name);
    let info = desk.patiently("reading a topic", looking).await;
    // That there is no such topic is an answer like any other.
    let seen = info.map(|info| match info {
        Ok(info) => Ok(Some(known(&info))),
        Err(error) if code_of(&error) == Some(Code::UnknownTopic) => Ok(None),
        Err(error) => Err(error),
    });
    if let Ending::Done(seen) = desk.ledger.ending("read topic", seen) {
        let (action, completed) = (TopicAction::Seen(seen), Some(desk.now()));
        desk.ledger.note_topic(name, action, invoked, completed);
    }
}

async fn list_once<P: Platform>(desk: &Desk<P>, client: &Client<P>, names: &[String]) {
    let invoked = desk.now();
    let listed = desk.patiently("listing topics", client.list_topics()).await;
    let Ending::Done(topics) = desk.ledger.ending("list topics", listed) else {
        return;
    };
    let topics: BTreeMap<_, _> = topics.iter().map(|it| (it.name.as_str(), it)).collect();
    for name in names {
        let seen = topics.get(name.as_str()).map(|info| known(info));
        let (action, completed) = (TopicAction::Seen(seen), Some(desk.now()));
        desk.ledger.note_topic(name, action, invoked, completed);
    }
}

fn known(info: &TopicInfo) -> Known {
    let Retention { ms, bytes } = info.retention;
    Known {
        id: info.partitions.first().map(|partition| partition.id),
        partitions: info.partitions.len() as u32,
        is_compacted: info.compaction.is_some(),
        retention: (ms, bytes),
    }
}

pub(super) fn code_of(error: &Error) -> Option<Code> {
    match error {
        Error::Refused { refusal, .. } => Some(refusal.code),
        _ => None,
    }
}

/// Creates, deletes, changes and looks at topics of these names, in which nobody writes, until the
/// workload ends. Several of these may share their names.
pub async fn juggle<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    names: Vec<String>,
    pause_ms: RangeInclusive<u64>,
) {
    while let Some(client) = desk.connect().await {
        for _ in 0..random.random_range(1..20) {
            if desk.ledger.is_stopping() {
                return;
            }
            let name = &names[random.random_range(0..names.len())];
            match random.random_range(0..7) {
                0 | 1 => {
                    let shape = (random.random_range(1..=3), 1);
                    let compaction = random.random::<bool>().then(Compaction::default);
                    create_once(&desk, &client, name, shape, compaction).await;
                }
                2 => {
                    delete_once(&desk, &client, name).await;
                }
                3 => {
                    let limit = random.random_range(1..4) * 1_000_000;
                    let ms = random.random::<bool>().then_some(limit);
                    retain_once(&desk, &client, name, (ms, None)).await;
                }
                4 => list_once(&desk, &client, &names).await,
                _ => look_once(&desk, &client, name).await,
            }
            desk.pause(&mut random, (*pause_ms.start(), *pause_ms.end()))
                .await;
        }
    }
}

/// Looks at topics of these names and asks for nothing else, so that whoever answered goes on to be
/// asked, until the workload ends.
pub async fn look<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    names: Vec<String>,
    pause_ms: RangeInclusive<u64>,
) {
    while let Some(client) = desk.connect().await {
        for _ in 0..random.random_range(1..200) {
            if desk.ledger.is_stopping() {
                return;
            }
            match random.random_range(0..8) {
                0 => list_once(&desk, &client, &names).await,
                _ => {
                    let name = &names[random.random_range(0..names.len())];
                    look_once(&desk, &client, name).await;
                }
            }
            desk.pause(&mut random, (*pause_ms.start(), *pause_ms.end()))
                .await;
        }
    }
}

/// Has topics of one name live and die, one after the other, with writers and readers of their own,
/// until the workload ends. What one holds must never be seen in the next.
pub async fn recreate<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    topic: Topic,
    habits: (produce::Habits, consume::Habits),
) {
    while !desk.ledger.is_stopping() {
        let targets = create(&desk, &mut random, &topic).await;
        if targets.is_empty() {
            return;
        }
        // What this one was for ends with it, so it may be deleted at any time.
        desk.ledger.doom(&targets);
        let life = Life::new(&desk, &mut random, &targets, &habits);
        desk.pause(&mut random, (200, 5000)).await;
        // Clients may still be at work when it is deleted, or have ended before.
        let is_empty_handed = random.random::<bool>();
        let life = if is_empty_handed {
            life.end(&desk).await;
            None
        } else {
            Some(life)
        };
        delete(&desk, &mut random, &topic.name).await;
        if let Some(life) = life {
            life.end(&desk).await;
            // A creation of which nothing was heard may have been done since, and these clients may
            // have written to what it created.
            delete(&desk, &mut random, &topic.name).await;
        }
    }
}

/// Deletes a topic, however long it takes, unless the workload ends before.
async fn delete<P: Platform>(desk: &Desk<P>, random: &mut ChaCha8Rng, name: &str) {
    let mut is_gone = false;
    while !is_gone && !desk.ledger.is_stopping() {
        let Some(client) = desk.connect().await else {
            return;
        };
        is_gone = delete_once(desk, &client, name).await;
        desk.pause(random, AGAIN_MS).await;
    }
}

/// The clients of one life of a topic.
///
/// A new client that asks a node which is cut off may be told of the life before this one, and
/// would write to that, and read it, in the name of this one. So theirs are made to know first that
/// there is another one: no client goes back behind what it knows.
struct Life {
    ledger: super::Ledger,
    stopped: flume::Receiver<()>,
}

impl Life {
    fn new<P: Platform>(
        desk: &Desk<P>,
        random: &mut ChaCha8Rng,
        targets: &[Target],
        habits: &(produce::Habits, consume::Habits),
    ) -> Self {
        let ledger = desk.ledger.for_some();
        let desk = Desk {
            ledger: ledger.clone(),
            news: targets.first().map(|target| target.topic.clone()),
            ..desk.clone()
        };
        let (sender, stopped) = flume::bounded(0);
        let mut seed = || {
            use rand::SeedableRng;
            ChaCha8Rng::seed_from_u64(random.random())
        };
        let writing = produce::produce(desk.clone(), seed(), targets.to_vec(), habits.0.clone());
        let reading = consume::consume(desk.clone(), seed(), targets.to_vec(), habits.1.clone());
        let other = sender.clone();
        desk.platform.spawn(async move {
            writing.await;
            drop(other);
        });
        desk.platform.spawn(async move {
            reading.await;
            drop(sender);
        });
        Self { ledger, stopped }
    }

    async fn end<P: Platform>(self, desk: &Desk<P>) {
        self.ledger.stop();
        let ended = async { while self.stopped.recv_async().await.is_ok() {} };
        desk.patiently("ending the clients of a topic", ended).await;
    }
}

/// Has one node after the other become the primary, until the workload ends.
pub async fn transfer_primary<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    nodes: Vec<u16>,
    pause_ms: RangeInclusive<u64>,
) {
    while let Some(client) = desk.connect().await {
        desk.pause(&mut random, (*pause_ms.start(), *pause_ms.end()))
            .await;
        let to = nodes[random.random_range(0..nodes.len())];
        let transferred = desk
            .patiently("a transfer", client.transfer_primary(to))
            .await;
        let _ = desk.ledger.ending("transfer primary", transferred);
    }
}

/// Deletes the oldest records of `targets`, until the workload ends.
pub async fn delete_records<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    targets: Vec<Target>,
    pause_ms: RangeInclusive<u64>,
) {
    while let Some(client) = desk.connect().await {
        desk.pause(&mut random, (*pause_ms.start(), *pause_ms.end()))
            .await;
        let target = &targets[random.random_range(0..targets.len())];
        let end = desk.ledger.end_of(target.log);
        let before = (random.random_range(0..4) > 0).then(|| random.random_range(0..=end));
        let number = desk.ledger.begin_deletion(target.log, before, desk.now());
        let deleting = client.delete_records(&target.topic, target.index, before);
        let outcome = match desk.patiently("deleting records", deleting).await {
            Some(Ok(offset)) => Outcome::Ok { offset },
            Some(Err(error)) if error.certainty() == quorate_client::Certainty::Definite => {
                Outcome::Fail
            }
            Some(Err(_)) | None => Outcome::Info,
        };
        desk.ledger
            .end_deletion(target.log, number, desk.now(), outcome);
    }
}

/// Looks at the partitions of topics, until the workload ends.
pub async fn watch<P: Platform>(
    desk: Desk<P>,
    mut random: ChaCha8Rng,
    topics: Vec<String>,
    pause_ms: RangeInclusive<u64>,
) {
    while let Some(client) = desk.connect().await {
        for _ in 0..10 {
            if desk.ledger.is_stopping() {
                return;
            }
            let topic = &topics[random.random_range(0..topics.len())];
            look_at_partitions(&desk, &client, topic).await;
            desk.pause(&mut random, (*pause_ms.start(), *pause_ms.end()))
                .await;
        }
    }
}

/// Notes how the partitions of a topic are; the notes.
pub(in crate::simulation) async fn look_at_partitions<P: Platform>(
    desk: &Desk<P>,
    client: &Client<P>,
    topic: &str,
) -> Vec<Seen> {
    let invoked = desk.now();
    let describing = client.describe_topic(topic);
    let described = desk.patiently("describing a topic", describing).await;
    let Ending::Done(topic) = desk.ledger.ending("describe topic", described) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for partition in topic.partitions {
        let Ok(status) = partition.status else {
            continue;
        };
        let seen = Seen {
            invoked,
            completed: desk.now(),
            info: partition.info,
            status,
        };
        desk.ledger.note_seen(seen.clone());
        all.push(seen);
    }
    all
}
