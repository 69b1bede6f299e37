//! Whether a topic is compacted, and for how long it keeps deletions, as people write it.

use clap::Args;
use quorate_client::Compaction;

use super::retention::{parse_duration_ms, told_ms};

/// What is said of it when a topic is created.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct CompactionOptions {
    /// Keep the last record of every key, and let those before it go; for ever, unless --retention
    /// says otherwise. Each record needs a key, and one without a value deletes its key
    #[arg(long)]
    compact: bool,
    /// How long a compacted topic keeps what says that a key is deleted [default: 1d]
    #[arg(long, value_name = "TIME", requires = "compact", value_parser = parse_duration_ms)]
    keep_tombstones: Option<u64>,
}

impl CompactionOptions {
    pub(super) fn compaction(&self) -> Option<Compaction> {
        let kept = |tombstone_ms| Compaction { tombstone_ms };
        let compaction = self.keep_tombstones.map_or_else(Compaction::default, kept);
        self.compact.then_some(compaction)
    }
}

/// What `quorate topic describe` and `alter` say of a compacted topic.
pub(super) fn told(compaction: Compaction) -> String {
    let kept_for = told_ms(compaction.tombstone_ms);
    format!("the last record of every key is kept; what deletes a key, at least for {kept_for}")
}
