use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Failure, wait_until};

/// The kernel counts processor time for programs in hundredths of a second, on every machine.
const TICK: Duration = Duration::from_millis(10);

/// A process, told apart from a later one with the same number by the time of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: Pid,
    /// In ticks since the machine started.
    started: u64,
}

/// What a process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Memory that is in use right now, in bytes.
    pub resident_bytes: u64,
    /// Processor time since the start, of all threads.
    pub processor: Duration,
}

/// The fields of `/proc/PID/stat` that matter here.
struct Stat {
    state: char,
    processor_ticks: u64,
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn find(pid: u32) -> Result<Self, Failure> {
        let gone = || Failure::new(format!("there is no process {pid}"));
        let raw = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or_else(gone)?;
        let stat = read_stat(raw).ok_or_else(gone)?;
        Ok(Self {
            pid: raw,
            started: stat.started,
        })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it runs or is paused: a process that has ended and was not collected does not.
    pub fn is_running(&self) -> bool {
        self.stat()
            .is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.stat().is_some_and(|stat| stat.state == 'T')
    }

    /// Waits until it has ended.
    pub fn wait_ended(&self, patience: Duration) -> Result<(), Failure> {
        let what = format!("process {} has ended", self.pid());
        wait_until(&what, patience, || match self.is_running() {
            true => Err(Failure::new("it is running")),
            false => Ok(()),
        })
    }

    /// Waits until it is paused, which takes effect a little after the signal.
    pub fn wait_paused(&self, patience: Duration) -> Result<(), Failure> {
        let what = format!("process {} is paused", self.pid());
        wait_until(&what, patience, || match self.is_paused() {
            true => Ok(()),
            false => Err(Failure::new("it is not")),
        })
    }

    /// Ends it at once.
    pub fn kill(&self) -> Result<(), Failure> {
        self.signal(Signal::KILL)
    }

    /// Asks it to end.
    pub fn terminate(&self) -> Result<(), Failure> {
        self.signal(Signal::TERM)
    }

    /// Interrupts it, as Ctrl-C does.
    pub fn interrupt(&self) -> Result<(), Failure> {
        self.signal(Signal::INT)
    }

    /// Pauses it.
    pub fn pause(&self) -> Result<(), Failure> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> Result<(), Failure> {
        self.signal(Signal::CONT)
    }

    /// Memory and processor time.
    pub fn usage(&self) -> Result<Usage, Failure> {
        let pid = self.pid();
        let gone = || Failure::new(format!("process {pid} has ended"));
        let stat = self.stat().ok_or_else(gone)?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| gone())?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|rest| rest.trim().strip_suffix("kB"));
        let kibibytes: u64 = kibibytes
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let ticks = u32::try_from(stat.processor_ticks).unwrap_or(u32::MAX);
        Ok(Usage {
            resident_bytes: kibibytes * 1024,
            processor: TICK * ticks,
        })
    }

    /// Whether the process was started with this file as an argument.
    pub(crate) fn runs(&self, file: &Path) -> bool {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid())).unwrap_or_default();
        let file = file.as_os_str().as_encoded_bytes();
        line.split(|byte| *byte == 0)
            .any(|argument| argument == file)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        if !self.is_running() {
            return Err(Failure::new(format!("process {} has ended", self.pid())));
        }
        kill_process(self.pid, signal).map_err(Failure::of(format_args!(
            "sending {signal:?} to process {}",
            self.pid()
        )))
    }

    fn stat(&self) -> Option<Stat> {
        read_stat(self.pid).filter(|stat| stat.started == self.started)
    }
}

fn read_stat(pid: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parse_stat(&text)
}

/// The name of the program stands in parentheses and may itself contain some: the fields are
/// counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        processor_ticks: number(11)? + number(12)?,
        started: number(19)?,
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn stat_is_read_behind_an_odd_name() {
        let text = "17 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 400 50 13 14 15 16 17 18 7777 20";
        let stat = parse_stat(text).unwrap();
        assert_eq!(
            (stat.state, stat.processor_ticks, stat.started),
            ('S', 450, 7777)
        );
        assert!(parse_stat("17 (cut").is_none());
    }

    #[test]
    fn process_is_paused_resumed_and_killed() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::find(child.id()).unwrap();
        let patience = Duration::from_secs(60);
        assert!(process.is_running());
        process.pause().unwrap();
        process.wait_paused(patience).unwrap();
        assert!(process.is_running());
        process.resume().unwrap();
        let goes_on = || match process.is_paused() {
            true => Err(Failure::new("it is paused")),
            false => Ok(()),
        };
        wait_until("it goes on", patience, goes_on).unwrap();
        assert!(process.usage().unwrap().resident_bytes > 0);
        process.kill().unwrap();
        process.wait_ended(patience).unwrap();
        assert!(process.kill().is_err());
        child.wait().unwrap();
    }
}
