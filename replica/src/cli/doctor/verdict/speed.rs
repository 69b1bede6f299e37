use crate::cli::doctor::measure::{Area, LITTLE_MIN, Rate, Room, Shortfall, Speed, Submits, Syncs};
use crate::cli::doctor::row::{Row, Verdict};
use crate::cli::doctor::size;
use crate::cli::latency;

/// What is thought of what was measured.
pub(crate) fn of_speed(speed: &Speed, room: Room) -> Vec<Row> {
    let why = match room {
        Room::Full => "",
        Room::Little | Room::TooLittle => " for lack of space",
    };
    let found = format!("with {}{why}", size::human(room.area_bytes()));
    let mut rows = vec![Row::ok("measurements", found).figure("area_bytes", room.area_bytes())];
    rows.extend(speed.submits.iter().map(of_submits));
    rows.extend(speed.syncs.iter().map(of_syncs));
    rows.extend(speed.writes.iter().map(of_writes));
    rows.extend(speed.read.map(of_reads));
    rows
}

/// One write in so many may block, or go another way than it should: no percentile that anybody
/// looks at sees it.
const BLOCKED_ONE_IN: u32 = 100;
/// A thread of the kernel takes a write over with a wake-up or two, some ten microseconds: that
/// shows in a log's rate where it happens to more than every tenth write.
const HANDED_OVER_ONE_IN: u32 = 10;

/// Whether a write is really asynchronous: the thread goes on at once, and the kernel does not have
/// a thread of its own wait in its place.
///
/// Handing over is only wrong for blocks that were written in advance. Where a file grows, or its
/// blocks still have to be marked as written, file systems do it as a rule; nothing can be done
/// about that but to write in advance.
fn of_submits(submits: &Submits) -> Row {
    let check = match submits.area {
        Area::Prewritten => "submit_prewritten",
        Area::Growing => "submit_growing",
        Area::Allocated => "submit_allocated",
    };
    let of = |count: Option<u32>, what: &str| match count {
        Some(count) => format!("{count} {what}"),
        None => format!("cannot be seen which {what}"),
    };
    let found = format!(
        "{} writes: {}, {}; p99 {}",
        submits.writes,
        of(submits.blocked, "blocked"),
        of(submits.handed_over, "went to kernel threads"),
        latency::human(submits.took.p99)
    );
    let mut row = Row::ok(check, found)
        .figure("writes_count", submits.writes.into())
        .figure("p50_us", submits.took.p50)
        .figure("p99_us", submits.took.p99)
        .figure("max_us", submits.took.max);
    if let Some(blocked) = submits.blocked {
        row = row.figure("blocked_count", blocked.into());
    }
    if let Some(handed_over) = submits.handed_over {
        row = row.figure("handed_over_count", handed_over.into());
    }
    let is_more = |count: Option<u32>, one_in: u32| {
        count.is_some_and(|count| u64::from(count) * u64::from(one_in) > submits.writes.into())
    };
    if is_more(submits.blocked, BLOCKED_ONE_IN) {
        return row.but(
            Verdict::Warning,
            "a shard stands still with all its partitions while it hands in a write: use ext4 or \
             xfs on a local disk, and a kernel that is not too old",
        );
    }
    if submits.area == Area::Prewritten && is_more(submits.handed_over, HANDED_OVER_ONE_IN) {
        return row.but(
            Verdict::Slow,
            "writes take a detour through threads of the kernel, though the blocks are there: use \
             ext4 or xfs on a local disk, and a kernel that is not too old",
        );
    }
    row
}

/// Every acknowledgement waits for a sync at a majority of the replicas, and while one is under way
/// everything else of the partition waits for the next. At 10 ms a partition has a hundred rounds a
/// second, and what is acknowledged waits for one and a half of them.
const SYNC_SLOW_US: u64 = 10_000;
/// A view change of the control plane counts as stuck after half a second, and waits for a few
/// syncs, one after the other.
const SYNC_STALLS_US: u64 = 100_000;

fn of_syncs(syncs: &Syncs) -> Row {
    let check = match syncs.area {
        Area::Prewritten => "sync_prewritten",
        Area::Growing => "sync_growing",
        Area::Allocated => "sync_allocated",
    };
    let [p50, p99] = [syncs.took.p50, syncs.took.p99].map(latency::human);
    let row = Row::ok(check, format!("p50 {p50}, p99 {p99}"))
        .figure("p50_us", syncs.took.p50)
        .figure("p99_us", syncs.took.p99)
        .figure("max_us", syncs.took.max);
    match syncs.took.p99 {
        0..SYNC_SLOW_US => row,
        SYNC_SLOW_US..SYNC_STALLS_US => row.but(
            Verdict::Slow,
            "acknowledgements wait for the disk: use one with power-loss protection, or nothing \
             else on this one",
        ),
        SYNC_STALLS_US.. => row.but(
            Verdict::Warning,
            "such stalls delay every change of the control plane's primary too: use a solid-state \
             disk, best one with power-loss protection, and nothing else on it",
        ),
    }
}

/// Less than a network of 1 Gbit/s carries: the disk is what a node waits for.
const BYTES_PER_SECOND_SLOW: u64 = 100 << 20;
/// Smaller writes are as slow as the syncs between them, which are judged for themselves.
const RATE_COUNTS_FROM: u32 = 1 << 20;

fn of_writes(rate: &Rate) -> Row {
    let check = match rate.bytes_each >> 10 {
        4 => "durable_writes_4k",
        16 => "durable_writes_16k",
        64 => "durable_writes_64k",
        256 => "durable_writes_256k",
        1_024 => "durable_writes_1m",
        other => unreachable!("writes of {other} KiB are not measured"),
    };
    let row = of_rate(check, rate);
    if rate.bytes_each < RATE_COUNTS_FROM || rate.bytes_per_second() >= BYTES_PER_SECOND_SLOW {
        return row;
    }
    row.but(
        Verdict::Slow,
        "a network of 1 Gbit/s carries more than this disk takes: use a faster one, or more nodes",
    )
}

fn of_reads(rate: Rate) -> Row {
    let row = of_rate("sequential_reads_1m", &rate);
    if rate.bytes_per_second() >= BYTES_PER_SECOND_SLOW {
        return row;
    }
    row.but(
        Verdict::Slow,
        "consumers that are behind, and nodes that are brought up to date, wait for this disk",
    )
}

fn of_rate(check: &'static str, rate: &Rate) -> Row {
    let (bytes, operations) = (rate.bytes_per_second(), rate.operations_per_second());
    let mib = bytes as f64 / f64::from(1 << 20);
    Row::ok(check, format!("{mib:.1} MiB/s, {operations} a second"))
        .figure("bytes_per_second", bytes)
        .figure("operations_per_second", operations)
}

/// What is said where not everything was measured.
pub(crate) fn of_shortfall(shortfall: &Shortfall) -> Row {
    let check = "measurements";
    match shortfall {
        Shortfall::Room => Row::ok(check, "none: too little space").but(
            Verdict::Warning,
            format!(
                "make room: {} are needed to measure anything",
                size::human(LITTLE_MIN)
            ),
        ),
        Shortfall::Busy => Row::ok(check, "none: another `quorate doctor` measures here").but(
            Verdict::Warning,
            "wait until that one is done: each would measure the other",
        ),
        Shortfall::Stopped => {
            Row::ok(check, "none: interrupted").but(Verdict::Warning, "let it come to its end")
        }
        Shortfall::Failed(action, error) => {
            Row::ok(check, format!("none: cannot {action}: {error}")).but(
                Verdict::Fails,
                "a node ends when its disk fails: look into the kernel's log, and replace the disk \
                 or repair the file system",
            )
        }
    }
}
