//! `quorate doctor` says whether a machine is fit and leaves nothing behind, and a node that is
//! started on one that is not says so in the same words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::{fs, io};

use quorate_jepsen::{CommandLine, Failure, PATIENCE, quorate_binary, wait_until};
use quorate_tests::{sure, take_turn};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    CommandLine::new(sure(quorate_binary()), String::from("127.0.0.1:1")).command(arguments)
}

fn doctor(folder: &Path) -> Command {
    let mut command = command(&["doctor", "--output", "json", "--data-dir"]);
    command.arg(folder);
    command
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// The rows of a document, each of the shape that programs rely on.
fn checks(output: &Output) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let would_start = document["would_start"].as_bool().unwrap();
    let code = if would_start { 0 } else { 1 };
    assert_eq!(output.status.code(), Some(code), "{document:#}");
    let checks = document["checks"].as_array().unwrap();
    let mut fails = false;
    for check in checks {
        assert!(check["check"].is_string(), "{check}");
        assert!(check["found"].is_string(), "{check}");
        let verdict = check["verdict"].as_str().unwrap();
        let verdicts = ["ok", "slow", "warning", "fails"];
        assert!(verdicts.contains(&verdict), "{check}");
        assert_eq!(check["advice"].is_null(), verdict == "ok", "{check}");
        let figures = check["figures"].as_object().unwrap();
        assert!(figures.values().all(Value::is_u64), "{check}");
        fails |= verdict == "fails";
    }
    assert_eq!(would_start, !fails, "{document:#}");
    checks.clone()
}

fn check<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let found = checks.iter().find(|check| check["check"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {checks:#?}"))
}

#[test]
fn a_machine_that_runs_the_tests_is_fit_and_measured() {
    let _turn = take_turn();
    let folder = tempfile::tempdir().unwrap();
    let output = doctor(folder.path()).output().unwrap();
    let checks = checks(&output);
    for name in [
        "kernel",
        "io_uring",
        "io_uring_operations",
        "cores",
        "clock",
        "open_files",
        "locked_memory",
        "data_dir",
        "file_system",
        "free_space",
        "direct_io",
        "measurements",
    ] {
        check(&checks, name);
    }
    for (name, figure) in [
        ("submit_prewritten", "writes_count"),
        ("submit_growing", "writes_count"),
        ("sync_prewritten", "p50_us"),
        ("sync_growing", "p99_us"),
        ("durable_writes_4k", "bytes_per_second"),
        ("durable_writes_1m", "operations_per_second"),
    ] {
        let figure = &check(&checks, name)["figures"][figure];
        assert!(figure.as_u64().unwrap() > 0, "{name}: {figure}");
    }
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn an_interrupted_doctor_leaves_nothing_behind() {
    let _turn = take_turn();
    let folder = tempfile::tempdir().unwrap();
    let child = doctor(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    sure(wait_until("it measures", PATIENCE, || {
        let is_at_work = names_in(folder.path()).iter().any(|name| {
            let file = folder.path().join(name).join("prewritten");
            name.starts_with("quorate-doctor-") && file.exists()
        });
        is_at_work
            .then_some(())
            .ok_or_else(|| Failure::new("it has not begun"))
    }));
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // As if it went to the process and to its group. The process may have ended by the second.
    kill_process(pid.unwrap(), Signal::INT).unwrap();
    let _ = kill_process(pid.unwrap(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn without_io_uring_it_says_what_forbids_it_and_measures_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = doctor(folder.path());
    forbid_io_uring(&mut command);
    let output = command.output().unwrap();
    let checks = checks(&output);
    let ring = check(&checks, "io_uring");
    assert_eq!(ring["verdict"], "fails", "{ring}");
    let advice = ring["advice"].as_str().unwrap();
    for word in [
        "seccomp",
        "io_uring_setup",
        "Docker",
        "Podman",
        "Kubernetes",
    ] {
        assert!(advice.contains(word), "{word:?} is not in: {advice}");
    }
    let measures = |check: &Value| check["check"] == "measurements";
    assert!(!checks.iter().any(measures), "{checks:#?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("would not start here: io_uring"), "{said}");
    assert_eq!(names_in(folder.path()), [""; 0]);
}

#[test]
fn other_commands_refer_to_it_when_they_find_no_io_uring() {
    let mut command = command(&["topic", "list"]);
    forbid_io_uring(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("quorate doctor"), "{said}");
}

#[test]
fn a_node_that_may_not_use_io_uring_says_what_forbids_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let said = complaint_of_node(&data, forbid_io_uring);
    for word in ["io_uring", "seccomp", "Docker"] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!data.exists(), "a refused node has written something");
}

#[test]
fn a_node_says_that_its_folder_cannot_be_written_to() {
    // The kernel's own file system takes no files, not even from root.
    let said = complaint_of_node(Path::new("/proc/quorate"), |_| {});
    assert!(said.contains("data_dir: /proc/quorate"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let said = complaint_of_node(&file, |_| {});
    assert!(said.contains("that is no folder"), "{said}");
}

#[test]
fn a_node_does_not_start_with_a_handful_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let few = Rlimit {
        current: Some(64),
        maximum: Some(64),
    };
    let limit = move || setrlimit(Resource::Nofile, few).map_err(io::Error::from);
    let said = complaint_of_node(folder.path(), |command| {
        // SAFETY: between fork and exec only a system call is made; nothing is allocated.
        unsafe { command.pre_exec(limit) };
    });
    for word in ["open_files: at most 64", "256", "LimitNOFILE"] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

/// What a node says that gives up because of its machine.
fn complaint_of_node(data_dir: &Path, prepare: impl FnOnce(&mut Command)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("quorate.toml");
    let text = format!(
        "cluster_id = \"0123456789abcdef0123456789abcdef\"\nnode_id = 1\ndata_dir = \"{}\"\n\
         control_address = \"127.0.0.1:1\"\nshard_addresses = [\"127.0.0.1:2\"]\n\n[[nodes]]\n\
         id = 1\ncontrol_address = \"127.0.0.1:1\"\n",
        data_dir.display()
    );
    fs::write(&config, text).unwrap();
    let mut command = command(&["node", "--config"]);
    command.arg(config);
    prepare(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let reference = format!("quorate doctor --data-dir {}", data_dir.display());
    assert!(said.contains(&reference), "{said}");
    said
}

/// Makes the command run under a filter such as containers put around what runs in them.
fn forbid_io_uring(command: &mut Command) {
    // SAFETY: between fork and exec only system calls are made; nothing is allocated.
    unsafe { command.pre_exec(filter_io_uring) };
}

fn filter_io_uring() -> io::Result<()> {
    const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const SKIP_UNLESS_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    const ZERO: libc::c_ulong = 0;
    const ONE: libc::c_ulong = 1;
    const FILTER: libc::c_ulong = libc::SECCOMP_MODE_FILTER as libc::c_ulong;
    let step = |code, unless_equal, value| libc::sock_filter {
        code,
        jt: 0,
        jf: unless_equal,
        k: value,
    };
    // The number of the call is the first word of what a filter is shown.
    let mut steps = [
        step(LOAD_WORD, 0, 0),
        step(SKIP_UNLESS_EQUAL, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let results = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, ONE, ZERO, ZERO, ZERO),
            libc::prctl(libc::PR_SET_SECCOMP, FILTER, &raw const program),
        ]
    };
    match results {
        [0, 0] => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
