//! What the disk does, measured through a ring of one's own, as a node uses it.
//!
//! One operation at a time, since that is how a log writes: an append waits for its write, then for
//! its sync. All the files lie in one folder that is removed in any case ([`workplace`]). Each step
//! ends at its deadline, so that a slow disk makes fewer measurements and not a longer wait.

mod area;
mod buffer;
mod counters;
mod ring;
mod room;
mod workplace;

use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::fact::{DirectFiles, Folder};
use super::progress::Progress;
use crate::cli::latency::{Latencies, Percentiles};
use crate::stop::Stop;

pub(crate) use area::Area;
use area::AreaFile;
use buffer::BUFFER_BYTES;
use counters::Counters;
use ring::MeasuringRing;
pub(crate) use room::{LITTLE_MIN, Room};
use workplace::Workplace;

/// Sizes of the writes whose durable rate is measured, from a lone small batch to a large group.
pub(crate) const WRITE_SIZES: [u32; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// The size of a write where it is not the size that matters.
const SMALL: u32 = 4 << 10;
const PREPARE_MAX: Duration = Duration::from_secs(4);
const SUBMITS_MAX: u32 = 500;
const SUBMIT_MAX: Duration = Duration::from_secs(1);
const SYNCS_MAX: u32 = 2_000;
const SYNC_MAX: Duration = Duration::from_secs(2);
const WRITE_MAX: Duration = Duration::from_millis(800);
const READ_MAX: Duration = Duration::from_millis(1_500);

/// Room for all writes to a file that grows, so that none goes where another went before.
pub(crate) const SMALL_AREA_BYTES: u64 = 8 << 20;
const _: () = assert!(SYNCS_MAX as u64 * SMALL as u64 <= SMALL_AREA_BYTES);

/// The steps that are told of.
const STEPS: u64 = 12;

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Speed {
    pub(crate) submits: Vec<Submits>,
    pub(crate) syncs: Vec<Syncs>,
    pub(crate) writes: Vec<Rate>,
    /// `None` where reads would come from the page cache.
    pub(crate) read: Option<Rate>,
}

/// Writes of 4 KiB that were handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Submits {
    pub(crate) area: Area,
    pub(crate) writes: u32,
    /// How many made the thread wait before they were under way. `None` where it cannot be counted.
    pub(crate) blocked: Option<u32>,
    /// How many the kernel gave to a thread of its own. `None` where it cannot be counted.
    pub(crate) handed_over: Option<u32>,
    /// How long it took to hand them in.
    pub(crate) took: Percentiles,
}

/// Syncs, each after a write of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syncs {
    pub(crate) area: Area,
    pub(crate) took: Percentiles,
}

/// Operations of one size, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) bytes_each: u32,
    pub(crate) operations: u32,
    pub(crate) elapsed: Duration,
}

impl Rate {
    pub(crate) fn bytes_per_second(self) -> u64 {
        let bytes = f64::from(self.bytes_each) * f64::from(self.operations);
        (bytes / self.elapsed.as_secs_f64().max(1e-9)) as u64
    }

    pub(crate) fn operations_per_second(self) -> u64 {
        (f64::from(self.operations) / self.elapsed.as_secs_f64().max(1e-9)) as u64
    }
}

/// Why nothing was measured.
#[derive(Debug)]
pub(crate) enum Shortfall {
    /// There is too little room.
    Room,
    /// Somebody wants it to stop.
    Stopped,
    /// Another one measures in the same folder, and both would measure each other.
    Busy,
    /// Something failed; the text says what was tried.
    Failed(&'static str, io::Error),
}

impl Shortfall {
    fn failed(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| match Errno::from_io_error(&error) {
            // Somebody else has used the room up since it was looked at.
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Room,
            Some(_) | None => Self::Failed(action, error),
        }
    }
}

/// Measures in a folder that can be written to, until `stop` is set.
pub(crate) fn run(folder: &Folder, room: Room, stop: &Stop) -> Result<Speed, Shortfall> {
    let workplace = Workplace::open(&folder.existing)?;
    let measurement = Measurement {
        is_direct: matches!(folder.trial, Ok(DirectFiles::Work { .. })),
        ring: MeasuringRing::new().map_err(Shortfall::failed("set up a ring"))?,
        progress: Progress::new(STEPS),
        room,
        stop,
        workplace: &workplace,
    };
    measurement.run()
}

struct Measurement<'a> {
    is_direct: bool,
    ring: MeasuringRing,
    progress: Progress,
    room: Room,
    stop: &'a Stop,
    workplace: &'a Workplace,
}

impl Measurement<'_> {
    fn run(mut self) -> Result<Speed, Shortfall> {
        let mut speed = Speed::default();
        let prewritten = self.prewrite()?;
        speed.submits.push(self.submits(&prewritten)?);
        for area in [Area::Growing, Area::Allocated] {
            if let Some(file) = self.area(area)? {
                speed.submits.push(self.submits(&file)?);
            }
        }
        speed.syncs.push(self.syncs(&prewritten)?);
        if let Some(growing) = self.area(Area::Growing)? {
            speed.syncs.push(self.syncs(&growing)?);
        }
        for bytes in WRITE_SIZES {
            speed.writes.push(self.durable_writes(&prewritten, bytes)?);
        }
        if self.is_direct {
            speed.read = Some(self.reads(&prewritten)?);
        }
        Ok(speed)
    }

    /// A file whose blocks have all been written.
    fn prewrite(&mut self) -> Result<AreaFile, Shortfall> {
        self.progress.step("writing a file in advance");
        let mut file = self
            .workplace
            .create(Area::Prewritten, self.is_direct)
            .map_err(Shortfall::failed("create a file"))?;
        let deadline = Instant::now() + PREPARE_MAX;
        while file.bytes < self.room.area_bytes() && Instant::now() < deadline {
            self.check_stop()?;
            let written = self.ring.write(file.as_file(), file.bytes, BUFFER_BYTES);
            written.map_err(Shortfall::failed("write"))?;
            file.bytes += u64::from(BUFFER_BYTES);
        }
        self.sync(&file)?;
        Ok(file)
    }

    /// A new file to be written from its beginning; `None` if the file system has none like it.
    fn area(&mut self, area: Area) -> Result<Option<AreaFile>, Shortfall> {
        let mut file = self
            .workplace
            .create(area, self.is_direct)
            .map_err(Shortfall::failed("create a file"))?;
        file.bytes = SMALL_AREA_BYTES;
        if area == Area::Allocated && !file.allocate().map_err(Shortfall::failed("allocate"))? {
            return Ok(None);
        }
        // Its name is made durable once and not as a part of what is measured.
        self.sync(&file)?;
        Ok(Some(file))
    }

    fn submits(&mut self, file: &AreaFile) -> Result<Submits, Shortfall> {
        self.progress.step(file.area.submit_step());
        let counters = Counters::new();
        let mut took = Latencies::new();
        let (mut writes, mut blocked, mut handed_over) = (0, Some(0), Some(0));
        let deadline = Instant::now() + SUBMIT_MAX;
        while writes < SUBMITS_MAX && (writes == 0 || Instant::now() < deadline) {
            self.check_stop()?;
            let runs = counters.worker_runs();
            let ring = &mut self.ring;
            let waits = counters.waits();
            let start = Instant::now();
            let submitted = ring.submit_write(file.as_file(), file.position(writes, SMALL), SMALL);
            let submit = start.elapsed();
            count(&mut blocked, waits, counters.waits());
            submitted
                .and_then(|()| ring.complete(SMALL))
                .map_err(Shortfall::failed("write"))?;
            count(&mut handed_over, runs, counters.worker_runs());
            took.record(submit, 1);
            writes += 1;
        }
        Ok(Submits {
            area: file.area,
            writes,
            blocked,
            handed_over,
            took: percentiles(&took),
        })
    }

    fn syncs(&mut self, file: &AreaFile) -> Result<Syncs, Shortfall> {
        self.progress.step(file.area.sync_step());
        let mut took = Latencies::new();
        let mut syncs = 0;
        let deadline = Instant::now() + SYNC_MAX;
        while syncs < SYNCS_MAX && (syncs == 0 || Instant::now() < deadline) {
            self.check_stop()?;
            self.write(file, syncs, SMALL)?;
            let start = Instant::now();
            self.sync(file)?;
            took.record(start.elapsed(), 1);
            syncs += 1;
        }
        Ok(Syncs {
            area: file.area,
            took: percentiles(&took),
        })
    }

    fn durable_writes(&mut self, file: &AreaFile, bytes: u32) -> Result<Rate, Shortfall> {
        self.progress.step("writing durably");
        self.rate(bytes, WRITE_MAX, |measurement, operation| {
            measurement.write(file, operation, bytes)?;
            measurement.sync(file)
        })
    }

    fn reads(&mut self, file: &AreaFile) -> Result<Rate, Shortfall> {
        self.progress.step("reading");
        self.rate(BUFFER_BYTES, READ_MAX, |measurement, operation| {
            let position = file.position(operation, BUFFER_BYTES);
            let read = measurement
                .ring
                .read(file.as_file(), position, BUFFER_BYTES);
            read.map_err(Shortfall::failed("read"))
        })
    }

    fn rate(
        &mut self,
        bytes_each: u32,
        time_max: Duration,
        mut operate: impl FnMut(&mut Self, u32) -> Result<(), Shortfall>,
    ) -> Result<Rate, Shortfall> {
        let start = Instant::now();
        let mut operations = 0;
        while operations == 0 || start.elapsed() < time_max {
            self.check_stop()?;
            operate(self, operations)?;
            operations += 1;
        }
        Ok(Rate {
            bytes_each,
            operations,
            elapsed: start.elapsed(),
        })
    }

    fn write(&mut self, file: &AreaFile, operation: u32, bytes: u32) -> Result<(), Shortfall> {
        let position = file.position(operation, bytes);
        let written = self.ring.write(file.as_file(), position, bytes);
        written.map_err(Shortfall::failed("write"))
    }

    fn sync(&mut self, file: &AreaFile) -> Result<(), Shortfall> {
        let synced = self.ring.sync(file.as_file());
        synced.map_err(Shortfall::failed("make durable"))
    }

    fn check_stop(&self) -> Result<(), Shortfall> {
        match self.stop.is_set() {
            true => Err(Shortfall::Stopped),
            false => Ok(()),
        }
    }
}

/// Counts one more if a counter has moved, and nothing any more once it cannot be read.
fn count(moved: &mut Option<u32>, before: Option<u64>, after: Option<u64>) {
    *moved = match (*moved, before, after) {
        (Some(count), Some(before), Some(after)) => Some(count + u32::from(after > before)),
        (None, _, _) | (_, None, _) | (_, _, None) => None,
    };
}

fn percentiles(latencies: &Latencies) -> Percentiles {
    let percentiles = latencies.percentiles();
    percentiles.expect("every step does its work at least once")
}
