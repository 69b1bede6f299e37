//! The Quorate node and its command line.
//!
//! The only room that knows both the protocols and the log: it carries out what the protocol cores
//! decide, with the log, the network and the clock of the platform.

pub mod cli;
pub mod config;
pub mod control;
pub mod error;
pub mod limits;
pub mod metadata;
pub mod node;
pub mod peer;
pub mod reserve;
pub mod shard;
pub mod stop;
