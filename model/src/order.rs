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
