use quorate_client::Compio;
use quorate_log::{Ending, Inspection, LogError, Scope, Settings};

use super::place::{LogPlace, Place};
use crate::cli::{Failure, output};

/// Begins to look at a log, or at a part of it.
pub(super) async fn begin(
    log: &LogPlace,
    from: Option<u64>,
) -> Result<Inspection<Compio>, Failure> {
    let scope = match (log.segment, from) {
        (Some(segment), _) => Scope::Segment(segment),
        (None, Some(offset)) => Scope::From(offset),
        (None, None) => Scope::All,
    };
    let begun = Inspection::begin(Compio, &log.folder, Settings::default(), log.known, scope);
    begun.await.map_err(failure)
}

/// Says so if what is looked at may change meanwhile.
pub(super) fn tell_if_in_use(place: &Place) {
    if place.is_in_use() {
        output::tell(
            "a node is running on this folder: what it is writing at the end of its logs may look \
             torn or be missing here",
        );
    }
}

/// What keeps a node from opening the log at all, if anything does.
pub(super) fn refusal(log: &LogPlace, ending: &Ending) -> Option<String> {
    let folder = log.folder.display();
    match ending {
        Ending::Whole | Ending::Torn | Ending::Uncertain => None,
        Ending::Refused(error @ LogError::Version { .. }) => Some(error.to_string()),
        Ending::Refused(error) => Some(format!(
            "a node does not start with {folder}: {error}; a single fault on the disk does not \
             explain it: give the node an empty folder and use `quorate cluster recover`"
        )),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
pub(super) fn failure(error: LogError) -> Failure {
    Failure::failed(error.to_string())
}
