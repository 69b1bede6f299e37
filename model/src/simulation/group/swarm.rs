//! What is drawn once for each run: how large the group is, and how bad its world.
//!
//! Every fault is missing from half of the runs. Where everything happens all the time, nothing
//! gets far, and some things hide others.

use quorate_vsr::group::Limits;

use super::super::dice::Dice;
use super::clock::Lengths;
use super::fault::{Extent, Fault};

/// How bad the network is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Of a thousand messages so many are lost.
    pub(crate) loss: u32,
    /// Of a thousand messages so many arrive twice.
    pub(crate) duplication: u32,
    /// How long a message takes at most.
    pub(crate) delay_max: u64,
    /// Of a thousand messages so many are much later than that.
    pub(crate) late: u32,
    /// Whether messages of one member to another never overtake each other.
    pub(crate) in_order: bool,
    /// Of a thousand messages so many are read back from their bytes.
    pub(crate) through_bytes: u32,
}

impl Weather {
    pub(crate) const CALM: Self = Self {
        loss: 0,
        duplication: 0,
        delay_max: 4,
        late: 0,
        in_order: false,
        through_bytes: 0,
    };
}

/// About as large as a checkpoint becomes.
const CHECKPOINT_BYTES: usize = 800;

/// A world.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    pub(crate) voters: u16,
    pub(crate) standbys: u16,
    /// Nodes that belong to nothing yet.
    pub(crate) spares: u16,
    pub(crate) clients: usize,
    pub(crate) limits: Limits,
    pub(crate) snapshot_bytes: usize,
    pub(crate) operation_bytes: usize,
    /// The steps after which the storm is over.
    pub(crate) steps: u64,
    pub(crate) weather: Weather,
    pub(crate) lengths: Lengths,
    /// Whether each clock has a pace of its own.
    pub(crate) clocks_differ: bool,
    /// How long a write takes at most, for a disk drawn from these.
    pub(crate) write_max: [u64; 2],
    /// Of each kind of fault, how often it comes compared with the others.
    pub(crate) faults: [u32; Fault::ALL.len()],
    /// The time from one fault to the next, at most.
    pub(crate) fault_gap: u64,
    /// The time from one proposal to the next, at most.
    pub(crate) propose_gap: u64,
    /// The time from one read to the next, at most.
    pub(crate) read_gap: u64,
    /// The time from one deed of the operator to the next, at most.
    pub(crate) operate_gap: u64,
    /// Whether primaries are cut off just when they change the members.
    pub(crate) cuts_off_changes: bool,
    /// How long a client waits before it asks for something else, at most.
    pub(crate) think_max: u64,
    /// How long a crashed node is down, at most.
    pub(crate) down_max: u64,
    /// Of a thousand starts so many are from a damaged disk.
    pub(crate) damage: u32,
    /// How much of all disks may be damaged.
    pub(crate) extent: Extent,
}

impl Swarm {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        // One in a hundred lives as long as fifty others.
        let steps = dice.between(100..=400) * if dice.happens(10) { 50 } else { 1 };
        let checkpoint_interval = dice.pick(&[1, 2, 4, 8, 20]);
        // A member that needs longer for a checkpoint than the others for the next one would never
        // catch up.
        let pieces = dice.between(1..=1 + checkpoint_interval / 4) as usize;
        Self {
            voters: dice.pick(&[1, 3, 3, 3, 3, 3, 5, 5]),
            standbys: dice.pick(&[0, 0, 0, 1, 2]),
            spares: dice.pick(&[0, 0, 0, 1]),
            clients: 1 + dice.below(3),
            limits: Limits {
                checkpoint_interval,
                pipeline_max: 1 + dice.below(6),
                clients_max: 1 + dice.below(4),
                state_transfer_bytes_max: CHECKPOINT_BYTES / pieces,
                ..Limits::default()
            },
            snapshot_bytes: dice.pick(&[0, 10, 300]),
            operation_bytes: dice.pick(&[2, 2, 8, 200]),
            steps,
            weather: Weather {
                loss: dice.maybe(&[10, 50, 200]),
                duplication: dice.maybe(&[20, 100]),
                delay_max: dice.pick(&[1, 4, 10, 40]),
                late: dice.maybe(&[10, 60]),
                in_order: dice.flip(),
                through_bytes: if dice.happens(60) { 200 } else { 0 },
            },
            lengths: Lengths::draw(dice),
            clocks_differ: dice.flip(),
            write_max: [dice.pick(&[1, 4, 15]), dice.pick(&[1, 4, 15, 60])],
            faults: Fault::ALL.map(|_| dice.maybe(&[1, 2, 6])),
            fault_gap: dice.pick(&[30, 60, 150]),
            propose_gap: dice.maybe(&[5, 20, 60]),
            read_gap: dice.maybe(&[3, 10, 40]),
            operate_gap: dice.maybe(&[4, 12, 40]),
            cuts_off_changes: dice.happens(300),
            think_max: dice.pick(&[1, 10, 40]),
            down_max: dice.pick(&[10, 60, 200]),
            damage: dice.maybe(&[100, 500]),
            extent: dice.pick(&[
                Extent::OneDisk,
                Extent::AllButOneCopy,
                Extent::AllButOneCopy,
                Extent::Anything,
            ]),
        }
    }
}
