//! Segments that were written in advance.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use quorate_platform::Compio;

use super::scene::*;
use crate::{PartitionLog, Settings, Spares};

const MIB: u64 = 1 << 20;

const SETTINGS: Settings = Settings {
    growing_bytes_max: 600,
    segment_bytes_max: 100 * MIB,
    ..SMALL
};

struct Scene {
    folder: tempfile::TempDir,
    spares: Spares<Compio>,
    log: Log,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spares = open_spares(folder.path()).await;
        let log = open_log(folder.path(), &spares).await;
        Self {
            folder,
            spares,
            log,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn append(&mut self, batches: &[Bytes]) {
        for batch in batches {
            self.log.append(batch.clone());
            flush(&mut self.log).await;
        }
    }

    async fn fill(&self) {
        while let Some(job) = self.spares.begin_fill() {
            assert!(self.spares.begin_fill().is_none(), "one at a time");
            self.spares.finish_fill(job.run().await).unwrap();
        }
    }
}

async fn open_spares(folder: &Path) -> Spares<Compio> {
    let folder = folder.join("spares");
    Spares::open(Compio, &folder, MIB, 2).await.unwrap()
}

async fn open_log(folder: &Path, spares: &Spares<Compio>) -> Log {
    let folder = folder.join("log");
    let mut log = PartitionLog::open(Compio, &folder, SETTINGS).await.unwrap();
    log.use_spares(spares.clone());
    log
}

fn len(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[compio::test]
async fn a_segment_that_has_grown_for_a_while_makes_way_for_a_spare() {
    let mut scene = Scene::new().await;
    let all = batches(40);
    scene.fill().await;
    assert!(
        names(&scene.path("spares")).is_empty(),
        "nobody wished for one"
    );
    scene.append(&all[..4]).await;
    scene.fill().await;
    assert_eq!(names(&scene.path("spares")), ["0.spare", "1.spare"]);
    scene.append(&all[4..]).await;
    assert_eq!(names(&scene.path("spares")), ["1.spare"]);
    assert_eq!(segments(&scene.path("log")), [0, 8]);
    let second = scene.path("log").join("00000000000000000008.log");
    assert_eq!(len(&second), MIB, "it does not grow");
    scene.log.shrink_tail(0);
    assert_eq!(read_all(&scene.log).await.unwrap(), all);
    let Scene {
        folder,
        spares,
        log,
    } = scene;
    drop(log);
    let log = open_log(folder.path(), &spares).await;
    assert_eq!((log.next_offset(), log.recovery().torn_bytes), (80, 0));
    assert_eq!(read_all(&log).await.unwrap(), all);
}

#[compio::test]
async fn a_spare_is_closed_when_it_is_full_and_cut_to_what_it_holds() {
    let mut scene = Scene::new().await;
    let value = "x".repeat(300_000);
    let all: Vec<_> = (0..9).map(|offset| batch(offset, 1, &[&value])).collect();
    scene.append(&all[..1]).await;
    scene.fill().await;
    scene.append(&all[1..]).await;
    assert_eq!(segments(&scene.path("log")), [0, 1, 4, 7]);
    let path = |base: u64| scene.path("log").join(format!("{base:020}.log"));
    let step = (frame_len(&all[0]) + all[0].len()) as u64;
    for base in [1, 4] {
        assert_eq!(len(&path(base)), 3 * step, "segment {base}");
    }
    // There were two; the last one grows, and so takes whole blocks.
    assert_eq!(len(&path(7)), (2 * step).next_multiple_of(4096));
    scene.log.shrink_tail(0);
    assert_eq!(read_all(&scene.log).await.unwrap(), all);
}

#[compio::test]
async fn a_log_that_falls_idle_keeps_neither_spares_nor_batches_nor_large_indexes() {
    let mut scene = Scene::new().await;
    let all = batches(1200);
    scene.append(&all[..10]).await;
    scene.fill().await;
    scene.append(&all[10..12]).await;
    scene.fill().await;
    let last = *segments(&scene.path("log")).last().unwrap();
    let path = scene.path(&format!("log/{last:020}.log"));
    assert_eq!(len(&path), MIB, "it goes on in a spare");
    for _ in 0..2 {
        scene.log.rest();
        flush(&mut scene.log).await;
        assert_eq!(scene.log.tail_bytes(), 0);
        assert!(len(&path) < 1000, "it is cut to what it holds");
        assert!(scene.log.begin_flush().unwrap().is_none());
    }
    let ready = scene.spares.clone();
    assert!(
        ready.is_ready() && !ready.is_short(),
        "no spare was taken for that"
    );
    let count = segments(&scene.path("log")).len();
    scene.append(&all[12..]).await;
    let kept = scene.log.segment_index_bytes();
    scene.log.rest();
    flush(&mut scene.log).await;
    assert!(kept > 8 << 10 && scene.log.segment_index_bytes() == 0);
    assert!(segments(&scene.path("log")).len() > count);
    assert_eq!(read_all(&scene.log).await.unwrap(), all);
    let log = open_log(scene.folder.path(), &scene.spares).await;
    assert_eq!(read_all(&log).await.unwrap(), all);
}

#[compio::test]
async fn a_batch_that_is_larger_than_a_spare_gets_a_file_that_grows() {
    let mut scene = Scene::new().await;
    let value = "x".repeat(1_048_000);
    let all = [
        batch(0, 1, &["x".repeat(700).as_str()]),
        batch(1, 1, &[&value]),
        batch(2, 1, &["small"]),
    ];
    scene.append(&all[..1]).await;
    scene.fill().await;
    scene.append(&all[1..]).await;
    assert_eq!(segments(&scene.path("log")), [0, 1, 2]);
    scene.log.shrink_tail(0);
    assert_eq!(read_all(&scene.log).await.unwrap(), all);
}

#[compio::test]
async fn a_spare_that_was_not_needed_after_all_goes_back() {
    let mut scene = Scene::new().await;
    let all = batches(10);
    scene.append(&all[..4]).await;
    scene.fill().await;
    all[4..]
        .iter()
        .for_each(|batch| scene.log.append(batch.clone()));
    assert!(scene.spares.is_short(), "it is taken");
    truncate(&mut scene.log, 8).await;
    assert!(!scene.spares.is_short());
    assert_eq!(names(&scene.path("spares")), ["0.spare", "1.spare"]);
    assert_eq!(read_all(&scene.log).await.unwrap(), all[..4]);
}

#[compio::test]
async fn nothing_of_a_segment_that_was_given_up_is_left_in_a_spare() {
    let mut scene = Scene::new().await;
    scene.append(&batches(8)).await;
    let old = scene.path("old");
    std::fs::write(&old, batches(3000).concat()).unwrap();
    scene.spares.recycle(&old).await.unwrap();
    assert!(!old.exists());
    assert_eq!(names(&scene.path("spares")), ["0.old"]);
    scene.fill().await;
    assert_eq!(names(&scene.path("spares")), ["0.spare", "1.spare"]);
    for name in ["0.spare", "1.spare"] {
        let bytes = std::fs::read(scene.path("spares").join(name)).unwrap();
        assert!(bytes.len() as u64 == MIB && bytes.iter().all(|byte| *byte == 0));
    }
    // There are enough.
    std::fs::write(&old, "more").unwrap();
    scene.spares.recycle(&old).await.unwrap();
    assert!(!old.exists());
    assert_eq!(names(&scene.path("spares")).len(), 2);
}

#[compio::test]
async fn only_what_is_a_spare_is_taken_for_one_after_a_restart() {
    let scene = Scene::new().await;
    let spares = scene.path("spares");
    std::fs::write(spares.join("3.spare"), vec![0; MIB as usize]).unwrap();
    for name in ["1.spare", "2.new", "4.old", "x.spare"] {
        std::fs::write(spares.join(name), "something").unwrap();
    }
    let reopened = open_spares(scene.folder.path()).await;
    assert_eq!(names(&spares), ["3.spare"]);
    reopened.wish();
    let job = reopened.begin_fill().unwrap();
    reopened.finish_fill(job.run().await).unwrap();
    assert_eq!(names(&spares), ["3.spare", "4.spare"]);
}

#[compio::test]
async fn a_torn_write_in_a_spare_is_told_from_damage() {
    let mut scene = Scene::new().await;
    let value = "x".repeat(3000);
    let all: Vec<_> = (0..4).map(|offset| batch(offset, 1, &[&value])).collect();
    scene.append(&all[..1]).await;
    scene.fill().await;
    scene.append(&all[1..]).await;
    let log = scene.path("log");
    // It would vouch for what was flushed.
    std::fs::remove_file(log.join("00000000000000000001.index")).unwrap();
    let path = log.join("00000000000000000001.log");
    let bytes = std::fs::read(&path).unwrap();
    let place = place(&bytes, &all[3]);
    for (from, to) in [(0, 100), (200, 1500), (600, 1200), (2900, 3050)] {
        let copied = tempfile::tempdir().unwrap();
        copy(&log, &copied.path().join("log"));
        let path = copied.path().join("log/00000000000000000001.log");
        let sectors = (place + from) / 512 * 512..(place + to).next_multiple_of(512);
        let mut torn = bytes.clone();
        let start = sectors.start.max(place - frame_len(&all[3]));
        torn[start..sectors.end].fill(0);
        std::fs::write(&path, &torn).unwrap();
        let reopened = open_log(copied.path(), &scene.spares).await;
        assert_eq!(reopened.next_offset(), 3, "{sectors:?}");
        assert_eq!(reopened.recovery().uncertain_bytes, 0, "{sectors:?}");
        torn[start..sectors.end].fill(1);
        std::fs::write(&path, &torn).unwrap();
        let reopened = open_log(copied.path(), &scene.spares).await;
        assert_eq!(reopened.next_offset(), 3, "{sectors:?}");
        assert!(reopened.recovery().uncertain_bytes > 0, "{sectors:?}");
    }
}
