//! Bytes that no sound member wrote: damaged ones, cut ones, and such as fit their checksum and
//! make no sense. Whatever they are, decoding them gives an error or a value, and never a panic.
//!
//! The corpus, `tests/corpus/KIND/*.bin`, holds what a real run wrote, and what was once found to
//! do harm. `QUORATE_REWRITE=1` writes the first part anew, as is due when a format has changed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corpus;
mod decoding;
#[path = "../group_paper/group.rs"]
#[expect(dead_code, reason = "only some of its ways to do harm are needed here")]
mod group;
mod mutation;
mod partition;
mod stepping;
