use std::fmt;
use std::time::Duration;

/// What a search or a walk has seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many different states were looked at; a walk does not know.
    pub unique: usize,
    /// How many states were generated, repetitions included.
    pub states: usize,
    /// The longest way.
    pub depth: usize,
    /// How long it took.
    pub duration: Duration,
    /// Why it ended.
    pub end: End,
    /// The rule that does not hold, and the way to where it does not.
    pub violation: Option<Violation>,
    /// What should have been possible and was not come across.
    pub missing: Vec<&'static str>,
}

/// Why a search or a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every state within the bounds was looked at.
    All,
    /// The time was up.
    Time,
    /// As many states were generated as were allowed.
    States,
    /// A rule was violated.
    Violation,
}

/// How a rule came to be violated.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What the rule means for a user.
    pub meaning: &'static str,
    /// What the last step did wrong, if the rule is about steps.
    pub what: Option<String>,
    /// What happened, one line each.
    pub steps: Vec<String>,
    /// Where it led.
    pub outcome: String,
}

impl Report {
    /// Whether there is no violation, and, if every state was looked at, everything that must be
    /// possible is.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self.end {
            End::All => self.missing.is_empty(),
            End::Time | End::States => true,
            End::Violation => false,
        }
    }

    /// States generated in a second.
    #[must_use]
    pub fn pace(&self) -> f64 {
        self.states as f64 / self.duration.as_secs_f64().max(1e-9)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "VIOLATED: {} ({})", self.rule, self.meaning)?;
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "  {number:3}. {step}")?;
        }
        if let Some(what) = &self.what {
            writeln!(f, "       and so: {what}")?;
        }
        writeln!(f, "  which leads to:")?;
        for line in self.outcome.lines() {
            writeln!(f, "       {line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all states within the bounds",
            Self::Time => "the time was up first",
            Self::States => "the number of states was reached first",
            Self::Violation => "a violation",
        })
    }
}
