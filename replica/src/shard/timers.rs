use std::pin::pin;
use std::rc::Rc;

use futures_util::future::select;
use quorate_platform::Platform;
use quorate_vsr::partition::Event;

use super::Shard;
use super::state::State;

/// Fires the timers of all partitions: one task, which sleeps until the first deadline and not at
/// all while no timer is armed.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    while !shard.is_over() {
        let first = shard.state.borrow().deadlines.first();
        let Some(first) = first else {
            shard.signals.deadlines.wait().await;
            continue;
        };
        let now = shard.platform.now();
        if first > now {
            // The signal tells of an earlier deadline; a later one is found in the next round.
            let sleep = pin!(shard.platform.sleep(first - now));
            select(pin!(shard.signals.deadlines.wait()), sleep).await;
        }
        shard.state.borrow_mut().fire_timers();
    }
}

impl<P: Platform> State<P> {
    fn fire_timers(&mut self) {
        let now = self.platform.now();
        while let Some((id, timer)) = self.deadlines.pop(now) {
            self.step(id, Event::Timeout(timer));
        }
    }
}
