use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What the kernel counts of this thread, and of the threads that it runs for the process's rings.
pub(super) struct Counters {
    status: Option<File>,
}

impl Counters {
    /// For the calling thread.
    pub(super) fn new() -> Self {
        Self {
            status: File::open("/proc/thread-self/status").ok(),
        }
    }

    /// How often the thread had to wait for something; to ask is no such time. `None` where the
    /// kernel does not tell.
    pub(super) fn waits(&self) -> Option<u64> {
        let mut text = [0; 4_096];
        let length = self.status.as_ref()?.read_at(&mut text, 0).ok()?;
        parse_waits(&String::from_utf8_lossy(&text[..length]))
    }

    /// How often one of the kernel's threads was set to work. `None` where the kernel does not
    /// tell.
    pub(super) fn worker_runs(&self) -> Option<u64> {
        worker_runs(Path::new("/proc/self/task"))
    }
}

fn parse_waits(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    count.trim().parse().ok()
}

/// The sum over the kernel's threads. They belong to the process and are named after their work;
/// there is none before the first operation is handed over.
fn worker_runs(tasks: &Path) -> Option<u64> {
    let mut runs = 0;
    for task in fs::read_dir(tasks).ok()? {
        let task = task.ok()?.path();
        // A thread may end while the list is read.
        let Ok(name) = fs::read_to_string(task.join("comm")) else {
            continue;
        };
        if name.starts_with("iou-wrk-")
            && let Ok(text) = fs::read_to_string(task.join("schedstat"))
        {
            runs += parse_runs(&text)?;
        }
    }
    Some(runs)
}

/// Of time on a core, time waiting for one, and runs.
fn parse_runs(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_what_the_kernel_prints() {
        let status = "Name:\tq\nvoluntary_ctxt_switches:\t17\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(parse_waits(status), Some(17));
        assert_eq!(parse_waits("Name:\tq\n"), None);
        assert_eq!(parse_runs("100 1861248 41\n"), Some(41));
        assert_eq!(parse_runs(""), None);
    }

    #[test]
    fn a_thread_that_waits_is_seen_to_wait() {
        let counters = Counters::new();
        let before = counters.waits();
        std::thread::spawn(|| {}).join().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
        assert!(counters.waits() > before);
    }

    #[test]
    fn only_threads_of_the_kernel_count() {
        let tasks = tempfile::tempdir().unwrap();
        for (id, name, runs) in [
            ("1", "quorate", 50),
            ("2", "iou-wrk-1", 7),
            ("3", "iou-wrk-1", 5),
        ] {
            let task = tasks.path().join(id);
            fs::create_dir(&task).unwrap();
            fs::write(task.join("comm"), format!("{name}\n")).unwrap();
            fs::write(task.join("schedstat"), format!("1 2 {runs}\n")).unwrap();
        }
        assert_eq!(worker_runs(tasks.path()), Some(12));
    }
}
