//! Heap allocations, counted.
//!
//! None is made for a record. An append that is made durable alone makes about 9, and 16 together
//! make about 10: that is for the flush. A read from memory makes 1, one from the disk about 20,
//! however many batches it gives; the memory of large pieces is used again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use quorate_log::Settings;

use crate::scene::{self, Scene};
use crate::table;

const RECORDS: usize = 100;
const BATCH_BYTES: usize = 16 << 10;
const BATCHES: usize = 256;

/// The system's allocator, and a count of what is asked of it.
pub(crate) struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED_BYTES: AtomicU64 = AtomicU64::new(0);

impl Counting {
    fn count(bytes: usize) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        ALLOCATED_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed on to the system's allocator as it comes.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: the caller keeps the promises of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What was allocated since.
struct Since {
    allocations: u64,
    bytes: u64,
}

impl Since {
    fn now() -> Self {
        Self {
            allocations: ALLOCATIONS.load(Ordering::Relaxed),
            bytes: ALLOCATED_BYTES.load(Ordering::Relaxed),
        }
    }

    fn row(&self, what: &str, batches: usize) -> [String; 4] {
        let now = Self::now();
        let allocations = (now.allocations - self.allocations) as f64 / batches as f64;
        let bytes = (now.bytes - self.bytes) as f64 / (batches * BATCH_BYTES) as f64;
        [
            what.to_owned(),
            format!("{allocations:.2}"),
            format!("{:.4}", allocations / RECORDS as f64),
            format!("{bytes:.2}"),
        ]
    }
}

pub(crate) async fn run(scene: &Scene) {
    let folder = scene.clear().join("log");
    let mut log = scene::open(&folder, Settings::default()).await;
    let template = scene::batch_of(BATCH_BYTES, RECORDS, 0);
    let mut rows = Vec::new();

    for (group, what) in [
        (1, "append, each made durable"),
        (16, "append, 16 made durable at once"),
    ] {
        let first = log.next_offset();
        let stamped = |at: usize| scene::stamped(&template, first + (at * RECORDS) as u64);
        let batches: Vec<_> = (0..BATCHES).map(stamped).collect();
        // Memory is shared from the first clone on; that of a batch which has arrived is.
        let _shared = batches.clone();
        let since = Since::now();
        for group in batches.chunks(group) {
            for batch in group {
                log.append(batch.clone());
            }
            scene::flush(&mut log).await;
        }
        rows.push(since.row(what, BATCHES));
    }

    for (len, what) in [
        (1, "fetch of one, from memory"),
        (1 << 20, "fetch of 1 MiB, from memory"),
    ] {
        let from = log.next_offset() - (64 * RECORDS) as u64;
        rows.push(fetch(&log, from, len, what).await);
    }
    drop(log);
    let settings = Settings {
        tail_bytes_max: 0,
        ..Settings::default()
    };
    let log = scene::open(&folder, settings).await;
    for (len, what) in [
        (1, "fetch of one, from the disk"),
        (1 << 20, "fetch of 1 MiB, from the disk"),
    ] {
        let from = log.log_start_offset();
        rows.push(fetch(&log, from, len, what).await);
    }
    let header = [
        "what",
        "allocations per batch",
        "per record",
        "bytes per byte",
    ];
    let title = "Heap allocations (batches of 16 KiB, 100 records)";
    table::print(title, header, rows);
}

async fn fetch(
    log: &quorate_log::PartitionLog<quorate_platform::Compio>,
    from: u64,
    len: usize,
    what: &str,
) -> [String; 4] {
    // What is allocated once and for all is no matter of a batch.
    scene::read(log, from, len).await;
    let since = Since::now();
    let mut count = 0;
    for _ in 0..16 {
        count += scene::read(log, from, len).await.len();
    }
    since.row(what, count)
}
