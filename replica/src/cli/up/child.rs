use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use clap::ValueEnum as _;
use rustix::process::{Pid, Signal};

use super::cluster_file::NodeEntry;
use crate::cli::{Failure, Global};

/// Lines of the log that an error shows.
const TAIL_LINES: usize = 15;
const TAIL_BYTES: u64 = 16 << 10;

/// The process of one node, started by us.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    log_file: PathBuf,
    /// Where in the log file this process began.
    log_start: u64,
}

impl Child {
    /// Starts `node`, with the logging that this process was asked for; with `founds` it founds a
    /// cluster.
    ///
    /// Must be called on the main thread: the kernel ends the child with the thread that made it.
    pub(super) fn start(node: &NodeEntry, founds: bool, global: &Global) -> Result<Self, Failure> {
        let start = || -> io::Result<Self> {
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&node.log_file)?;
            let log_start = log.metadata()?.len();
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("node").arg("--config").arg(&node.config_file);
            if founds {
                command.arg("--new-cluster");
            }
            command.arg("--parent").arg(std::process::id().to_string());
            if let Some(filter) = &global.log {
                command.arg("--log").arg(filter);
            }
            if let Some(format) = global.log_format.to_possible_value() {
                command.arg("--log-format").arg(format.get_name());
            }
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log);
            // A Ctrl-C of the terminal goes to its whole process group. It is ours to pass on.
            command.process_group(0);
            let process = command.spawn()?;
            Ok(Self {
                process,
                log_file: node.log_file.clone(),
                log_start,
            })
        };
        start().map_err(|error| {
            Failure::failed(format!("node {} cannot be started: {error}", node.id))
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How the process has ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        // The child is ours and is waited for nowhere else, so asking cannot fail.
        self.process.try_wait().ok().flatten()
    }

    pub(super) fn signal(&self, signal: Signal) {
        // A process that has ended needs no signal any more.
        let _ = rustix::process::kill_process(Pid::from_child(&self.process), signal);
    }

    /// The last lines that this process has logged.
    pub(super) fn log_tail(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(&self.log_file)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(
                self.log_start.max(end.saturating_sub(TAIL_BYTES)),
            ))?;
            let mut bytes = Vec::new();
            file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(last_lines(&String::from_utf8_lossy(&bytes)))
        };
        let path = self.log_file.display();
        match read() {
            Ok(tail) => format!("the end of {path}:\n{tail}"),
            Err(error) => format!("{path} cannot be read: {error}"),
        }
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let first = lines.len().saturating_sub(TAIL_LINES);
    lines[first..].join("\n")
}

/// How a process has ended, in a few words without a space.
pub(super) fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit={code}"),
        (None, Some(signal)) => format!("signal={signal}"),
        (None, None) => "exit=unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_names_the_exit_code_or_the_signal() {
        assert_eq!(ending(ExitStatus::from_raw(3 << 8)), "exit=3");
        assert_eq!(ending(ExitStatus::from_raw(9)), "signal=9");
    }

    #[test]
    fn the_tail_is_the_last_lines() {
        let text: String = (0..100).map(|line| format!("{line}\n")).collect();
        let tail = last_lines(&text);
        assert!(tail.starts_with("85\n") && tail.ends_with("\n99"), "{tail}");
        assert_eq!(last_lines("one"), "one");
    }
}
