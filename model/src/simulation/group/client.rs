//! A client that asks for one thing at a time, and repeats itself until it is answered.

use quorate_vsr::OpNumber;
use quorate_vsr::group::{Effect, Event, Rejection};

#[derive(Debug)]
pub(crate) struct Client {
    /// Drawn anew whenever the client has lost its session.
    pub(crate) number: u128,
    session: Option<u64>,
    /// The request under way, or the last one.
    request_number: u64,
    /// The last operation of which anybody had been told anything when the request was first made:
    /// the request comes after it.
    pub(crate) floor: OpNumber,
    /// The node that is asked next.
    pub(crate) target: usize,
    pub(crate) answered: u64,
    /// Bytes of each operation.
    operation_bytes: usize,
}

/// What an answer does to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is not the answer that the client waits for.
    Nothing,
    /// It has a session.
    Registered,
    /// It goes on to its next request.
    Answered,
    /// It has no session any more.
    Evicted,
    /// It asks somebody else.
    Refused,
}

impl Client {
    pub(crate) fn new(number: u128, operation_bytes: usize) -> Self {
        Self {
            number,
            session: None,
            request_number: 1,
            floor: OpNumber(0),
            target: 0,
            answered: 0,
            operation_bytes,
        }
    }

    pub(crate) fn ask(&self) -> Event {
        let client = self.number;
        match self.session {
            None => Event::Register { client },
            Some(session) => {
                let mut operation = vec![client as u8, self.request_number as u8];
                operation.resize(self.operation_bytes.max(2), b'r');
                Event::Request {
                    client,
                    session,
                    request_number: self.request_number,
                    operation,
                }
            }
        }
    }

    pub(crate) fn hear(&mut self, answer: &Effect, fresh_number: u128) -> Heard {
        match answer {
            Effect::ReplyRegistered { client, session } if *client == self.number => {
                // A late second answer must not reset the count.
                if self.session.is_some() {
                    return Heard::Nothing;
                }
                self.session = Some(*session);
                Heard::Registered
            }
            Effect::Reply {
                client,
                request_number,
                ..
            } if *client == self.number && *request_number == self.request_number => {
                self.request_number += 1;
                self.answered += 1;
                Heard::Answered
            }
            Effect::RejectRequest {
                client,
                request_number,
                reason,
            } if *client == self.number && self.is_under_way(*request_number) => match reason {
                Rejection::UnknownSession => {
                    self.number = fresh_number;
                    self.session = None;
                    self.request_number = 1;
                    Heard::Evicted
                }
                // Answers to earlier attempts may say so; the latest one is never stale.
                Rejection::Stale => Heard::Nothing,
                Rejection::Busy | Rejection::NotPrimary => Heard::Refused,
            },
            _ => Heard::Nothing,
        }
    }

    fn is_under_way(&self, request_number: u64) -> bool {
        match self.session {
            None => request_number == 0,
            Some(_) => request_number == self.request_number,
        }
    }

    /// Gives up on the request under way, whether or not it is executed one day.
    pub(crate) fn abandon(&mut self) {
        if self.session.is_some() {
            self.request_number += 1;
        }
    }
}
