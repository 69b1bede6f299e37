use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode};
use rustix::io::Errno;

use super::buffer;

/// A ring with one operation at a time and one buffer.
pub(super) struct MeasuringRing {
    ring: IoUring,
    buffer: &'static mut [u8],
}

impl MeasuringRing {
    /// A ring of the kind that a node has.
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(2);
        Ok(Self {
            // Kernels before 6.1 do not know these.
            ring: ring.or_else(|_| IoUring::new(2))?,
            buffer: buffer::forever(),
        })
    }

    /// Writes the first `bytes` of the buffer.
    pub(super) fn write(&mut self, file: &File, position: u64, bytes: u32) -> io::Result<()> {
        self.submit_write(file, position, bytes)?;
        self.complete(bytes)
    }

    /// Hands a write in; [`MeasuringRing::complete`] is next.
    pub(super) fn submit_write(
        &mut self,
        file: &File,
        position: u64,
        bytes: u32,
    ) -> io::Result<()> {
        assert!(bytes as usize <= self.buffer.len());
        let write = opcode::Write::new(Fd(file.as_raw_fd()), self.buffer.as_ptr(), bytes);
        self.submit(&write.offset(position).build())
    }

    pub(super) fn read(&mut self, file: &File, position: u64, bytes: u32) -> io::Result<()> {
        assert!(bytes as usize <= self.buffer.len());
        let read = opcode::Read::new(Fd(file.as_raw_fd()), self.buffer.as_mut_ptr(), bytes);
        self.submit(&read.offset(position).build())?;
        self.complete(bytes)
    }

    /// Makes the data of a file durable.
    pub(super) fn sync(&mut self, file: &File) -> io::Result<()> {
        let sync = opcode::Fsync::new(Fd(file.as_raw_fd())).flags(FsyncFlags::DATASYNC);
        self.submit(&sync.build())?;
        self.complete(0)
    }

    fn submit(&mut self, entry: &Entry) -> io::Result<()> {
        // SAFETY: the only memory that the entries of this file name is the buffer, inside whose
        // length they stay and which is never freed; nobody else looks at its content.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("the ring has more room than the one operation that is under way");
        again(|| self.ring.submit()).map(drop)
    }

    /// Waits for the operation that was handed in, which must have moved `bytes`.
    pub(super) fn complete(&mut self, bytes: u32) -> io::Result<()> {
        let result = loop {
            if let Some(entry) = self.ring.completion().next() {
                break entry.result();
            }
            again(|| self.ring.submit_and_wait(1))?;
        };
        match u32::try_from(result) {
            Ok(moved) if moved == bytes => Ok(()),
            // So begins a full disk. What is read here is as long as the file.
            Ok(_) => Err(Errno::NOSPC.into()),
            Err(_) => Err(io::Error::from_raw_os_error(-result)),
        }
    }
}

/// Tries again what was only put off.
fn again(mut enter: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match enter() {
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::INTR | Errno::AGAIN | Errno::BUSY)
                ) => {}
            result => return result,
        }
    }
}
