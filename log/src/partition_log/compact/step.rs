//! What a step of a pass does with the batches that it reads.

use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

use bytes::Bytes;
use quorate_batch::{BatchHeader, Sifted, views};
use quorate_platform::Disk;

use super::super::replacement::{self, Span, Writer};
use super::super::walk::KnownEpochs;
use super::pass::{Cursor, Pass, Scales, Stage, Writing};
use super::source::Source;
use crate::compaction::Weighed;
use crate::error::LogError;
use crate::frame::{HEAD_BYTES, frame_bytes};
use crate::spares::Spares;

/// What a step needs of the log.
pub(super) struct Scene<D: Disk> {
    pub(super) disk: D,
    pub(super) folder: Rc<Path>,
    pub(super) epochs: KnownEpochs,
    pub(super) index_step_bytes: u64,
    pub(super) spares: Option<Spares<D>>,
}

/// What a step has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Nothing,
    /// Damage at this offset: the pass stands before it.
    Damage(u64),
}

/// How the reading of a source has ended.
enum Reading {
    /// At its end.
    Through,
    /// Before it: there is enough for one step, or the learner has had enough.
    Paused,
    Damaged(u64),
}

/// Whether to read on.
enum Appetite {
    More,
    Enough,
}

impl<D: Disk> Pass<D> {
    /// Does a step.
    pub(super) async fn go_on(&mut self, scene: &Scene<D>) -> Result<Met, LogError> {
        match std::mem::replace(&mut self.stage, Stage::Clear) {
            Stage::Clear => {
                replacement::clear(&scene.disk, &scene.folder).await?;
                self.enter_learn();
                Ok(Met::Nothing)
            }
            Stage::Learn(cursor) => self.learn(scene, cursor).await,
            Stage::Weigh(cursor, scales) => self.weigh(scene, cursor, scales).await,
            Stage::Write(groups, writing) => self.write(scene, groups, writing).await,
            Stage::Written(groups, replacement) => {
                self.stage = Stage::Written(groups, replacement);
                Ok(Met::Nothing)
            }
        }
    }

    fn enter_learn(&mut self) {
        let is_dirty = |source: &&Source| source.next_offset > self.from;
        match self.sources.iter().find(is_dirty) {
            Some(first) => self.stage = Stage::Learn(Cursor::start(first)),
            None => self.enter_weigh(),
        }
    }

    /// The source that the cursor stands in.
    fn source_at(&self, cursor: Cursor) -> Option<Source> {
        let mut sources = self.sources.iter();
        sources.find(|it| it.base_offset == cursor.segment).copied()
    }

    /// The beginning of the source behind.
    fn next_source(&self, cursor: Cursor) -> Option<Cursor> {
        let mut sources = self.sources.iter();
        let next = sources.find(|it| it.base_offset > cursor.segment);
        next.map(Cursor::start)
    }

    async fn learn(&mut self, scene: &Scene<D>, mut cursor: Cursor) -> Result<Met, LogError> {
        let Some(source) = self.source_at(cursor) else {
            self.enter_weigh();
            return Ok(Met::Nothing);
        };
        let mut is_full = false;
        let read = self.read(scene, source, &mut cursor, async |pass, header, batch| {
            if header.next_offset() <= pass.from {
                return Ok(Appetite::More);
            }
            is_full = pass.keys.is_full();
            if is_full {
                pass.cleaning.to = header.base_offset;
                return Ok(Appetite::Enough);
            }
            pass.learn_batch(&header, &batch);
            Ok(Appetite::More)
        });
        let read = read.await?;
        self.stage = Stage::Learn(cursor);
        match read {
            Reading::Damaged(offset) => return Ok(Met::Damage(offset)),
            Reading::Paused if !is_full => return Ok(Met::Nothing),
            Reading::Paused => self.enter_weigh(),
            Reading::Through => match self.next_source(cursor) {
                Some(next) => self.stage = Stage::Learn(next),
                None => self.enter_weigh(),
            },
        }
        Ok(Met::Nothing)
    }

    fn learn_batch(&mut self, header: &BatchHeader, batch: &[u8]) {
        let Ok(records) = views(header, batch) else {
            return;
        };
        if header.is_control() {
            return;
        }
        // As far as it is sound: a later record of the key is there, whatever follows it.
        for record in records.map_while(Result::ok) {
            if let Some(key) = record.key {
                let offset = header.base_offset + u64::from(record.offset_delta);
                self.keys.learn(key, offset);
            }
        }
    }

    async fn weigh(
        &mut self,
        scene: &Scene<D>,
        mut cursor: Cursor,
        mut scales: Scales,
    ) -> Result<Met, LogError> {
        // What begins behind the last key that is known loses nothing.
        let source = self.source_at(cursor);
        let Some(source) = source.filter(|it| it.base_offset < self.cleaning.to) else {
            self.enter_write(&scales.weighed);
            return Ok(Met::Nothing);
        };
        let read = self.read(scene, source, &mut cursor, async |pass, header, batch| {
            let (sifted, gone) = pass.sift(&header, &batch);
            scales.gone += gone;
            scales.kept_bytes += match sifted {
                Sifted::Whole => batch.len() as u64,
                Sifted::Part(part) => part.len() as u64,
            };
            Ok(Appetite::More)
        });
        let read = read.await?;
        if let Reading::Through = read {
            let kept_bytes = std::mem::take(&mut scales.kept_bytes);
            scales.weighed.push(Weighed {
                base_offset: source.base_offset,
                next_offset: source.next_offset,
                bytes: source.bytes,
                kept_bytes: kept_bytes + frame_bytes(kept_bytes) + HEAD_BYTES,
                gone: std::mem::take(&mut scales.gone),
            });
            match self.next_source(cursor) {
                Some(next) => cursor = next,
                None => {
                    self.enter_write(&scales.weighed);
                    return Ok(Met::Nothing);
                }
            }
        }
        self.stage = Stage::Weigh(cursor, scales);
        Ok(read.met())
    }

    async fn write(
        &mut self,
        scene: &Scene<D>,
        groups: VecDeque<Vec<Source>>,
        writing: Option<Writing<D>>,
    ) -> Result<Met, LogError> {
        let Some(group) = groups.front().cloned() else {
            self.stage = Stage::Write(groups, None);
            return Ok(Met::Nothing);
        };
        let mut writing = match writing {
            Some(writing) => writing,
            None => begin_writing(scene, &group).await?,
        };
        let before = writing.writer.bytes();
        let written = self.write_source(scene, &group, &mut writing).await;
        self.step_bytes += writing.writer.bytes() - before;
        let read = match written {
            Ok(read) => read,
            Err(error) => {
                // The disk may be full: what is of no use shall not take room.
                writing.writer.discard().await;
                return Err(error);
            }
        };
        if let Reading::Through = read {
            let mut behind = group.iter();
            let next = behind.find(|it| it.base_offset > writing.cursor.segment);
            match next.map(Cursor::start) {
                Some(next) => writing.cursor = next,
                None => {
                    let base_offsets = group.iter().map(|it| it.base_offset).collect();
                    let replacement = writing.writer.finish(base_offsets).await?;
                    self.stage = Stage::Written(groups, replacement);
                    return Ok(Met::Nothing);
                }
            }
        }
        self.stage = Stage::Write(groups, Some(writing));
        Ok(read.met())
    }

    async fn write_source(
        &mut self,
        scene: &Scene<D>,
        group: &[Source],
        writing: &mut Writing<D>,
    ) -> Result<Reading, LogError> {
        let Writing { writer, cursor } = writing;
        let mut sources = group.iter();
        let source = sources.find(|it| it.base_offset == cursor.segment);
        let source = *source.expect("the cursor stands in a source of the group");
        self.read(scene, source, cursor, async |pass, header, batch| {
            let (sifted, _) = pass.sift(&header, &batch);
            let (header, batch) = match sifted {
                Sifted::Whole => (header, batch),
                Sifted::Part(part) => {
                    let header = BatchHeader::validate(&part);
                    (header.expect("what is left is a batch"), Bytes::from(part))
                }
            };
            writer.push(&header, batch).await?;
            Ok(Appetite::More)
        })
        .await
    }

    /// Reads on in a source from the cursor, as far as one step goes.
    async fn read(
        &mut self,
        scene: &Scene<D>,
        source: Source,
        cursor: &mut Cursor,
        mut digest: impl AsyncFnMut(&mut Self, BatchHeader, Bytes) -> Result<Appetite, LogError>,
    ) -> Result<Reading, LogError> {
        let opened = source
            .open(&scene.disk, &scene.folder, cursor.place)
            .await?;
        let Some(mut reader) = opened else {
            return Ok(Reading::Damaged(cursor.place.offset));
        };
        let begun = cursor.place.position;
        loop {
            cursor.place = reader.place();
            let bytes = cursor.place.position - begun;
            if bytes >= self.limits.step_bytes && cursor.place.offset < source.next_offset {
                self.step_bytes += bytes;
                return Ok(Reading::Paused);
            }
            let (header, batch) = match reader.next(&scene.epochs).await? {
                Ok(Some(found)) => found,
                Ok(None) => {
                    self.step_bytes += bytes;
                    return Ok(Reading::Through);
                }
                Err(_) => return Ok(Reading::Damaged(cursor.place.offset)),
            };
            match digest(self, header, batch).await? {
                Appetite::More => {}
                Appetite::Enough => {
                    self.step_bytes += bytes;
                    return Ok(Reading::Paused);
                }
            }
        }
    }
}

async fn begin_writing<D: Disk>(
    scene: &Scene<D>,
    group: &[Source],
) -> Result<Writing<D>, LogError> {
    let first = group.first().expect("a group has at least one source");
    let span = Span {
        base_offset: first.base_offset,
        next_offset: group.last().map_or(0, |last| last.next_offset),
    };
    let (disk, folder) = (scene.disk.clone(), scene.folder.clone());
    let writer = Writer::create(disk, folder, span, scene.index_step_bytes).await?;
    Ok(Writing {
        writer,
        cursor: Cursor::start(first),
    })
}

impl Reading {
    fn met(&self) -> Met {
        match *self {
            Self::Through | Self::Paused => Met::Nothing,
            Self::Damaged(offset) => Met::Damage(offset),
        }
    }
}
