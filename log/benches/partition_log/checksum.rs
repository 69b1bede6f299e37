//! What it takes to check a batch, against its checksum alone.

use std::hint::black_box;

use quorate_batch::BatchHeader;

use crate::flush::SIZES;
use crate::scene::{self, Scene};
use crate::series::{Round, Series};
use crate::table;

/// One check of a small batch is too short for the clock.
const REPEATS: usize = 64;

pub(crate) fn run(scene: &Scene) {
    let mut rows = Vec::new();
    for len in SIZES {
        let batch = scene::batch_of(len, (len / 256).max(1), 0);
        let [mut checked, mut alone] = [(); 2].map(|()| Series::default());
        for _ in 0..scene.rounds() {
            checked.push(Round::repeat(scene.turn(), || {
                for _ in 0..REPEATS {
                    black_box(BatchHeader::validate(black_box(&batch)).unwrap());
                }
                REPEATS * batch.len()
            }));
            alone.push(Round::repeat(scene.turn(), || {
                for _ in 0..REPEATS {
                    black_box(crc32c::crc32c(black_box(&batch)));
                }
                REPEATS * batch.len()
            }));
        }
        rows.push([
            table::size(len),
            table::rate(checked.rate()),
            table::rate(alone.rate()),
            table::ratio(checked.rate(), alone.rate()),
        ]);
    }
    let header = [
        "batch",
        "check of a batch",
        "crc32c alone",
        "check : crc32c",
    ];
    table::print("Checking batches", header, rows);
}
