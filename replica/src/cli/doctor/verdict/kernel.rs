use rustix::io::Errno;

use crate::cli::doctor::fact::{Limits, Refusal, Release, Ring};
use crate::cli::doctor::operation::{Frequency, OPERATIONS, Operation};
use crate::cli::doctor::row::{Row, Verdict};
use crate::cli::doctor::size;

/// The oldest kernel that this is meant for.
const OLDEST: (u32, u32) = (5, 19);
/// From here on completions wait until the shard asks for them, instead of interrupting it: a tenth
/// to a fifth more round trips.
const DEFERS_COMPLETIONS: (u32, u32) = (6, 1);

pub(super) fn of_release(release: &Release) -> Row {
    let row = Row::ok("kernel", format!("Linux {}", release.text));
    if !release.is_at_least(OLDEST) {
        return row.but(
            Verdict::Warning,
            "use Linux 5.19 or newer, best a long-term one from 6.1 on: with older ones Quorate is \
             not tried, and their io_uring is known to lose wake-ups",
        );
    }
    if !release.is_at_least(DEFERS_COMPLETIONS) {
        return row.but(
            Verdict::Slow,
            "use Linux 6.1 or newer, which interrupts a shard less",
        );
    }
    row
}

/// Whether there is an io_uring and, if so, whether it can do what a node needs.
pub(super) fn of_ring(ring: &Ring) -> Vec<Row> {
    match ring {
        Ring::Refused(refusal) => vec![of_refusal(*refusal)],
        Ring::Ready {
            has_deadlines,
            has_tags,
            missing,
        } => {
            let row = Row::ok("io_uring", "can be used");
            let row = if *has_deadlines && *has_tags {
                row
            } else {
                Row {
                    found: "lacks waits with a deadline, or polls that report again".to_owned(),
                    ..row
                }
                .but(Verdict::Fails, NEWER_KERNEL)
            };
            vec![row, of_operations(missing)]
        }
    }
}

const NEWER_KERNEL: &str = "use Linux 5.19 or newer";

const FILTER: &str = "a filter of system calls (seccomp) forbids io_uring, as containers do by \
     default: allow io_uring_setup, io_uring_enter and io_uring_register. Docker and Podman: start \
     the container with `--security-opt seccomp=PROFILE.json`, the default profile with these \
     three added. Kubernetes: put that profile on the nodes and name it in `securityContext: \
     seccompProfile: {type: Localhost, localhostProfile: PROFILE.json}`. systemd: add the three to \
     `SystemCallFilter=`";

fn of_refusal(refusal: Refusal) -> Row {
    let Refusal {
        errno,
        disabled,
        is_filtered,
    } = refusal;
    let advice = match (errno, disabled) {
        (Errno::PERM | Errno::ACCESS, Some(2)) => {
            "the kernel's setting forbids it to everybody: `sysctl -w kernel.io_uring_disabled=0` \
             on the host, and the same line in /etc/sysctl.d to keep it"
                .to_owned()
        }
        (Errno::PERM | Errno::ACCESS, Some(1)) => {
            let filter = if is_filtered {
                format!("; if it is refused still, {FILTER}")
            } else {
                String::new()
            };
            format!(
                "the kernel's setting keeps it to some: `sysctl -w kernel.io_uring_disabled=0` on \
                 the host, or make `kernel.io_uring_group` a group of this user{filter}"
            )
        }
        // Some filters say that there is no such call instead of that it is forbidden.
        (Errno::PERM | Errno::ACCESS | Errno::NOSYS, _) if is_filtered => FILTER.to_owned(),
        (Errno::PERM | Errno::ACCESS, _) => {
            "a security module or the sandbox of this process forbids it: find the refusal in the \
             kernel's audit log, and allow io_uring there"
                .to_owned()
        }
        (Errno::NOSYS, _) => {
            "this kernel has no io_uring: use Linux 5.19 or newer that is built with \
             CONFIG_IO_URING; sandboxes that bring a kernel of their own have none"
                .to_owned()
        }
        (Errno::NOMEM, _) => {
            "there is no memory for it: raise the memory limit of this process or container, or \
             `ulimit -l` on kernels before 5.12"
                .to_owned()
        }
        (Errno::MFILE | Errno::NFILE, _) => {
            "no more files can be opened: raise `ulimit -n`, or fs.file-max of the host".to_owned()
        }
        _ => format!("{NEWER_KERNEL}, and look into the kernel's log"),
    };
    Row::ok("io_uring", format!("refused: {errno}")).but(Verdict::Fails, advice)
}

fn of_operations(missing: &[&str]) -> Row {
    let lacks = |frequency| {
        let lacking = move |operation: &&Operation| {
            operation.frequency == frequency && missing.contains(&operation.name)
        };
        let names = OPERATIONS.iter().filter(lacking);
        names
            .map(|operation| format!("{} (Linux {})", operation.name, operation.since))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (steady, rare) = (lacks(Frequency::Steady), lacks(Frequency::Rare));
    let check = "io_uring_operations";
    let count = OPERATIONS.len() as u64;
    let row = match (steady.is_empty(), rare.is_empty()) {
        (false, _) => Row::ok(check, format!("missing: {steady}")).but(
            Verdict::Fails,
            format!("{NEWER_KERNEL}, without restrictions"),
        ),
        (true, false) => Row::ok(check, format!("by helper threads, now and then: {rare}")),
        (true, true) => Row::ok(check, format!("all {count} that a node uses")),
    };
    row.figure("used_count", count)
        .figure("missing_count", missing.len() as u64)
}

/// What a node holds before it has a single partition: for each thread a ring, an event and a
/// listener, for each other node some connections, and what the runtime and the log need.
const FILES_MIN: u64 = 256;
/// A partition holds a file or two, a connection one: enough for some thousands of each.
const FILES_AMPLE: u64 = 16_384;

pub(super) fn of_open_files(limits: Limits) -> Row {
    let Some(files) = limits.files else {
        return Row::ok("open_files", "no limit");
    };
    let row = Row::ok("open_files", format!("at most {files}")).figure("limit", files);
    let advice = "raise the hard limit: `ulimit -Hn` in a shell, `LimitNOFILE=` of systemd, \
                  `--ulimit nofile=` of containers, or /etc/security/limits.conf";
    match files {
        0..FILES_MIN => row.but(
            Verdict::Fails,
            format!("a node needs {FILES_MIN} at least: {advice}"),
        ),
        FILES_MIN..FILES_AMPLE => row.but(
            Verdict::Warning,
            format!("every partition and every connection holds files: {advice}"),
        ),
        FILES_AMPLE.. => row,
    }
}

/// From here on the kernel counts rings as memory of the process and not as locked.
const RINGS_ARE_NOT_LOCKED: (u32, u32) = (5, 12);
/// Rings of some shards fit.
const LOCKED_AMPLE: u64 = 64 << 20;

pub(super) fn of_locked_memory(limits: Limits, release: &Release) -> Row {
    let check = "locked_memory";
    let Some(bytes) = limits.locked_bytes else {
        return Row::ok(check, "no limit");
    };
    let found = format!("at most {}", size::human(bytes));
    if release.is_at_least(RINGS_ARE_NOT_LOCKED) {
        let found = format!("{found}, of which a node needs none");
        return Row::ok(check, found).figure("limit_bytes", bytes);
    }
    let row = Row::ok(check, found).figure("limit_bytes", bytes);
    if bytes >= LOCKED_AMPLE {
        return row;
    }
    row.but(
        Verdict::Warning,
        "this kernel counts rings as locked memory: raise `ulimit -l`, `LimitMEMLOCK=` of systemd, \
         or `--ulimit memlock=` of containers",
    )
}
