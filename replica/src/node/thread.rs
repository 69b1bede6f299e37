use std::any::Any;
use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;

use compio::driver::ProactorBuilder;
use compio::runtime::{Runtime, RuntimeBuilder};

use super::part::{Part, Report};
use crate::error::NodeError;

/// Entries of a thread's submission ring.
const RING_ENTRIES: u32 = 1024;
/// Wake-ups from other threads that may wait for a thread. When it is full, whoever wakes spins, so
/// it is larger than the number of tasks that are woken from outside.
const WAKES_MAX: usize = 4096;

/// A runtime for the calling thread, bound to `core` if one is given.
pub(super) fn runtime(core: Option<usize>) -> io::Result<Runtime> {
    let mut proactor = ProactorBuilder::new();
    proactor
        .capacity(RING_ENTRIES)
        .single_issuer(true)
        .defer_taskrun(true);
    match build(&proactor, core) {
        Ok(runtime) => Ok(runtime),
        Err(error) => {
            // Kernels before 6.1 do not know these flags.
            tracing::debug!(%error, "fall back to a plain ring");
            build(ProactorBuilder::new().capacity(RING_ENTRIES), core)
        }
    }
}

fn build(proactor: &ProactorBuilder, core: Option<usize>) -> io::Result<Runtime> {
    let mut builder = RuntimeBuilder::new();
    builder
        .with_proactor(proactor.clone())
        .sync_queue_size(WAKES_MAX);
    if let Some(core) = core {
        builder.thread_affinity(HashSet::from([core]));
    }
    builder.build()
}

/// Starts a thread that runs `work` inside a runtime of its own and reports how it ended.
///
/// The report comes in any case, also when the work panics.
pub(super) fn start<F: Future<Output = Result<(), NodeError>>>(
    part: Part,
    core: Option<usize>,
    reports: flume::Sender<Report>,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<(), NodeError> {
    let run = move || {
        let work = AssertUnwindSafe(|| match runtime(core) {
            Ok(runtime) => runtime.block_on(work()),
            Err(error) => Err(NodeError::Thread {
                name: part.to_string(),
                error,
            }),
        });
        let result = std::panic::catch_unwind(work).unwrap_or_else(|panic| {
            let message = message_of(panic.as_ref());
            Err(NodeError::Panicked {
                name: part.to_string(),
                message,
            })
        });
        // Nobody listens any more: the node has ended.
        let _ = reports.send(Report { part, result });
    };
    let name = part.to_string();
    let started = std::thread::Builder::new().name(name.clone()).spawn(run);
    started
        .map(drop)
        .map_err(|error| NodeError::Thread { name, error })
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_like_any_other_end() {
        let (sender, reports) = flume::unbounded();
        start(Part::Shard(3), None, sender.clone(), || async {
            panic!("out of luck")
        })
        .unwrap();
        let report = reports.recv().unwrap();
        let Err(NodeError::Panicked { name, message }) = report.result else {
            panic!("{report:?}");
        };
        assert_eq!((&*name, &*message), ("shard-3", "out of luck"));
        start(Part::Control, None, sender, || async { Ok(()) }).unwrap();
        assert!(reports.recv().unwrap().result.is_ok());
    }
}
