use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use super::*;
use crate::cli::doctor::fact::{
    BlockDevice, Clock, DirectFiles, FileSystem, Folder, Limits, Mount, Refusal, Release, Ring,
    WriteCache,
};
use crate::cli::doctor::measure::{Area, Rate, Room, Shortfall, Speed, Submits, Syncs};
use crate::cli::doctor::row::Verdict;
use crate::cli::latency::Percentiles;

const GIB: u64 = 1 << 30;

/// A machine that nothing is wrong with.
fn fit() -> Facts {
    Facts {
        release: Release::parse("6.18.1"),
        ring: ring(&[]),
        limits: Limits {
            files: Some(524_288),
            locked_bytes: Some(8 << 20),
        },
        clock: Clock {
            source: Some("tsc".to_owned()),
            reading_ns: 25,
        },
        cores: 4,
        folder: Folder {
            asked: PathBuf::from("/data"),
            existing: PathBuf::from("/data"),
            holds_node: false,
            trial: Ok(DirectFiles::Work {
                block_bytes: Some(512),
            }),
            file_system: Some(file_system(0xEF53)),
            mount: Some(Mount {
                point: PathBuf::from("/"),
                kind: "ext4".to_owned(),
                source: PathBuf::from("/dev/vda"),
                options: vec!["rw".to_owned(), "relatime".to_owned()],
            }),
            block_device: Some(BlockDevice {
                name: "vda".to_owned(),
                is_rotational: Some(false),
                write_cache: Some(WriteCache::Flushed),
            }),
        },
    }
}

fn ring(missing: &[&'static str]) -> Ring {
    Ring::Ready {
        has_deadlines: true,
        has_tags: true,
        missing: missing.to_vec(),
    }
}

fn file_system(magic: u32) -> FileSystem {
    FileSystem {
        magic,
        is_read_only: false,
        total_bytes: 100 * GIB,
        available_bytes: 50 * GIB,
        available_files: Some(1_000_000),
    }
}

/// The rows that are not as they should be.
fn complaints(facts: &Facts) -> Vec<Row> {
    let rows = of_facts(facts, 2).into_iter();
    rows.filter(|row| row.verdict != Verdict::Ok).collect()
}

/// Fails unless the machine has this one complaint, whose advice holds all of `words`.
#[track_caller]
fn assert_complaint(facts: &Facts, check: &str, verdict: Verdict, words: &[&str]) {
    let complaints = complaints(facts);
    let [row] = &complaints[..] else {
        panic!("one complaint is expected: {complaints:?}");
    };
    assert_eq!((row.check, row.verdict), (check, verdict), "{row:?}");
    let advice = row.advice.as_deref().unwrap_or_default();
    for word in words {
        assert!(advice.contains(word), "{word:?} is not in: {advice}");
    }
}

fn refused(errno: Errno, disabled: Option<u8>, is_filtered: bool) -> Facts {
    Facts {
        ring: Ring::Refused(Refusal {
            errno,
            disabled,
            is_filtered,
        }),
        ..fit()
    }
}

#[test]
fn nothing_is_wrong_with_a_fit_machine() {
    assert_eq!(complaints(&fit()), []);
    let rows = of_facts(&fit(), 2);
    assert!(rows.iter().all(|row| row.advice.is_none()), "{rows:?}");
}

#[test]
fn a_missing_io_uring_is_told_with_the_remedy_for_its_cause() {
    let cases: [(Facts, &[&str]); 8] = [
        (refused(Errno::NOSYS, None, false), &["CONFIG_IO_URING"]),
        (refused(Errno::NOSYS, None, true), &["seccomp", "Docker"]),
        (
            refused(Errno::PERM, Some(0), true),
            &[
                "Docker",
                "Podman",
                "Kubernetes",
                "systemd",
                "io_uring_setup",
            ],
        ),
        (
            refused(Errno::PERM, Some(2), true),
            &["kernel.io_uring_disabled=0", "host"],
        ),
        (
            refused(Errno::PERM, Some(1), false),
            &["kernel.io_uring_group"],
        ),
        (
            refused(Errno::PERM, Some(1), true),
            &["kernel.io_uring_group", "seccomp"],
        ),
        (refused(Errno::ACCESS, Some(0), false), &["security module"]),
        (refused(Errno::NOMEM, None, false), &["memory limit"]),
    ];
    for (facts, words) in cases {
        assert_complaint(&facts, "io_uring", Verdict::Fails, words);
    }
}

#[test]
fn an_operation_that_helper_threads_can_do_is_no_complaint() {
    let facts = |missing: &[&'static str]| Facts {
        ring: ring(missing),
        ..fit()
    };
    assert_eq!(complaints(&facts(&["ftruncate", "listen"])), []);
    let told = of_facts(&facts(&["ftruncate"]), 2);
    let is_told = |row: &Row| row.found.contains("ftruncate (Linux 6.9)");
    assert!(told.iter().any(is_told), "{told:?}");
    let fails = facts(&["write", "listen"]);
    assert_complaint(&fails, "io_uring_operations", Verdict::Fails, &["5.19"]);
}

#[test]
fn an_old_kernel_is_told_of_as_far_as_it_matters() {
    let facts = |text: &str, has_tags| Facts {
        release: Release::parse(text),
        ring: Ring::Ready {
            has_deadlines: true,
            has_tags,
            missing: Vec::new(),
        },
        ..fit()
    };
    assert_complaint(&facts("5.19.0", true), "kernel", Verdict::Slow, &["6.1"]);
    let warned = facts("5.15.0-91-generic", true);
    assert_complaint(&warned, "kernel", Verdict::Warning, &["5.19"]);
    let older = complaints(&facts("5.12.0", false));
    let verdicts: Vec<_> = older.iter().map(|row| (row.check, row.verdict)).collect();
    let expected = [("kernel", Verdict::Warning), ("io_uring", Verdict::Fails)];
    assert_eq!(verdicts, expected);
}

#[test]
fn limits_count_by_what_a_node_holds() {
    let facts = |files, locked_bytes, release| Facts {
        limits: Limits {
            files,
            locked_bytes,
        },
        release: Release::parse(release),
        ..fit()
    };
    let few = facts(Some(64), None, "6.18");
    assert_complaint(&few, "open_files", Verdict::Fails, &["256", "LimitNOFILE"]);
    let some = facts(Some(4_096), None, "6.18");
    assert_complaint(&some, "open_files", Verdict::Warning, &["--ulimit nofile"]);
    assert_eq!(complaints(&facts(None, Some(0), "6.18")), []);
    let old = of_facts(&facts(None, Some(65_536), "5.10"), 2);
    let is_locked = |row: &&Row| row.check == "locked_memory";
    let row = old.iter().find(is_locked).unwrap();
    assert_eq!(row.verdict, Verdict::Warning, "{row:?}");
}

#[test]
fn a_clock_counts_by_what_a_reading_takes() {
    let facts = |source: Option<&str>, reading_ns| Facts {
        clock: Clock {
            source: source.map(str::to_owned),
            reading_ns,
        },
        ..fit()
    };
    assert_eq!(complaints(&facts(None, 40)), []);
    let slow = facts(Some("hpet"), 1_400);
    assert_complaint(&slow, "clock", Verdict::Slow, &["kvm-clock"]);
    let coarse = facts(Some("refined-jiffies"), 20);
    assert_complaint(&coarse, "clock", Verdict::Warning, &["tsc"]);
    let alone = Facts { cores: 1, ..fit() };
    assert_complaint(&alone, "cores", Verdict::Slow, &["two cores"]);
    let crowded = of_facts(&fit(), 6);
    let row = crowded.iter().find(|row| row.check == "cores").unwrap();
    assert_eq!(row.verdict, Verdict::Slow);
    assert!(
        row.advice.as_deref().unwrap().contains("6 cores"),
        "{row:?}"
    );
}

fn in_folder(change: impl FnOnce(&mut Folder)) -> Facts {
    let mut facts = fit();
    change(&mut facts.folder);
    facts
}

#[test]
fn a_folder_that_cannot_be_written_to_fails_with_the_remedy() {
    for (errno, word) in [
        (Errno::ACCESS, "user"),
        (Errno::ROFS, "read-only"),
        (Errno::NOSPC, "room"),
        (Errno::NOTDIR, "no folder"),
        (Errno::IO, "choose"),
    ] {
        let facts = in_folder(|folder| folder.trial = Err(errno));
        assert_complaint(&facts, "data_dir", Verdict::Fails, &[word]);
    }
    let missing = in_folder(|folder| folder.asked = PathBuf::from("/data/of/nobody"));
    let rows = of_facts(&missing, 2);
    let row = rows.iter().find(|row| row.check == "data_dir").unwrap();
    assert_eq!(row.found, "/data/of/nobody, to be created below /data");
}

#[test]
fn a_file_system_counts_by_what_survives_on_it() {
    let on = |magic| {
        in_folder(|folder| {
            folder.file_system = Some(file_system(magic));
            folder.mount = None;
        })
    };
    for (magic, verdict, word) in [
        (0x9123_683E, Verdict::Slow, "ext4 or xfs"),
        (0x6969, Verdict::Warning, "server"),
        (0xFF53_4D42, Verdict::Warning, "server"),
        (0x794C_7630, Verdict::Warning, "volume"),
        (0x6573_5546, Verdict::Warning, "program"),
        (0x0102_1994, Verdict::Warning, "memory"),
        (0x1234, Verdict::Warning, "look twice"),
    ] {
        assert_complaint(&on(magic), "file_system", verdict, &[word]);
    }
    assert_eq!(complaints(&on(0x5846_5342)), []);
    let option = |option: &str| {
        in_folder(|folder| {
            let mount = folder.mount.as_mut().unwrap();
            mount.options.push(option.to_owned());
        })
    };
    for unsafe_option in ["nobarrier", "barrier=0"] {
        let facts = option(unsafe_option);
        assert_complaint(&facts, "file_system", Verdict::Warning, &["power cut"]);
    }
    assert_eq!(complaints(&option("barrier=1")), []);
    let read_only = in_folder(|folder| {
        folder.file_system.as_mut().unwrap().is_read_only = true;
        folder.mount = None;
    });
    assert_complaint(&read_only, "file_system", Verdict::Fails, &["for writing"]);
}

#[test]
fn a_full_disk_keeps_only_a_new_node_from_starting() {
    let full = |holds_node| {
        in_folder(|folder| {
            folder.holds_node = holds_node;
            folder.file_system.as_mut().unwrap().available_bytes = 100 << 20;
        })
    };
    assert_complaint(&full(false), "free_space", Verdict::Fails, &["256 MiB"]);
    assert_complaint(&full(true), "free_space", Verdict::Warning, &["topics"]);
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        let nothing_left = in_folder(|folder| {
            folder.holds_node = true;
            folder.trial = Err(errno);
        });
        assert_complaint(&nothing_left, "data_dir", Verdict::Warning, &["room"]);
    }
    let few_files = in_folder(|folder| {
        folder.file_system.as_mut().unwrap().available_files = Some(10);
    });
    assert_complaint(&few_files, "free_space", Verdict::Warning, &["inodes"]);
}

#[test]
fn direct_files_and_disks_are_judged_by_what_they_tell() {
    let direct = |direct| in_folder(|folder| folder.trial = Ok(direct));
    let refused = direct(DirectFiles::Refused(Errno::INVAL));
    assert_complaint(&refused, "direct_io", Verdict::Warning, &["page cache"]);
    let coarse = direct(DirectFiles::Work {
        block_bytes: Some(16 << 10),
    });
    assert_complaint(&coarse, "direct_io", Verdict::Warning, &["4096"]);
    let silent = direct(DirectFiles::Work { block_bytes: None });
    assert_eq!(complaints(&silent), []);
    let hidden = in_folder(|folder| folder.block_device = None);
    assert_complaint(&hidden, "disk", Verdict::Warning, &["power cut"]);
    let cache = |write_cache| {
        in_folder(|folder| folder.block_device.as_mut().unwrap().write_cache = write_cache)
    };
    assert_complaint(&cache(None), "disk", Verdict::Warning, &["power cut"]);
    assert_eq!(complaints(&cache(Some(WriteCache::NeedsNoFlush))), []);
}

fn took(p50: u64, p99: u64) -> Percentiles {
    Percentiles {
        p50,
        p90: p50,
        p99,
        p99_9: p99,
        max: p99,
    }
}

fn of_submits(area: Area, blocked: Option<u32>, handed_over: Option<u32>) -> Row {
    let speed = Speed {
        submits: vec![Submits {
            area,
            writes: 500,
            blocked,
            handed_over,
            took: took(5, 12),
        }],
        ..Speed::default()
    };
    of_speed(&speed, Room::Full).remove(1)
}

#[test]
fn writes_that_block_the_thread_are_a_warning_and_a_detour_is_slow_where_it_need_not_be() {
    let verdict = |area, blocked, handed_over| of_submits(area, blocked, handed_over).verdict;
    assert_eq!(verdict(Area::Prewritten, Some(5), Some(50)), Verdict::Ok);
    assert_eq!(
        verdict(Area::Prewritten, Some(6), Some(0)),
        Verdict::Warning
    );
    assert_eq!(verdict(Area::Prewritten, Some(0), Some(51)), Verdict::Slow);
    assert_eq!(verdict(Area::Growing, Some(0), Some(500)), Verdict::Ok);
    assert_eq!(
        verdict(Area::Growing, Some(100), Some(500)),
        Verdict::Warning
    );
    let unseen = of_submits(Area::Allocated, None, None);
    assert_eq!(unseen.verdict, Verdict::Ok);
    assert!(!unseen.figures.contains_key("blocked_count"), "{unseen:?}");
    let seen = of_submits(Area::Prewritten, Some(0), Some(500));
    assert_eq!(seen.figures["handed_over_count"], 500);
}

#[test]
fn a_disk_is_slow_by_its_worst_syncs_and_its_largest_writes() {
    let sync = |p99| {
        let speed = Speed {
            syncs: vec![Syncs {
                area: Area::Prewritten,
                took: took(50, p99),
            }],
            ..Speed::default()
        };
        of_speed(&speed, Room::Full).remove(1).verdict
    };
    assert_eq!(sync(9_999), Verdict::Ok);
    assert_eq!(sync(10_000), Verdict::Slow);
    assert_eq!(sync(100_000), Verdict::Warning);
    let writes = |bytes_each, operations| {
        let speed = Speed {
            writes: vec![Rate {
                bytes_each,
                operations,
                elapsed: Duration::from_secs(1),
            }],
            ..Speed::default()
        };
        of_speed(&speed, Room::Full).remove(1)
    };
    assert_eq!(writes(1 << 20, 100).verdict, Verdict::Ok);
    assert_eq!(writes(1 << 20, 99).verdict, Verdict::Slow);
    let small = writes(4 << 10, 300);
    assert_eq!(small.verdict, Verdict::Ok);
    assert_eq!(small.check, "durable_writes_4k");
    assert_eq!(small.found, "1.2 MiB/s, 300 a second");
}

#[test]
fn what_was_not_measured_is_told_with_its_reason() {
    let failed = Shortfall::Failed("write", std::io::Error::from(Errno::IO));
    for (shortfall, verdict, words) in [
        (Shortfall::Room, Verdict::Warning, "48 MiB"),
        (Shortfall::Busy, Verdict::Warning, "wait"),
        (Shortfall::Stopped, Verdict::Warning, "end"),
        (failed, Verdict::Fails, "kernel's log"),
    ] {
        let row = of_shortfall(&shortfall);
        assert_eq!(row.verdict, verdict, "{row:?}");
        assert!(row.advice.as_deref().unwrap().contains(words), "{row:?}");
    }
    let rows = of_speed(&Speed::default(), Room::Little);
    assert_eq!(rows[0].found, "with 8 MiB for lack of space");
}
