use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Process;
use crate::Failure;

const STDOUT: &str = "up.out";
const STDERR: &str = "up.err";

/// The running `quorate up`.
#[derive(Debug)]
pub(super) struct Up {
    child: Child,
    process: Process,
    lines: Receiver<String>,
    reader: JoinHandle<()>,
    errors: std::path::PathBuf,
}

impl Up {
    /// Starts it; what it prints goes to files in `folder`.
    pub(super) fn start(mut command: Command, folder: &Path) -> Result<Self, Failure> {
        let create = |name: &str| {
            let opened = File::options()
                .create(true)
                .append(true)
                .open(folder.join(name));
            opened.map_err(Failure::of(format_args!("opening {name}")))
        };
        let errors = create(STDERR)?;
        let copy = create(STDOUT)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors);
        let mut child = command
            .spawn()
            .map_err(Failure::of("starting `quorate up`"))?;
        let process = Process::find(child.id())?;
        let stdout = child.stdout.take().expect("it was asked for just above");
        let (sender, lines) = mpsc::channel();
        let reader = thread::spawn(move || copy_lines(stdout, copy, &sender));
        Ok(Self {
            child,
            process,
            lines,
            reader,
            errors: folder.join(STDERR),
        })
    }

    pub(super) fn process(&self) -> Process {
        self.process
    }

    /// Waits for the line that says that the cluster takes writes.
    pub(super) fn wait_ready(&mut self, patience: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let why = match self.lines.recv_timeout(left) {
                Ok(line) if line.starts_with("ready bootstrap=") => return Ok(()),
                Ok(_) => continue,
                Err(RecvTimeoutError::Timeout) => "was not ready in time",
                Err(RecvTimeoutError::Disconnected) => "ended before it was ready",
            };
            let said = fs::read_to_string(&self.errors).unwrap_or_default();
            return Err(Failure::new(format!("`quorate up` {why}:\n{said}")));
        }
    }

    /// Ctrl-C.
    pub(super) fn interrupt(mut self, patience: Duration) -> Result<ExitStatus, Failure> {
        self.process.interrupt()?;
        if let Err(failure) = self.process.wait_ended(patience) {
            self.end();
            return Err(Failure::new(format!(
                "interrupting `quorate up`: {failure}"
            )));
        }
        let status = self
            .child
            .wait()
            .map_err(Failure::of("collecting `quorate up`"))?;
        // The last lines are in the file when this returns.
        let _ = self.reader.join();
        Ok(status)
    }

    /// Ends it at once.
    pub(super) fn end(mut self) {
        let _ = self.process.kill();
        let _ = self.child.wait();
    }
}

/// What `quorate up` printed, as far as it was copied.
pub(super) fn output(folder: &Path) -> String {
    let bytes = fs::read(folder.join(STDOUT)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn copy_lines(stdout: impl Read, mut copy: File, sender: &mpsc::Sender<String>) {
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { return };
        // Neither a full disk nor a harness that no longer listens may block `quorate up`.
        let _ = writeln!(copy, "{line}");
        let _ = sender.send(line);
    }
}
