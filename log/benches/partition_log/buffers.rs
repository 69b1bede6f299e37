//! What a new buffer costs against one that is used again.

use std::hint::black_box;

use quorate_platform::AlignedBuffer;

use crate::ring;
use crate::scene::Scene;
use crate::series::{Round, Series};
use crate::table;

pub(crate) fn run(scene: &Scene) {
    let mut rows = Vec::new();
    for len in [4 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20] {
        let data = ring::filled(len);
        let mut series = [(); 3].map(|()| Series::default());
        let [new, old, vec] = &mut series;
        let mut kept = AlignedBuffer::with_capacity(len);
        for _ in 0..scene.rounds() {
            new.push(Round::repeat(scene.turn(), || {
                let mut buffer = AlignedBuffer::with_capacity(len);
                buffer.extend_from_slice(&data);
                black_box(&buffer).len()
            }));
            old.push(Round::repeat(scene.turn(), || {
                kept.clear();
                kept.extend_from_slice(&data);
                black_box(&kept).len()
            }));
            vec.push(Round::repeat(scene.turn(), || {
                let mut buffer = Vec::<u8>::with_capacity(len);
                buffer.extend_from_slice(&data);
                black_box(&buffer).len()
            }));
        }
        let [new, old, vec] = &series;
        rows.push([
            table::size(len),
            table::time(new.median()),
            table::time(vec.median()),
            table::time(old.median()),
            table::ratio(new.median().as_secs_f64(), old.median().as_secs_f64()),
        ]);
    }
    let header = [
        "buffer",
        "new",
        "new, not aligned",
        "used again",
        "new : used again",
    ];
    table::print("Filling a buffer", header, rows);
}
