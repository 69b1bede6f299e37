//! What is going to happen, and when.

/// How far ahead anything can be planned.
const DAYS: usize = 2048;
const NOBODY: u32 = u32::MAX;

/// A ring of days, each with a queue of its own.
///
/// Planning and taking cost the same however much is planned, which a heap would not give.
#[derive(Clone, Debug)]
pub(crate) struct Calendar<H> {
    now: u64,
    days: Vec<Day>,
    /// A bit for each day that has something planned.
    busy: [u64; DAYS / 64],
    plans: Vec<Plan<H>>,
    /// The first of the plans that were carried out, whose room can be used again.
    free: u32,
}

#[derive(Clone, Copy, Debug)]
struct Day {
    first: u32,
    last: u32,
}

#[derive(Clone, Debug)]
struct Plan<H> {
    happening: Option<H>,
    next: u32,
}

impl<H> Calendar<H> {
    pub(crate) fn new() -> Self {
        let empty = Day {
            first: NOBODY,
            last: NOBODY,
        };
        Self {
            now: 0,
            days: vec![empty; DAYS],
            busy: [0; DAYS / 64],
            plans: Vec::with_capacity(128),
            free: NOBODY,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Plans something for later; of two things planned for one day, the first planned comes first.
    pub(crate) fn plan(&mut self, delay: u64, happening: H) {
        assert!(delay < DAYS as u64, "nothing is planned so far ahead");
        let place = self.keep(happening);
        let day = (self.now + delay) as usize % DAYS;
        let Day { first, last } = &mut self.days[day];
        if *first == NOBODY {
            *first = place;
            self.busy[day / 64] |= 1 << (day % 64);
        } else {
            self.plans[*last as usize].next = place;
        }
        *last = place;
    }

    /// What happens next, up to a moment; the time is then that of what happens.
    pub(crate) fn take(&mut self, until: u64) -> Option<H> {
        let day = self.next_day()?;
        let today = self.now as usize % DAYS;
        let then = self.now + ((day + DAYS - today) % DAYS) as u64;
        if then > until {
            self.now = self.now.max(until);
            return None;
        }
        self.now = then;
        let place = self.days[day].first;
        let plan = &mut self.plans[place as usize];
        let happening = plan.happening.take();
        let next = std::mem::replace(&mut plan.next, self.free);
        self.free = place;
        self.days[day].first = next;
        if next == NOBODY {
            self.busy[day / 64] &= !(1 << (day % 64));
        }
        happening
    }

    fn keep(&mut self, happening: H) -> u32 {
        let place = self.free;
        if let Some(plan) = self.plans.get_mut(place as usize) {
            self.free = std::mem::replace(&mut plan.next, NOBODY);
            plan.happening = Some(happening);
            return place;
        }
        self.plans.push(Plan {
            happening: Some(happening),
            next: NOBODY,
        });
        u32::try_from(self.plans.len() - 1).expect("a run plans less at once")
    }

    /// The first busy day from today on, around the ring.
    fn next_day(&self) -> Option<usize> {
        let today = self.now as usize % DAYS;
        let (word, bit) = (today / 64, today % 64);
        let rest = self.busy[word] & (u64::MAX << bit);
        if rest != 0 {
            return Some(word * 64 + rest.trailing_zeros() as usize);
        }
        let words = self.busy.len();
        let later = (1..=words).map(|ahead| (word + ahead) % words);
        later
            .map(|word| (word, self.busy[word]))
            .find(|(_, bits)| *bits != 0)
            .map(|(word, bits)| word * 64 + bits.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_happen_in_the_order_of_their_time_and_then_of_their_planning() {
        let mut calendar = Calendar::new();
        for (delay, what) in [(70, 'c'), (3, 'a'), (3, 'b'), (2047, 'd')] {
            calendar.plan(delay, what);
        }
        let mut seen = Vec::new();
        while let Some(what) = calendar.take(5000) {
            seen.push((calendar.now(), what));
            if what == 'b' {
                calendar.plan(2045, 'e');
            }
        }
        assert_eq!(
            seen,
            [(3, 'a'), (3, 'b'), (70, 'c'), (2047, 'd'), (2048, 'e')]
        );
    }

    #[test]
    fn time_stands_still_where_it_is_told_to() {
        let mut calendar = Calendar::new();
        calendar.plan(10, 'a');
        assert_eq!(calendar.take(9), None);
        assert_eq!(calendar.now(), 9);
        assert_eq!(calendar.take(10), Some('a'));
    }
}
