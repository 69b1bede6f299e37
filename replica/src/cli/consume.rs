mod from;
mod record_line;
mod timestamp;

use std::future::poll_fn;
use std::io::{BufWriter, StdoutLock, Write as _};
use std::pin::pin;
use std::task::Poll;

use clap::Args;
use futures_util::{FutureExt as _, select_biased};
use quorate_client::{Compio, ConsumedRecord, Consumer, ConsumerConfig, Until};
use rustix::process::Signal;

use super::connection::connect;
use super::output::Output;
use super::{Failure, Global, block_on, signals};
use from::From;
use record_line::RecordLine;

pub(in crate::cli) use record_line::text_or_base64;

const BUFFER_BYTES: usize = 256 << 10;

/// Print a topic's records.
///
/// The values go to stdout as they are, each followed by a line end. With `--output json` each
/// record is an object on a line of its own: `partition`, `offset`, `timestamp` (milliseconds since
/// 1970), `key` and `value`. A key or value that is absent is null; one that is not UTF-8 stands in
/// base64 under `key_base64` or `value_base64` instead.
///
/// Records are in order per partition. Without --follow the command ends at the high watermark of
/// each partition as it was at the start; with it, SIGINT or SIGTERM ends it.
#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// The topic's name
    topic: String,
    /// Read this partition only, counted from 0 [default: all]
    #[arg(long, value_name = "P")]
    partition: Option<u32>,
    /// Where to start: beginning, end, an offset, or a time
    ///
    /// A time is one of the clock with its zone (2026-11-28T05:00:00Z), or how long ago it was
    /// (15m, 2h, 7d). Each partition is read from its first record that is as late or later by the
    /// timestamp that its producer gave, and from the end if it has none.
    #[arg(
        long,
        value_name = "beginning|end|OFFSET|TIME",
        default_value = "beginning"
    )]
    from: From,
    /// End after this many records
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Wait for more at the end
    #[arg(long)]
    follow: bool,
}

impl Consume {
    pub(crate) fn run(self, global: &Global) -> Result<(), Failure> {
        super::logging::start(global, "warn", None)?;
        block_on(async {
            let (sender, interrupted) = flume::unbounded();
            signals::listen(Signal::INT, sender.clone());
            signals::listen(Signal::TERM, sender);
            let client = connect(&global.bootstrap).await?;
            let config = ConsumerConfig {
                partitions: self.partition.map(|partition| vec![partition]),
                start: self.from.start(),
                until: if self.follow {
                    Until::Forever
                } else {
                    Until::HighWatermark
                },
                ..ConsumerConfig::default()
            };
            let consumer = client.consumer(&self.topic, config).await?;
            let printer = Printer {
                out: BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout().lock()),
                output: global.output,
            };
            printer
                .print(consumer, self.max.unwrap_or(u64::MAX), &interrupted)
                .await
        })
    }
}

struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    output: Output,
}

impl Printer {
    async fn print(
        mut self,
        mut consumer: Consumer<Compio>,
        max: u64,
        interrupted: &flume::Receiver<Signal>,
    ) -> Result<(), Failure> {
        for _ in 0..max {
            let next = select_biased! {
                next = self.next(&mut consumer).fuse() => next,
                _ = interrupted.recv_async() => break,
            };
            match next {
                Ok(Some(record)) => self.write(&record)?,
                Ok(None) => break,
                Err(failure) => {
                    // What came before the failure is good: it must not be held back.
                    self.flush()?;
                    return Err(failure);
                }
            }
        }
        self.flush()
    }

    /// The next record; what is buffered goes out before it is waited for.
    async fn next(
        &mut self,
        consumer: &mut Consumer<Compio>,
    ) -> Result<Option<ConsumedRecord>, Failure> {
        let mut next = pin!(consumer.next());
        let ready = poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(result) = ready.await {
            return Ok(result?);
        }
        self.flush()?;
        Ok(next.await?)
    }

    fn write(&mut self, record: &ConsumedRecord) -> Result<(), Failure> {
        let written = match self.output {
            Output::Table => {
                let value = record.value.as_deref().unwrap_or_default();
                self.out
                    .write_all(value)
                    .and_then(|()| self.out.write_all(b"\n"))
            }
            Output::Json => RecordLine::new(record).write(&mut self.out),
        };
        written.map_err(|error| Failure::stdout(&error))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::stdout(&error))
    }
}
