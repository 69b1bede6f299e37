mod acknowledgements;
mod delivered;
mod progress;
mod summary;

use std::cell::RefCell;
use std::fs::File;
use std::future::poll_fn;
use std::io::Read;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures_util::{FutureExt as _, select_biased};
use quorate_client::{Acks, Client, Compio, Error, Producer, ProducerConfig, Record, Refusal};
use quorate_platform::Tasks as _;
use rustix::process::Signal;

use super::connection::connect_patiently;
use super::line::{self, Block};
use super::output::{self, Output};
use super::{Failure, Global, block_on, duration, signals};
use acknowledgements::Acknowledgements;
use delivered::Deliveries;
use progress::Progress;
use summary::Summary;

/// Append lines to a topic, one record per line.
///
/// A line may hold any bytes; its end is not part of the record. Exit code 0 means that every line
/// is acknowledged. Lines stand in the order of the input within each partition: give --partition,
/// or a topic of one partition, to have all of them in order.
///
/// A summary goes to stderr. With `--output json` it is an object, and each acknowledged batch is
/// one too, on a line of its own on stdout: `partition`, `base_offset` (null with --acks none) and
/// `count`.
///
/// On failure the summary says how many records are acknowledged, how many are certainly not
/// written, and of how many that is unknown. SIGINT or SIGTERM ends the reading of the input; what
/// was sent is still waited for, unless a second signal comes.
#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// The topic's name
    topic: String,
    /// Read this file instead of stdin
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,
    /// Write to this partition, counted from 0 [default: chosen by key, else spread by batch]
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
    /// What stands before the first S in a line is the key, what stands behind it the value; a
    /// line without S has no key
    #[arg(long, value_name = "S", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_separator: Option<String>,
    /// A value that is S stands for none: in a compacted topic that deletes the key
    #[arg(long, value_name = "S", requires = "key_separator")]
    null_value: Option<String>,
    /// When a record counts as acknowledged
    #[arg(long, value_enum, default_value = "quorum")]
    acks: AcksName,
    /// Give a record up when it is not acknowledged after this time, retries included
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    delivery_timeout: Duration,
}

/// [`Acks`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksName {
    /// On stable storage at a majority of the replicas: never lost
    Quorum,
    /// On stable storage at the leader: lost if the leader then fails
    Leader,
    /// Handed to the network: lost if anything fails
    None,
}

impl From<AcksName> for Acks {
    fn from(name: AcksName) -> Self {
        match name {
            AcksName::Quorum => Self::Quorum,
            AcksName::Leader => Self::Leader,
            AcksName::None => Self::None,
        }
    }
}

impl Produce {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        block_on(self.produce(global))
    }

    async fn produce(&self, global: &Global) -> Result<(), Failure> {
        let (input, input_bytes) = self.open()?;
        let within = format!("writing to topic \"{}\"", self.topic.escape_debug());
        let client = connect_patiently(&global.bootstrap, self.delivery_timeout).await?;
        self.check_topic(&client).await?;
        let config = ProducerConfig {
            acks: self.acks.into(),
            delivery_timeout: self.delivery_timeout,
            ..ProducerConfig::default()
        };
        let registered = client.producer(config).await;
        let producer = registered.map_err(|error| Failure::from(error).within(within))?;
        let acknowledgements = Rc::new(RefCell::new(Acknowledgements::new(global.output)));
        let listener = Rc::clone(&acknowledgements);
        producer.on_acknowledged(move |batch| listener.borrow_mut().on_acknowledged(&batch));

        let started = Compio.now();
        let mut deliveries = Deliveries::new(Progress::new(input_bytes));
        let (sender, interrupted) = flume::unbounded();
        signals::listen(Signal::INT, sender.clone());
        signals::listen(Signal::TERM, sender);
        let fed = self
            .feed(&producer, input, &mut deliveries, &interrupted)
            .await;
        signals::exit_on_next(interrupted);
        let outcome = deliveries.finish().await;
        let elapsed = Compio.now() - started;

        let acknowledgements = acknowledgements.borrow();
        let summary = Summary::new(&outcome, elapsed, &acknowledgements.latencies);
        match global.output {
            Output::Table => {
                let is_whole = fed.is_ok() && outcome.failure.is_none();
                output::tell(&summary.text(is_whole));
            }
            Output::Json => output::tell(&output::to_json(&summary)),
        }
        if let Some(error) = outcome.failure {
            return Err(Error::from(error).into());
        }
        fed?;
        acknowledgements.failure()
    }

    /// What cannot be written to is told of before the input is read, which may take its time.
    async fn check_topic(&self, client: &Client<Compio>) -> Result<(), Failure> {
        // Records can be written while the control plane has no primary.
        let metadata = client.cluster_metadata().await?;
        let known = metadata
            .topics
            .iter()
            .find(|topic| topic.name == self.topic);
        let checked = match (known, self.partition) {
            (None, _) => Err(Refusal::unknown_topic(&self.topic)),
            (Some(topic), Some(partition)) => topic.partition(partition).map(|_| ()),
            (Some(_), None) => Ok(()),
        };
        checked.map_err(|refusal| {
            Error::Refused {
                what: "nothing is written".to_owned(),
                refusal,
            }
            .into()
        })
    }

    fn open(&self) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
        let Some(path) = &self.file else {
            return Ok((Box::new(std::io::stdin()), None));
        };
        let opened = File::open(path).and_then(|file| {
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(std::io::ErrorKind::IsADirectory.into());
            }
            Ok((file, metadata.is_file().then_some(metadata.len())))
        });
        let (file, len) = opened.map_err(|error| {
            Failure::failed(format!("{} cannot be read: {error}", path.display()))
        })?;
        Ok((Box::new(file), len))
    }

    /// Sends every line, until the input ends, a record has failed, or a signal comes.
    async fn feed(
        &self,
        producer: &Producer<Compio>,
        input: Box<dyn Read + Send>,
        deliveries: &mut Deliveries,
        interrupted: &flume::Receiver<Signal>,
    ) -> Result<(), Failure> {
        let blocks = line::read_blocks(input)?;
        loop {
            // Fused, for the channel's own future counts as done once the input has ended, and
            // would be passed over.
            let block = select_biased! {
                _ = interrupted.recv_async() => return Err(Failure::failed("interrupted")),
                block = blocks.recv_async().fuse() => block,
            };
            // The channel ends with the input.
            let Ok(block) = block else { break };
            self.feed_block(producer, block?, deliveries).await?;
            if deliveries.has_failed() {
                break;
            }
            // As long as the input is ready and the buffer has room, nothing else makes this task
            // wait, and what it has sent could not leave.
            yield_once().await;
        }
        Ok(())
    }

    async fn feed_block(
        &self,
        producer: &Producer<Compio>,
        block: Block,
        deliveries: &mut Deliveries,
    ) -> Result<(), Failure> {
        for (number, line) in block {
            let bytes = line.len();
            let (separator, null) = (self.key_separator.as_deref(), self.null_value.as_deref());
            let record = record_of(line, separator, null);
            let sent = match self.partition {
                Some(partition) => producer.send_to(&self.topic, partition, record).await,
                None => producer.send(&self.topic, record).await,
            };
            let delivery =
                sent.map_err(|error| Failure::from(error).within(format_args!("line {number}")))?;
            deliveries.push(delivery, bytes);
            if deliveries.has_failed() {
                break;
            }
        }
        Ok(())
    }
}

/// Lets the other tasks of this thread, and the network, have a turn.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn record_of(line: Bytes, separator: Option<&str>, null: Option<&str>) -> Record {
    let separator = separator.unwrap_or_default().as_bytes();
    if separator.is_empty() {
        return Record::new(line);
    }
    match line
        .windows(separator.len())
        .position(|window| window == separator)
    {
        None => Record::new(line),
        Some(at) => {
            let value = line.slice(at + separator.len()..);
            let is_null = null.is_some_and(|null| value == null.as_bytes());
            Record {
                value: (!is_null).then_some(value),
                ..Record::new(Bytes::new()).with_key(line.slice(..at))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &'static [u8], separator: Option<&str>) -> (Option<Bytes>, Option<Bytes>) {
        let record = record_of(Bytes::from_static(line), separator, Some("NULL"));
        (record.key, record.value)
    }

    #[test]
    fn the_first_separator_ends_the_key() {
        let bytes = |text: &'static [u8]| Some(Bytes::from_static(text));
        assert_eq!(split(b"k:v:w", Some(":")), (bytes(b"k"), bytes(b"v:w")));
        assert_eq!(split(b"k=>v", Some("=>")), (bytes(b"k"), bytes(b"v")));
        assert_eq!(split(b":v", Some(":")), (bytes(b""), bytes(b"v")));
        assert_eq!(split(b"v", Some(":")), (None, bytes(b"v")));
        assert_eq!(split(b"k:NULL", Some(":")), (bytes(b"k"), None));
        assert_eq!(split(b"NULL", Some(":")), (None, bytes(b"NULL")));
        assert_eq!(split(b"k:v", None), (None, bytes(b"k:v")));
        assert_eq!(split(b"", Some("long")), (None, bytes(b"")));
    }
}
