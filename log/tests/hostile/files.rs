//! The files of a sound log, and how to make changed bytes fit their checksums.

use std::path::Path;

use bytes::Bytes;
use quorate_batch::{BatchBuilder, Producer, stamp};
use quorate_log::{Finding, Inspection, Known, PartitionLog, Piece, Scope, Settings};
use quorate_platform::Compio;

/// Small enough that a few batches fill everything.
pub(crate) const SETTINGS: Settings = Settings {
    segment_bytes_max: 1250,
    growing_bytes_max: 1250,
    tail_bytes_max: 300,
    index_step_bytes: 200,
    checkpoint_bytes: 520,
};
pub(crate) const BATCHES: u64 = 19;

/// The files of a log, by name.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Frames and batches: in which file, and where they begin and end.
    frames: Vec<(usize, usize, usize)>,
    batches: Vec<(usize, usize, usize)>,
}

fn batch(at: u64) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    for record in 0..2 {
        let value = format!("value {:06}", 2 * at + record);
        let timestamp = (2 * at + record) as i64;
        let pushed = builder.push(timestamp, Some(b"key"), Some(value.as_bytes()), &[]);
        pushed.unwrap();
    }
    let producer = Producer {
        id: 7 + at as i64 % 2,
        epoch: 0,
        base_sequence: 2 * (at as i32 / 2),
    };
    let mut bytes = builder.finish(Some(producer)).to_vec();
    stamp(&mut bytes, 2 * at, 1 + u32::from(at > 7));
    bytes.into()
}

impl Files {
    /// Those of a log of three segments, of which some flushes had two batches.
    pub(crate) async fn sound() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = PartitionLog::open(Compio, folder.path(), SETTINGS).await;
        let mut log = opened.unwrap();
        for at in 0..BATCHES {
            log.append(batch(at));
            while at % 3 != 1 && log.has_pending() {
                let job = log.begin_flush().unwrap().unwrap();
                log.finish_flush(job.run().await).unwrap();
            }
        }
        drop(log);
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let read = |name: String| {
            let bytes = std::fs::read(folder.path().join(&name)).unwrap();
            (name, bytes)
        };
        let mut files = Self {
            files: names.into_iter().map(read).collect(),
            frames: Vec::new(),
            batches: Vec::new(),
        };
        files.find_pieces(folder.path()).await;
        files
    }

    async fn find_pieces(&mut self, folder: &Path) {
        let known = Known::default();
        let begun = Inspection::begin(Compio, folder, SETTINGS, known, Scope::All).await;
        let (mut inspection, mut file) = (begun.unwrap(), 0);
        while let Some(finding) = inspection.next().await.unwrap() {
            match finding {
                Finding::Segment { path, .. } => {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    let at = self.files.iter().position(|(it, _)| it == name);
                    file = at.unwrap();
                }
                Finding::Piece(Piece::Frame(frame)) => {
                    let position = frame.position as usize;
                    let end = position + frame.bytes as usize;
                    self.frames.push((file, position, end));
                }
                Finding::Piece(Piece::Batch(batch)) => {
                    let position = batch.position as usize;
                    let end = position + batch.header.batch_bytes;
                    self.batches.push((file, position, end));
                }
                Finding::Piece(damage @ Piece::Damage(_)) => panic!("{damage:?}"),
                Finding::Piece(Piece::Room { .. })
                | Finding::Index { .. }
                | Finding::Start { .. }
                | Finding::Leftover { .. } => {}
            }
        }
        assert_eq!(self.batches.len() as u64, BATCHES);
    }

    /// The indexes of the files with this ending.
    pub(crate) fn of_kind(&self, ending: &str) -> Vec<usize> {
        let files = self.files.iter().enumerate();
        let of_kind = files.filter(|(_, (name, _))| name.ends_with(ending));
        of_kind.map(|(at, _)| at).collect()
    }

    /// Makes what was changed in the file fit its checksums, as far as it stands where it stood.
    pub(crate) fn seal(&mut self, file: usize) {
        let (name, bytes) = &mut self.files[file];
        if name.ends_with(".index") {
            seal_index(bytes);
            return;
        }
        let segment: u64 = name[..20].parse().unwrap();
        for &(_, start, end) in self.batches.iter().filter(|it| it.0 == file) {
            if let Some(batch) = bytes.get_mut(start..end) {
                let crc = crc32c::crc32c(&batch[21..]);
                batch[17..21].copy_from_slice(&crc.to_be_bytes());
            }
        }
        for &(_, start, end) in self.frames.iter().filter(|it| it.0 == file) {
            if let Some(frame) = bytes.get_mut(start..end) {
                let crc = crc32c::crc32c(&frame[20..]);
                frame[12..16].copy_from_slice(&crc.to_le_bytes());
                let crc = crc32c::crc32c(&frame[..16]);
                let crc = crc32c::crc32c_append(crc, &segment.to_le_bytes());
                let crc = crc32c::crc32c_append(crc, &(start as u64).to_le_bytes());
                frame[16..20].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }

    pub(crate) fn write(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

pub(crate) fn seal_index(bytes: &mut [u8]) {
    if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32c::crc32c(body).to_le_bytes();
    }
}
