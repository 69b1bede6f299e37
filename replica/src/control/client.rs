use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use quorate_platform::Instant;
use quorate_wire::{BODY_BYTES_MAX, ClusterId, Code, Frame, Kind, Refusal, Response};

/// The most requests that wait for the group.
const WAITING_MAX: usize = 1024;
/// After this time the client is told that the outcome is unknown. Several changes of the view fit
/// into it.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Where the answer to one request goes.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) cluster: ClusterId,
    pub(super) correlation: u64,
    pub(super) answers: flume::Sender<Bytes>,
}

impl Caller {
    /// Answers at once. A client that does not take its answers loses them.
    pub(super) fn answer(&self, response: &Response) {
        let _ = self.answers.try_send(self.frame(response));
    }

    /// Answers as soon as there is room; false if the connection has ended.
    pub(super) async fn answer_in_turn(&self, response: &Response) -> bool {
        self.answers.send_async(self.frame(response)).await.is_ok()
    }

    fn frame(&self, response: &Response) -> Bytes {
        let mut body = quorate_wire::encode(response);
        if body.len() > BODY_BYTES_MAX as usize {
            // The limits of the catalog exclude it, but a client must not be able to end the node.
            tracing::error!(bytes = body.len(), "an answer is too long to send");
            let detail = "the answer is too long to send: ask for less, such as for some topics";
            let refusal = Refusal::new(Code::Unavailable, detail);
            body = quorate_wire::encode(&Response::Refused(refusal));
        }
        Frame::head(Kind::Response, self.cluster, self.correlation, &body, 0)
    }
}

/// The clients that wait for the group, by what they asked for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_question: BTreeMap<Question, Vec<Waiter>>,
    count: usize,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    Register { client: u128 },
    Request { client: u128, request_number: u64 },
}

impl Question {
    /// The question of a client with that number; the group counts a registration as number 0.
    pub(super) fn of(client: u128, request_number: u64) -> Self {
        match request_number {
            0 => Self::Register { client },
            request_number => Self::Request {
                client,
                request_number,
            },
        }
    }
}

#[derive(Debug)]
struct Waiter {
    caller: Caller,
    deadline: Instant,
}

impl Waiting {
    /// Has `caller` wait for the answer to `question`; false if too many wait already.
    pub(super) fn add(&mut self, question: Question, caller: Caller, now: Instant) -> bool {
        if self.count == WAITING_MAX {
            return false;
        }
        self.count += 1;
        let waiter = Waiter {
            caller,
            deadline: now + WAIT_MAX,
        };
        self.by_question.entry(question).or_default().push(waiter);
        true
    }

    /// Answers all who wait for `question`.
    pub(super) fn answer(&mut self, question: Question, response: &Response) {
        for waiter in self.by_question.remove(&question).unwrap_or_default() {
            self.count -= 1;
            waiter.caller.answer(response);
        }
    }

    /// Tells those who have waited too long that the outcome is unknown.
    pub(super) fn expire(&mut self, now: Instant) {
        let mut expired = Vec::new();
        self.by_question.retain(|_, waiters| {
            expired.extend(waiters.extract_if(.., |waiter| waiter.deadline <= now));
            !waiters.is_empty()
        });
        self.count -= expired.len();
        let response = unknown_outcome("the control plane has no primary that can commit", None);
        for waiter in expired {
            waiter.caller.answer(&response);
        }
    }

    /// Tells all who wait that the outcome is unknown, because another node is the primary now.
    pub(super) fn give_up(&mut self, primary: Option<String>) {
        self.count = 0;
        let response = unknown_outcome("another node has become the primary", primary);
        for waiter in std::mem::take(&mut self.by_question)
            .into_values()
            .flatten()
        {
            waiter.caller.answer(&response);
        }
    }
}

fn unknown_outcome(reason: &str, instead: Option<String>) -> Response {
    let detail =
        format!("{reason}: whether the request was or will be done is not known; ask it again");
    Response::Refused(Refusal {
        instead,
        ..Refusal::new(Code::Unavailable, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(0);
    const QUESTION: Question = Question::Request {
        client: 1,
        request_number: 1,
    };

    fn caller() -> (Caller, flume::Receiver<Bytes>) {
        let (answers, receiver) = flume::bounded(4);
        (
            Caller {
                cluster: ClusterId(1),
                correlation: 3,
                answers,
            },
            receiver,
        )
    }

    #[test]
    fn an_answer_that_is_too_long_becomes_a_short_refusal() {
        let (caller, answers) = caller();
        let detail = "x".repeat(BODY_BYTES_MAX as usize);
        let refusal = Refusal::new(Code::InvalidRequest, detail);
        caller.answer(&Response::Refused(refusal));
        assert!(answers.recv().unwrap().len() < 1024);
    }

    #[test]
    fn whoever_asks_the_same_question_gets_the_same_answer() {
        let mut waiting = Waiting::default();
        let (caller, answers) = caller();
        assert!(waiting.add(QUESTION, caller.clone(), START));
        assert!(waiting.add(QUESTION, caller, START));
        waiting.answer(QUESTION, &Response::Registered { session: 4 });
        waiting.answer(QUESTION, &Response::Registered { session: 5 });
        assert_eq!(answers.len(), 2);
    }

    #[test]
    fn waiting_ends_at_the_deadline_and_makes_room() {
        let mut waiting = Waiting::default();
        let (caller, answers) = caller();
        for client in 0..WAITING_MAX as u128 {
            assert!(waiting.add(Question::Register { client }, caller.clone(), START));
        }
        assert!(!waiting.add(QUESTION, caller.clone(), START));
        waiting.expire(START + WAIT_MAX / 2);
        assert!(answers.is_empty());
        waiting.expire(START + WAIT_MAX);
        assert!(answers.is_full());
        assert!(waiting.add(QUESTION, caller, START));
    }
}
