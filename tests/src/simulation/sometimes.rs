//! What must happen sometimes: a test of what never happens proves nothing.
//!
//! The nodes tell what they do by events, for their operators. Some of these say that a rare way
//! was taken: a torn write was cut, a batch came a second time. Each of them is a row of a table
//! that counts over all runs, and a row that stays at zero shows what the runs never reach.
//!
//! [`Listener`] hears the events of the nodes, and keeps them for the thread on which they happen,
//! until [`take_heard`] takes them. It is meant to be the one subscriber of the process: what one
//! thread does not listen to may else not be told on another. The events are for [`Sometimes`], and
//! for whoever shows the end of a run.

mod heard;
mod row;

use std::fmt;
use std::ops::AddAssign;

pub use heard::{Heard, Listener, listen, take_heard};
use row::ROWS;

/// How often what has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sometimes {
    counts: [u64; ROWS.len()],
}

impl Default for Sometimes {
    fn default() -> Self {
        Self {
            counts: [0; ROWS.len()],
        }
    }
}

impl Sometimes {
    /// Counts an event, if there are rows for it.
    pub fn count(&mut self, heard: &Heard) {
        for (row, count) in ROWS.iter().zip(&mut self.counts) {
            *count += u64::from(row.is_told_by(heard));
        }
    }

    /// The names of the rows, and how often each of them has happened.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = ROWS.iter().map(|row| row.name);
        names.zip(self.counts.iter().copied())
    }

    /// What has never happened.
    pub fn never(&self) -> Vec<&'static str> {
        let never = self.rows().filter(|(_, count)| *count == 0);
        never.map(|(name, _)| name).collect()
    }
}

impl AddAssign<&Self> for Sometimes {
    fn add_assign(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }
}

impl fmt::Display for Sometimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.rows() {
            writeln!(f, "{count:>10}  {name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What is counted of the events that `happen` tells.
    fn counted(happen: impl FnOnce()) -> Vec<(&'static str, u64)> {
        let subscriber = tracing_subscriber::registry().with(Listener);
        tracing::subscriber::with_default(subscriber, happen);
        let mut sometimes = Sometimes::default();
        take_heard().iter().for_each(|heard| sometimes.count(heard));
        sometimes.rows().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn events_are_counted_by_what_they_say() {
        let rows = counted(|| {
            tracing::info!(
                target: "quorate_replica::shard::opening",
                partition = 3,
                bytes = 512,
                "cut off a write that had been interrupted"
            );
            for (written_in, epoch) in [(2, "2"), (2, "3")] {
                tracing::debug!(
                    target: "quorate_replica::shard::produce",
                    written_in,
                    epoch,
                    "sent again"
                );
            }
        });
        let expected = [
            ("a batch is recognized that was sent again", 2),
            (
                "a batch is recognized that an earlier leader had appended",
                1,
            ),
            ("a torn write at the end of a log is cut", 1),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn same_words_of_somebody_else_do_not_count() {
        let rows = counted(|| {
            tracing::debug!(target: "other::shard::produce", "sent again");
            tracing::debug!(target: "quorate_replica::control", "sent again");
            tracing::debug!(target: "quorate_replica::shard::produce", "sent once");
        });
        assert_eq!(rows, []);
    }

    #[test]
    fn view_change_counts_by_what_its_new_primary_has() {
        let change = |is_primary: bool, op: &str, commit: &str| {
            tracing::info!(
                target: "quorate_replica::control::driver",
                is_primary, op, commit, status = "Normal",
                "the group has changed"
            );
        };
        let row = "a view begins with operations that are not known to be committed";
        let has_row = |rows: Vec<(&'static str, u64)>| rows.iter().any(|(name, _)| *name == row);
        assert!(has_row(counted(|| change(true, "7", "5"))));
        assert!(!has_row(counted(|| change(true, "7", "7"))));
        assert!(!has_row(counted(|| change(false, "7", "5"))));
    }

    #[test]
    fn tables_of_several_runs_become_one() {
        let mut all = Sometimes::default();
        let count = all.never().len();
        assert_eq!(count, ROWS.len());
        let mut one = Sometimes::default();
        one.counts[1] = 3;
        all += &one;
        all += &one;
        assert_eq!(all.never().len(), count - 1);
        assert_eq!(all.rows().nth(1).map(|(_, count)| count), Some(6));
    }

    #[test]
    fn no_two_rows_have_one_name() {
        let mut names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
    }

    /// The messages stand in the sources of the nodes; a row for words that nobody says is dead.
    #[test]
    fn every_row_waits_for_words_that_the_nodes_say() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        for row in &ROWS {
            let path = row.target.replace("quorate_replica::", "replica/src/");
            let path = path.replace("quorate_log::", "log/src/");
            let path = path
                .replace("quorate_tests::", "tests/src/")
                .replace("::", "/");
            let path = format!("{root}/{path}.rs");
            let source = std::fs::read_to_string(&path).expect("a target is a module");
            // Long messages go over several lines.
            let source: String = source.split("\\\n").map(str::trim_start).collect();
            let message = row.message;
            assert!(
                source.contains(message),
                "{path} does not say \"{message}\""
            );
            for field in row.fields() {
                assert!(source.contains(field), "{path} does not name {field}");
            }
        }
    }
}
