use std::rc::Rc;
use std::time::Duration;

use quorate_platform::{Instant, Platform};

use super::Shard;

const BEAT: Duration = Duration::from_millis(250);
/// A disk that finishes nothing for this long while it has work counts as hanging.
const HANGING: Duration = Duration::from_secs(5);

/// Counts the shard's progress: that its thread runs shows in that this runs, and whether its disk
/// answers is looked at.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    let mut finished = (0, shard.platform.now());
    while !shard.is_over() {
        shard.platform.sleep(BEAT).await;
        if !is_hanging(&shard, &mut finished) {
            shard.status.count_progress();
        }
    }
}

/// `finished` is how much the disk had finished, and when that was first seen.
fn is_hanging<P: Platform>(shard: &Shard<P>, finished: &mut (u64, Instant)) -> bool {
    let now = shard.platform.now();
    let state = shard.state.borrow();
    let is_idle = state.writing == 0 && !state.is_writing_facts;
    if is_idle || state.written != finished.0 {
        *finished = (state.written, now);
    }
    now - finished.1 >= HANGING
}
