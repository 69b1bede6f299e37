use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// Prints rows under a title and a header; the first column says what a row is about.
pub(crate) fn print<const N: usize>(title: &str, header: [&str; N], rows: Vec<[String; N]>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("\n{title}\n(load {})", load());
    for line in table.lines() {
        println!("{}", line.trim_end());
    }
}

/// How busy the machine is besides: a figure from a busy one is worth less.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

pub(crate) fn time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    match nanos {
        0.0..1e3 => format!("{nanos:.0} ns"),
        1e3..1e4 => format!("{:.1} µs", nanos / 1e3),
        1e4..1e6 => format!("{:.0} µs", nanos / 1e3),
        1e6..1e9 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// Bytes per second.
pub(crate) fn rate(rate: f64) -> String {
    let mib = rate / f64::from(1 << 20);
    match mib {
        0.0..10.0 => format!("{mib:.1} MiB/s"),
        10.0..10_000.0 => format!("{mib:.0} MiB/s"),
        _ => format!("{:.1} GiB/s", mib / 1024.0),
    }
}

pub(crate) fn ratio(figure: f64, floor: f64) -> String {
    format!("{:.2}", figure / floor)
}
