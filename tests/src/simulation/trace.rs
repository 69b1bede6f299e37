//! What has happened in a run: a hash over all of it, and the last of it as a timeline.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// Reads, writes and disk operations that are kept for the timeline.
const OPERATIONS_MAX: usize = 256;
/// Events that are kept: starts, ends, faults, connections and what clients noted.
const EVENTS_MAX: usize = 4096;

/// The events of one run; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<State>);

#[derive(Debug, Default)]
struct State {
    hash: Cell<u64>,
    count: Cell<u64>,
    operations: RefCell<VecDeque<Happened<Operation>>>,
    events: RefCell<VecDeque<Happened<String>>>,
}

/// Something that has happened: the how manieth, when and where.
#[derive(Debug)]
struct Happened<T> {
    number: u64,
    at: Duration,
    host: u16,
    what: T,
}

/// What a host does all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The kind.
    pub action: Action,
    /// On what: the checksum of a path, or the port of the other end.
    pub on: u32,
    /// Where in a file, or 0.
    pub position: u64,
    /// How many bytes, or 0.
    pub bytes: usize,
    /// Their checksum; of an operation that failed, a number for the error.
    pub sum: u32,
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Bytes were taken from a stream.
    Receive,
    /// Bytes were given to a stream.
    Send,
    /// A file was opened.
    Open,
    /// Bytes of a file were read.
    Read,
    /// Bytes of a file were written.
    Write,
    /// Bytes of a file were written and made durable.
    WriteDurable,
    /// A file was made durable.
    Sync,
    /// A file's length was asked for or changed.
    Length,
    /// A folder was created, listed, made durable, or one of its names was changed or removed.
    Folder,
}

/// The clients' host, in the timeline.
pub const CLIENTS: u16 = 0;

impl Trace {
    /// A number that two runs share if the same happened in both, up to chance.
    pub fn hash(&self) -> u64 {
        self.0.hash.get()
    }

    /// How much has happened.
    pub fn count(&self) -> u64 {
        self.0.count.get()
    }

    /// Notes what `host` did: a node's id, or [`CLIENTS`].
    pub fn operation(&self, at: Duration, host: u16, operation: Operation) {
        let number = self.fold([
            at.as_nanos() as u64,
            u64::from(host) << 32 | u64::from(operation.on),
            operation.position ^ (operation.action as u64) << 56,
            (operation.bytes as u64) << 32 | u64::from(operation.sum),
        ]);
        let happened = Happened {
            number,
            at,
            host,
            what: operation,
        };
        push(&self.0.operations, happened, OPERATIONS_MAX);
    }

    /// Notes what happened to `host`, in words.
    pub fn event(&self, at: Duration, host: u16, what: impl Into<String>) {
        let what = what.into();
        let sum = u64::from(crc32c::crc32c(what.as_bytes()));
        let number = self.fold([at.as_nanos() as u64, u64::from(host), sum, 0]);
        let happened = Happened {
            number,
            at,
            host,
            what,
        };
        push(&self.0.events, happened, EVENTS_MAX);
    }

    /// Mixes the words into the hash; the number of what they tell, from 0.
    fn fold(&self, words: [u64; 4]) -> u64 {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = self.0.hash.get();
        for word in words {
            hash = (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
        }
        self.0.hash.set(hash);
        let number = self.0.count.get();
        self.0.count.set(number + 1);
        number
    }

    /// The last things that happened, one a line, the newest last.
    pub fn timeline(&self) -> String {
        let operations = self.0.operations.borrow();
        let events = self.0.events.borrow();
        let mut lines: Vec<(u64, String)> = operations.iter().map(Happened::line).collect();
        lines.extend(events.iter().map(Happened::line));
        lines.sort();
        lines
            .into_iter()
            .fold(String::new(), |mut text, (_, line)| {
                text += &line;
                text.push('\n');
                text
            })
    }
}

fn push<T>(ring: &RefCell<VecDeque<Happened<T>>>, happened: Happened<T>, max: usize) {
    let mut ring = ring.borrow_mut();
    if ring.len() == max {
        ring.pop_front();
    }
    ring.push_back(happened);
}

impl<T: fmt::Display> Happened<T> {
    fn line(&self) -> (u64, String) {
        let host = match self.host {
            CLIENTS => "clients".to_owned(),
            node => format!("node {node}"),
        };
        let seconds = self.at.as_secs_f64();
        (
            self.number,
            format!("{seconds:>9.3} {host:<8} {}", self.what),
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            action,
            on,
            position,
            bytes,
            sum,
        } = self;
        match action {
            Action::Receive | Action::Send => {
                write!(f, "{action:?} {bytes} bytes, port {on}, crc {sum:08x}")
            }
            Action::Read | Action::Write | Action::WriteDurable => {
                write!(
                    f,
                    "{action:?} {on:08x} {bytes} bytes at {position}, crc {sum:08x}"
                )
            }
            Action::Open | Action::Sync | Action::Length | Action::Folder => {
                write!(f, "{action:?} {on:08x} {position} ({sum})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_differ_if_anything_does_and_its_order_too() {
        let run = |events: &[(u64, u16, &str)]| {
            let trace = Trace::default();
            for (ms, host, what) in events {
                trace.event(Duration::from_millis(*ms), *host, *what);
            }
            trace.hash()
        };
        let one = run(&[(1, 1, "up"), (2, 2, "up")]);
        assert_eq!(one, run(&[(1, 1, "up"), (2, 2, "up")]));
        for other in [
            run(&[(2, 2, "up"), (1, 1, "up")]),
            run(&[(1, 1, "up"), (2, 2, "down")]),
            run(&[(1, 1, "up"), (3, 2, "up")]),
            run(&[(1, 1, "up")]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_timeline_tells_the_last_things_in_order() {
        let trace = Trace::default();
        let receive = Operation {
            action: Action::Receive,
            on: 7400,
            position: 0,
            bytes: 3,
            sum: 0xabc,
        };
        for ms in 0..1000 {
            trace.operation(Duration::from_millis(ms), 1, receive);
        }
        trace.event(Duration::from_secs(1), CLIENTS, "done");
        let timeline = trace.timeline();
        assert_eq!(timeline.lines().count(), OPERATIONS_MAX + 1);
        assert!(
            timeline.ends_with("    1.000 clients  done\n"),
            "{timeline}"
        );
        assert!(timeline.starts_with("    0.744 node 1   Receive 3 bytes, port 7400"));
        assert_eq!(trace.count(), 1001);
    }
}
