use quorate_client::{Compio, ConsumerConfig, Until};
use quorate_platform::Tasks as _;

use super::report::Report;
use super::{Bootstrap, Failure, connect};

/// Reads all of `topic`, up to its end at the start.
pub(super) async fn run(topic: String, bootstrap: &Bootstrap) -> Result<Report, Failure> {
    let client = connect(bootstrap).await?;
    let config = ConsumerConfig {
        until: Until::HighWatermark,
        ..ConsumerConfig::default()
    };
    let started = Compio.now();
    let mut consumer = client.consumer(&topic, config).await?;
    let (mut records, mut bytes) = (0, 0);
    while let Some(record) = consumer.next().await? {
        records += 1;
        bytes += record.key.map_or(0, |key| key.len()) as u64;
        bytes += record.value.map_or(0, |value| value.len()) as u64;
    }
    Ok(Report {
        benchmark: "consume",
        topic,
        seconds: (Compio.now() - started).as_secs_f64(),
        records,
        bytes,
        acknowledgement_us: None,
        errors: 0,
        last_error: None,
    })
}
