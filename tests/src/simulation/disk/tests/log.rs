//! The real log on the simulated disk.

use bytes::Bytes;
use quorate_batch::{BatchBuilder, stamp};
use quorate_log::{PartitionLog, Read, Settings, Spares};

use super::*;

const SETTINGS: Settings = Settings {
    segment_bytes_max: 20_000,
    growing_bytes_max: 5000,
    tail_bytes_max: 300,
    index_step_bytes: 500,
    checkpoint_bytes: 3000,
};

fn batch(offset: u64, value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    builder.push(offset as i64, None, Some(value), &[]).unwrap();
    let mut bytes = builder.finish(None).to_vec();
    stamp(&mut bytes, offset, 1);
    bytes.into()
}

async fn read_all(log: &PartitionLog<SimDisk>) -> Vec<Bytes> {
    let mut all = Vec::new();
    while (all.len() as u64) < log.next_offset() {
        match log.begin_read(all.len() as u64, 2000, u64::MAX) {
            Read::Ready(batches) => all.extend(batches),
            Read::Job(job) => all.extend(job.run().await.unwrap()),
            Read::Damaged(range) => panic!("{range:?} is damaged"),
            Read::OutOfRange => panic!("{} is out of range", all.len()),
        }
    }
    all
}

/// Appends and makes durable until the power fails; gives what was acknowledged.
async fn live(disk: &SimDisk, seed: u64, known: &RefCell<Vec<Bytes>>, durable: &Cell<u64>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = path("0");
    let opened = PartitionLog::open(disk.clone(), &folder, SETTINGS).await;
    let mut log = opened.unwrap();
    let recovery = log.recovery();
    assert_eq!(recovery.uncertain_bytes, 0, "a crash damages nothing");
    let found = read_all(&log).await;
    assert!(found.len() as u64 >= durable.get(), "acknowledged is kept");
    assert_eq!(found, known.borrow()[..found.len()]);
    known.borrow_mut().truncate(found.len());
    durable.set(found.len() as u64);
    let spares = Spares::open(disk.clone(), &path("spares"), 1, 2).await;
    let spares = spares.unwrap();
    log.use_spares(spares.clone());
    loop {
        for _ in 0..random.random_range(1..4) {
            let mut value = vec![0; random.random_range(1..3000)];
            random.fill_bytes(&mut value);
            let batch = batch(log.next_offset(), &value);
            known.borrow_mut().push(batch.clone());
            log.append(batch);
        }
        if let Some(job) = spares.begin_fill() {
            let filled = job.run().await;
            spares.finish_fill(filled).unwrap();
        }
        let job = log.begin_flush().unwrap().unwrap();
        durable.set(log.finish_flush(job.run().await).unwrap());
    }
}

#[test]
fn whatever_was_durable_is_there_after_every_crash() {
    let (mut torn, mut most) = (0, 0);
    for seed in 0..200 {
        run(async {
            let disk = disk(seed).await;
            let (known, durable) = (RefCell::default(), Cell::new(0));
            let mut random = ChaCha8Rng::seed_from_u64(!seed);
            for life in 0..8 {
                let turns = random.random_range(0..400);
                let mut living = Box::pin(live(&disk, seed * 100 + life, &known, &durable));
                for _ in 0..turns {
                    assert!(futures_util::poll!(living.as_mut()).is_pending());
                    tokio::task::yield_now().await;
                }
                let before = known.borrow().len() as u64 - durable.get();
                torn += u64::from(before > 0);
                match random.random_bool(0.5) {
                    true => {
                        drop(living);
                        disk.crash();
                    }
                    false => {
                        disk.crash();
                        drop(living);
                    }
                }
            }
            most = most.max(durable.get());
        });
    }
    assert!(
        torn > 500 && most > 50,
        "{torn} writes torn, {most} durable"
    );
}
