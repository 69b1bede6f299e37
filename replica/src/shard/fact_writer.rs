//! The small facts of all partitions, in one file: promising for ten thousand partitions is one
//! write and one sync.

use std::rc::Rc;

use quorate_log::{FactStore, LogError};
use quorate_platform::Platform;
use quorate_vsr::partition::{Event, Facts};

use super::Shard;
use super::state::State;
use crate::error::NodeError;

/// Writes the facts that are to be made durable, all that have come up at once, until the shard is
/// over. While one write is under way, what comes up joins the next.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>, mut store: FactStore<P>) {
    while !shard.is_over() {
        let facts = shard.state.borrow_mut().begin_facts();
        if facts.is_empty() {
            shard.signals.facts.wait().await;
            continue;
        }
        if let Err(error) = write(&mut store, &facts).await {
            return shard.fail(NodeError::log(error));
        }
        shard.state.borrow_mut().end_facts(facts);
    }
}

type Changes = Vec<(u64, Option<Facts>)>;

async fn write<P: Platform>(store: &mut FactStore<P>, facts: &Changes) -> Result<(), LogError> {
    for (id, facts) in facts {
        match facts {
            Some(facts) => store.put(*id, facts.encode()),
            None => store.remove(*id),
        };
    }
    let Some(job) = store.begin_flush()? else {
        return Ok(());
    };
    let flushed = job.run().await;
    store.finish_flush(flushed).map(|_| ())
}

impl<P: Platform> State<P> {
    fn begin_facts(&mut self) -> Changes {
        let facts: Changes = std::mem::take(&mut self.facts).into_iter().collect();
        self.is_writing_facts = !facts.is_empty();
        facts
    }

    fn end_facts(&mut self, facts: Changes) {
        self.is_writing_facts = false;
        self.written += 1;
        self.fact_writes += 1;
        for (id, facts) in facts {
            if let Some(facts) = facts {
                self.step(id, Event::FactsDurable(facts));
            }
        }
        self.signals.written.notify();
        self.signals.removed.notify();
    }

    /// How many writes of facts will have ended once all that wait now are durable.
    pub(super) fn next_fact_write(&self) -> u64 {
        let under_way = u64::from(self.is_writing_facts);
        let waiting = u64::from(!self.facts.is_empty());
        self.fact_writes + under_way + waiting
    }

    /// Whether no facts wait to be made durable.
    pub(super) fn are_facts_written(&self) -> bool {
        self.facts.is_empty() && !self.is_writing_facts
    }
}
