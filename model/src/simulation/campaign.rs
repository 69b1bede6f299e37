//! Many runs on all cores, and what is told of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::sometimes::Table;
use super::timeline::Telling;
use super::{Outcome, Protocol};
use crate::broken::{Broken, caught};

/// So many seeds are taken at once.
const CHUNK: u64 = 32;
/// How often it is told how far the runs are.
const PROGRESS: Duration = Duration::from_secs(5);
/// From so many seeds on, what never happened is missed.
const SEEDS_THAT_SEE_ALL: u64 = 100_000;

/// What runs have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No run has violated anything.
    Holds,
    /// One has, or something never happened that must.
    Violated,
}

/// Which runs.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Of each of these a run for each seed.
    pub protocols: Vec<Protocol>,
    /// The first seed.
    pub first: u64,
    /// How many seeds.
    pub seeds: u64,
    /// After so many failed runs no further one is begun.
    pub failures_max: usize,
}

/// A run that has failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which protocol it was a run of.
    pub protocol: Protocol,
    /// Its seed.
    pub seed: u64,
    /// What was wrong.
    pub words: String,
}

/// What all threads share.
struct Progress {
    next: AtomicU64,
    runs: AtomicU64,
    steps: AtomicU64,
    is_over: AtomicBool,
    failures: Mutex<Vec<(Protocol, u64, Broken)>>,
}

impl Campaign {
    /// The run that fails with the smallest seed, if one does; nothing is printed.
    #[must_use]
    pub fn hunt(&self) -> Option<Failure> {
        let next = AtomicU64::new(self.first);
        // What comes after a run that has failed need not be looked at.
        let end = AtomicU64::new(self.first + self.seeds);
        let failures = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    while let Some(failure) = self.first_failure(&next, &end) {
                        end.fetch_min(failure.seed, Ordering::Relaxed);
                        failures
                            .lock()
                            .expect("nobody panics with it")
                            .push(failure);
                    }
                });
            }
        });
        let failures = failures.into_inner().expect("nobody panics with it");
        failures.into_iter().min_by_key(|failure| failure.seed)
    }

    /// The first failure among the seeds that nobody else takes.
    fn first_failure(&self, next: &AtomicU64, end: &AtomicU64) -> Option<Failure> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return None;
            }
            for protocol in self.protocols.iter().copied() {
                if let Err(broken) = caught(|| protocol.run(seed)) {
                    let words = broken.what;
                    return Some(Failure {
                        protocol,
                        seed,
                        words,
                    });
                }
            }
        }
    }

    /// Lives through one run of each protocol, and tells all of it.
    #[must_use]
    pub fn replay(&self) -> Finding {
        let mut finding = Finding::Holds;
        for protocol in &self.protocols {
            println!("{protocol}, seed {}", self.first);
            match caught(|| protocol.tell(self.first, Telling::Aloud)) {
                Ok(outcome) => println!("  {} steps, trace {:016x}", outcome.steps, outcome.trace),
                Err(Broken { what: words, .. }) => {
                    println!("VIOLATED: {words}");
                    finding = Finding::Violated;
                }
            }
        }
        finding
    }
}

/// Lives through all runs, on all cores, and prints what was seen.
#[must_use]
pub fn simulate(campaign: &Campaign) -> Finding {
    let progress = Progress {
        next: AtomicU64::new(campaign.first),
        runs: AtomicU64::new(0),
        steps: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
        failures: Mutex::new(Vec::new()),
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let begin = Instant::now();
    let tables = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| work(campaign, &progress)))
            .collect();
        tell_progress(campaign, &progress, || {
            workers.iter().all(thread::ScopedJoinHandle::is_finished)
        });
        let join = |worker: thread::ScopedJoinHandle<'_, Vec<Table>>| {
            worker.join().expect("what a run does wrong is caught")
        };
        workers.into_iter().map(join).collect::<Vec<_>>()
    });
    report(campaign, &progress, &tables, begin.elapsed(), cores)
}

fn work(campaign: &Campaign, progress: &Progress) -> Vec<Table> {
    let protocols = &campaign.protocols;
    let mut tables: Vec<Table> = protocols.iter().map(|protocol| protocol.table()).collect();
    let end = campaign.first + campaign.seeds;
    loop {
        let first = progress.next.fetch_add(CHUNK, Ordering::Relaxed);
        for seed in first..end.min(first + CHUNK) {
            for (protocol, table) in protocols.iter().zip(&mut tables) {
                if progress.is_over.load(Ordering::Relaxed) {
                    return tables;
                }
                match caught(|| protocol.run(seed)) {
                    Ok(Outcome { steps, tally, .. }) => {
                        table.add(&tally);
                        progress.steps.fetch_add(steps, Ordering::Relaxed);
                    }
                    Err(broken) => note_failure(campaign, progress, *protocol, seed, broken),
                }
                progress.runs.fetch_add(1, Ordering::Relaxed);
            }
        }
        if first >= end {
            return tables;
        }
    }
}

fn note_failure(
    campaign: &Campaign,
    progress: &Progress,
    protocol: Protocol,
    seed: u64,
    broken: Broken,
) {
    println!("{protocol}, seed {seed}: {}", broken.what);
    let mut failures = progress.failures.lock().expect("nobody panics with it");
    failures.push((protocol, seed, broken));
    if failures.len() >= campaign.failures_max {
        progress.is_over.store(true, Ordering::Relaxed);
    }
}

fn tell_progress(campaign: &Campaign, progress: &Progress, is_done: impl Fn() -> bool) {
    let mut told = Instant::now();
    let mut before = (0, 0);
    while !is_done() {
        thread::sleep(Duration::from_millis(20));
        if told.elapsed() < PROGRESS {
            continue;
        }
        let seconds = told.elapsed().as_secs_f64();
        told = Instant::now();
        let runs = progress.runs.load(Ordering::Relaxed);
        let steps = progress.steps.load(Ordering::Relaxed);
        eprintln!(
            "{runs} of {} runs, {:.0} runs/s, {:.0} steps/s",
            campaign.seeds * campaign.protocols.len() as u64,
            (runs - before.0) as f64 / seconds,
            (steps - before.1) as f64 / seconds,
        );
        before = (runs, steps);
    }
}

fn report(
    campaign: &Campaign,
    progress: &Progress,
    tables: &[Vec<Table>],
    elapsed: Duration,
    cores: usize,
) -> Finding {
    let seconds = elapsed.as_secs_f64();
    let runs = progress.runs.load(Ordering::Relaxed);
    let steps = progress.steps.load(Ordering::Relaxed);
    let (runs_each, steps_each) = (runs as f64 / seconds, steps as f64 / seconds);
    let mut finding = Finding::Holds;
    for (place, protocol) in campaign.protocols.iter().enumerate() {
        let mut table = protocol.table();
        tables.iter().for_each(|tables| table.merge(&tables[place]));
        println!("{protocol}: sometimes");
        for line in table.lines(runs / campaign.protocols.len() as u64) {
            println!("{line}");
        }
        let never = table.never();
        if !never.is_empty() && campaign.seeds >= SEEDS_THAT_SEE_ALL {
            println!("NEVER SEEN: {}", never.join("; "));
            finding = Finding::Violated;
        }
    }
    println!(
        "{runs} runs, {steps} steps in {seconds:.1} s on {cores} cores: {runs_each:.0} runs/s, \
         {steps_each:.0} steps/s"
    );
    let failures = progress.failures.lock().expect("nobody panics with it");
    if let Some((protocol, seed, Broken { what: words, .. })) = failures.first() {
        println!("how it came to it, {protocol}, seed {seed}:");
        let again = caught(|| protocol.tell(*seed, Telling::Kept));
        assert!(again.is_err(), "the same seed does the same again");
        println!("VIOLATED: {words}");
        println!("all of it: simulate --protocol {protocol} --seed {seed}");
        finding = Finding::Violated;
    }
    finding
}
