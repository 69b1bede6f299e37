use quorate_wire::{ControlReply, Refusal, Retention, TopicInfo};
use rkyv::{Archive, Deserialize, Serialize};

use super::Catalog;

/// What came of a client's operation, as the group remembers it for the case that the client asks
/// again. It is small whatever the operation was, because the group keeps one for every client.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The topic was created.
    TopicCreated {
        /// Its name.
        name: String,
        /// The id of its first partition, which no other topic ever has.
        first_partition: u64,
    },
    /// The topic was deleted.
    TopicDeleted,
    /// The wish is part of the catalog now, or was already.
    Accepted,
    /// Nothing has changed.
    Refused(Refusal),
}

impl Outcome {
    /// What the client is told, with what `catalog` says now.
    pub fn reply(self, catalog: &Catalog) -> ControlReply {
        match self {
            Self::TopicCreated {
                name,
                first_partition,
            } => {
                // Whoever asks late may hear of a topic that has been deleted since, and perhaps
                // another one of that name was created.
                let topic = catalog.topics.get(&name);
                let topic = topic.filter(|it| it.partitions.first() == Some(&first_partition));
                let info = topic.map(|topic| catalog.topic_info(topic));
                let deleted = TopicInfo {
                    name,
                    retention: Retention::default(),
                    compaction: None,
                    partitions: Vec::new(),
                };
                ControlReply::TopicCreated(info.unwrap_or(deleted))
            }
            Self::TopicDeleted => ControlReply::TopicDeleted,
            Self::Accepted => ControlReply::Accepted,
            Self::Refused(refusal) => ControlReply::Refused(refusal),
        }
    }
}
