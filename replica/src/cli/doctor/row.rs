use std::collections::BTreeMap;

use serde::Serialize;

/// What is thought of something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be
    Ok,
    /// A node works, and is slower than it could be
    Slow,
    /// A node works, and somebody should know
    Warning,
    /// A node does not start, or not for long
    Fails,
}

impl Verdict {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Warning => "warning",
            Self::Fails => "fails",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    /// What was looked at; programs may rely on the name.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found, for people.
    pub(crate) found: String,
    /// What was found, for programs; the unit stands last in each name.
    pub(crate) figures: BTreeMap<&'static str, u64>,
    /// What to do about it, where there is something to do.
    pub(crate) advice: Option<String>,
}

impl Row {
    pub(crate) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            figures: BTreeMap::new(),
            advice: None,
        }
    }

    /// The same, with another verdict and what to do about it.
    pub(crate) fn but(mut self, verdict: Verdict, advice: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.advice = Some(advice.into());
        self
    }

    /// The same, with one more figure.
    pub(crate) fn figure(mut self, name: &'static str, value: u64) -> Self {
        self.figures.insert(name, value);
        self
    }
}
