use std::collections::VecDeque;

use futures_util::FutureExt as _;
use quorate_client::{Certainty, Delivery, ProduceError};

use super::progress::Progress;

/// The records that are under way, in the order of sending, and what became of the others.
///
/// The producer's buffer bounds how many are under way: what is decided leaves from the front.
#[derive(Debug)]
pub(super) struct Deliveries {
    under_way: VecDeque<(Delivery, usize)>,
    outcome: Outcome,
    progress: Progress,
}

/// What became of all records that were sent.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) acknowledged: u64,
    /// Of the acknowledged records: keys, separators and values, without the line ends.
    pub(super) bytes: u64,
    pub(super) not_written: u64,
    pub(super) unknown: u64,
    /// The gravest failure, and of those the first.
    pub(super) failure: Option<ProduceError>,
}

impl Deliveries {
    pub(super) fn new(progress: Progress) -> Self {
        Self {
            under_way: VecDeque::new(),
            outcome: Outcome::default(),
            progress,
        }
    }

    /// Adds a record of `bytes` bytes.
    pub(super) fn push(&mut self, delivery: Delivery, bytes: usize) {
        self.under_way.push_back((delivery, bytes));
        while let Some((front, bytes)) = self.under_way.front_mut() {
            let bytes = *bytes;
            let Some(result) = front.now_or_never() else {
                break;
            };
            self.under_way.pop_front();
            self.outcome.count(result.err(), bytes, &self.progress);
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.outcome.failure.is_some()
    }

    /// Waits for all of them; each ends at its deadline at the latest.
    pub(super) async fn finish(mut self) -> Outcome {
        for (delivery, bytes) in self.under_way {
            self.outcome
                .count(delivery.await.err(), bytes, &self.progress);
        }
        self.progress.close();
        self.outcome
    }
}

impl Outcome {
    fn count(&mut self, failure: Option<ProduceError>, bytes: usize, progress: &Progress) {
        let Some(failure) = failure else {
            self.acknowledged += 1;
            self.bytes += bytes as u64;
            progress.advance(bytes as u64 + 1, self.acknowledged);
            return;
        };
        let is_indefinite = failure.certainty == Certainty::Indefinite;
        match is_indefinite {
            true => self.unknown += 1,
            false => self.not_written += 1,
        }
        // One record of unknown fate makes the fate of the whole unknown.
        if self.failure.is_none() || is_indefinite && self.unknown == 1 {
            self.failure = Some(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(certainty: Certainty, reason: &str) -> Option<ProduceError> {
        Some(ProduceError {
            topic: "t".to_owned(),
            partition: 0,
            leader: None,
            certainty,
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn records_are_counted_by_what_is_known_of_them() {
        let progress = Progress::new(None);
        let mut outcome = Outcome::default();
        outcome.count(None, 10, &progress);
        outcome.count(failure(Certainty::Definite, "first"), 10, &progress);
        assert_eq!(outcome.failure.as_ref().unwrap().reason, "first");
        outcome.count(failure(Certainty::Indefinite, "graver"), 10, &progress);
        outcome.count(failure(Certainty::Indefinite, "later"), 10, &progress);
        assert_eq!((outcome.acknowledged, outcome.bytes), (1, 10));
        assert_eq!((outcome.not_written, outcome.unknown), (1, 2));
        assert_eq!(outcome.failure.unwrap().reason, "graver");
    }
}
