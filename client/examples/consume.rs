//! Prints the records of a topic, from the beginning, and then those that come, until interrupted.
//!
//! ```text
//! cargo run -p quorate-client --example consume -- 127.0.0.1:7400 numbers
//! ```

use quorate_client::{Client, ClientConfig, Compio, ConsumerConfig, Error, Start, Until};

#[compio::main]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = arguments.as_slice() else {
        eprintln!("usage: consume HOST:PORT TOPIC");
        return std::process::ExitCode::from(2);
    };
    match consume(bootstrap, topic).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn consume(bootstrap: &str, topic: &str) -> Result<(), Error> {
    let client = Client::connect(Compio, ClientConfig::new([bootstrap])).await?;
    // All partitions, each from its first record. `Until::HighWatermark` would end where the
    // partitions end now; `Until::Forever` waits for more.
    let config = ConsumerConfig {
        start: Start::Beginning,
        until: Until::Forever,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(topic, config).await?;
    while let Some(record) = consumer.next().await? {
        let value = record.value.as_deref().unwrap_or_default();
        let (partition, offset) = (record.partition, record.offset);
        println!("{partition}:{offset} {}", String::from_utf8_lossy(value));
    }
    Ok(())
}
