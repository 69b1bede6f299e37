use std::fmt;

/// Something that is wrong with a copy of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discord {
    /// The partition's id.
    pub partition: u64,
    /// The node whose copy it is.
    pub node: u16,
    /// Where.
    pub offset: u64,
    /// What.
    pub trouble: Trouble,
}

/// What can be wrong with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It ends here, before the high watermark.
    Short,
    /// It begins behind the log's start.
    LateStart,
    /// What should be here is damaged or missing, and more follows.
    Hole,
    /// It has other bytes here than the copy of another node.
    Differs {
        /// That node.
        with: u16,
    },
    /// A batch that its producer had sent before stands here again.
    Sequence {
        /// The producer's id.
        producer: i64,
    },
    /// A batch of an earlier leader stands behind one of a later.
    Epoch,
}

impl Discord {
    pub(super) fn new(partition: u64, node: u16, offset: u64, trouble: Trouble) -> Self {
        Self {
            partition,
            node,
            offset,
            trouble,
        }
    }
}

impl fmt::Display for Discord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            partition,
            node,
            offset,
            trouble,
        } = self;
        write!(f, "partition {partition} on node {node}, offset {offset}: ")?;
        match trouble {
            Trouble::Short => f.write_str("the copy ends before the high watermark"),
            Trouble::LateStart => f.write_str("the copy begins behind the start of the log"),
            Trouble::Hole => f.write_str("what should be here is damaged or missing"),
            Trouble::Differs { with } => write!(f, "node {with} holds something else"),
            Trouble::Sequence { producer } => {
                write!(f, "a batch of producer {producer} stands here once more")
            }
            Trouble::Epoch => f.write_str("an earlier leader wrote behind a later one"),
        }
    }
}
