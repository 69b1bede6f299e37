//! The one door through which Quorate reaches the outside: network, disk, clock, tasks, randomness.
//!
//! Node, log and client are written against the four traits of this crate, never against a
//! runtime. [`Compio`] stands behind them in production (io_uring, one runtime per thread). A
//! simulation implements the same traits over a simulated network and disk, and the same code runs
//! unchanged in it.
//!
//! Shapes that every implementation keeps:
//!
//! * Buffers are owned: an operation takes its buffer and hands it back with the result, because
//!   with io_uring the kernel owns it meanwhile.
//! * Nothing is `Send`: a runtime belongs to one thread, and so does everything it made.
//! * Dropping a future abandons the wait, not the operation. An operation whose effect matters is
//!   owned by a task that runs to its end ([`Tasks::spawn`]).
//!
//! This crate knows no protocol, no format and no configuration, and will not.

mod aligned_buffer;
mod compio_platform;
mod disk;
mod instant;
mod kept_memory;
mod network;
mod tasks;
mod unreadable;

pub use aligned_buffer::{AlignedBuffer, BLOCK_BYTES};
pub use compio_buf::{BufResult, IntoInner, IoBuf, IoBufMut};
pub use compio_platform::{Compio, CompioFile, CompioListener, CompioReader, CompioWriter};
pub use disk::{Disk, Entry, File, OpenHow, OpenMode};
pub use instant::Instant;
pub use network::{Listener, Network, Reader, Writer};
pub use tasks::{Elapsed, Tasks};
pub use unreadable::read_around;

/// Everything at once: what a node or a client is given.
pub trait Platform: Network + Disk + Tasks {}

impl<P: Network + Disk + Tasks> Platform for P {}
