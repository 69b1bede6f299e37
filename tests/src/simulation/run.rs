//! One run: a cluster is founded, works while it is broken, is healed, and is judged.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use quorate_client::ClientConfig;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::atlas::Atlas;
use super::nemesis::{Kind, Nemesis};
use super::oracle::Verdict;
use super::sometimes::{Heard, Sometimes, listen, take_heard};
use super::swarm::{Errand, Other, Plan, Profile};
use super::workload::settle::{Conclusion, Damage, settle};
use super::workload::{Desk, Fate, Target, Topic, Workload, administer, consume, members, produce};
use super::{CLIENTS, Cluster, Ended, Failure, SimPlatform};

/// How long it may take until the topics of a new cluster are there.
const BEGIN_MAX: Duration = Duration::from_secs(60);
/// How long each part of the healing may take, in the eyes of clients.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// How long all of it may take, the ends of operations that began before included.
const END_MAX: Duration = Duration::from_secs(600);
/// How long a node may take to end in order.
const STOP_MAX: Duration = Duration::from_secs(60);
/// What was heard is taken after so many steps.
const LISTEN_STEPS: u64 = 256;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What was wrong; nothing if the run is clean.
    pub problems: Vec<String>,
    /// Why the run proves nothing, if it does not.
    pub proves_nothing: Option<String>,
    /// A number that two runs share if the same happened in both.
    pub hash: u64,
    /// How much time has passed in it.
    pub simulated: Duration,
    /// How many records were acknowledged.
    pub acknowledged: u64,
    /// How many faults there were.
    pub faults: u64,
    /// What has happened in it.
    pub sometimes: Sometimes,
    /// The last that happened, if something was wrong.
    pub timeline: String,
}

/// Runs `plan` to its end.
pub fn run(plan: &Plan) -> Outcome {
    listen();
    Run::new(plan).complete()
}

/// Draws the run of `seed` and runs it.
pub fn run_seed(seed: u64, profile: Profile) -> Outcome {
    run(&Plan::draw(seed, profile))
}

struct Run<'a> {
    plan: &'a Plan,
    cluster: Cluster,
    nemesis: Nemesis,
    sometimes: Sometimes,
    steps: u64,
    /// Whether nothing is broken any more, and nodes that end are started again.
    is_healed: bool,
    acknowledged: u64,
    problems: Vec<String>,
    proves_nothing: Option<String>,
}

/// What the clients have come to, for whoever steps the cluster.
#[derive(Default)]
struct Stage {
    has_begun: Cell<bool>,
    /// Says to the clients that all is healed.
    healed: RefCell<Option<flume::Sender<()>>>,
    end: RefCell<Option<End>>,
}

struct End {
    desk: Desk<SimPlatform>,
    conclusion: Conclusion,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Self {
        let cluster = Cluster::new(plan.seed, &plan.shape);
        let nodes: Vec<_> = cluster.node_ids().collect();
        let atlas = match plan.is_bounded {
            true => Atlas::bounded(plan.seed, &nodes, usize::from(plan.replication())),
            false => Atlas::unbounded(),
        };
        for node in nodes.iter().copied() {
            let (disk, atlas) = (cluster.disk(node), atlas.clone());
            disk.set_damage_rule(move |path| atlas.may_damage(node, path));
            let clock = cluster.wall_clock(node);
            clock.steers.set(plan.is_steered_by_wall_clock);
        }
        let habits = plan.nemesis.clone();
        let nemesis = Nemesis::new(plan.seed, habits, &plan.shape);
        Self {
            plan,
            cluster,
            nemesis,
            sometimes: Sometimes::default(),
            steps: 0,
            is_healed: false,
            acknowledged: 0,
            problems: Vec::new(),
            proves_nothing: None,
        }
    }

    fn complete(mut self) -> Outcome {
        let stage = Rc::new(Stage::default());
        if let Err(failure) = self.go_through(&stage) {
            self.problems.push(failure.to_string());
        }
        self.listen();
        let is_clean = self.problems.is_empty();
        let trace = self.cluster.trace();
        Outcome {
            seed: self.plan.seed,
            hash: trace.hash(),
            timeline: if is_clean {
                String::new()
            } else {
                trace.timeline()
            },
            simulated: self.cluster.elapsed(),
            acknowledged: self.acknowledged,
            faults: self.nemesis.faults(),
            sometimes: self.sometimes,
            problems: self.problems,
            proves_nothing: self.proves_nothing,
        }
    }

    fn go_through(&mut self, stage: &Rc<Stage>) -> Result<(), Failure> {
        self.begin(stage);
        if !self.run_until(BEGIN_MAX, |_| stage.has_begun.get())? {
            self.problem(format!("no topics within {BEGIN_MAX:?}"));
            return Ok(());
        }
        for node in self.cluster.node_ids() {
            self.cluster.disk(node).set_faults(self.plan.disk.clone());
            if !self.cluster.is_on(node) {
                self.cluster.start(node);
            }
        }
        let until = self.cluster.elapsed() + self.plan.trouble;
        while self.cluster.elapsed() < until {
            self.nemesis.turn(&mut self.cluster);
            self.step()?;
        }
        self.nemesis.heal(&mut self.cluster)?;
        self.cluster.end_rare_paths();
        // Nobody is to wait for a clock that stands still because it was set back.
        for node in self.cluster.node_ids() {
            self.cluster.wall_clock(node).steers.set(false);
        }
        self.is_healed = true;
        drop(stage.healed.take());
        if !self.run_until(END_MAX, |_| stage.end.borrow().is_some())? {
            self.problem(format!(
                "the clients do not come to an end within {END_MAX:?}"
            ));
            return Ok(());
        }
        let end = stage.end.take().expect("it was just there");
        self.acknowledged = end.desk.ledger.acknowledged();
        self.is_healed = false;
        self.stop_all()?;
        self.judge(&end);
        Ok(())
    }

    /// Has the clients begin.
    fn begin(&self, stage: &Rc<Stage>) {
        let (sender, healed) = flume::bounded(0);
        stage.healed.replace(Some(sender));
        let config = ClientConfig::new(self.cluster.bootstrap());
        let (plan, stage) = (self.plan.clone(), Rc::clone(stage));
        let lost = self.nemesis.lost_disk();
        let addresses = self.cluster.node_ids();
        let addresses: Vec<_> = addresses
            .map(|node| (node, self.cluster.config(node).control_address))
            .collect();
        self.cluster.spawn(move |platform| async move {
            let mut workload = Workload::new(platform, config, plan.seed ^ 1);
            let founders: Vec<_> = (1..=plan.shape.nodes).collect();
            workload.ledger().note_founders(&founders);
            let targets = begin_clients(&mut workload, &plan, &addresses).await;
            if plan.nemesis.kinds.contains(&Kind::Replace) {
                workload.start(|desk, random| members::recover_disks(desk, random, lost));
            }
            stage.has_begun.set(true);
            // The only thing to hear is that the sender is gone.
            let _ = healed.recv_async().await;
            let desk = workload.finish().await;
            let random = ChaCha8Rng::seed_from_u64(plan.seed ^ 2);
            let damage = plan.damage();
            let conclusion = settle(&desk, random, &targets, SETTLE_MAX, damage).await;
            desk.platform
                .note(format!("settled: {:?}", conclusion.problems));
            stage.end.replace(Some(End { desk, conclusion }));
        });
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps.is_multiple_of(LISTEN_STEPS) {
            self.listen();
        }
        if self.is_healed {
            self.nemesis.attend(&mut self.cluster);
        }
        self.cluster.step()
    }

    fn run_until(
        &mut self,
        max: Duration,
        is_done: impl Fn(&Cluster) -> bool,
    ) -> Result<bool, Failure> {
        let end = self.cluster.elapsed() + max;
        while self.cluster.elapsed() < end && !is_done(&self.cluster) {
            self.step()?;
        }
        Ok(is_done(&self.cluster))
    }

    /// Takes in what the nodes have told.
    fn listen(&mut self) {
        for heard in take_heard() {
            self.sometimes.count(&heard);
            if heard.level <= tracing::Level::INFO {
                self.note(&heard);
            }
        }
    }

    /// The timeline has it a little later than it happened.
    fn note(&self, heard: &Heard) {
        let host = heard.host.as_deref().unwrap_or("somebody");
        self.cluster.note(CLIENTS, format!("{host} tells: {heard}"));
    }

    fn stop_all(&mut self) -> Result<(), Failure> {
        for node in self.cluster.node_ids() {
            if !self.cluster.is_on(node) {
                continue;
            }
            self.cluster.stop(node);
            if !self.run_until(STOP_MAX, |cluster| !cluster.is_on(node))? {
                self.problem(format!("node {node} does not end within {STOP_MAX:?}"));
            }
        }
        Ok(())
    }

    fn judge(&mut self, end: &End) {
        let End { desk, conclusion } = end;
        desk.ledger.note_parted(self.nemesis.parted());
        let files = |node, partition| self.cluster.partition_files(node, partition);
        let mut problems = Vec::new();
        match Verdict::of(&desk.ledger, conclusion, files) {
            Verdict::Pass => {}
            Verdict::Fail(found) => problems = found,
            Verdict::Unknown(why) => self.proves_nothing = Some(why),
        }
        for ended in self.cluster.ended() {
            if let Err(error) = &ended.result
                && !self.may_end(ended, error)
            {
                let (node, at) = (ended.node, ended.at);
                problems.push(format!("node {node} ended at {at:.3?}: {error}"));
            }
        }
        for problem in problems {
            self.problem(problem);
        }
    }

    /// Whether a node may end with this error. Where anything may be damaged it may refuse to
    /// start, if it says because of which file.
    fn may_end(&self, ended: &Ended, error: &str) -> bool {
        let data_dir = self.cluster.config(ended.node).data_dir.to_string_lossy();
        let is_any = self.plan.damage() == Damage::Any;
        ended.is_of_disk || (is_any && error.contains(&*data_dir))
    }

    fn problem(&mut self, problem: String) {
        self.cluster.note(CLIENTS, format!("wrong: {problem}"));
        self.problems.push(problem);
    }
}

/// Creates the topics of the plan and starts its clients; the partitions that must be well in the
/// end.
async fn begin_clients(
    workload: &mut Workload<SimPlatform>,
    plan: &Plan,
    addresses: &[(u16, SocketAddr)],
) -> Vec<Target> {
    let mut all = Vec::new();
    for topic in &plan.topics {
        let targets = workload.create(topic).await;
        for _ in 0..2 {
            let (targets, habits) = (targets.clone(), plan.reading.clone());
            workload.start(|desk, random| consume::consume(desk, random, targets, habits));
        }
        all.extend(targets);
    }
    for _ in 0..plan.writers {
        let (targets, habits) = (all.clone(), plan.writing.clone());
        workload.start(|desk, random| produce::produce(desk, random, targets, habits));
    }
    if plan.deletes_records {
        let first = &plan.topics[0].name;
        let targets = all.iter().filter(|target| &*target.topic == first.as_str());
        let targets = targets.cloned().collect();
        workload
            .start(|desk, random| administer::delete_records(desk, random, targets, 100..=3000));
    }
    for other in &plan.others {
        start_other(workload, plan, other, addresses, &all);
    }
    all
}

/// The topics that come and go without records.
fn juggled() -> Vec<String> {
    vec!["one".to_owned(), "two".to_owned()]
}

fn start_other(
    workload: &mut Workload<SimPlatform>,
    plan: &Plan,
    other: &Other,
    addresses: &[(u16, SocketAddr)],
    targets: &[Target],
) {
    let (targets, replication) = (targets.to_vec(), plan.replication());
    let pause_ms = other.pause_ms.clone();
    match other.what {
        Errand::Juggle => {
            let names = juggled();
            workload.start(|desk, random| administer::juggle(desk, random, names, pause_ms));
        }
        Errand::Look => {
            let names = juggled();
            workload.start(|desk, random| administer::look(desk, random, names, pause_ms));
        }
        Errand::Recreate => {
            let topic = Topic {
                name: "mortal".to_owned(),
                partitions: 2,
                replication,
                fate: Fate::Kept,
            };
            let habits = (plan.writing.clone(), plan.reading.clone());
            workload.start(|desk, random| administer::recreate(desk, random, topic, habits));
        }
        Errand::Transfer => {
            let nodes = (1..=plan.shape.nodes).collect();
            workload
                .start(|desk, random| administer::transfer_primary(desk, random, nodes, pause_ms));
        }
        Errand::Move => workload.start(|desk, random| {
            members::move_partitions(desk, random, targets, replication, pause_ms)
        }),
        Errand::Join => {
            let nodes = addresses.iter().map(|(node, _)| *node).collect();
            let spares = addresses[usize::from(plan.shape.nodes)..].to_vec();
            workload.start(|desk, random| {
                members::change_members(desk, random, spares, nodes, pause_ms)
            });
        }
        Errand::Watch => {
            let names = plan.topics.iter().map(|topic| topic.name.clone()).collect();
            workload.start(|desk, random| administer::watch(desk, random, names, pause_ms));
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} problems", self.seed, self.problems.len())?;
        self.problems
            .iter()
            .try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}
