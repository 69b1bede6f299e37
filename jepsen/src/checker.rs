//! The judge: what may never be seen in a [`History`].
//!
//! Offsets are the order in which the log claims that everything happened. So nothing has to be
//! searched: the checks below only compare that claim with what clients sent, were told and read.
//! Together, agreement, density, order in real time and loss are linearizability of the log.
//!
//! Every check is itself checked: a smallest bad history that it must flag, and a near miss that
//! must pass. A check that cannot fail proves nothing.

mod agreement;
mod anomaly;
mod compaction;
mod deletion;
mod density;
mod duplicate;
mod loss;
#[cfg(test)]
mod mutation;
mod order;
mod payload;
#[cfg(test)]
mod script;

pub use anomaly::{Anomaly, Kind};

use crate::History;

/// All anomalies of a history, those of one kind together.
pub fn check(history: &History) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for promise in &history.broken_promises {
        let (kind, what) = (Kind::BrokenPromise, promise.clone());
        anomalies.push(Anomaly {
            kind,
            partition: None,
            what,
        });
    }
    payload::check(history, &mut anomalies);
    agreement::check(history, &mut anomalies);
    duplicate::check(history, &mut anomalies);
    loss::check(history, &mut anomalies);
    density::check(history, &mut anomalies);
    order::check(history, &mut anomalies);
    deletion::check(history, &mut anomalies);
    compaction::check(history, &mut anomalies);
    anomalies
}
