//! Bytes that no log has written: damaged ones, cut ones, and such as fit their checksums and make
//! no sense. Whatever stands in the files of a log, to look at it, to repair it and to open it
//! gives an error or a log, and never a panic.
//!
//! The corpus, `tests/corpus/KIND/*.bin`, holds what was once found to do harm.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod corpus;
mod files;
mod mutation;
mod opening;
