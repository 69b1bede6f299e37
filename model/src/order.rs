//! Whether clients see one log, in an order that fits the times at which they saw it.

use crate::broken::Broken;

/// The rule that is judged here.
pub(crate) const LINEARIZABLE: &str = "clients see one log, linearizably";

/// What clients have seen of a log in all, up to which place.
///
/// For a history of operations to be *linearizable* there must be one order of all of them that
/// explains every answer and in which whatever had ended before something else began comes first.
/// In general that order has to be searched for. Here it is known, for every answer names a place
/// in the log: an append is told the place that it was given, a read the length of what it saw. So
/// no other order than that of the places can explain the answers, and it only remains to be seen
/// whether it fits the times: nothing may be told of a place that is not later than what anybody
/// had been told before it began (a read: not earlier). That what stands at a place never changes
/// is another rule. A test compares this with the search, over random histories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Order {
    /// The latest place that anybody was told of.
    told: u64,
}

/// What had been told when an operation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Begun(u64);

impl Order {
    /// An operation begins.
    pub(crate) fn begin(&self) -> Begun {
        Begun(self.told)
    }

    /// An append ends, and is told that it is at `place`, counted from 1.
    pub(crate) fn appended(&mut self, begun: Begun, place: u64) -> Result<(), Broken> {
        self.told = self.told.max(place);
        if place > begun.0 {
            return Ok(());
        }
        let what = format!(
            "an operation was told that it is at place {place}, after somebody else had been told \
             of place {} before it began",
            begun.0
        );
        Err(Broken::new(LINEARIZABLE, what))
    }

    /// A read ends, and has seen the first `length` operations.
    pub(crate) fn read(&mut self, begun: Begun, length: u64) -> Result<(), Broken> {
        self.told = self.told.max(length);
        if length >= begun.0 {
            return Ok(());
        }
        let what = format!(
            "a read saw {length} operations, after somebody had been told of the one at place {} \
             before it began",
            begun.0
        );
        Err(Broken::new(LINEARIZABLE, what))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Operation {
        Append,
        Read,
    }

    /// A log of which only the length is of interest.
    #[derive(Clone, Debug, PartialEq)]
    struct Log(u64);

    impl SequentialSpec for Log {
        type Op = Operation;
        type Ret = u64;

        fn invoke(&mut self, operation: &Operation) -> u64 {
            match operation {
                Operation::Append => self.0 += 1,
                Operation::Read => {}
            }
            self.0
        }
    }

    /// What happens: a client (each has one operation) begins, and later it is answered.
    struct History {
        operations: Vec<(Operation, u64)>,
        /// Each client twice.
        moments: Vec<usize>,
    }

    impl History {
        /// The places that appends are told are all different; everything else is arbitrary.
        fn random(random: &mut ChaCha8Rng) -> Self {
            let appends = random.random_range(1..=4);
            let reads = random.random_range(0..=2);
            let mut places: Vec<u64> = (1..=appends).collect();
            // Mostly in order, or hardly any history would be sound.
            if random.random_range(0..3) == 0 {
                places.shuffle(random);
            }
            let mut operations: Vec<_> = places
                .into_iter()
                .map(|place| (Operation::Append, place))
                .collect();
            for _ in 0..reads {
                let length = random.random_range(0..=appends);
                let place = random.random_range(0..=operations.len());
                operations.insert(place, (Operation::Read, length));
            }
            let mut moments: Vec<usize> = (0..operations.len()).flat_map(|it| [it, it]).collect();
            for _ in 0..random.random_range(0..=moments.len()) {
                let place = random.random_range(1..moments.len());
                moments.swap(place - 1, place);
            }
            Self {
                operations,
                moments,
            }
        }

        fn is_in_order(&self) -> bool {
            let mut order = Order::default();
            let mut begun = vec![None; self.operations.len()];
            self.moments.iter().all(|client| {
                let (operation, told) = self.operations[*client];
                let Some(begun) = begun[*client] else {
                    begun[*client] = Some(order.begin());
                    return true;
                };
                match operation {
                    Operation::Append => order.appended(begun, told).is_ok(),
                    Operation::Read => order.read(begun, told).is_ok(),
                }
            })
        }

        fn is_linearizable(&self) -> bool {
            let mut tester = LinearizabilityTester::new(Log(0));
            let mut is_begun = vec![false; self.operations.len()];
            for client in &self.moments {
                let (operation, told) = self.operations[*client];
                let noted = if is_begun[*client] {
                    tester.on_return(*client, told).map(|_| ())
                } else {
                    is_begun[*client] = true;
                    tester.on_invoke(*client, operation).map(|_| ())
                };
                noted.expect("clients begin before they are answered");
            }
            tester.is_consistent()
        }
    }

    #[test]
    fn known_order_and_searched_order_judge_alike() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0, 0];
        for _ in 0..20_000 {
            let history = History::random(&mut random);
            let is_sound = history.is_linearizable();
            assert_eq!(history.is_in_order(), is_sound, "{:?}", history.operations);
            counts[usize::from(is_sound)] += 1;
        }
        assert!(counts.iter().all(|count| *count > 2000), "{counts:?}");
    }
}
