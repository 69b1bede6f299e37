//! The clients that want the truth from the primary, until the group confirms that this node is it.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_platform::Instant;
use quorate_wire::{Code, Refusal, Response};

use super::client::Caller;

/// The most reads that wait for the group.
const READS_MAX: usize = 1024;
/// After this time the client is told to ask elsewhere, or later. A primary that hears no majority
/// knows it sooner; a majority whose disks are slow may need as long.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The reads under way, by the number by which the group knows them.
#[derive(Debug, Default)]
pub(super) struct Reads {
    last: u64,
    waiting: BTreeMap<u64, Reader>,
}

/// A client, and what it wants to know.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) caller: Caller,
    pub(super) topics: Option<Vec<String>>,
    deadline: Instant,
}

impl Reads {
    /// Has `caller` wait; gives the number of the read, or refuses it if too many wait already.
    pub(super) fn add(
        &mut self,
        caller: Caller,
        topics: Option<Vec<String>>,
        now: Instant,
    ) -> Option<u64> {
        if self.waiting.len() == READS_MAX {
            let detail = "too many reads wait for the control plane";
            caller.answer(&Response::Refused(Refusal::new(Code::Overloaded, detail)));
            return None;
        }
        self.last += 1;
        let reader = Reader {
            caller,
            topics,
            deadline: now + WAIT_MAX,
        };
        self.waiting.insert(self.last, reader);
        Some(self.last)
    }

    /// Ends the wait of a read; `None` if it was over already.
    pub(super) fn take(&mut self, read: u64) -> Option<Reader> {
        self.waiting.remove(&read)
    }

    /// Tells those who have waited too long that this node cannot tell.
    pub(super) fn expire(&mut self, now: Instant) {
        // All wait equally long, so those who came first are over first.
        while let Some(first) = self.waiting.first_entry()
            && first.get().deadline <= now
        {
            let detail = "the control plane has no primary that hears a majority of the nodes: \
                          check that a majority is running, and ask again";
            let refusal = Refusal::new(Code::Unavailable, detail);
            tracing::debug!("a read has waited in vain for a majority");
            first.remove().caller.answer(&Response::Refused(refusal));
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_wire::ClusterId;

    use super::*;

    const START: Instant = Instant::from_nanos(0);

    fn caller() -> (Caller, flume::Receiver<bytes::Bytes>) {
        let (answers, receiver) = flume::unbounded();
        let caller = Caller {
            cluster: ClusterId(1),
            correlation: 3,
            answers,
        };
        (caller, receiver)
    }

    #[test]
    fn a_read_waits_until_it_is_taken_or_its_time_is_over() {
        let (caller, answers) = caller();
        let mut reads = Reads::default();
        let first = reads.add(caller.clone(), None, START).unwrap();
        let second = reads.add(caller, Some(Vec::new()), START + WAIT_MAX / 2);
        assert!(reads.take(first).is_some());
        assert!(reads.take(first).is_none());
        reads.expire(START + WAIT_MAX);
        assert!(answers.is_empty());
        reads.expire(START + 2 * WAIT_MAX);
        assert_eq!(answers.len(), 1);
        assert!(reads.take(second.unwrap()).is_none());
    }

    #[test]
    fn a_limited_number_waits_and_the_others_are_refused_at_once() {
        let (caller, answers) = caller();
        let mut reads = Reads::default();
        for _ in 0..READS_MAX {
            assert!(reads.add(caller.clone(), None, START).is_some());
        }
        assert!(reads.add(caller, None, START).is_none());
        assert_eq!(answers.len(), 1);
    }
}
