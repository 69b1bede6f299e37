//! The group, sentence by sentence of "Viewstamped Replication Revisited" (Liskov & Cowling, 2012).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "group_paper/checkpoint_transfer.rs"]
mod checkpoint_transfer;
#[path = "group_paper/client_table.rs"]
mod client_table;
#[path = "group_paper/damage.rs"]
mod damage;
#[path = "group_paper/group.rs"]
mod group;
#[path = "group_paper/lost_disk.rs"]
mod lost_disk;
#[path = "group_paper/normal.rs"]
mod normal;
#[path = "group_paper/read.rs"]
mod read;
#[path = "group_paper/reconfiguration.rs"]
mod reconfiguration;
#[path = "group_paper/recovery.rs"]
mod recovery;
#[path = "group_paper/replies.rs"]
mod replies;
#[path = "group_paper/start_view.rs"]
mod start_view;
#[path = "group_paper/state_transfer.rs"]
mod state_transfer;
#[path = "group_paper/transfer.rs"]
mod transfer;
#[path = "group_paper/view_change.rs"]
mod view_change;
#[path = "group_paper/wire.rs"]
mod wire;
