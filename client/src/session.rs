//! Operations that the primary of the control plane orders.
//!
//! Such an operation is done at most once although it may be sent many times: the client has
//! registered a session and numbers its operations, and the cluster answers a number that it has
//! seen before from memory. So a try whose outcome is unknown is repeated, with the same number,
//! at whichever node is the primary by then. A session whose last operation was left undecided is
//! not used again, for nobody knows whether its number is taken.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use bytes::Bytes;
use quorate_platform::{Instant, Platform};
use quorate_wire::{Code, ControlOperation, ControlReply, Request, Response};

use crate::backoff::Backoff;
use crate::client::Inner;
use crate::signal::Signal;
use crate::{Certainty, Error};

/// The client's session for control operations, used by one operation at a time.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    idle: RefCell<Option<Session>>,
    is_busy: Cell<bool>,
    freed: Signal,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    client: u128,
    session: u64,
    request_number: u64,
}

/// The right to use the session; given back when dropped.
struct Turn<'a>(&'a Sessions);

impl Sessions {
    async fn turn(&self) -> Turn<'_> {
        self.freed
            .wait_until(|| (!self.is_busy.replace(true)).then_some(()))
            .await;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_busy.set(false);
        self.0.freed.notify();
    }
}

impl<P: Platform> Inner<P> {
    /// Registers a new session, which is also good as a producer id.
    pub(crate) async fn register(&self, what: &str) -> Result<(u128, u64), Error> {
        let half = || u128::from(self.platform.random());
        let client = half() << 64 | half();
        let registered = self.ask_primary(&Request::Register { client }, what).await;
        let (address, response) = registered.map_err(without_effect)?;
        match response {
            Response::Registered { session } => Ok((client, session)),
            other => Err(Error::unexpected(address, &other)),
        }
    }

    /// Has the cluster do `operation`, at most once.
    pub(crate) async fn control(
        &self,
        operation: ControlOperation,
        what: &str,
    ) -> Result<ControlReply, Error> {
        let turn = self.sessions.turn().await;
        let idle = turn.0.idle.borrow_mut().take();
        let was_idle = idle.is_some();
        let reply = match idle {
            Some(session) => self.control_in(session, operation.clone(), what).await,
            None => {
                self.control_in(self.new_session(what).await?, operation.clone(), what)
                    .await
            }
        };
        match reply {
            // The cluster has forgotten a session that was long unused; the operation was not done.
            Err(Error::Refused { refusal, .. })
                if was_idle && refusal.code == Code::UnknownSession =>
            {
                self.control_in(self.new_session(what).await?, operation, what)
                    .await
            }
            reply => reply,
        }
    }

    async fn new_session(&self, what: &str) -> Result<Session, Error> {
        let (client, session) = self.register(what).await?;
        Ok(Session {
            client,
            session,
            request_number: 0,
        })
    }

    async fn control_in(
        &self,
        session: Session,
        operation: ControlOperation,
        what: &str,
    ) -> Result<ControlReply, Error> {
        let session = Session {
            request_number: session.request_number + 1,
            ..session
        };
        let Session {
            client,
            session: id,
            request_number,
        } = session;
        let request = Request::Control {
            client,
            session: id,
            request_number,
            operation,
        };
        let (address, response) = self.ask_primary(&request, what).await?;
        let Response::Control(reply) = response else {
            return Err(Error::unexpected(address, &response));
        };
        *self.sessions.idle.borrow_mut() = Some(session);
        match reply {
            ControlReply::Refused(refusal) => Err(Error::Refused {
                what: what.to_owned(),
                refusal,
            }),
            reply => Ok(reply),
        }
    }

    /// Puts `request`, which may be repeated, to the primary, wherever it is, until it is answered.
    pub(crate) async fn ask_primary(
        &self,
        request: &Request,
        what: &str,
    ) -> Result<(SocketAddr, Response), Error> {
        let after = self.config.operation_timeout;
        let deadline = self.platform.now() + after;
        let mut certainty = Certainty::Definite;
        let mut backoff = Backoff::new();
        let mut instead = None;
        loop {
            let failure = match self
                .try_primary(request, instead.take(), deadline, what)
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.certainty() == Certainty::Indefinite {
                certainty = Certainty::Indefinite;
            }
            if !failure.is_retriable() && !is_undecided(&failure, certainty) {
                return Err(failure);
            }
            let now = self.platform.now();
            if now >= deadline || !failure.is_retriable() {
                let (what, last) = (what.to_owned(), Some(Box::new(failure)));
                return Err(Error::Deadline {
                    what,
                    after,
                    certainty,
                    last,
                });
            }
            let pause = backoff.next_pause(&self.platform).min(deadline.since(now));
            self.platform.sleep(pause).await;
            if let Error::Refused { refusal, .. } = &failure {
                instead = refusal
                    .instead
                    .as_deref()
                    .and_then(|address| address.parse().ok());
            }
            if instead.is_none() {
                // If nobody answers, the next try says so.
                let left = deadline.since(self.platform.now());
                let _ = self.platform.timeout(left, self.metadata.refresh()).await;
            }
        }
    }

    async fn try_primary(
        &self,
        request: &Request,
        instead: Option<SocketAddr>,
        deadline: Instant,
        what: &str,
    ) -> Result<(SocketAddr, Response), Error> {
        let Some(address) = instead.or_else(|| self.metadata.primary_address()) else {
            let left = deadline.since(self.platform.now());
            if let Ok(refreshed) = self.platform.timeout(left, self.metadata.refresh()).await {
                refreshed?;
            }
            return Err(Error::NoRoute {
                what: what.to_owned(),
                reason: "the control plane has no primary that is known".to_owned(),
            });
        };
        let answer = self.call(address, request, Bytes::new()).await?;
        match answer.response {
            Response::Refused(refusal) => Err(Error::Refused {
                what: what.to_owned(),
                refusal,
            }),
            response => Ok((address, response)),
        }
    }
}

/// A session that nobody uses changes nothing, whether it came about or not; nor does a read.
pub(crate) fn without_effect(error: Error) -> Error {
    match error {
        Error::Deadline {
            what, after, last, ..
        } => {
            let certainty = Certainty::Definite;
            Error::Deadline {
                what,
                after,
                certainty,
                last,
            }
        }
        error => error,
    }
}

/// A refusal that is final by itself, but says nothing about the tries before it.
fn is_undecided(failure: &Error, certainty: Certainty) -> bool {
    let Error::Refused { refusal, .. } = failure else {
        return false;
    };
    let is_about_session = matches!(refusal.code, Code::UnknownSession | Code::StaleRequest);
    is_about_session && certainty == Certainty::Indefinite
}
