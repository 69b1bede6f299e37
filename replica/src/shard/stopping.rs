use std::rc::Rc;
use std::time::Duration;

use quorate_platform::Platform;
use quorate_vsr::partition::{Event, Timer};

use super::Shard;
use super::effect::leadership_lost;
use super::state::State;

/// How long clients are given to take the last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Ends the shard in order. Afterwards everything that was appended is on stable storage, and so
/// is how far it was committed, so that the next start has nothing to find out.
pub(super) async fn run<P: Platform>(shard: &Rc<Shard<P>>) {
    shard.closing.set();
    shard.state.borrow_mut().begin_stopping();
    until(shard, State::is_written).await;
    shard.state.borrow_mut().save_watermarks();
    until(shard, State::are_facts_written).await;
    shard.state.borrow_mut().refuse_rest();
    // Whoever does not take its answer in time has to find out from another node.
    let _ = shard
        .platform
        .timeout(LAST_ANSWERS, answers_taken(shard))
        .await;
}

async fn until<P: Platform>(shard: &Shard<P>, is_done: impl Fn(&State<P>) -> bool) {
    while !shard.is_over() && !is_done(&shard.state.borrow()) {
        shard.signals.written.wait().await;
    }
}

async fn answers_taken<P: Platform>(shard: &Shard<P>) {
    let is_drained = || {
        shard
            .connections
            .borrow()
            .values()
            .all(|each| each.is_drained())
    };
    while !is_drained() {
        shard.platform.sleep(LOOK_AGAIN).await;
    }
}

impl<P: Platform> State<P> {
    /// From here on producers are refused and fetches answer with what there is.
    fn begin_stopping(&mut self) {
        self.is_stopping = true;
        for partition in self.partitions.values_mut() {
            partition.wake_parked();
        }
    }

    fn save_watermarks(&mut self) {
        let ids: Vec<_> = self.partitions.keys().copied().collect();
        for id in ids {
            self.step(id, Event::Timeout(Timer::SaveWatermark));
        }
    }

    /// What no majority has confirmed by now is confirmed by another leader, or never.
    fn refuse_rest(&mut self) {
        for (id, partition) in &mut self.partitions {
            partition.refuse_waiting(&leadership_lost(*id));
        }
    }
}
