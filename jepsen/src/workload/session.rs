use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Shared, lock};
use crate::{Append, Failure, Moment, Outcome, Process, Value};

/// One `quorate produce` and what is known of the values that it was given.
pub(super) struct Session<'a> {
    shared: &'a Shared,
    number: u32,
    partition: u32,
    child: Child,
    process: Process,
    stdin: ChildStdin,
    acknowledgements: JoinHandle<Vec<Acknowledgement>>,
    complaints: JoinHandle<String>,
    /// When each value was handed over.
    invoked: Vec<Moment>,
}

/// What `quorate produce --output json` prints for an acknowledged batch.
#[derive(Debug, Deserialize)]
struct Batch {
    partition: u32,
    /// Absent where nothing is acknowledged, with `--acks none`.
    base_offset: Option<u64>,
    count: u64,
}

/// A batch and when it was known.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    batch: Batch,
    at: Moment,
}

impl<'a> Session<'a> {
    /// Starts the command.
    pub(super) fn start(shared: &'a Shared, number: u32, partition: u32) -> Result<Self, Failure> {
        let mut command = shared.line.command(&["produce", &shared.shape.topic]);
        command.args(["--partition", &partition.to_string(), "--output", "json"]);
        command.args(&shared.shape.produce);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(Failure::of("starting `quorate produce`"))?;
        let process = Process::find(child.id())?;
        lock(&shared.clients).push(process);
        let taken = "it was asked for just above";
        let stdin = child.stdin.take().expect(taken);
        let stdout = child.stdout.take().expect(taken);
        let mut stderr = BufReader::new(child.stderr.take().expect(taken));
        let (origin, counter) = (shared.origin, Arc::clone(&shared.acknowledged));
        let acknowledgements = thread::spawn(move || collect(stdout, origin, &counter));
        let complaints = thread::spawn(move || {
            let mut said = String::new();
            while stderr.read_line(&mut said).is_ok_and(|bytes| bytes > 0) {}
            said
        });
        let invoked = Vec::new();
        Ok(Self {
            shared,
            number,
            partition,
            child,
            process,
            stdin,
            acknowledgements,
            complaints,
            invoked,
        })
    }

    /// Hands over values at the rate of the workload, until that stops or the command ends.
    pub(super) fn feed(&mut self) {
        let begin = Instant::now();
        let pause = Duration::from_secs(1) / self.shared.shape.rate.max(1);
        while !self.shared.is_stopping() {
            let counter = self.invoked.len() as u64;
            let due = pause.mul_f64(counter as f64);
            thread::sleep(due.saturating_sub(begin.elapsed()));
            let mut line = self.value(counter).encode(self.shared.shape.value_bytes);
            line.push('\n');
            self.invoked.push(Moment::since(self.shared.origin));
            if self.stdin.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Waits for the end of the command. Returns what became of every value, and what the
    /// command said that cannot be true.
    pub(super) fn finish(mut self) -> (Vec<Append>, Vec<String>) {
        drop(self.stdin);
        let status = self.child.wait();
        lock(&self.shared.clients).retain(|client| *client != self.process);
        let acknowledgements = self.acknowledgements.join().unwrap_or_default();
        let complaints = self.complaints.join().unwrap_or_default();
        let success = status.is_ok_and(|status| status.success());
        let now = Moment::since(self.shared.origin);
        // Values of one partition are acknowledged in the order in which they were given.
        let writer = Writer {
            number: self.number,
            partition: self.partition,
        };
        let (appends, acknowledged) = writer.appends(&self.invoked, &acknowledgements, now);
        let sent = self.invoked.len() as u64;
        let said = Said {
            success,
            sent,
            acknowledged,
            complaints,
        };
        let broken = writer.broken_promise(&acknowledgements, &said);
        (appends, broken.into_iter().collect())
    }

    fn value(&self, counter: u64) -> Value {
        Value {
            process: self.number,
            counter,
            partition: self.partition,
        }
    }
}

/// The writer of one session, for what is pure about it.
struct Writer {
    number: u32,
    partition: u32,
}

/// How a session ended.
struct Said {
    success: bool,
    sent: u64,
    acknowledged: u64,
    complaints: String,
}

impl Writer {
    /// Gives each value its outcome. Returns also how many records were acknowledged.
    fn appends(
        &self,
        invoked: &[Moment],
        acknowledgements: &[Acknowledgement],
        now: Moment,
    ) -> (Vec<Append>, u64) {
        let (process, partition) = (self.number, self.partition);
        let records = acknowledgements
            .iter()
            .flat_map(|Acknowledgement { batch, at }| {
                (0..batch.count).map(|place| match batch.base_offset {
                    Some(base) => (
                        Outcome::Ok {
                            offset: base + place,
                        },
                        *at,
                    ),
                    None => (Outcome::Info, *at),
                })
            });
        let doubt = std::iter::repeat((Outcome::Info, now));
        let outcomes = records.chain(doubt);
        let appends = (0..)
            .zip(invoked)
            .zip(outcomes)
            .map(|((counter, invoked), outcome)| {
                let (outcome, completed) = outcome;
                let value = Value {
                    process,
                    counter,
                    partition,
                };
                Append {
                    value,
                    invoked: *invoked,
                    completed,
                    outcome,
                }
            });
        let appends = appends.collect();
        let acknowledged = acknowledgements.iter().map(|a| a.batch.count).sum();
        (appends, acknowledged)
    }

    /// Success means that everything was acknowledged; nothing is acknowledged that was not sent.
    fn broken_promise(&self, acknowledged: &[Acknowledgement], said: &Said) -> Option<String> {
        let Said {
            success,
            sent,
            acknowledged: count,
            complaints,
        } = said;
        let who = format!("producer {} of partition {}", self.number, self.partition);
        if acknowledged
            .iter()
            .any(|a| a.batch.partition != self.partition)
        {
            return Some(format!("{who} acknowledged a batch of another partition"));
        }
        if count > sent {
            return Some(format!(
                "{who} was given {sent} records and acknowledged {count}"
            ));
        }
        if *success && count < sent {
            return Some(format!(
                "{who} succeeded with {count} of {sent} records acknowledged"
            ));
        }
        if !success && complaints.trim().is_empty() {
            return Some(format!("{who} failed without a word"));
        }
        complaints
            .contains("panicked at")
            .then(|| format!("{who} panicked: {complaints}"))
    }
}

fn collect(stdout: ChildStdout, origin: Instant, counter: &AtomicU64) -> Vec<Acknowledgement> {
    let mut acknowledgements = Vec::new();
    for line in BufReader::new(stdout).lines() {
        // A line that was cut off when the command was killed is no acknowledgement.
        let Ok(Ok(batch)) = line.map(|line| serde_json::from_str::<Batch>(&line)) else {
            break;
        };
        let at = Moment::since(origin);
        counter.fetch_add(batch.count, Ordering::Relaxed);
        acknowledgements.push(Acknowledgement { batch, at });
    }
    acknowledgements
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITER: Writer = Writer {
        number: 3,
        partition: 1,
    };

    fn acknowledgement(base_offset: u64, count: u64) -> Acknowledgement {
        let batch = Batch {
            partition: 1,
            base_offset: Some(base_offset),
            count,
        };
        Acknowledgement {
            batch,
            at: Moment(50),
        }
    }

    fn said(success: bool, sent: u64, acknowledged: u64) -> Said {
        Said {
            success,
            sent,
            acknowledged,
            complaints: String::from("deadline"),
        }
    }

    #[test]
    fn values_get_the_offsets_of_their_batches_and_the_rest_is_in_doubt() {
        let invoked = [Moment(1), Moment(2), Moment(3), Moment(4)];
        let acknowledgements = [acknowledgement(10, 2), acknowledgement(20, 1)];
        let (appends, acknowledged) = WRITER.appends(&invoked, &acknowledgements, Moment(99));
        let outcomes: Vec<_> = appends.iter().map(|append| append.outcome).collect();
        let ok = |offset| Outcome::Ok { offset };
        assert_eq!(outcomes, [ok(10), ok(11), ok(20), Outcome::Info]);
        assert_eq!(appends[3].completed, Moment(99));
        assert_eq!(
            appends[3].value,
            Value {
                process: 3,
                counter: 3,
                partition: 1
            }
        );
        assert_eq!(acknowledged, 3);
    }

    #[test]
    fn success_without_all_acknowledgements_breaks_a_promise() {
        assert_eq!(WRITER.broken_promise(&[], &said(true, 5, 5)), None);
        assert_eq!(WRITER.broken_promise(&[], &said(false, 5, 4)), None);
        assert!(WRITER.broken_promise(&[], &said(true, 5, 4)).is_some());
        assert!(WRITER.broken_promise(&[], &said(false, 5, 6)).is_some());
    }

    #[test]
    fn failure_without_a_word_breaks_a_promise() {
        let said = Said {
            complaints: String::from(" \n"),
            ..said(false, 5, 4)
        };
        assert!(WRITER.broken_promise(&[], &said).is_some());
    }
}
