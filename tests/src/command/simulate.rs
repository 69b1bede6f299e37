use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use quorate_tests::simulation::campaign::{cores, run_all};
use quorate_tests::simulation::run::{Outcome, run_seed};
use quorate_tests::simulation::sometimes::Sometimes;
use quorate_tests::simulation::swarm::{Plan, Profile};

/// From so many runs on, everything that may happen has to have happened.
const LONG_RUNS: u64 = 1000;
/// One run of so many may prove nothing, for the cluster had no time to work.
const IN_VAIN_SHARE: u64 = 4;
/// The lines of a failed run that are shown; the file has more.
const LINES_SHOWN: usize = 60;
/// How often the progress is told to who is not a person.
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Whole clusters with their clients, one a seed, in bad worlds.
#[derive(Args)]
pub(super) struct Simulate {
    /// How many runs; without it one, of which the end is told in any case.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed; the same seed gives the same run.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What the runs are like.
    #[arg(long, value_enum, default_value_t = Kind::Swarm)]
    profile: Kind,
    /// How many runs may fail before the rest is given up.
    #[arg(long, default_value_t = 1)]
    failures: usize,
    /// How many threads run them; all cores unless given.
    #[arg(long)]
    threads: Option<usize>,
    /// Where the ends of failed runs are written.
    #[arg(long, value_name = "DIR", default_value = "target/simulation")]
    traces: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Anything.
    Swarm,
    /// Nodes and links go and come, and in the end all is healed.
    Liveness,
    /// Power fails, segments are small, and disks fail and rot.
    Disk,
    /// The same, and records may be damaged in all places: no more is asked than to say so.
    Loud,
}

impl From<Kind> for Profile {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Swarm => Self::Swarm,
            Kind::Liveness => Self::Liveness,
            Kind::Disk => Self::Disk,
            Kind::Loud => Self::Loud,
        }
    }
}

/// The sum of all runs so far.
struct Sum {
    begun: Instant,
    told: Instant,
    runs: u64,
    failed: Vec<u64>,
    in_vain: u64,
    simulated: Duration,
    acknowledged: u64,
    faults: u64,
    sometimes: Sometimes,
}

impl Simulate {
    /// Whether no run found anything wrong, and nothing was missing.
    pub(super) fn run(self) -> bool {
        match self.seeds {
            None => self.replay(),
            Some(seeds) => self.run_many(seeds),
        }
    }

    fn replay(&self) -> bool {
        let begun = Instant::now();
        let outcome = run_seed(self.seed, self.profile.into());
        self.tell(&outcome);
        print!("{}", outcome.sometimes);
        println!(
            "seed {}: {:.1} s simulated in {:.2} s, {} records acknowledged, {} faults, hash \
             {:016x}",
            outcome.seed,
            outcome.simulated.as_secs_f64(),
            begun.elapsed().as_secs_f64(),
            outcome.acknowledged,
            outcome.faults,
            outcome.hash,
        );
        if let Some(why) = &outcome.proves_nothing {
            println!("it proves nothing: {why}");
        }
        outcome.problems.is_empty()
    }

    fn run_many(&self, seeds: u64) -> bool {
        let threads = self.threads.unwrap_or_else(cores);
        let mut sum = Sum::default();
        let plan = |seed| Plan::draw(seed, self.profile.into());
        run_all(self.seed..self.seed + seeds, threads, plan, |outcome| {
            if !outcome.problems.is_empty() {
                self.tell(&outcome);
            }
            sum.add(&outcome);
            sum.show(seeds);
            match sum.failed.len() < self.failures {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        sum.conclude(seeds)
    }

    /// Tells how a run failed, and writes all that is known of it to a file.
    fn tell(&self, outcome: &Outcome) {
        if outcome.problems.is_empty() {
            return;
        }
        let lines: Vec<_> = outcome.timeline.lines().collect();
        let last = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
        eprintln!("\n{last}\n{outcome}");
        eprintln!("commit {}", commit());
        match self.write(outcome) {
            Ok(path) => eprintln!("the last of it is in {}", path.display()),
            Err(error) => eprintln!("cannot write to {}: {error}", self.traces.display()),
        }
    }

    fn write(&self, outcome: &Outcome) -> std::io::Result<PathBuf> {
        std::fs::create_dir_all(&self.traces)?;
        let path = Path::new(&self.traces).join(format!("seed-{}.txt", outcome.seed));
        let text = format!("commit {}\n{outcome}\n{}", commit(), outcome.timeline);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Default for Sum {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            told: now,
            runs: 0,
            failed: Vec::new(),
            in_vain: 0,
            simulated: Duration::ZERO,
            acknowledged: 0,
            faults: 0,
            sometimes: Sometimes::default(),
        }
    }
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        if !outcome.problems.is_empty() {
            self.failed.push(outcome.seed);
        }
        self.in_vain += u64::from(outcome.proves_nothing.is_some());
        self.simulated += outcome.simulated;
        self.acknowledged += outcome.acknowledged;
        self.faults += outcome.faults;
        self.sometimes += &outcome.sometimes;
    }

    /// Keeps a line up to date for a person, and tells others now and then.
    fn show(&mut self, seeds: u64) {
        let is_person = std::io::stderr().is_terminal();
        if !is_person && self.told.elapsed() < TELL_INTERVAL {
            return;
        }
        self.told = Instant::now();
        let (start, end) = if is_person { ("\r", "") } else { ("", "\n") };
        let (runs, failed) = (self.runs, self.failed.len());
        let rate = runs as f64 / self.begun.elapsed().as_secs_f64();
        eprint!("{start}{runs} of {seeds} runs, {failed} failed, {rate:.2} a second{end}");
        // A line that is not seen at once is seen later.
        let _ = std::io::stderr().flush();
    }

    /// Tells all; whether it is good.
    fn conclude(&self, seeds: u64) -> bool {
        let runs = self.runs.max(1);
        let took = self.begun.elapsed().as_secs_f64();
        println!("\n{}", self.sometimes);
        println!(
            "{} runs in {took:.1} s, of which {} prove nothing: {:.1} s simulated, {} records \
             acknowledged and {} faults a run, {:.2} s of a core each",
            self.runs,
            self.in_vain,
            self.simulated.as_secs_f64() / runs as f64,
            self.acknowledged / runs,
            self.faults / runs,
            took * threads_of(self.runs) / runs as f64,
        );
        if !self.failed.is_empty() {
            println!("failed: {:?}", self.failed);
            return false;
        }
        if self.in_vain > self.runs / IN_VAIN_SHARE {
            println!("too many runs prove nothing");
            return false;
        }
        let never = self.sometimes.never();
        if seeds >= LONG_RUNS && !never.is_empty() {
            println!("never happened: {}", never.join("; "));
            return false;
        }
        true
    }
}

fn threads_of(runs: u64) -> f64 {
    (cores() as f64).min(runs as f64)
}

/// What was built, as far as that is known.
fn commit() -> String {
    let asked = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let said = asked.ok().filter(|asked| asked.status.success());
    let said = said.and_then(|asked| String::from_utf8(asked.stdout).ok());
    said.map_or_else(|| "unknown".to_owned(), |said| said.trim().to_owned())
}
