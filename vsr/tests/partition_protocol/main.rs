//! The partition protocol told as stories: one replica under test, everybody else played by hand.

mod stage;

mod beginning;
mod compaction;
mod following;
mod leading;
mod opening;
mod repair;
mod uncertain;
mod voters;
