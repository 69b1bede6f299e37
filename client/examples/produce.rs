//! Writes the lines of standard input to a topic, one record per line, and says where they went.
//!
//! ```text
//! seq 1000 | cargo run -p quorate-client --example produce -- 127.0.0.1:7400 numbers
//! ```

use std::io::BufRead;

use quorate_client::{Client, ClientConfig, Compio, Error, ProducerConfig, Record};

#[compio::main]
async fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, topic] = arguments.as_slice() else {
        eprintln!("usage: produce HOST:PORT TOPIC < LINES");
        return std::process::ExitCode::from(2);
    };
    match produce(bootstrap, topic).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn produce(bootstrap: &str, topic: &str) -> Result<(), Error> {
    let client = Client::connect(Compio, ClientConfig::new([bootstrap])).await?;
    let producer = client.producer(ProducerConfig::default()).await?;

    // Called once per acknowledged batch; from then on its records are never lost.
    producer.on_acknowledged(|batch| {
        let first = batch.base_offset.unwrap_or(0);
        println!(
            "partition {}: {} records from offset {first}",
            batch.partition, batch.count
        );
    });

    // Reading standard input blocks, so it has a thread of its own: this one is the runtime's.
    let (lines, input) = flume::bounded(1024);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    while let Ok(line) = input.recv_async().await {
        // Waits while the producer's buffer is full. What comes back resolves when this record is
        // acknowledged; the flush below waits for all of them at once.
        producer.send(topic, Record::new(line)).await?;
    }
    producer.flush().await?;
    Ok(())
}
