use std::os::fd::{AsFd, AsRawFd};

use compio::driver::{OpCode, OpEntry, SharedFd};
use compio_buf::{IntoInner, IoBuf};
use io_uring::opcode;
use io_uring::types::Fd;
use rustix::io::ReadWriteFlags;

/// Writes a buffer, and is complete once what it has written is durable.
pub(super) struct DurableWrite<B> {
    file: SharedFd<std::fs::File>,
    buffer: B,
    position: u64,
}

impl<B> DurableWrite<B> {
    pub(super) fn new(file: SharedFd<std::fs::File>, buffer: B, position: u64) -> Self {
        Self {
            file,
            buffer,
            position,
        }
    }
}

// SAFETY: the entry points into a buffer that the operation owns. Whoever drives the operation
// keeps it where it is, with its file, until the kernel has finished with the entry.
unsafe impl<B: IoBuf> OpCode for DurableWrite<B> {
    type Control = ();

    fn create_entry(&mut self, _: &mut Self::Control) -> OpEntry {
        let bytes = self.buffer.as_init();
        // What does not fit into one operation is left to the next, as after any short write.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let write = opcode::Write::new(Fd(self.file.as_fd().as_raw_fd()), bytes.as_ptr(), len)
            .offset(self.position)
            .rw_flags(ReadWriteFlags::DSYNC.bits().cast_signed());
        write.build().into()
    }
}

impl<B> IntoInner for DurableWrite<B> {
    type Inner = B;

    fn into_inner(self) -> B {
        self.buffer
    }
}
