//! Which of the entries that were written still count.

use std::collections::BTreeMap;

use quorate_vsr::OpNumber;

use super::block::{Entry, Kind};

/// What the entries that were read so far, in the order in which they were written, leave standing.
///
/// Where entries are damaged there are gaps between those that count. If one of the lost entries
/// may have taken the place of others, none of the others is believed to count.
#[derive(Debug, Default)]
pub(super) struct Standing {
    entries: BTreeMap<OpNumber, Vec<u8>>,
    /// The turns up to the last entry; `None` before the first one, for what was written before it
    /// is not there, and needs no judgement.
    turns: Option<u64>,
}

impl Standing {
    /// Takes the next entry.
    pub(super) fn take(&mut self, entry: Entry) {
        let before = entry.turns - u64::from(entry.kind.is_turn()).min(entry.turns);
        self.note_turns(before);
        self.turns = Some(entry.turns);
        match entry.kind {
            Kind::Next | Kind::Turn => drop(self.entries.split_off(&entry.op)),
            Kind::Begin => self.entries.clear(),
            Kind::Mend => {}
        }
        self.entries.insert(entry.op, entry.body);
    }

    /// Takes note that there had been this many turns up to here.
    pub(super) fn note_turns(&mut self, turns: u64) {
        if self.turns.is_some_and(|known| known < turns) {
            self.entries.clear();
        }
        self.turns = self.turns.max(Some(turns));
    }

    pub(super) fn turns(&self) -> u64 {
        self.turns.unwrap_or_default()
    }

    pub(super) fn highest(&self) -> Option<OpNumber> {
        self.entries.keys().next_back().copied()
    }

    /// The entries that count, in order.
    pub(super) fn into_entries(self) -> Vec<(OpNumber, Vec<u8>)> {
        self.entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(entries: &[(u64, Kind, u64)]) -> Vec<u64> {
        let mut standing = Standing::default();
        for (op, kind, turns) in entries {
            standing.take(Entry {
                op: OpNumber(*op),
                kind: *kind,
                turns: *turns,
                body: Vec::new(),
            });
        }
        let entries = standing.into_entries().into_iter();
        entries.map(|(op, _)| op.0).collect()
    }

    use Kind::{Begin, Mend, Next, Turn};

    #[test]
    fn a_turn_replaces_all_behind_it_and_a_mended_entry_only_itself() {
        let long = [(1, Next, 0), (2, Next, 0), (3, Next, 0)];
        assert_eq!(standing(&[&long[..], &[(2, Turn, 1)]].concat()), [1, 2]);
        assert_eq!(standing(&[&long[..], &[(2, Mend, 0)]].concat()), [1, 2, 3]);
        assert_eq!(standing(&[&long[..], &[(9, Begin, 1)]].concat()), [9]);
    }

    #[test]
    fn lost_entries_leave_a_gap() {
        assert_eq!(standing(&[(1, Next, 0), (4, Next, 0)]), [1, 4]);
        let mended = [(1, Next, 0), (4, Next, 0), (2, Mend, 0)];
        assert_eq!(standing(&mended), [1, 2, 4]);
    }

    #[test]
    fn nothing_before_a_lost_turn_is_believed() {
        let lost = [(1, Next, 0), (2, Next, 0), (4, Next, 1)];
        assert_eq!(standing(&lost), [4]);
        let lost = [(1, Next, 0), (2, Next, 0), (2, Turn, 2)];
        assert_eq!(standing(&lost), [2]);
    }
}
