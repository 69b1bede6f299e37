//! What has to happen sometimes.
//!
//! A simulation in which nothing happens finds nothing, and nobody notices. So everything that is
//! worth happening has a row in a table, and a long run in which a row stays empty has failed.

/// The rows of one protocol: a name for the code and words for people.
macro_rules! sometimes {
    ($(#[$doc:meta])* $name:ident { $($row:ident = $words:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum $name {
            $($row,)*
        }

        impl $name {
            pub(crate) const WORDS: &'static [&'static str] = &[$($words,)*];
        }

        impl From<$name> for usize {
            fn from(row: $name) -> Self {
                row as Self
            }
        }
    };
}

pub(crate) use sometimes;

/// As many rows as any protocol has.
const ROWS_MAX: usize = 64;

/// How often what has happened in one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally([u32; ROWS_MAX]);

impl Tally {
    pub(crate) fn new() -> Self {
        Self([0; ROWS_MAX])
    }

    /// Notes that it happened.
    pub(crate) fn saw(&mut self, row: impl Into<usize>) {
        self.0[row.into()] += 1;
    }

    pub(crate) fn saw_if(&mut self, is_seen: bool, row: impl Into<usize>) {
        self.0[row.into()] += u32::from(is_seen);
    }
}

/// How often what has happened in many runs.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    words: &'static [&'static str],
    /// In how many runs, and how many times.
    rows: [(u64, u64); ROWS_MAX],
}

impl Table {
    pub(crate) fn new(words: &'static [&'static str]) -> Self {
        assert!(words.len() <= ROWS_MAX, "the table has room for all rows");
        Self {
            words,
            rows: [(0, 0); ROWS_MAX],
        }
    }

    pub(crate) fn add(&mut self, tally: &Tally) {
        for (row, times) in self.rows.iter_mut().zip(tally.0) {
            row.0 += u64::from(times > 0);
            row.1 += u64::from(times);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (row, other) in self.rows.iter_mut().zip(other.rows) {
            row.0 += other.0;
            row.1 += other.1;
        }
    }

    /// The rows that stayed empty.
    pub(crate) fn never(&self) -> Vec<&'static str> {
        let rows = self.words.iter().zip(&self.rows);
        rows.filter(|(_, row)| row.0 == 0)
            .map(|(words, _)| *words)
            .collect()
    }

    /// A line for each row.
    pub(crate) fn lines(&self, runs: u64) -> impl Iterator<Item = String> {
        let rows = self.words.iter().zip(&self.rows);
        rows.map(move |(words, (seen, times))| {
            let share = 100.0 * *seen as f64 / runs.max(1) as f64;
            format!("  {words:<58} in {share:6.2} % of the runs, {times} times")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_told() {
        sometimes! {
            /// Weather.
            Weather { Rain = "it rains", Snow = "it snows", }
        }
        let mut table = Table::new(Weather::WORDS);
        let mut tally = Tally::new();
        tally.saw(Weather::Rain);
        tally.saw_if(false, Weather::Snow);
        table.add(&tally);
        assert_eq!(table.never(), ["it snows"]);
        tally.saw(Weather::Snow);
        table.add(&tally);
        assert!(table.never().is_empty());
    }
}
