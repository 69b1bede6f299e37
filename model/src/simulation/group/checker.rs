//! What must hold of all replicas together, whatever happened to them.
//!
//! Each of the parts is told what was done, and compares it with all that it was ever told.

mod agreement;
mod members;
mod progress;
mod promise;
mod request;

pub(crate) use agreement::Agreement;
pub(crate) use members::Change;
pub(crate) use progress::Progress;
pub(crate) use promise::Promises;
pub(crate) use request::Requests;

/// What was seen of the whole group so far.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pub(crate) agreement: Agreement,
    pub(crate) progress: Progress,
    pub(crate) promises: Promises,
    pub(crate) requests: Requests,
}
