//! Many runs, one for each seed, on all cores.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use super::run::{Outcome, run};
use super::swarm::Plan;

/// The cores that there are, as far as that can be told.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the plans of `seeds`, so many at once, and has each outcome heard as soon as there is one.
///
/// They begin in the order of their seeds. After a break none begins any more; those under way go
/// to their ends and are heard as well. So whatever has begun before another run is heard too.
pub fn run_all(
    seeds: Range<u64>,
    threads: usize,
    plan: impl Fn(u64) -> Plan + Sync,
    mut hear: impl FnMut(Outcome) -> ControlFlow<()>,
) {
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (sender, outcomes) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while !is_over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || sender.send(run(&plan(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for outcome in outcomes {
            if hear(outcome).is_break() {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    });
}
