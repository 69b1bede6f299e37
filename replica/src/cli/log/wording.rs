//! Damage in words: what it is, what the node will do about it, and what can be done if nobody else
//! has the records.

use std::fmt::Write as _;

use quorate_log::{DamageKind, DamagedPiece, IndexState, WrongBytes};
use serde::Serialize;

/// Stretches of wrong blocks that are told one by one.
const STRETCHES_MAX: usize = 8;

/// Damage of a file as a JSON object, and as text.
#[derive(Debug, Serialize)]
pub(super) struct DamageRow {
    pub(super) what: &'static str,
    pub(super) position: u64,
    pub(super) end: u64,
    /// The first offset of the records in it; null if there are none.
    pub(super) from_offset: Option<u64>,
    /// One past the last of them; null if it is not known.
    pub(super) to_offset: Option<u64>,
    /// What is wrong with the first batch.
    pub(super) flaw: Option<String>,
    /// The bytes that are wrong by the checksums of the frame, in whole blocks as far as they are
    /// covered.
    pub(super) wrong: Vec<WrongRow>,
    pub(super) node: &'static str,
    pub(super) alone: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct WrongRow {
    position: u64,
    end: u64,
    /// Whether they are zero, or behind the end of the file.
    missing: bool,
}

impl DamageRow {
    pub(super) fn new(damage: &DamagedPiece) -> Self {
        let DamagedPiece {
            kind,
            position,
            end,
            offsets,
            flaw,
            ref wrong,
        } = *damage;
        let row = |it: &WrongBytes| WrongRow {
            position: it.position,
            end: it.end,
            missing: it.is_missing,
        };
        Self {
            what: name(kind),
            position,
            end,
            from_offset: offsets.map(|(from, _)| from),
            to_offset: offsets.and_then(|(_, to)| to),
            flaw: flaw.map(|flaw| flaw.to_string()),
            wrong: wrong.iter().map(row).collect(),
            node: node_does(kind),
            alone: alone(kind),
        }
    }

    /// The end of a log that was put aside at an earlier start.
    pub(super) fn of_uncertain_facts() -> Self {
        Self {
            what: "end that was damaged before, by the facts",
            position: 0,
            end: 0,
            from_offset: None,
            to_offset: None,
            flaw: None,
            wrong: Vec::new(),
            node: "has put it aside, and waits for a leader to give it what is missing",
            alone: alone(DamageKind::End),
        }
    }

    /// One line that says what is damaged, and two that say what becomes of it.
    pub(super) fn text(&self) -> String {
        let Self {
            what,
            position,
            end,
            ..
        } = self;
        let mut text = format!("  {what}");
        if end > &0 {
            write!(text, ": bytes {position} to {end}").expect("text can be added to");
        }
        let mut add = |part: String| write!(text, "{part}").expect("text can be added to");
        match (self.from_offset, self.to_offset) {
            (Some(from), Some(to)) => add(format!(", offsets {from} to {to}")),
            (Some(from), None) => add(format!(", offset {from} and all behind it")),
            (None, _) => {}
        }
        if let Some(flaw) = &self.flaw {
            add(format!("; {flaw}"));
        }
        if !self.wrong.is_empty() {
            add(format!("; wrong by the frame: {}", stretches(&self.wrong)));
        }
        let (node, alone) = (self.node, self.alone);
        format!("{text}\n    the node: {node}\n    without other replicas: {alone}")
    }
}

fn stretches(wrong: &[WrongRow]) -> String {
    let stretch = |it: &WrongRow| {
        let missing = if it.missing { " (missing)" } else { "" };
        format!("{} to {}{missing}", it.position, it.end)
    };
    let told: Vec<_> = wrong.iter().take(STRETCHES_MAX).map(stretch).collect();
    let told = told.join(", ");
    match wrong.len().saturating_sub(STRETCHES_MAX) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

fn name(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::Frame => "damaged frame",
        DamageKind::Checksums => "damaged checksums of a frame",
        DamageKind::Batches => "damaged batches",
        DamageKind::Epoch => "damaged blocks of sound batches",
        DamageKind::Rest => "bytes behind the last batch",
        DamageKind::Torn => "torn end",
        DamageKind::End => "damaged end",
    }
}

/// Whether somebody has to care: a torn end is what every crash may leave.
pub(super) fn is_damage(kind: DamageKind) -> bool {
    match kind {
        DamageKind::Torn => false,
        DamageKind::Frame
        | DamageKind::Checksums
        | DamageKind::Batches
        | DamageKind::Epoch
        | DamageKind::Rest
        | DamageKind::End => true,
    }
}

/// What the node does about it, at its next start or when it meets it.
fn node_does(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::Frame => "passes over it, and writes it anew as soon as it meets it",
        DamageKind::Checksums => "passes over it, and writes it anew when it looks for damage",
        DamageKind::Rest => "passes over it",
        DamageKind::Batches => {
            "starts, refuses exactly these offsets by name, fetches them from the other replicas \
             and writes them in their place"
        }
        DamageKind::Epoch => "takes the batches as they are: all but their epochs is sure",
        DamageKind::Torn => "cuts it off: it was never acknowledged",
        DamageKind::End => {
            "puts it aside (as .damaged-N beside the file), and fetches what is missing from a \
             leader; before that it counts for nobody's majority"
        }
    }
}

/// What can be done where the partition has no other replica.
fn alone(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::Frame | DamageKind::Checksums => {
            "no record is lost; `quorate log repair` writes it anew"
        }
        DamageKind::Rest => "no record is lost",
        DamageKind::Batches => {
            "these records are lost and stay refused, and the rest is served; bring back an older \
             copy of the file if there is one"
        }
        DamageKind::Epoch => "no record is lost",
        DamageKind::Torn => "nothing that was acknowledged is lost",
        DamageKind::End => {
            "these records are lost, and the partition is not led, for nobody else can say what \
             they were; `quorate log repair --cut-after-damage` gives them up"
        }
    }
}

/// The state of an index file in a word or a few.
pub(super) fn index_text(state: &IndexState) -> String {
    match state {
        IndexState::Missing => "missing: it is derived when the node needs it".to_owned(),
        IndexState::Sound { next_offset, bytes } => {
            format!("sound: covers {bytes} bytes, up to offset {next_offset}")
        }
        IndexState::Unconfirmed { next_offset, bytes } => format!(
            "covers {bytes} bytes, up to offset {next_offset}; not all of it can be compared with \
             batches that are damaged"
        ),
        IndexState::Damaged => {
            "damaged: the node derives it anew; `quorate log repair` removes it".to_owned()
        }
        IndexState::Wrong { what } => format!(
            "WRONG: {what}; `quorate log repair` removes it where its segment is sound, and it is \
             derived anew"
        ),
        IndexState::Newer { version } => format!(
            "of version {version}, which a later release wrote: use that one, for the node does \
             not start with it"
        ),
    }
}

/// The state of the file that tells what was known before the first segment.
pub(super) fn start_text(state: &IndexState) -> String {
    let without = "the node does not know of producers whose batches have all expired, until it \
                   writes the file anew when more expire";
    match state {
        IndexState::Missing => format!("missing: {without}"),
        IndexState::Sound { next_offset, .. } | IndexState::Unconfirmed { next_offset, .. } => {
            format!("sound: what was known before offset {next_offset}")
        }
        IndexState::Damaged => format!("damaged, and as good as none: {without}"),
        IndexState::Wrong { what } => format!("WRONG: {what}"),
        IndexState::Newer { .. } => index_text(state),
    }
}

pub(super) fn index_name(state: &IndexState) -> &'static str {
    match state {
        IndexState::Missing => "missing",
        IndexState::Sound { .. } => "sound",
        IndexState::Unconfirmed { .. } => "unconfirmed",
        IndexState::Damaged => "damaged",
        IndexState::Wrong { .. } => "wrong",
        IndexState::Newer { .. } => "newer",
    }
}

pub(super) fn is_index_damaged(state: &IndexState) -> bool {
    match state {
        IndexState::Missing | IndexState::Sound { .. } | IndexState::Unconfirmed { .. } => false,
        IndexState::Damaged | IndexState::Wrong { .. } | IndexState::Newer { .. } => true,
    }
}
