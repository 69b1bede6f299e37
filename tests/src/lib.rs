//! What the end-to-end tests have in common: one cluster at a time, and its judgement.
//!
//! The tests start real processes through [`quorate_jepsen`] and look at them only from outside.

pub mod simulation;

use std::fmt;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use quorate_jepsen::{
    Cluster, CommandLine, Finished, History, Options, PATIENCE, PartitionDescription, Shape,
    Verdict, Workload, read_partition, wait_until,
};

/// The topic that the tests write to.
pub const TOPIC: &str = "orders";

/// Makes the tests of one program take turns: each cluster wants the machine for itself.
///
/// A test that failed has dropped its cluster, so the next may go on.
pub fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Unwraps what the harness could do, or fails the test in its words.
#[track_caller]
pub fn sure<T, E: fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// A cluster of three nodes with one topic, of which every node holds every partition.
pub fn cluster_with_topic(partitions: u32) -> Cluster {
    let cluster = sure(Cluster::start(Options::default()));
    sure(cluster.command_line().create_topic(TOPIC, partitions, 3));
    // Every node has heard of it, and its leaders are open.
    for id in cluster.node_ids() {
        let line = cluster.command_line_of(id);
        sure(wait_until("the topic is whole", PATIENCE, || {
            line.partitions(TOPIC)?
                .iter()
                .try_for_each(PartitionDescription::check_whole)
        }));
    }
    cluster
}

/// A cluster whose nodes close segments early and look for old records often.
pub fn cluster_of_small_segments() -> Cluster {
    let mut cluster = sure(Cluster::start(Options::default()));
    for id in cluster.node_ids() {
        let config = cluster.description(id).config_file.clone();
        sure(cluster.kill(id));
        let text = sure(fs::read_to_string(&config));
        let set = |line: &str| match line.split_once(" = ") {
            Some(("segment_bytes", _)) => "segment_bytes = 65536\n".to_owned(),
            Some(("retention_check_ms", _)) => "retention_check_ms = 100\n".to_owned(),
            Some(_) | None => format!("{line}\n"),
        };
        let text: String = text.lines().map(set).collect();
        assert!(text.contains("65536"), "{text}");
        sure(fs::write(&config, text));
        sure(cluster.restart(id));
    }
    sure(cluster.wait_whole(PATIENCE));
    cluster
}

/// Writers and readers at work on a cluster while a test breaks it.
#[derive(Debug)]
pub struct Load {
    workload: Workload,
    shape: Shape,
    origin: Instant,
}

impl Load {
    /// Starts one writer and one reader per partition, and waits until all is under way.
    pub fn start(cluster: &Cluster, partitions: u32) -> Self {
        let origin = Instant::now();
        let shape = Shape::new(TOPIC, partitions);
        let workload = Workload::start(cluster.command_line(), shape.clone(), origin);
        let load = Self {
            workload,
            shape,
            origin,
        };
        load.wait_progress();
        load
    }

    /// How many records have been acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.workload.acknowledged()
    }

    /// Waits until writing has gone on for a good while from now.
    pub fn wait_progress(&self) {
        sure(self.workload.wait_acknowledged(500, PATIENCE));
    }

    /// When the moments of its history begin.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// Stops writing, reads everything and fails the test unless what is read is what was
    /// acknowledged: exactly once, in order, nothing else.
    pub fn judge(self, cluster: &Cluster) -> History {
        self.judge_with(cluster, History::default())
    }

    /// Like [`Load::judge`], where others have written as well.
    pub fn judge_with(self, cluster: &Cluster, others: History) -> History {
        let mut history = self.workload.stop();
        history.appends.extend(others.appends);
        history.reads.extend(others.reads);
        history.broken_promises.extend(others.broken_promises);
        for partition in 0..self.shape.partitions {
            history
                .reads
                .push(read_to_the_end(cluster, partition, self.origin));
        }
        let verdict = Verdict::of(&history, false);
        assert_eq!(verdict, Verdict::Pass, "{verdict}");
        assert_no_panic(cluster);
        history
    }
}

/// Reads a whole partition; takes no partial answer.
pub fn read_to_the_end(cluster: &Cluster, partition: u32, origin: Instant) -> quorate_jepsen::Read {
    let line = cluster.command_line();
    let mut reading = sure(wait_until(
        "the partition is read to its end",
        PATIENCE,
        || {
            let reading = read_partition(&line, TOPIC, partition, 0, origin)?;
            match reading.finished {
                true => Ok(reading),
                false => Err(quorate_jepsen::Failure::new("`quorate consume` failed")),
            }
        },
    ));
    reading.is_final = true;
    reading
}

/// No node may panic, whatever it was told.
#[track_caller]
pub fn assert_no_panic(cluster: &Cluster) {
    for (id, log) in cluster.logs() {
        let panic = log.lines().find(|line| line.contains("panicked at"));
        assert_eq!(panic, None, "node {id} panicked");
    }
}

/// Waits until another node than `old` leads the partition.
pub fn wait_led_by_another(cluster: &Cluster, partition: u32, old: u16) -> u16 {
    let what = format!("another node than {old} leads partition {partition}");
    sure(wait_until(&what, PATIENCE, || {
        match cluster.leader(TOPIC, partition)? {
            leader if leader == old => Err(quorate_jepsen::Failure::new("it still leads")),
            leader => Ok(leader),
        }
    }))
}

/// Runs a command that must fail with a message that holds all of `words`, and not by a crash.
#[track_caller]
pub fn assert_refused(line: &CommandLine, arguments: &[&str], words: &[&str]) -> Finished {
    let finished = sure(line.finish(arguments));
    assert_clear_error(&finished, &arguments.join(" "), words);
    finished
}

/// Fails unless the command failed in order and its message holds all of `words`.
#[track_caller]
pub fn assert_clear_error(finished: &Finished, what: &str, words: &[&str]) {
    let said = &finished.stderr;
    assert!(!finished.success, "`{what}` should fail: {said}");
    assert!(
        finished.code.is_some(),
        "`{what}` was ended by a signal: {said}"
    );
    assert!(!said.contains("panicked at"), "`{what}` panicked: {said}");
    for word in words {
        assert!(
            said.contains(word),
            "`{what}` should speak of {word:?}: {said}"
        );
    }
}

/// A process that is ended when the test lets go of it.
#[derive(Debug)]
pub struct Guarded(Child);

impl Guarded {
    /// Starts a command whose output is of no interest.
    pub fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(sure(command.spawn()))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // What has ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Fails unless the cluster still takes and gives records.
#[track_caller]
pub fn assert_works(cluster: &Cluster) {
    let line = cluster.command_line();
    let topic = "proof-of-life";
    let known = sure(line.topics());
    if !known.iter().any(|name| name == topic) {
        sure(line.create_topic(topic, 1, 3));
    }
    let before = sure(line.run(&["consume", topic]));
    let finished = sure(line.feed(&["produce", topic], b"alive\n".to_vec()));
    assert!(
        finished.success,
        "the cluster takes no records: {}",
        finished.stderr
    );
    let after = sure(line.run(&["consume", topic]));
    assert_eq!(after, [&before[..], b"alive\n"].concat());
}
