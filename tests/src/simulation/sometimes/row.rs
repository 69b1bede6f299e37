use super::Heard;

/// Something that happens sometimes, and the event that tells of it.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The module that tells it.
    pub(super) target: &'static str,
    /// How its words begin.
    pub(super) message: &'static str,
    /// What else must be true of it.
    condition: Condition,
}

/// What is asked of the fields of an event.
enum Condition {
    None,
    /// This field is this.
    Is(&'static str, &'static str),
    /// This field has this in it.
    Has(&'static str, &'static str),
    /// The first field is a smaller number than the second, and the third, if there is one, is
    /// true.
    Less(&'static str, &'static str, Option<&'static str>),
    /// This field is a number above 0.
    Some(&'static str),
}

impl Row {
    pub(super) fn is_told_by(&self, heard: &Heard) -> bool {
        heard.target == self.target
            && heard.message.starts_with(self.message)
            && self.condition.is_met_by(heard)
    }

    /// The fields that it looks at.
    #[cfg(test)]
    pub(super) fn fields(&self) -> Vec<&'static str> {
        match self.condition {
            Condition::None => Vec::new(),
            Condition::Is(field, _) | Condition::Has(field, _) | Condition::Some(field) => {
                vec![field]
            }
            Condition::Less(one, two, truth) => [one, two].into_iter().chain(truth).collect(),
        }
    }
}

impl Condition {
    fn is_met_by(&self, heard: &Heard) -> bool {
        let field = |name: &str| heard.fields.get(name).map(String::as_str);
        let number = |name: &str| field(name).and_then(|text| text.parse::<u64>().ok());
        match *self {
            Self::None => true,
            Self::Is(name, value) => field(name) == Some(value),
            Self::Has(name, part) => field(name).is_some_and(|text| text.contains(part)),
            Self::Less(one, two, truth) => {
                let is_true = truth.is_none_or(|truth| field(truth) == Some("true"));
                let numbers = number(one).zip(number(two));
                is_true && numbers.is_some_and(|(one, two)| one < two)
            }
            Self::Some(name) => number(name).is_some_and(|number| number > 0),
        }
    }
}

const fn row(
    name: &'static str,
    target: &'static str,
    message: &'static str,
    condition: Condition,
) -> Row {
    Row {
        name,
        target,
        message,
        condition,
    }
}

/// A rare path of the nodes that is taken without need.
const fn rare(point: &'static str) -> Row {
    let taken = "a rare path is taken";
    row(point, RARITY, taken, Condition::Is("point", point))
}

const RARITY: &str = "quorate_tests::simulation::rarity";
const DRIVER: &str = "quorate_replica::control::driver";
const STORAGE: &str = "quorate_replica::control::storage";
const EFFECT: &str = "quorate_replica::shard::effect";
const OPENING: &str = "quorate_replica::shard::opening";
const PRODUCE: &str = "quorate_replica::shard::produce";
const PARTITION: &str = "quorate_replica::shard::partition";
const MEMBERS: &str = "quorate_tests::simulation::workload::members";
const SPACE: &str = "quorate_replica::shard::space";

/// All of them.
pub(super) const ROWS: [Row; 57] = [
    // The control plane.
    row(
        "a view change begins",
        DRIVER,
        "the group has changed",
        Condition::Is("status", "ViewChange"),
    ),
    row(
        "a node becomes the primary",
        DRIVER,
        "the group has changed",
        Condition::Is("is_primary", "true"),
    ),
    row(
        "a view begins with operations that are not known to be committed",
        DRIVER,
        "the group has changed",
        Condition::Less("commit", "op", Some("is_primary")),
    ),
    row(
        "a lost disk is given up and filled again",
        MEMBERS,
        "a lost disk is given up and filled again",
        Condition::None,
    ),
    row(
        "a snapshot is installed",
        DRIVER,
        "took in a snapshot",
        Condition::Some("before"),
    ),
    row(
        "a read is refused for want of a lease",
        DRIVER,
        "a read is refused",
        Condition::None,
    ),
    row(
        "a read waits in vain for a majority",
        "quorate_replica::control::reads",
        "a read has waited in vain",
        Condition::None,
    ),
    row(
        "a node is held to be dead",
        DRIVER,
        "propose",
        Condition::Has("operation", "is down"),
    ),
    row(
        "the voters of the group change",
        "quorate_replica::control::primary",
        "reconfigure",
        Condition::None,
    ),
    row(
        "all nodes are restarted, one after the other",
        "quorate_tests::simulation::nemesis::members",
        "all nodes were restarted",
        Condition::None,
    ),
    row(
        "connections are reset",
        "quorate_tests::simulation::cluster",
        "connections are reset",
        Condition::Some("streams"),
    ),
    row(
        "a node is dropped that has left",
        DRIVER,
        "propose",
        Condition::Has("operation", "drop node"),
    ),
    row(
        "a torn write at the end of the journal is cut",
        "quorate_replica::control::storage::journal::reading",
        "cut a write that was never finished",
        Condition::None,
    ),
    row(
        "bytes of the journal are damaged",
        "quorate_replica::control::storage::journal::reading",
        "bytes of the journal are damaged",
        Condition::None,
    ),
    row(
        "entries of the journal are asked for",
        STORAGE,
        "entries of the journal are damaged",
        Condition::None,
    ),
    row(
        "the end of the journal may be missing",
        STORAGE,
        "the end of the journal may be missing",
        Condition::None,
    ),
    row(
        "the journal is mended by the other nodes",
        "quorate_replica::control::damage",
        "what was damaged of the control plane's journal is mended",
        Condition::None,
    ),
    row(
        "copies of the superblock are damaged",
        "quorate_replica::control::storage::superblock",
        "copies of the superblock are damaged",
        Condition::None,
    ),
    row(
        "the checkpoint of the control plane is damaged",
        "quorate_replica::control::storage::checkpoint",
        "the checkpoint cannot be read",
        Condition::None,
    ),
    row(
        "a node hands over before it stops",
        "quorate_replica::control",
        "leaderships are handed over",
        Condition::None,
    ),
    // Partitions.
    row("a leader opens", EFFECT, "leads", Condition::None),
    row(
        "a leader steps down",
        EFFECT,
        "stepped down",
        Condition::None,
    ),
    row(
        "records are cut that were not committed",
        EFFECT,
        "cuts records that were not committed",
        Condition::None,
    ),
    row(
        "a batch is recognized that was sent again",
        PRODUCE,
        "sent again",
        Condition::None,
    ),
    row(
        "a batch is recognized that an earlier leader had appended",
        PRODUCE,
        "sent again",
        Condition::Less("written_in", "epoch", None),
    ),
    row(
        "an append is refused because too much is under way",
        PRODUCE,
        "too much is not committed",
        Condition::None,
    ),
    row(
        "a torn write at the end of a log is cut",
        OPENING,
        "cut off a write that had been interrupted",
        Condition::None,
    ),
    row(
        "the end of a log is uncertain",
        OPENING,
        "the end of the log is damaged",
        Condition::None,
    ),
    row(
        "damaged records are found",
        "quorate_replica::shard::damage",
        "records are damaged: asking",
        Condition::None,
    ),
    row(
        "damaged records are put back from a peer",
        "quorate_replica::shard::flusher",
        "damaged records are good again",
        Condition::None,
    ),
    row(
        "checksums of writes are damaged",
        "quorate_replica::shard::scrubber",
        "checksums of writes are damaged",
        Condition::None,
    ),
    row(
        "checksums of writes are put back",
        "quorate_replica::shard::damage",
        "checksums of writes are good again",
        Condition::None,
    ),
    row(
        "all partitions are scrubbed",
        "quorate_replica::shard::scrubber",
        "looked for damage in all partitions",
        Condition::None,
    ),
    row(
        "a leader resigns from a damaged log",
        PARTITION,
        "cannot lead on",
        Condition::None,
    ),
    row(
        "a replica begins its log anew",
        PARTITION,
        "what it lacks has expired",
        Condition::None,
    ),
    row(
        "records expire",
        "quorate_replica::shard::retention",
        "records have expired",
        Condition::None,
    ),
    row(
        "records are deleted on request",
        "quorate_replica::shard::deletion",
        "records are deleted on request",
        Condition::None,
    ),
    row(
        "a log loses records by compaction",
        "quorate_replica::shard::compaction",
        "compacted",
        Condition::Some("records"),
    ),
    row(
        "the voters of partitions change",
        DRIVER,
        "propose",
        Condition::Has("operation", "change the voters of"),
    ),
    row(
        "a partition has moved to other nodes",
        MEMBERS,
        "a partition has moved",
        Condition::None,
    ),
    row(
        "a partition is removed from a node",
        "quorate_replica::shard::assignment",
        "removed",
        Condition::None,
    ),
    row(
        "appends are refused because the disk is full",
        SPACE,
        "disk nearly full: appends end",
        Condition::None,
    ),
    row(
        "appends go on after the disk was full",
        SPACE,
        "room again: appends go on",
        Condition::None,
    ),
    row(
        "the last reserve of the disk is used",
        "quorate_replica::reserve",
        "no room: the reserve is used",
        Condition::None,
    ),
    // What is rare, without need.
    rare("a flush is slow"),
    rare("a file is closed that was used just now"),
    rare("a fetch gets as little as it can"),
    rare("a follower has no room"),
    rare("a heartbeat is left out"),
    rare("a link to a shard ends"),
    rare("a message of the group is lost"),
    rare("a timer of the group is impatient"),
    rare("damage is looked for at once"),
    rare("messages that came early are full"),
    rare("no segment is written in advance"),
    rare("too many control operations"),
    rare("too much is not committed"),
];
