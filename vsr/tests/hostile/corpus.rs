//! Real bytes of every kind.

use std::fs;
use std::path::PathBuf;
use std::sync::Once;

use quorate_vsr::group::{Checkpoint, Limits, Message, Prepare, Superblock};
use quorate_vsr::partition::{self, Facts};
use quorate_vsr::{Epoch, Offset};
use rkyv::rancor::Failure;

use crate::group::Group;

/// What bytes are meant to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Message,
    Prepare,
    Checkpoint,
    Superblock,
    Facts,
    PartitionMessage,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Message,
        Self::Prepare,
        Self::Checkpoint,
        Self::Superblock,
        Self::Facts,
        Self::PartitionMessage,
    ];

    /// What the bytes read as, written again; `None` if they are refused.
    pub(crate) fn through(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Message => Message::decode(bytes).ok().map(|it| it.encode()),
            Self::Prepare => Prepare::decode(bytes).ok().map(|it| it.encode()),
            Self::Checkpoint => Checkpoint::decode(bytes).ok().map(|it| it.bytes().to_vec()),
            Self::Superblock => Superblock::decode(bytes).ok().map(|it| it.encode()),
            Self::Facts => Facts::decode(bytes).ok().map(|it| it.encode()),
            Self::PartitionMessage => {
                let message = rkyv::from_bytes::<partition::Message, Failure>(bytes).ok()?;
                Some(rkyv::to_bytes::<Failure>(&message).unwrap().into_vec())
            }
        }
    }

    /// Whether a seal with a checksum stands before the body.
    pub(crate) fn is_sealed(self) -> bool {
        match self {
            Self::Message | Self::Prepare | Self::Checkpoint | Self::Superblock | Self::Facts => {
                true
            }
            Self::PartitionMessage => false,
        }
    }

    fn folder(self) -> PathBuf {
        let name = match self {
            Self::Message => "message",
            Self::Prepare => "prepare",
            Self::Checkpoint => "checkpoint",
            Self::Superblock => "superblock",
            Self::Facts => "facts",
            Self::PartitionMessage => "partition_message",
        };
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/corpus")
            .join(name)
    }

    /// The corpus, in the order of the names.
    pub(crate) fn corpus(self) -> Vec<Vec<u8>> {
        static REWRITTEN: Once = Once::new();
        if std::env::var_os("QUORATE_REWRITE").is_some() {
            REWRITTEN.call_once(|| Self::ALL.iter().for_each(|kind| kind.rewrite()));
        }
        let entries = fs::read_dir(self.folder()).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let corpus: Vec<_> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(!corpus.is_empty(), "{self:?} has a corpus");
        corpus
    }

    fn rewrite(self) {
        fs::create_dir_all(self.folder()).unwrap();
        for entry in fs::read_dir(self.folder()).unwrap() {
            let path = entry.unwrap().path();
            if path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("run-")
            {
                fs::remove_file(path).unwrap();
            }
        }
        for (number, bytes) in self.written().into_iter().enumerate() {
            let path = self.folder().join(format!("run-{number:02}.bin"));
            fs::write(path, bytes).unwrap();
        }
    }

    /// What a run writes: a few of each shape.
    fn written(self) -> Vec<Vec<u8>> {
        let group = eventful();
        let disks = || group.members.values().map(|member| &member.disk);
        match self {
            Self::Message => messages(&group),
            Self::Prepare => {
                let journals = disks().flat_map(|disk| disk.journal.iter().take(4));
                journals.map(Prepare::encode).collect()
            }
            Self::Checkpoint => {
                let checkpoints = disks().filter_map(|disk| disk.checkpoints.values().next_back());
                checkpoints.map(|it| it.bytes().to_vec()).collect()
            }
            Self::Superblock => {
                let superblocks = disks().filter_map(|disk| disk.superblock.as_ref());
                superblocks.map(Superblock::encode).collect()
            }
            Self::Facts => {
                let facts = Facts {
                    promised: Epoch(7),
                    log_epoch: Epoch(6),
                    high_watermark: Offset(1 << 40),
                    log_start: Offset(1 << 39),
                    log_start_epoch: Epoch(5),
                    begins_anew: true,
                    losses: 2,
                    healed: 1,
                    compacted: Offset(1 << 38),
                };
                vec![facts.encode(), Facts::default().encode()]
            }
            Self::PartitionMessage => partition_messages(),
        }
    }
}

/// Up to three messages of every variant.
fn messages(group: &Group) -> Vec<Vec<u8>> {
    let mut taken = std::collections::BTreeMap::new();
    let mut written = Vec::new();
    for (_, _, message) in &group.sent {
        let text = message.to_string();
        let kind = text.split(' ').next().unwrap().to_owned();
        let count = taken.entry(kind).or_insert(0);
        *count += 1;
        if *count % 5 == 1 && *count < 15 {
            written.push(message.encode());
        }
    }
    written
}

fn partition_messages() -> Vec<Vec<u8>> {
    use partition::{Ack, Adopt, EpochHistory, Marks, Message, Promise};
    let history = vec![(Epoch(1), Offset(0)), (Epoch(4), Offset(7))];
    let history = EpochHistory::from_starts(history).unwrap();
    let epoch = Epoch(5);
    let all = [
        Message::RequestPromise { epoch },
        Message::Promise(Promise {
            epoch,
            log_epoch: Epoch(4),
            next_offset: Offset(9),
            high_watermark: Offset(7),
            log_start: Offset(2),
            history: history.clone(),
            is_uncertain: true,
        }),
        Message::Pull {
            epoch,
            from: Offset(8),
        },
        Message::Adopt(Adopt {
            epoch,
            opening_offset: Offset(9),
            high_watermark: Offset(7),
            log_start: Offset(2),
            history,
            loss: 2,
        }),
        Message::Lost { epoch, loss: 2 },
        Message::RequestRepair {
            epoch,
            from: Offset(3),
            to: Offset(5),
            compacted: Offset(4),
        },
        Message::Ack(Ack {
            epoch,
            received: Offset(9),
            durable: Offset(8),
            high_watermark: Offset(7),
            log_start: Offset(2),
            compacted: Offset(6),
            losses: 1,
            compacted_everywhere: Offset(4),
            adopted: true,
            rewind: false,
        }),
        Message::Commit {
            epoch,
            sent: Offset(9),
            marks: Marks {
                high_watermark: Offset(8),
                log_start: Offset(2),
                compacted_everywhere: Offset(4),
            },
        },
    ];
    let bytes = |message| rkyv::to_bytes::<Failure>(message).unwrap().into_vec();
    all.iter().map(bytes).collect()
}

/// A group that has gone through much: clients, checkpoints, a member that fell behind, a change
/// of the view.
fn eventful() -> Group {
    let limits = Limits {
        checkpoint_interval: 4,
        state_transfer_bytes_max: 50,
        ..Limits::default()
    };
    let mut group = Group::new(3, 1, limits);
    group.settle();
    group.settle();
    let session = group.register(7);
    let backup = group.backups()[0];
    group.cut.insert(backup);
    for number in 1..=12 {
        group.request(7, session, number, "op");
        group.run();
    }
    group.cut.clear();
    group.settle();
    group.propose("fork");
    group.change_view();
    group.settle();
    group
}
