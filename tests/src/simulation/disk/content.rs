//! The content of a file: what is durable, what is seen, and the changes between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::pages::{PAGE_BYTES, Pages};

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;

/// One change of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { position: u64, bytes: Rc<[u8]> },
    Zeros(Range<u64>),
    SetLen(u64),
}

#[derive(Clone, Debug)]
struct Pending {
    change: Change,
    /// It does not get lost any more, and only waits for those before it.
    is_sure: bool,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    durable: Pages,
    current: Pages,
    /// Completed and not durable, in the order of completion.
    pending: Vec<Pending>,
    /// How many completed changes were before those that are pending.
    settled: u64,
    in_flight: BTreeMap<u64, Change>,
    /// Sectors that cannot be read until they are written.
    unreadable: BTreeSet<u64>,
    /// A bit for every page that takes room on the disk.
    allocated: Vec<u64>,
    /// Whether its pages count, which they do while it has a name.
    pub(super) is_counted: bool,
}

impl Change {
    pub(super) fn write(position: u64, bytes: &[u8]) -> Self {
        match bytes.iter().all(|byte| *byte == 0) {
            true => Self::Zeros(position..position + bytes.len() as u64),
            false => Self::Write {
                position,
                bytes: bytes.into(),
            },
        }
    }

    pub(super) fn range(&self) -> Range<u64> {
        match self {
            Self::Write { position, bytes } => *position..*position + bytes.len() as u64,
            Self::Zeros(range) => range.clone(),
            Self::SetLen(len) => *len..*len,
        }
    }

    fn apply(&self, pages: &mut Pages) {
        match self {
            Self::Write { position, bytes } => pages.write(*position, bytes),
            Self::Zeros(range) => pages.write_zeros(range.clone()),
            Self::SetLen(len) => pages.set_len(*len),
        }
    }

    /// Applies only what is in `part`.
    fn apply_part(&self, part: Range<u64>, pages: &mut Pages) {
        let range = self.range();
        let (from, to) = (part.start.max(range.start), part.end.min(range.end));
        if from >= to {
            return;
        }
        match self {
            Self::Write { position, bytes } => {
                let bytes = &bytes[(from - position) as usize..(to - position) as usize];
                pages.write(from, bytes);
            }
            Self::Zeros(_) => pages.write_zeros(from..to),
            Self::SetLen(_) => {}
        }
    }
}

impl Content {
    /// An empty file that has a name.
    pub(super) fn named() -> Self {
        Self {
            is_counted: true,
            ..Self::default()
        }
    }

    pub(super) fn current(&self) -> &Pages {
        &self.current
    }

    pub(super) fn durable(&self) -> &Pages {
        &self.durable
    }

    pub(super) fn begin(&mut self, number: u64, change: Change) {
        self.in_flight.insert(number, change);
    }

    /// Ends what is in flight as if it had never begun; answers whether it was in flight.
    pub(super) fn abandon(&mut self, number: u64) -> bool {
        self.in_flight.remove(&number).is_some()
    }

    /// Completes what is in flight, if it is.
    pub(super) fn complete(&mut self, number: u64, is_durable: bool) {
        let Some(change) = self.in_flight.remove(&number) else {
            return;
        };
        self.touch(&change);
        change.apply(&mut self.current);
        if is_durable {
            // What it takes to find the bytes again is durable with them.
            for before in &mut self.pending {
                before.is_sure |= matches!(before.change, Change::SetLen(_));
            }
        }
        self.pending.push(Pending {
            change,
            is_sure: is_durable,
        });
        let sure = self.pending.iter().take_while(|it| it.is_sure).count();
        self.settle(self.settled + sure as u64);
    }

    /// Completes what is in flight, and only says that it is durable.
    pub(super) fn pretend(&mut self, number: u64) {
        if let Some(change) = self.in_flight.remove(&number) {
            change.apply(&mut self.current);
        }
    }

    fn touch(&mut self, change: &Change) {
        let range = change.range();
        if !self.unreadable.is_empty() {
            let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
            self.unreadable.retain(|sector| !sectors.contains(sector));
        }
        if let Change::SetLen(len) = change {
            let pages = len.div_ceil(PAGE_BYTES);
            self.allocated.truncate(pages.div_ceil(64) as usize);
            if let Some(last) = self.allocated.get_mut((pages / 64) as usize) {
                *last &= (1 << (pages % 64)) - 1;
            }
        }
    }

    /// How many changes have completed, for [`Content::settle`].
    pub(super) fn mark(&self) -> u64 {
        self.settled + self.pending.len() as u64
    }

    /// Makes what had completed at `mark` durable.
    pub(super) fn settle(&mut self, mark: u64) {
        let count = mark.saturating_sub(self.settled) as usize;
        for pending in self.pending.drain(..count) {
            pending.change.apply(&mut self.durable);
        }
        self.settled += count as u64;
    }

    /// A sync of what had completed at `mark` fails: some of it gets lost, although it is seen
    /// until the next crash, and no later sync knows of it.
    pub(super) fn fail_sync(&mut self, mark: u64, random: &mut ChaCha8Rng) {
        let count = mark.saturating_sub(self.settled) as usize;
        let mut written = Vec::new();
        for pending in self.pending.drain(..count) {
            let is_sure = pending.is_sure || matches!(pending.change, Change::SetLen(_));
            if is_sure || random.random_bool(0.5) {
                written.push(pending.change);
            }
        }
        for change in written {
            change.apply(&mut self.durable);
        }
        self.settled += count as u64;
    }

    /// Power is lost: of what is pending or in flight anything may be there.
    pub(super) fn lose_power(&mut self, random: &mut ChaCha8Rng) {
        let in_flight = std::mem::take(&mut self.in_flight).into_values();
        let in_flight = in_flight.map(|change| Pending {
            change,
            is_sure: false,
        });
        let pending: Vec<_> = self.pending.drain(..).chain(in_flight).collect();
        self.settled += pending.len() as u64;
        // Lengths are kept in order: behind one that is lost nothing can be found.
        let mut limit = u64::MAX;
        let mut lost_len = false;
        for Pending { change, is_sure } in pending {
            match &change {
                Change::SetLen(len) => {
                    lost_len |= !is_sure && random.random_bool(0.5);
                    if lost_len && !is_sure {
                        limit = limit.min(*len).min(self.durable.len());
                    } else {
                        change.apply(&mut self.durable);
                    }
                }
                Change::Write { .. } | Change::Zeros(_) if is_sure => {
                    change.apply(&mut self.durable);
                }
                Change::Write { .. } | Change::Zeros(_) => {
                    keep_some(&change, limit, &mut self.durable, random);
                }
            }
        }
        self.current = self.durable.clone();
        self.count_pages();
    }

    /// The process ends, and the disk goes on.
    pub(super) fn lose_process(&mut self, random: &mut ChaCha8Rng) {
        let numbers: Vec<u64> = self.in_flight.keys().copied().collect();
        for number in numbers {
            match random.random_bool(0.5) {
                true => self.complete(number, false),
                false => drop(self.abandon(number)),
            }
        }
    }

    pub(super) fn is_unreadable(&self, range: Range<u64>) -> bool {
        let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
        !range.is_empty() && self.unreadable.range(sectors).next().is_some()
    }

    /// Has the sectors of `range` fail to be read until they are written.
    pub(super) fn wear_out(&mut self, range: Range<u64>) {
        let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
        self.unreadable.extend(sectors);
    }

    /// Changes durable bytes behind everybody's back; pending changes still cover them.
    pub(super) fn rot(&mut self, position: u64, flips: &[u8]) {
        for (at, flip) in (position..).zip(flips) {
            let (mut durable, mut current) = ([0], [0]);
            if self.durable.read(at, &mut durable) == 0 {
                return;
            }
            let is_seen = self.current.read(at, &mut current) > 0 && durable == current;
            self.durable.write(at, &[durable[0] ^ flip]);
            if is_seen {
                self.current.write(at, &[durable[0] ^ flip]);
            }
        }
    }

    /// The pages that take room.
    pub(super) fn pages(&self) -> u64 {
        let ones = self.allocated.iter().map(|word| word.count_ones());
        ones.map(u64::from).sum()
    }

    /// How many pages of `range` take no room yet.
    pub(super) fn missing_pages(&self, range: &Range<u64>) -> u64 {
        let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
        let has = |page: &u64| {
            let word = self.allocated.get((page / 64) as usize);
            word.is_some_and(|word| word & (1 << (page % 64)) != 0)
        };
        pages.filter(|page| !has(page)).count() as u64
    }

    pub(super) fn allocate(&mut self, range: &Range<u64>) {
        for page in range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) {
            let word = (page / 64) as usize;
            if self.allocated.len() <= word {
                self.allocated.resize(word + 1, 0);
            }
            self.allocated[word] |= 1 << (page % 64);
        }
    }

    /// After a crash everything up to the end takes room, as if there were no holes.
    fn count_pages(&mut self) {
        self.allocated.clear();
        self.allocate(&(0..self.durable.len()));
    }
}

/// Keeps all of a write, nothing of it, or some of its sectors or blocks; nothing from `limit` on.
fn keep_some(change: &Change, limit: u64, pages: &mut Pages, random: &mut ChaCha8Rng) {
    let range = change.range();
    match random.random_range(0..4) {
        0 => {}
        1 => change.apply_part(range.start..limit, pages),
        torn => {
            let step = if torn == 2 { SECTOR_BYTES } else { PAGE_BYTES };
            let chance = random.random_range(0.1..0.9);
            for part in range.start / step..range.end.div_ceil(step) {
                if random.random_bool(chance) {
                    let end = ((part + 1) * step).min(limit);
                    change.apply_part(part * step..end, pages);
                }
            }
        }
    }
}
