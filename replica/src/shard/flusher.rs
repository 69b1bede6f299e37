//! Group commit: what is appended while the disk is busy joins the next write.
//!
//! A partition with something to write stands in a queue. The disk works for several partitions at
//! once but does one thing at a time for each: a flush of what is pending, a cut, a new beginning,
//! or a repair.
//! When it has finished, a partition with new work goes to the end of the queue, so a busy
//! partition does not keep others waiting.

use std::rc::Rc;

use bytes::Bytes;
use quorate_log::{
    FlushJob, LogError, Misfit, ReframeJob, ResetJob, RewriteJob, Rewriting, Spares, TruncateJob,
};
use quorate_platform::Platform;
use quorate_vsr::Offset;
use quorate_vsr::partition::Event;

use super::Shard;
use super::budget::Permit;
use super::damage::{offsets_of, tell_reframed};
use super::state::State;
use crate::error::NodeError;

/// One thing that the disk does for one partition.
enum Work<P: Platform> {
    /// With the bytes that are not pending any more once it has ended.
    Flush(FlushJob<P>, Permit),
    Truncate(TruncateJob<P>, Permit),
    Reset(ResetJob<P>),
    /// With what is put in the place of damaged records.
    Rewrite(RewriteJob<P>, Vec<Bytes>),
    Reframe(ReframeJob<P>),
}

/// Starts whatever the disk has to do, until the shard is over.
pub(super) async fn run<P: Platform>(shard: Rc<Shard<P>>) {
    while !shard.is_over() {
        shard.signals.dirty.wait().await;
        loop {
            let begun = shard.state.borrow_mut().begin_writing();
            match begun {
                Ok(Some((id, work))) => {
                    let writing = Rc::clone(&shard);
                    shard
                        .platform
                        .spawn(async move { carry_out(&writing, id, work).await });
                }
                Ok(None) => break,
                Err(error) => return shard.fail(NodeError::log(error)),
            }
        }
    }
}

async fn carry_out<P: Platform>(shard: &Shard<P>, id: u64, work: Work<P>) {
    let finished = match work {
        Work::Flush(job, permit) => {
            shard.platform.linger("a flush is slow").await;
            let flushed = job.run().await;
            drop(permit);
            let mut state = shard.state.borrow_mut();
            let Some(log) = state.end_writing(id) else {
                return;
            };
            log.finish_flush(flushed).map(|next_offset| {
                let next_offset = Offset(next_offset);
                state.on_flushed(id, next_offset);
            })
        }
        Work::Truncate(job, permit) => {
            let truncated = job.run().await;
            drop(permit);
            let mut state = shard.state.borrow_mut();
            let Some(log) = state.end_writing(id) else {
                return;
            };
            let known = log.damaged().to_vec();
            let finished = log.finish_truncate(truncated);
            let is_news = log.damaged().iter().any(|range| !known.contains(range));
            finished.map(|next_offset| {
                let next_offset = Offset(next_offset);
                state.note_inquiry(id);
                state.step(id, Event::Truncated { next_offset });
                if is_news {
                    state.tell_damage(id);
                }
            })
        }
        Work::Reset(job) => {
            let reset = job.run().await;
            let mut state = shard.state.borrow_mut();
            let Some(log) = state.end_writing(id) else {
                return;
            };
            log.finish_reset(reset).map(|next_offset| {
                let at = Offset(next_offset);
                state.note_inquiry(id);
                state.step(id, Event::BegunAnew { at });
            })
        }
        Work::Rewrite(job, batches) => match rewrite(shard, id, job, &batches).await {
            Some(rewritten) => rewritten,
            None => return,
        },
        Work::Reframe(job) => {
            let reframed = job.run().await;
            let mut state = shard.state.borrow_mut();
            let Some(log) = state.end_writing(id) else {
                return;
            };
            let frames = log.finish_reframe(reframed);
            frames.map(|frames| tell_reframed(id, frames))
        }
    };
    match finished {
        Ok(()) => shard.state.borrow_mut().enqueue_pending(id),
        Err(error) => shard.fail(NodeError::log(error)),
    }
}

/// Puts batches in the place of damaged ones, in one job or several. None if the partition was
/// given up meanwhile.
async fn rewrite<P: Platform>(
    shard: &Shard<P>,
    id: u64,
    mut job: RewriteJob<P>,
    batches: &[Bytes],
) -> Option<Result<(), LogError>> {
    let rewritten = loop {
        let rewritten = job.run().await;
        let mut state = shard.state.borrow_mut();
        let partition = state.partitions.get_mut(&id);
        let finished = partition.map(|partition| partition.log.finish_rewrite(rewritten));
        match finished {
            Some(Ok(Rewriting::Next(next))) => job = next,
            Some(Ok(Rewriting::Done(to))) => break Ok(Offset(to)),
            Some(Err(error)) => break Err(error),
            // Whoever takes over the folder finds a sound log there, whatever was begun.
            None => break Ok(Offset(0)),
        }
    };
    let mut state = shard.state.borrow_mut();
    state.end_writing(id)?;
    Some(rewritten.map(|to| {
        let (from, _) = offsets_of(batches);
        // If nothing was put back, another replica is asked.
        let to = to.max(from);
        tracing::info!(partition = id, %from, %to, "damaged records are good again");
        state.step(id, Event::Repaired { from, to });
    }))
}

impl<P: Platform> State<P> {
    /// Takes the next partition's work out of the queue, if the disk may do more at once.
    fn begin_writing(&mut self) -> Result<Option<(u64, Work<P>)>, LogError> {
        while self.writing < self.limits.writing_max {
            let Some(id) = self.dirty.pop_front() else {
                // What was queued last may have been given up: then no write ends that would tell.
                self.signals.written.notify();
                return Ok(None);
            };
            let Some(partition) = self.partitions.get_mut(&id) else {
                continue;
            };
            partition.is_queued = false;
            if partition.is_writing {
                // It is queued again when the disk has finished with it.
                continue;
            }
            if let Some(work) = self.begin_work(id)? {
                self.writing += 1;
                return Ok(Some((id, work)));
            }
        }
        Ok(None)
    }

    /// What the disk shall do next for a partition for which it does nothing.
    fn begin_work(&mut self, id: u64) -> Result<Option<Work<P>>, LogError> {
        let Some(partition) = self.partitions.get_mut(&id) else {
            return Ok(None);
        };
        let mut misfits = None;
        let is_cut = partition.truncate_to.is_some() || partition.anew.is_some();
        let is_kept = is_cut && partition.log.is_retiring();
        if is_kept || partition.is_log_changing() && partition.log.is_replacing() {
            // It is queued again when the removal, or the replacement of files, has ended.
            return Ok(None);
        }
        let work = if let Some((at, epoch)) = partition.anew.take() {
            partition.log.begin_reset(at.0, epoch.0)?.map(Work::Reset)
        } else if let Some(to) = partition.truncate_to.take() {
            partition.log.begin_truncate(to.0)?.map(|job| {
                let permit = partition.unflushed.split(u64::MAX);
                Work::Truncate(job, permit)
            })
        } else if let Some(batches) = partition.rewrite.take() {
            match partition.log.begin_rewrite(&batches) {
                Ok(job) => job.map(|job| Work::Rewrite(job, batches)),
                Err(Misfit::Open) => {
                    // It becomes one that can be written anew, and then its turn comes again.
                    partition.log.roll();
                    partition.rewrite = Some(batches);
                    partition.log.begin_flush()?.map(|job| {
                        let permit = partition.unflushed.split(job.bytes());
                        Work::Flush(job, permit)
                    })
                }
                Err(misfit) => {
                    misfits = Some((offsets_of(&batches), misfit));
                    None
                }
            }
        } else if let Some(job) = partition.begin_reframe() {
            Some(Work::Reframe(job))
        } else {
            partition.log.begin_flush()?.map(|job| {
                let permit = partition.unflushed.split(job.bytes());
                Work::Flush(job, permit)
            })
        };
        partition.is_writing = work.is_some();
        if let Some(((from, to), misfit)) = misfits {
            tracing::error!(
                partition = id, %from, %to, %misfit,
                "what a replica sent does not fit in the place of damaged records"
            );
            // Nothing of it was put back: the next replica is asked.
            self.step(id, Event::Repaired { from, to: from });
            self.enqueue_pending(id);
        }
        Ok(work)
    }

    /// The disk has finished with a partition; none if the partition was given up meanwhile.
    fn end_writing(&mut self, id: u64) -> Option<&mut quorate_log::PartitionLog<P>> {
        self.writing -= 1;
        self.written += 1;
        self.signals.written.notify();
        self.signals.dirty.notify();
        if self.spares.as_ref().is_some_and(Spares::is_short) {
            self.signals.spares.notify();
        }
        self.release_condemned(id);
        if !self.retirable.is_empty() {
            self.signals.retirable.notify();
        }
        self.partitions.get_mut(&id)?.is_writing = false;
        let idle = self.open_files.used(id);
        if let Some(idle) = idle.and_then(|idle| self.partitions.get_mut(&idle)) {
            idle.log.close_file();
        }
        self.partitions
            .get_mut(&id)
            .map(|partition| &mut partition.log)
    }

    /// The disk has finished one thing that it did for a partition that was given up.
    pub(super) fn release_condemned(&mut self, id: u64) {
        if let Some(count) = self.condemned.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.condemned.remove(&id);
                self.signals.removed.notify();
            }
        }
    }

    fn on_flushed(&mut self, id: u64, next_offset: Offset) {
        if let Some(partition) = self.partitions.get_mut(&id).filter(|_| !self.is_over) {
            partition.until_durable.acknowledge(next_offset.0);
            if self
                .platform
                .rarely("a file is closed that was used just now")
            {
                partition.log.close_file();
                self.open_files.closed(id);
            }
        }
        self.step(id, Event::LogDurable { next_offset });
        self.note_activity(id);
        self.note_retirable(id);
    }

    /// Queues a partition again for which there is more to do.
    pub(super) fn enqueue_pending(&mut self, id: u64) {
        let is_pending = |partition: &super::partition::Partition<P>| {
            partition.truncate_to.is_some()
                || partition.anew.is_some()
                || partition.rewrite.is_some()
                || partition.broken_frames.count() > 0
                || partition.log.has_pending()
        };
        if self.partitions.get(&id).is_some_and(is_pending) {
            self.enqueue(id);
        }
    }
}
