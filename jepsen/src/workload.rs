//! Writers and readers, as users run them: `quorate produce` and `quorate consume`.
//!
//! Each writer is a logical process that feeds one `quorate produce`. When that gives up, its
//! unacknowledged values are in doubt for ever, and a new process with a new number follows.

mod reader;
mod session;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use reader::read_partition;
use session::Session;

use crate::cluster::{CommandLine, PATIENCE};
use crate::{Failure, History, Process, Read, wait_until};

/// Between two readings of the same partition.
const READ_PAUSE: Duration = Duration::from_millis(200);
/// Between two writers of which the first failed at once.
const WRITER_PAUSE: Duration = Duration::from_millis(50);

/// What to write and read.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The topic; it must exist.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// How many writers each partition has.
    pub writers: u32,
    /// How many records each writer sends in a second, at most.
    pub rate: u32,
    /// How long a record is, at least.
    pub value_bytes: usize,
    /// Whether to read along while writing.
    pub reads: bool,
    /// The number of the first writing process; two workloads of one trial must not share any.
    pub first_process: u32,
    /// More arguments for `quorate produce`.
    pub produce: Vec<String>,
}

impl Shape {
    /// One writer per partition, a thousand records a second each, and a reader.
    pub fn new(topic: &str, partitions: u32) -> Self {
        Self {
            topic: topic.to_owned(),
            partitions,
            writers: 1,
            rate: 1000,
            value_bytes: 100,
            reads: true,
            first_process: 0,
            produce: Vec::new(),
        }
    }
}

/// Writers and readers at work.
#[derive(Debug)]
pub struct Workload {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    line: CommandLine,
    shape: Shape,
    origin: Instant,
    stop: AtomicBool,
    processes: AtomicU32,
    acknowledged: Arc<AtomicU64>,
    history: Mutex<History>,
    /// The clients that run now, to be ended if they hang.
    clients: Mutex<Vec<Process>>,
}

impl Workload {
    /// Starts writing and reading. Moments count from `origin`.
    pub fn start(line: CommandLine, shape: Shape, origin: Instant) -> Self {
        let shared = Arc::new(Shared {
            line,
            origin,
            stop: AtomicBool::new(false),
            processes: AtomicU32::new(shape.first_process),
            shape,
            acknowledged: Arc::default(),
            history: Mutex::default(),
            clients: Mutex::default(),
        });
        let mut threads = Vec::new();
        for partition in 0..shared.shape.partitions {
            for _ in 0..shared.shape.writers {
                let shared = Arc::clone(&shared);
                threads.push(thread::spawn(move || write(&shared, partition)));
            }
        }
        if shared.shape.reads {
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || read_along(&shared)));
        }
        Self { shared, threads }
    }

    /// How many records have been acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `count` more records have been acknowledged than now.
    pub fn wait_acknowledged(&self, count: u64, patience: Duration) -> Result<(), Failure> {
        let goal = self.acknowledged() + count;
        wait_until(
            &format!("{count} more records are acknowledged"),
            patience,
            || match self.acknowledged() {
                now if now >= goal => Ok(()),
                now => Err(Failure::new(format!("{} are missing", goal - now))),
            },
        )
    }

    /// Lets every writer finish what it has begun, and returns what was seen.
    ///
    /// A writer that does not come to an end breaks a promise; it is ended, and its open values
    /// are in doubt.
    pub fn stop(self) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        let done = || match self.threads.iter().all(JoinHandle::is_finished) {
            true => Ok(()),
            false => Err(Failure::new("some are still at work")),
        };
        if let Err(failure) = wait_until("all clients have come to an end", PATIENCE, done) {
            self.shared
                .history()
                .broken_promises
                .push(failure.to_string());
            for client in lock(&self.shared.clients).drain(..) {
                let _ = client.kill();
            }
        }
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        std::mem::take(&mut *self.shared.history())
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }
}

/// A thread that panicked leaves the lists that it pushed to as whole as they were.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write(shared: &Shared, partition: u32) {
    while !shared.is_stopping() {
        let number = shared.processes.fetch_add(1, Ordering::Relaxed);
        let session = Session::start(shared, number, partition);
        let mut session = session.unwrap_or_else(|failure| panic!("{failure}"));
        session.feed();
        let (appends, broken) = session.finish();
        let mut history = shared.history();
        history.appends.extend(appends);
        history.broken_promises.extend(broken);
        drop(history);
        if !shared.is_stopping() {
            thread::sleep(WRITER_PAUSE);
        }
    }
}

/// Reads every partition from where it was left, again and again.
fn read_along(shared: &Shared) {
    let mut next = vec![0; shared.shape.partitions as usize];
    while !shared.is_stopping() {
        for (partition, next) in (0..).zip(next.iter_mut()) {
            let reading = read_on(shared, partition, *next);
            *next = reading
                .records
                .last()
                .map_or(*next, |record| record.offset + 1);
            shared.history().reads.push(reading);
        }
        thread::sleep(READ_PAUSE);
    }
}

fn read_on(shared: &Shared, partition: u32, from: u64) -> Read {
    let topic = &shared.shape.topic;
    read_partition(&shared.line, topic, partition, from, shared.origin)
        .unwrap_or_else(|failure| panic!("{failure}"))
}
