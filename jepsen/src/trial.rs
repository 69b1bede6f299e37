//! One trial: a cluster, clients, faults, healing, a last reading and a judgement.

use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::PATIENCE;
use crate::nemesis::Nemesis;
use crate::{
    Cluster, Failure, Fault, History, Options, Shape, Verdict, Workload, read_partition, wait_until,
};

/// What to try.
#[derive(Clone, Debug)]
pub struct Trial {
    /// How the cluster is started.
    pub options: Options,
    /// On how many nodes each partition is held.
    pub replication: u16,
    /// What is written and read.
    pub shape: Shape,
    /// What breaks.
    pub faults: Vec<Fault>,
    /// How long things break.
    pub lasting: Duration,
    /// Where all that is random comes from.
    pub seed: u64,
}

/// Carries out a trial; `tell` hears what happens on the way. The folder with data and logs stays
/// behind unless the verdict is a pass.
pub fn run(trial: Trial, tell: &mut dyn FnMut(&str)) -> Result<(History, Verdict), Failure> {
    let origin = Instant::now();
    let mut cluster = Cluster::start(trial.options.clone())?;
    tell(&format!("cluster in {}", cluster.folder().display()));
    let outcome = run_on(&mut cluster, trial, origin, tell);
    if !matches!(outcome, Ok((_, Verdict::Pass))) {
        cluster.keep_folder();
        tell(&format!(
            "data and logs are kept in {}",
            cluster.folder().display()
        ));
    }
    outcome
}

fn run_on(
    cluster: &mut Cluster,
    trial: Trial,
    origin: Instant,
    tell: &mut dyn FnMut(&str),
) -> Result<(History, Verdict), Failure> {
    let shape = &trial.shape;
    let line = cluster.command_line();
    line.create_topic(&shape.topic, shape.partitions, trial.replication)?;
    let workload = Workload::start(line, shape.clone(), origin);
    let mut nemesis = Nemesis::new(trial.seed, trial.faults.clone());
    let mut faults = Vec::new();
    let end = Instant::now() + trial.lasting;
    while let Some(plan) = nemesis.plan() {
        if Instant::now() + plan.calm >= end {
            break;
        }
        thread::sleep(plan.calm);
        let event = plan.strike(cluster, &shape.topic, shape.partitions, origin)?;
        tell(&event.to_string());
        thread::sleep(plan.lasting);
        plan.undo(cluster, &event)?;
        faults.push(event);
    }
    thread::sleep(end.saturating_duration_since(Instant::now()));
    tell("healing");
    let healed = cluster.heal().and_then(|()| {
        // Every writer goes on after the last fault, or it would not be healed.
        let count = u64::from(shape.partitions * shape.writers);
        workload.wait_acknowledged(count, PATIENCE)
    });
    let mut history = workload.stop();
    history.faults = faults;
    if let Err(failure) = healed {
        history
            .broken_promises
            .push(format!("the cluster did not heal: {failure}"));
    }
    tell("reading everything");
    read_all(cluster, shape, origin, &mut history);
    note_crashes(cluster, &mut history);
    let verdict = Verdict::of(&history, !trial.faults.is_empty());
    Ok((history, verdict))
}

/// The final readings: each partition from its beginning, with patience. What cannot be read is
/// found by the judge.
fn read_all(cluster: &Cluster, shape: &Shape, origin: Instant, history: &mut History) {
    let line = cluster.command_line();
    for partition in 0..shape.partitions {
        let reading = wait_until("a partition is read to its end", PATIENCE, || {
            let reading = read_partition(&line, &shape.topic, partition, 0, origin)?;
            match reading.finished {
                true => Ok(reading),
                false => Err(Failure::new("`quorate consume` failed")),
            }
        });
        match reading {
            Ok(mut reading) => {
                reading.is_final = true;
                history.reads.push(reading);
            }
            Err(failure) => history.broken_promises.push(failure.to_string()),
        }
    }
}

/// No fault of this harness makes a node panic or end by itself.
fn note_crashes(cluster: &Cluster, history: &mut History) {
    for (id, log) in cluster.logs() {
        let panic = log.lines().find(|line| line.contains("panicked at"));
        if let Some(line) = panic {
            history
                .broken_promises
                .push(format!("node {id} panicked: {line}"));
        } else if !cluster.is_running(id) {
            history
                .broken_promises
                .push(format!("node {id} ended by itself"));
        }
    }
}
