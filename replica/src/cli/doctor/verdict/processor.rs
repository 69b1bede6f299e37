use crate::cli::doctor::fact::Clock;
use crate::cli::doctor::row::{Row, Verdict};

pub(super) fn of_cores(cores: usize, shards: usize) -> Row {
    let row = Row::ok("cores", cores.to_string()).figure("count", cores as u64);
    if cores < 2 {
        return row.but(
            Verdict::Slow,
            "give it two cores or more: a node runs one thread per shard and one for the control \
             plane, and each waits for the other here",
        );
    }
    if cores < shards {
        return row.but(
            Verdict::Slow,
            format!("give it {shards} cores: the {shards} shards of this node take turns"),
        );
    }
    row
}

/// A clock that is read without entering the kernel takes some 20 to 60 ns; one that is not takes
/// several times this, and a node reads it for every batch, frame and timer.
const READING_SLOW_NS: u64 = 250;

pub(super) fn of_clock(clock: &Clock) -> Row {
    let source = clock.source.as_deref().unwrap_or("a source that is hidden");
    let found = format!("{source}, {} ns to read", clock.reading_ns);
    let row = Row::ok("clock", found).figure("reading_ns", clock.reading_ns);
    if source.contains("jiffies") {
        return row.but(
            Verdict::Warning,
            "it only moves some hundred times a second: let the kernel use the processor's counter \
             (tsc, arch_sys_counter), or give the virtual machine a clock of its own (kvm-clock)",
        );
    }
    if clock.reading_ns >= READING_SLOW_NS {
        return row.but(
            Verdict::Slow,
            "every reading enters the kernel: see \
             /sys/devices/system/clocksource/clocksource0/available_clocksource, and write tsc, \
             kvm-clock, hyperv_clocksource_tsc_page or arch_sys_counter to current_clocksource \
             beside it; the kernel's log says why it chose another",
        );
    }
    row
}
