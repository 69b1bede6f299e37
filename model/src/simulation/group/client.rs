//! A client that asks for one thing at a time, and repeats itself until it is answered.

use quorate_vsr::NodeId;
use quorate_vsr::group::{Effect, Event, Rejection};

#[derive(Debug)]
pub(crate) struct Client {
    /// Drawn anew whenever the client has lost its session.
    pub(crate) number: u128,
    session: Option<u64>,
    /// The request under way, or the last one.
    request_number: u64,
    /// The replica that is asked next.
    pub(crate) target: NodeId,
    pub(crate) answered: u64,
}

impl Client {
    pub(crate) fn new(number: u128, target: NodeId) -> Self {
        Self {
            number,
            session: None,
            request_number: 1,
            target,
            answered: 0,
        }
    }

    pub(crate) fn ask(&self) -> Event {
        let client = self.number;
        match self.session {
            None => Event::Register { client },
            Some(session) => Event::Request {
                client,
                session,
                request_number: self.request_number,
                operation: format!("r {client} {session} {}", self.request_number).into_bytes(),
            },
        }
    }

    /// Whether the answer moved the client on to its next request.
    pub(crate) fn hear(&mut self, answer: &Effect, fresh_number: u128) -> bool {
        match answer {
            Effect::ReplyRegistered { client, session } if *client == self.number => {
                // A late second answer must not reset the count.
                if self.session.is_none() {
                    self.session = Some(*session);
                }
                true
            }
            Effect::Reply {
                client,
                request_number,
                ..
            } if *client == self.number && *request_number == self.request_number => {
                self.request_number += 1;
                self.answered += 1;
                true
            }
            Effect::RejectRequest {
                client,
                request_number,
                reason,
            } if *client == self.number && *request_number == self.request_number => {
                match reason {
                    Rejection::UnknownSession => {
                        *self = Self {
                            answered: self.answered,
                            ..Self::new(fresh_number, self.target)
                        };
                        true
                    }
                    Rejection::Stale => {
                        // Answers to earlier attempts may say so; the latest one is never stale.
                        false
                    }
                    Rejection::Busy | Rejection::NotPrimary => false,
                }
            }
            _ => false,
        }
    }

    /// Gives up on the request under way, whether or not it is executed one day.
    pub(crate) fn abandon(&mut self) {
        if self.session.is_some() {
            self.request_number += 1;
        }
    }
}
