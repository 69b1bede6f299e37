//! What is drawn once for each run: how large the partition is, and how bad its world.

use super::super::dice::Dice;

/// How often what happens. What happens by itself is out of a thousand steps.
#[derive(Clone, Debug)]
pub(crate) struct Swarm {
    /// Who votes at the beginning.
    pub(crate) voters: u16,
    /// Everybody.
    pub(crate) nodes: u16,
    /// The steps after which the storm is over.
    pub(crate) steps: u64,
    /// Of a thousand packets so many are lost.
    pub(crate) loss: u32,
    /// Of a thousand packets so many arrive twice.
    pub(crate) duplication: u32,
    /// Whether packets of one node to another never overtake each other.
    pub(crate) in_order: bool,
    /// Whether nodes hear of epochs one after the other.
    pub(crate) news_in_order: bool,
    /// As many batches go into one packet at most.
    pub(crate) packet_batches: usize,
    /// As many records go into one batch at most.
    pub(crate) batch_records: usize,
    pub(crate) replay: u32,
    pub(crate) crash: u32,
    pub(crate) assign: u32,
    pub(crate) cut: u32,
    pub(crate) timer: u32,
    pub(crate) append: u32,
    /// How often a disk becomes faster or slower.
    pub(crate) disk: u32,
    /// How often the control plane takes a step of a change of voters.
    pub(crate) change: u32,
    /// Of a thousand crashes so many take the end of the durable log with them.
    pub(crate) lose_end: u32,
    /// How often durable records rot.
    pub(crate) rot: u32,
    /// Whether so many disks may be damaged at once that nothing has to go on afterwards. Nothing
    /// that was acknowledged may be dropped even then.
    pub(crate) is_reckless: bool,
    /// How often a scrubber looks for that.
    pub(crate) scrub: u32,
    /// How often a leader lets old records expire.
    pub(crate) expire: u32,
    /// How often a node compacts its log.
    pub(crate) compact: u32,
}

impl Swarm {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        // One in a hundred lives as long as thirty others.
        let steps = dice.between(100..=500) * if dice.happens(10) { 30 } else { 1 };
        let voters = dice.pick(&[1, 2, 3, 3, 3, 3, 3, 4, 5, 5]);
        let change = dice.maybe(&[5, 20, 60]);
        let spare = if change > 0 { dice.below(4) as u16 } else { 0 };
        Self {
            voters,
            nodes: (voters + spare).min(6),
            steps,
            loss: dice.maybe(&[10, 50, 200]),
            duplication: dice.maybe(&[50, 200]),
            in_order: dice.flip(),
            news_in_order: dice.flip(),
            packet_batches: 1 + dice.below(3),
            batch_records: 1 + dice.below(3),
            replay: dice.maybe(&[5, 30]),
            crash: dice.maybe(&[3, 10, 30]),
            assign: dice.pick(&[4, 10, 20, 40]),
            cut: dice.maybe(&[3, 10, 30]),
            timer: dice.pick(&[10, 30, 60]),
            append: dice.pick(&[30, 80, 150]),
            disk: dice.maybe(&[10, 30]),
            change,
            lose_end: dice.maybe(&[300, 800]),
            rot: dice.maybe(&[3, 20]),
            is_reckless: dice.happens(100),
            scrub: dice.pick(&[3, 30]),
            expire: dice.maybe(&[5, 20, 60]),
            compact: dice.maybe(&[20, 60]),
        }
    }
}
