//! Writing files in advance, and writing large ones at once.

use std::time::Instant;

use rustix::fs::FallocateFlags;

use crate::ring::{self, Ring};
use crate::scene::Scene;
use crate::series::{Round, Series};
use crate::table;

const PIECES: [usize; 4] = [64 << 10, 256 << 10, 1 << 20, 4 << 20];
const IN_FLIGHT: [usize; 3] = [1, 2, 4];

/// How fast new files are filled.
pub(crate) fn run(scene: &Scene) {
    let file_bytes = if scene.is_quick { 32 << 20 } else { 128 << 20 };
    let mut variants = Vec::new();
    for piece_bytes in PIECES {
        for in_flight in IN_FLIGHT {
            for is_allocated in [false, true] {
                variants.push((piece_bytes, in_flight, is_allocated, Series::default()));
            }
        }
    }
    let folder = scene.clear();
    let mut ring = Ring::new();
    for _ in 0..scene.rounds() {
        for (piece_bytes, in_flight, is_allocated, series) in &mut variants {
            let path = folder.join("new");
            let piece = ring::aligned(&vec![0; *piece_bytes]);
            let file = ring::open(&path, true);
            let begun = Instant::now();
            if *is_allocated {
                let flags = FallocateFlags::empty();
                rustix::fs::fallocate(&file, flags, 0, file_bytes as u64).unwrap();
            }
            ring.fill(&file, &piece, file_bytes / *piece_bytes, *in_flight);
            series.push(Round::once(begun.elapsed(), file_bytes as u64));
            std::fs::remove_file(path).unwrap();
        }
    }
    let rows = variants.chunks(2 * IN_FLIGHT.len()).map(|variants| {
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|at| table::rate(variants[at].3.rate()));
        [table::size(variants[0].0), a, b, c, d, e, f]
    });
    let header = [
        "piece",
        "1 at once",
        "allocated",
        "2 at once",
        "allocated",
        "4 at once",
        "allocated",
    ];
    let title = format!(
        "Writing {} of zeros into a new file and syncing it, its space allocated before or not",
        table::size(file_bytes)
    );
    table::print(&title, header, rows.collect());
}

/// One large write against several smaller ones before one sync.
pub(crate) fn in_flight(scene: &Scene) {
    let mut rows = Vec::new();
    for len in [256 << 10, 1 << 20, 4 << 20] {
        let folder = scene.clear();
        let mut ring = Ring::new();
        let file = ring::prewritten(&mut ring, &folder.join("written"), len as u64);
        // How many parts, and how many of them at once.
        let ways = [(1, 1), (2, 2), (4, 4), (4, 1)];
        let mut series = ways.map(|_| Series::default());
        let data = ring::filled(len);
        for _ in 0..scene.rounds() {
            for ((parts, in_flight), series) in ways.into_iter().zip(&mut series) {
                series.push(Round::repeat(scene.turn(), || {
                    ring.fill(&file, &data[..len / parts], parts, in_flight);
                    len
                }));
            }
        }
        let [one, two, four, in_turn] = series.map(|series| series.cell());
        rows.push([table::size(len), one, two, four, in_turn]);
    }
    let header = ["together", "1 write", "2 at once", "4 at once", "4 in turn"];
    let title = "Writes into a file that was written in advance, and one sync after them \
                 (median / p99 / rate)";
    table::print(title, header, rows);
}
