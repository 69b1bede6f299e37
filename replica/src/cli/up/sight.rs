//! What can be seen of a node from outside: its process, if it is ours, and its answers.

use std::time::Duration;

use quorate_platform::Instant;
use quorate_wire::NodeStatus;

use crate::cli::cluster::role_name;

/// One node, as it is seen.
#[derive(Debug)]
pub(super) struct Sight {
    id: u16,
    process: Process,
    answer: Option<NodeStatus>,
    answered_at: Instant,
    has_answered: bool,
    /// Bytes that the node has appended per second, between its last two answers.
    rate: f64,
}

#[derive(Debug)]
enum Process {
    /// Our child.
    Running { pid: u32 },
    /// Our child has ended; the node may have been started again by somebody else.
    Ended { how: String, at: Instant },
}

/// A node in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Alive,
    /// Its process is there but does not answer.
    Silent,
    /// Its process has ended, and how.
    Dead(String),
}

impl Sight {
    pub(super) fn started(id: u16, pid: u32, now: Instant) -> Self {
        Self {
            id,
            process: Process::Running { pid },
            answer: None,
            answered_at: now,
            has_answered: false,
            rate: 0.0,
        }
    }

    pub(super) fn on_end(&mut self, how: String, now: Instant) {
        self.process = Process::Ended { how, at: now };
        self.answer = None;
    }

    pub(super) fn on_answer(&mut self, answer: Option<NodeStatus>, now: Instant) {
        let answer = answer.filter(|status| match &self.process {
            Process::Running { .. } => true,
            // An answer of the process that has ended may still have been on its way: only one
            // that has started since then speaks for the node's return.
            Process::Ended { at, .. } => Duration::from_millis(status.uptime_ms) <= now - *at,
        });
        if let (Process::Ended { how, .. }, Some(_), None) =
            (&mut self.process, &self.answer, &answer)
        {
            // Whoever had started it again knows how it ended; we do not.
            *how = "exit=unknown".to_owned();
        }
        self.rate = match (&self.answer, &answer) {
            (Some(before), Some(after)) => {
                let bytes = after.appended_bytes.saturating_sub(before.appended_bytes);
                bytes as f64 / (now - self.answered_at).as_secs_f64().max(1e-3)
            }
            _ => 0.0,
        };
        self.has_answered |= answer.is_some();
        self.answered_at = now;
        self.answer = answer;
    }

    pub(super) fn status(&self) -> Option<&NodeStatus> {
        self.answer.as_ref()
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn state(&self) -> State {
        match (&self.process, &self.answer) {
            (_, Some(_)) => State::Alive,
            (Process::Running { .. }, None) if self.has_answered => State::Silent,
            (Process::Running { .. }, None) => State::Starting,
            (Process::Ended { how, .. }, None) => State::Dead(how.clone()),
        }
    }

    /// What changes seldom, as words that scripts can split at spaces and `=`.
    pub(super) fn line(&self) -> String {
        let mut line = format!("node={} state=", self.id);
        line += &match self.state() {
            State::Starting => "starting".to_owned(),
            State::Alive => "alive".to_owned(),
            State::Silent => "silent".to_owned(),
            State::Dead(how) => format!("dead {how}"),
        };
        if let Process::Running { pid } = &self.process {
            line += &format!(" pid={pid}");
        }
        if let Some(status) = &self.answer {
            line += &format!(
                " role={} view={} leaderships={} under_replicated={}",
                role_name(status.role),
                status.view,
                status.leaderships,
                status.under_replicated
            );
        }
        line
    }

    pub(super) fn cells(&self) -> [String; 8] {
        fn number<N: ToString>(number: Option<N>) -> String {
            number.map_or("-".to_owned(), |it| it.to_string())
        }
        let status = self.answer.as_ref();
        let pid = match &self.process {
            Process::Running { pid } => Some(pid),
            Process::Ended { .. } => None,
        };
        let state = match self.state() {
            State::Starting => "starting".to_owned(),
            State::Alive => "alive".to_owned(),
            State::Silent => "silent".to_owned(),
            State::Dead(how) => format!("dead, {how}"),
        };
        [
            self.id.to_string(),
            state,
            number(pid),
            number(status.map(|status| role_name(status.role))),
            number(status.map(|status| status.view)),
            number(status.map(|status| status.leaderships)),
            number(status.map(|status| status.under_replicated)),
            number(status.map(|_| format!("{:.1} MiB/s", self.rate / f64::from(1 << 20)))),
        ]
    }
}

#[cfg(test)]
mod tests {
    use quorate_wire::Role;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn status(uptime_ms: u64, appended_bytes: u64) -> Option<NodeStatus> {
        Some(NodeStatus {
            node: 1,
            disk: 0,
            role: Role::Primary,
            view: 4,
            op_number: 0,
            commit_number: 0,
            replicas: 3,
            leaderships: 2,
            under_replicated: 1,
            damaged_ranges: 0,
            appended_records: 0,
            appended_bytes,
            uptime_ms,
        })
    }

    #[test]
    fn a_node_starts_answers_falls_silent_and_dies() {
        let mut sight = Sight::started(1, 42, at(0));
        assert_eq!(sight.line(), "node=1 state=starting pid=42");
        sight.on_answer(status(10, 0), at(1));
        assert_eq!(
            sight.line(),
            "node=1 state=alive pid=42 role=primary view=4 leaderships=2 under_replicated=1"
        );
        sight.on_answer(None, at(2));
        assert_eq!(sight.line(), "node=1 state=silent pid=42");
        sight.on_end("signal=9".to_owned(), at(3));
        assert_eq!(sight.line(), "node=1 state=dead signal=9");
    }

    #[test]
    fn a_late_answer_does_not_bring_the_dead_back_but_a_new_process_does() {
        let mut sight = Sight::started(1, 42, at(0));
        sight.on_end("signal=9".to_owned(), at(10));
        sight.on_answer(status(9_000, 0), at(11));
        assert_eq!(sight.state(), State::Dead("signal=9".to_owned()));
        sight.on_answer(status(500, 0), at(12));
        assert_eq!(sight.state(), State::Alive);
        assert!(!sight.line().contains("pid"), "{}", sight.line());
        sight.on_answer(None, at(13));
        assert_eq!(sight.state(), State::Dead("exit=unknown".to_owned()));
    }

    #[test]
    fn the_rate_is_that_between_the_last_two_answers() {
        let mut sight = Sight::started(1, 42, at(0));
        sight.on_answer(status(1, 0), at(1));
        sight.on_answer(status(1, 10 << 20), at(3));
        assert_eq!(sight.cells()[7], "5.0 MiB/s");
        sight.on_answer(status(1, 0), at(4));
        assert_eq!(sight.cells()[7], "0.0 MiB/s");
    }
}
