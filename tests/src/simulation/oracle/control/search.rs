//! The search for an order: each operation is placed no later than its answer forces it to be.
//!
//! Time passes over the history. At an invocation an operation becomes pending. At an answer it
//! must have been placed: whatever states were possible, all orders of pending operations that end
//! with it are tried, and what they lead to is possible now. If nothing is, there is no order.
//! Where nothing is pending the past is one set of states, so a long history costs no more than
//! its most crowded time. What is possible in two ways is looked at once.
//!
//! What has no answer stays pending for ever. Of those that would do the same only the number
//! counts; and whoever has more of them left in the same state has all the future of the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use quorate_jepsen::Moment;

/// More possibilities at one time than this are too many to look at.
const POSSIBLE_MAX: usize = 50_000;

/// An operation with what was answered to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<A> {
    /// What it did, or would have done if it happened.
    pub action: A,
    /// Before it was sent.
    pub invoked: Moment,
    /// After the answer; `None` if there was none, so that it may have happened or not.
    pub completed: Option<Moment>,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// After all that came before, this answer is wrong in every order.
    At {
        /// The operation, in words.
        operation: String,
        /// When it was invoked.
        invoked: Moment,
        /// What could have been the state before, in words.
        states: String,
    },
    /// There are more orders than can be looked at.
    TooMany,
}

/// What a thing does, one operation at a time.
pub(super) trait Model {
    /// What it is like.
    type State: Clone + Ord + fmt::Debug;
    /// What is done to it, with the answer.
    type Action: Clone + Ord + fmt::Debug;

    /// What it may be like after `action` in `state`; nothing if the answer is not one of that
    /// state.
    fn after(&self, state: &Self::State, action: &Self::Action) -> Vec<Self::State>;
}

/// A state, and what is pending: how many operations of each class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Possible<S> {
    state: S,
    pending: BTreeMap<usize, u32>,
}

/// Succeeds if there is an order of `operations` from the state `initial` on.
pub(super) fn linearize<M: Model>(
    model: &M,
    initial: M::State,
    operations: &[Operation<M::Action>],
) -> Result<(), Stuck> {
    let classes = classes(operations);
    let start = Possible {
        state: initial,
        pending: BTreeMap::new(),
    };
    let mut possible = BTreeSet::from([start]);
    for (_, is_answer, at) in moments(operations) {
        let class = classes[at];
        if !is_answer {
            possible = possible.into_iter().map(|it| it.with(class)).collect();
            continue;
        }
        let before = possible.clone();
        possible = place(model, operations, possible, class)?;
        if possible.is_empty() {
            let operation = &operations[at];
            return Err(Stuck::At {
                operation: format!("{:?}", operation.action),
                invoked: operation.invoked,
                states: states_of(&before),
            });
        }
    }
    Ok(())
}

/// Invocations and answers by time; at the same time first all invocations.
fn moments<A>(operations: &[Operation<A>]) -> Vec<(Moment, bool, usize)> {
    let mut moments = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        moments.push((operation.invoked, false, at));
        if let Some(completed) = operation.completed {
            moments.push((completed, true, at));
        }
    }
    moments.sort_unstable();
    moments
}

/// Each answered operation is a class of its own; of the others those that do the same are one.
fn classes<A: Ord>(operations: &[Operation<A>]) -> Vec<usize> {
    let mut firsts = BTreeMap::new();
    let each = operations.iter().enumerate();
    each.map(|(at, operation)| match operation.completed {
        Some(_) => at,
        None => *firsts.entry(&operation.action).or_insert(at),
    })
    .collect()
}

/// Everything that is possible once an operation of `class` has been placed.
fn place<M: Model>(
    model: &M,
    operations: &[Operation<M::Action>],
    possible: BTreeSet<Possible<M::State>>,
    class: usize,
) -> Result<BTreeSet<Possible<M::State>>, Stuck> {
    let is_optional = |class: usize| operations[class].completed.is_none();
    let mut placed = Best::default();
    let mut seen = Best::default();
    // Whoever has placed fewer comes first, and spares those that come to the same with more.
    let mut open: VecDeque<_> = possible.into_iter().collect();
    while let Some(now) = open.pop_front() {
        if !now.pending.contains_key(&class) {
            placed.insert(now, is_optional);
            continue;
        }
        if !seen.insert(now.clone(), is_optional) {
            continue;
        }
        if seen.count > POSSIBLE_MAX {
            return Err(Stuck::TooMany);
        }
        for &next in now.pending.keys() {
            for state in model.after(&now.state, &operations[next].action) {
                open.push_back(now.without(next, state));
            }
        }
    }
    let all = placed.by_state.into_values().flatten();
    Ok(all.collect())
}

/// Possibilities of which none makes up for another one.
struct Best<S> {
    by_state: BTreeMap<S, Vec<Possible<S>>>,
    count: usize,
}

impl<S> Default for Best<S> {
    fn default() -> Self {
        Self {
            by_state: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<S: Clone + Ord> Best<S> {
    /// Takes a possibility in, unless another one makes up for it; whether it has.
    fn insert(&mut self, new: Possible<S>, is_optional: impl Fn(usize) -> bool + Copy) -> bool {
        let same = self.by_state.entry(new.state.clone()).or_default();
        if same.iter().any(|old| old.dominates(&new, is_optional)) {
            return false;
        }
        same.retain(|old| !new.dominates(old, is_optional));
        same.push(new);
        self.count += 1;
        true
    }
}

impl<S: Clone + Ord> Possible<S> {
    fn with(mut self, class: usize) -> Self {
        *self.pending.entry(class).or_default() += 1;
        self
    }

    fn without(&self, class: usize, state: S) -> Self {
        let mut pending = self.pending.clone();
        let count = pending.get_mut(&class).expect("it is pending");
        *count -= 1;
        if *count == 0 {
            pending.remove(&class);
        }
        Self { state, pending }
    }

    /// Whether all that can become of `other` can become of this too: it is in the same state, must
    /// place the same, and has at least as much left that may happen or not.
    fn dominates(&self, other: &Self, is_optional: impl Fn(usize) -> bool) -> bool {
        let mut classes = self.pending.keys().chain(other.pending.keys());
        let is_enough = |class: &usize| {
            let counts = (self.pending.get(class), other.pending.get(class));
            counts.0 == counts.1 || (is_optional(*class) && counts.0 > counts.1)
        };
        self.state == other.state && classes.all(is_enough)
    }
}

fn states_of<S: fmt::Debug + Ord + Clone>(possible: &BTreeSet<Possible<S>>) -> String {
    let states: BTreeSet<&S> = possible.iter().map(|it| &it.state).collect();
    format!("{states:?}")
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At {
                operation,
                invoked,
                states,
            } => write!(
                f,
                "{operation}, invoked at {} ms, fits none of the states that were possible: \
                 {states}",
                invoked.0 / 1_000_000
            ),
            Self::TooMany => f.write_str("there are more orders than can be looked at"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// One number.
    struct Register;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Use {
        Write(u8),
        Read(u8),
    }

    impl Model for Register {
        type State = u8;
        type Action = Use;

        fn after(&self, state: &u8, action: &Use) -> Vec<u8> {
            match action {
                Use::Write(value) => vec![*value],
                Use::Read(value) if value == state => vec![*state],
                Use::Read(_) => Vec::new(),
            }
        }
    }

    fn operation(action: Use, invoked: u64, completed: u64) -> Operation<Use> {
        Operation {
            action,
            invoked: Moment(invoked),
            completed: (completed > 0).then_some(Moment(completed)),
        }
    }

    fn has_order(operations: &[(Use, u64, u64)]) -> bool {
        let operations: Vec<_> = operations
            .iter()
            .map(|(action, invoked, completed)| operation(action.clone(), *invoked, *completed))
            .collect();
        linearize(&Register, 0, &operations).is_ok()
    }

    #[test]
    fn read_after_a_write_shows_it() {
        use Use::{Read, Write};
        assert!(has_order(&[(Write(1), 1, 2), (Read(1), 3, 4)]));
        assert!(!has_order(&[(Write(1), 1, 2), (Read(0), 3, 4)]));
        assert!(has_order(&[(Write(1), 1, 3), (Read(0), 2, 4)]));
        // An answer and an invocation of the same time overlap.
        assert!(has_order(&[(Write(1), 1, 3), (Read(0), 3, 4)]));
    }

    #[test]
    fn reads_do_not_go_back() {
        use Use::{Read, Write};
        let overlapping = (Write(1), 1, 9);
        let forth = [overlapping.clone(), (Read(0), 2, 3), (Read(1), 4, 5)];
        let back = [overlapping, (Read(1), 2, 3), (Read(0), 4, 5)];
        assert!(has_order(&forth));
        assert!(!has_order(&back));
    }

    #[test]
    fn write_without_an_answer_may_happen_late_or_never_but_once() {
        use Use::{Read, Write};
        let doubtful = (Write(7), 1, 0);
        assert!(has_order(&[doubtful.clone(), (Read(0), 2, 3)]));
        let late = [
            doubtful.clone(),
            (Read(0), 2, 3),
            (Write(1), 4, 5),
            (Read(7), 6, 7),
        ];
        assert!(has_order(&late));
        let again = [(Write(1), 8, 9), (Read(7), 10, 11)];
        let twice: Vec<_> = late.iter().chain(&again).cloned().collect();
        assert!(!has_order(&twice));
        let two: Vec<_> = twice.into_iter().chain([doubtful]).collect();
        assert!(has_order(&two), "a second one may have happened as well");
        assert!(
            !has_order(&[(Write(7), 4, 0), (Read(7), 2, 3)]),
            "not before it was sent"
        );
    }

    #[test]
    fn many_operations_without_an_answer_stay_few_possibilities() {
        let mut operations = Vec::new();
        for round in 0..300u64 {
            operations.push((Use::Write((round % 5) as u8), 10 * round + 1, 0));
            operations.push((Use::Write(9), 10 * round + 2, 10 * round + 3));
            operations.push((Use::Read(9), 10 * round + 4, 10 * round + 5));
        }
        assert!(has_order(&operations));
    }

    /// Clients of a register that is right; each of their operations takes effect in between.
    fn good(random: &mut ChaCha8Rng) -> Vec<Operation<Use>> {
        let (mut value, mut operations) = (0, Vec::new());
        for instant in (1..60).map(|step| step * 10) {
            let invoked = instant - random.random_range(0..10);
            let completed = instant + random.random_range(1..15);
            let is_lost = random.random_range(0..8) == 0;
            let action = match random.random_range(0..2) {
                0 => {
                    let next = random.random_range(0..4);
                    if !is_lost || random.random() {
                        value = next;
                    }
                    Use::Write(next)
                }
                _ => Use::Read(value),
            };
            let completed = if is_lost { 0 } else { completed };
            operations.push(operation(action, invoked, completed));
        }
        operations
    }

    #[test]
    fn good_histories_have_an_order_and_spoilt_ones_have_none() {
        for seed in 0..300 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut operations = good(&mut random);
            assert_eq!(linearize(&Register, 0, &operations), Ok(()), "seed {seed}");
            let is_read = |it: &&mut Operation<Use>| {
                matches!(it.action, Use::Read(_)) && it.completed.is_some()
            };
            let mut reads: Vec<_> = operations.iter_mut().filter(is_read).collect();
            let place = random.random_range(0..reads.len());
            // A value that nobody ever writes.
            reads[place].action = Use::Read(42);
            assert!(linearize(&Register, 0, &operations).is_err(), "seed {seed}");
        }
    }
}
