//! The story of a run, for people.
//!
//! A run that goes well tells nothing, because telling takes longer than living. The runs are the
//! same whether they are told or not, so one that failed is lived through again and told then.

use std::collections::VecDeque;
use std::fmt::Display;

/// The lines that are kept of a story.
const LINES_MAX: usize = 400;

/// What happened last, a line for each thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    telling: Telling,
    lines: VecDeque<String>,
}

/// Whether a run is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Not at all.
    #[default]
    Silent,
    /// All of it, at once.
    Aloud,
    /// Its end, if it goes wrong.
    Kept,
}

impl Timeline {
    pub(crate) fn new(telling: Telling) -> Self {
        Self {
            telling,
            lines: VecDeque::new(),
        }
    }

    /// Notes what happens; the words are found only if somebody wants them.
    pub(crate) fn note<W: Display>(&mut self, now: u64, words: impl FnOnce() -> W) {
        match self.telling {
            Telling::Silent => {}
            Telling::Aloud => println!("{now:6}  {}", words()),
            Telling::Kept => {
                if self.lines.len() == LINES_MAX {
                    self.lines.pop_front();
                }
                self.lines.push_back(format!("{now:6}  {}", words()));
            }
        }
    }
}

/// A run that fails ends by a panic, and what is kept is wanted then.
impl Drop for Timeline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in &self.lines {
                println!("{line}");
            }
        }
    }
}
