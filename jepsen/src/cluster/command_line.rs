use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::description::{ClusterStatus, PartitionDescription, TopicDescription, TopicDetails};
use super::{PATIENCE, Process};
use crate::Failure;

/// The `quorate` command line, pointed at one cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CommandLine {
    binary: PathBuf,
    bootstrap: String,
}

/// How a command ended and what it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Whether it exited with 0.
    pub success: bool,
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: String,
}

impl CommandLine {
    /// A command line whose commands talk to `bootstrap`.
    pub fn new(binary: PathBuf, bootstrap: String) -> Self {
        Self { binary, bootstrap }
    }

    /// The addresses that its commands talk to first.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A command, for the caller to complete and start.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("QUORATE_BOOTSTRAP", &self.bootstrap);
        command
    }

    /// Runs a command to its end, whichever that is. One that hangs is a failure.
    pub fn finish(&self, arguments: &[&str]) -> Result<Finished, Failure> {
        finish(self.command(arguments), PATIENCE)
    }

    /// Runs a command to its end, with `input` on its stdin.
    pub fn feed(&self, arguments: &[&str], input: Vec<u8>) -> Result<Finished, Failure> {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(Failure::of(format_args!("{command:?}")))?;
        let mut stdin = child.stdin.take().expect("it was asked for just above");
        // A command that ends early does not read it all: that is seen from how it ends.
        let feeder = thread::spawn(move || stdin.write_all(&input).is_ok());
        let finished = collect(child, PATIENCE);
        let _ = feeder.join();
        finished
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
        let finished = self.finish(arguments)?;
        if finished.success {
            return Ok(finished.stdout);
        }
        let line = arguments.join(" ");
        Err(Failure::new(format!(
            "`quorate {line}` failed: {}",
            finished.stderr.trim()
        )))
    }

    /// Runs a command that must succeed and print JSON.
    pub fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, Failure> {
        let arguments = [arguments, &["--output", "json"]].concat();
        let bytes = self.run(&arguments)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let (line, said) = (arguments.join(" "), String::from_utf8_lossy(&bytes));
            Failure::new(format!(
                "`quorate {line}` printed no such JSON ({error}): {said}"
            ))
        })
    }

    /// Creates a topic.
    pub fn create_topic(
        &self,
        name: &str,
        partitions: u32,
        replication: u16,
    ) -> Result<(), Failure> {
        let (partitions, replication) = (partitions.to_string(), replication.to_string());
        let size = ["--partitions", &partitions, "--replication", &replication];
        self.run(&[&["topic", "create", name], &size[..]].concat())
            .map(|_| ())
    }

    /// The names of all topics.
    pub fn topics(&self) -> Result<Vec<String>, Failure> {
        let topics: Vec<TopicDescription> = self.json(&["topic", "list"])?;
        Ok(topics.into_iter().map(|topic| topic.name).collect())
    }

    /// The partitions of a topic.
    pub fn partitions(&self, topic: &str) -> Result<Vec<PartitionDescription>, Failure> {
        let details: TopicDetails = self.json(&["topic", "describe", topic])?;
        Ok(details.partitions)
    }

    /// The state of the cluster.
    pub fn status(&self) -> Result<ClusterStatus, Failure> {
        self.json(&["cluster", "status"])
    }
}

/// Runs a command to its end; kills it when it takes longer than `patience`.
pub fn finish(mut command: Command, patience: Duration) -> Result<Finished, Failure> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .map_err(Failure::of(format_args!("starting {command:?}")))?;
    collect(child, patience).map_err(|failure| Failure::new(format!("{command:?}: {failure}")))
}

/// Waits for a child whose output is piped.
pub(crate) fn collect(mut child: Child, patience: Duration) -> Result<Finished, Failure> {
    let process = Process::find(child.id())?;
    let stdout = child
        .stdout
        .take()
        .map(|pipe| thread::spawn(move || read_all(pipe)));
    let stderr = child
        .stderr
        .take()
        .map(|pipe| thread::spawn(move || read_all(pipe)));
    let ended = process.wait_ended(patience);
    if ended.is_err() {
        let _ = process.kill();
    }
    let status = child.wait().map_err(Failure::of("collecting it"))?;
    ended?;
    let join = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default()
    };
    Ok(Finished {
        success: status.success(),
        code: status.code(),
        stdout: join(stdout),
        stderr: String::from_utf8_lossy(&join(stderr)).into_owned(),
    })
}

fn read_all(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A pipe that breaks gives what came before.
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_run_to_its_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let finished = finish(command, PATIENCE).unwrap();
        assert_eq!((finished.success, finished.code), (false, Some(3)));
        assert_eq!(finished.stdout, b"out\n");
        assert_eq!(finished.stderr, "err\n");
    }

    #[test]
    fn command_that_hangs_is_killed_and_named() {
        let mut command = Command::new("cat");
        command.arg("/dev/zero");
        let failure = finish(command, Duration::ZERO).unwrap_err();
        assert!(failure.0.contains("cat"), "{failure}");
    }
}
