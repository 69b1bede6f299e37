use std::collections::BTreeMap;

use quorate_platform::Instant;

/// When which timer fires. A timer that is armed again moves; one that is disarmed is forgotten.
#[derive(Debug)]
pub(super) struct Deadlines<K> {
    at: BTreeMap<K, Instant>,
    // The same, in the order of time. Both are touched only here and always together.
    order: BTreeMap<(Instant, K), ()>,
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(super) const fn new() -> Self {
        Self {
            at: BTreeMap::new(),
            order: BTreeMap::new(),
        }
    }

    /// Arms `timer` for `at`. True if it is now the first of all.
    pub(super) fn arm(&mut self, timer: K, at: Instant) -> bool {
        if let Some(before) = self.at.insert(timer, at) {
            self.order.remove(&(before, timer));
        }
        self.order.insert((at, timer), ());
        self.order.first_key_value().map(|(first, ())| first) == Some(&(at, timer))
    }

    /// Forgets `timer`.
    pub(super) fn disarm(&mut self, timer: K) {
        if let Some(at) = self.at.remove(&timer) {
            self.order.remove(&(at, timer));
        }
    }

    /// The first deadline.
    pub(super) fn first(&self) -> Option<Instant> {
        self.order.first_key_value().map(|((at, _), ())| *at)
    }

    /// Takes the first timer whose deadline has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<K> {
        let entry = self.order.first_entry()?;
        let (at, timer) = *entry.key();
        if at > now {
            return None;
        }
        entry.remove();
        self.at.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn timers_fire_in_the_order_of_their_deadlines() {
        let mut deadlines = Deadlines::new();
        assert!(deadlines.arm("late", at(30)));
        assert!(deadlines.arm("early", at(10)));
        assert!(!deadlines.arm("middle", at(20)));
        assert_eq!(deadlines.first(), Some(at(10)));
        assert_eq!(deadlines.pop(at(9)), None);
        assert_eq!(deadlines.pop(at(25)), Some("early"));
        assert_eq!(deadlines.pop(at(25)), Some("middle"));
        assert_eq!(deadlines.pop(at(25)), None);
    }

    #[test]
    fn a_timer_armed_again_fires_once_and_a_disarmed_one_never() {
        let mut deadlines = Deadlines::new();
        deadlines.arm("moved", at(10));
        deadlines.arm("moved", at(20));
        deadlines.arm("gone", at(5));
        deadlines.disarm("gone");
        assert_eq!(deadlines.pop(at(15)), None);
        assert_eq!(deadlines.pop(at(20)), Some("moved"));
        assert_eq!(deadlines.pop(at(99)), None);
        assert_eq!(deadlines.first(), None);
    }
}
