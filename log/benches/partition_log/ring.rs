//! The raw floor: io_uring, and nothing between it and the disk.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, opcode};
use quorate_platform::{AlignedBuffer, IoBufMut};
use rustix::fs::OFlags;
use rustix::io::ReadWriteFlags;

use crate::series::Round;

const ENTRIES: u32 = 256;

pub(crate) struct Ring(IoUring);

/// How a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Once it is complete, a sync of the file's data.
    After,
    /// A sync of the file's data, handed in with it and begun by the kernel when it is complete.
    Linked,
    /// By itself.
    Itself,
}

/// Somebody who writes to a file of its own, one durable write after the other.
pub(crate) struct Lane {
    file: File,
    buffer: AlignedBuffer,
    /// What is copied into the buffer before each write, if anything.
    records: Option<Vec<u8>>,
    /// Where the file begins again; none if it grows.
    wraps_at: Option<u64>,
    position: u64,
    begun: Instant,
}

impl Lane {
    /// In a file that was written in advance, or in one that grows.
    pub(crate) fn new(file: File, len: usize, wraps_at: Option<u64>) -> Self {
        Self {
            file,
            buffer: filled(len),
            records: None,
            wraps_at,
            position: 0,
            begun: Instant::now(),
        }
    }

    /// Whether each write is of records that have just been made, and has to copy them first: what
    /// a disk reads of memory takes longer where a processor has only now written it.
    pub(crate) fn copy_records(&mut self, copies: bool) {
        self.records = copies.then(|| self.buffer.to_vec());
    }

    /// Makes new records, and copies them into the buffer; only the copying counts.
    fn fill(&mut self) {
        let records = self.records.clone();
        self.begun = Instant::now();
        if let Some(records) = records {
            self.buffer.copy_from_slice(&records);
            self.records = Some(records);
        }
    }

    /// Begins a growing file again.
    pub(crate) fn restart(&mut self) {
        if self.wraps_at.is_none() {
            self.file.set_len(0).unwrap();
            self.file.sync_all().unwrap();
            self.position = 0;
        }
    }

    fn write(&mut self, sync: Sync) -> Entry {
        let flags = match sync {
            Sync::After | Sync::Linked => ReadWriteFlags::empty(),
            Sync::Itself => ReadWriteFlags::DSYNC,
        };
        let at = self.position;
        self.position += self.buffer.len() as u64;
        let fits = |end: u64| self.position + self.buffer.len() as u64 <= end;
        if !self.wraps_at.is_none_or(fits) {
            self.position = 0;
        }
        write(&self.file, &self.buffer, at, flags)
    }

    fn sync(&self) -> Entry {
        sync(&self.file)
    }
}

impl Ring {
    pub(crate) fn new() -> Self {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun();
        Self(builder.build(ENTRIES).unwrap())
    }

    /// Keeps every lane busy for `time`.
    pub(crate) fn write(&mut self, lanes: &mut [Lane], how: Sync, time: Duration) -> Round {
        let started = Instant::now();
        let mut round = Round::default();
        for at in 0..lanes.len() {
            self.begin(lanes, at, how);
        }
        let mut busy = lanes.len();
        while busy > 0 {
            for (data, done) in self.wait() {
                let (at, is_sync) = (data as usize / 2, data % 2 == 1);
                let lane = &mut lanes[at];
                let expected = if is_sync { 0 } else { lane.buffer.len() };
                assert_eq!(done, expected, "a write goes through at once");
                match (how, is_sync) {
                    (Sync::After, false) => self.push(lane.sync(), data + 1),
                    // Its sync follows.
                    (Sync::Linked, false) => {}
                    (Sync::After | Sync::Linked, true) | (Sync::Itself, _) => {
                        round.latencies.push(lane.begun.elapsed());
                        round.bytes += lane.buffer.len() as u64;
                        if started.elapsed() < time {
                            self.begin(lanes, at, how);
                        } else {
                            busy -= 1;
                        }
                    }
                }
            }
        }
        round.elapsed = started.elapsed();
        round
    }

    fn begin(&mut self, lanes: &mut [Lane], at: usize, how: Sync) {
        let lane = &mut lanes[at];
        lane.fill();
        let (data, write) = (2 * at as u64, lane.write(how));
        match how {
            Sync::After | Sync::Itself => self.push(write, data),
            Sync::Linked => {
                self.push(write.flags(Flags::IO_LINK), data);
                self.push(lane.sync(), data + 1);
            }
        }
    }

    /// Writes `count` times the same piece, one behind the other and `in_flight` at once, and makes
    /// it all durable.
    pub(crate) fn fill(&mut self, file: &File, piece: &[u8], count: usize, in_flight: usize) {
        let mut begun = 0;
        let mut done = 0;
        while done < count {
            while begun < count && begun - done < in_flight {
                let at = (begun * piece.len()) as u64;
                self.push(write(file, piece, at, ReadWriteFlags::empty()), 0);
                begun += 1;
            }
            for (_, written) in self.wait() {
                assert_eq!(written, piece.len(), "a write goes through at once");
                done += 1;
            }
        }
        self.push(sync(file), 0);
        self.wait();
    }

    /// Reads `len` bytes at each of the positions, `in_flight` at once.
    pub(crate) fn read(
        &mut self,
        files: &[File],
        positions: &[(usize, u64)],
        len: usize,
        in_flight: usize,
    ) -> Round {
        let mut buffers: Vec<_> = (0..in_flight)
            .map(|_| AlignedBuffer::with_capacity(len))
            .collect();
        let mut begun = vec![Instant::now(); in_flight];
        let mut idle: Vec<usize> = (0..in_flight).collect();
        let mut rest = positions.iter();
        let mut round = Round::default();
        let started = Instant::now();
        loop {
            while let Some(at) = idle.pop() {
                let Some((file, position)) = rest.next() else {
                    idle.push(at);
                    break;
                };
                begun[at] = Instant::now();
                let memory = buffers[at].buf_mut_ptr().cast();
                let file = Fd(files[*file].as_raw_fd());
                let read = opcode::Read::new(file, memory, len as u32).offset(*position);
                self.push(read.build(), at as u64);
            }
            if idle.len() == in_flight {
                break;
            }
            for (at, read) in self.wait() {
                round.latencies.push(begun[at as usize].elapsed());
                round.bytes += read as u64;
                idle.push(at as usize);
            }
        }
        round.elapsed = started.elapsed();
        round
    }

    fn push(&mut self, entry: Entry, data: u64) {
        let entry = entry.user_data(data);
        // SAFETY: whoever pushes an entry keeps its file and buffer, and waits for its completion
        // before it lets go of them.
        unsafe { self.0.submission().push(&entry) }.expect("there is room for all that is begun");
    }

    /// Waits until something is complete; gives what that was with its outcome.
    fn wait(&mut self) -> Vec<(u64, usize)> {
        self.0.submit_and_wait(1).unwrap();
        let outcome = |result: i32| {
            usize::try_from(result)
                .unwrap_or_else(|_| panic!("{}", std::io::Error::from_raw_os_error(-result)))
        };
        self.0
            .completion()
            .map(|entry| (entry.user_data(), outcome(entry.result())))
            .collect()
    }
}

fn write(file: &File, bytes: &[u8], position: u64, flags: ReadWriteFlags) -> Entry {
    let write = opcode::Write::new(Fd(file.as_raw_fd()), bytes.as_ptr(), bytes.len() as u32);
    let write = write.offset(position).rw_flags(flags.bits().cast_signed());
    write.build()
}

fn sync(file: &File) -> Entry {
    let sync = opcode::Fsync::new(Fd(file.as_raw_fd()));
    sync.flags(FsyncFlags::DATASYNC).build()
}

/// Bytes that are no zeros, for those may be treated otherwise.
pub(crate) fn filled(len: usize) -> AlignedBuffer {
    let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8 | 1).collect();
    aligned(&bytes)
}

pub(crate) fn aligned(bytes: &[u8]) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::with_capacity(bytes.len());
    buffer.extend_from_slice(bytes);
    buffer
}

/// Opens a file, created if missing, for direct I/O or through the page cache.
pub(crate) fn open(path: &Path, is_direct: bool) -> File {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .unwrap();
    if is_direct {
        let flags = rustix::fs::fcntl_getfl(&file).unwrap();
        rustix::fs::fcntl_setfl(&file, flags | OFlags::DIRECT)
            .expect("the raw floor needs a file system with direct I/O: see --data-dir");
    }
    file
}

/// A direct file of `len` bytes that were all written in advance.
pub(crate) fn prewritten(ring: &mut Ring, path: &Path, len: u64) -> File {
    let file = open(path, true);
    let piece_bytes = len.min(1 << 20);
    let piece = filled(piece_bytes as usize);
    ring.fill(&file, &piece, (len / piece_bytes) as usize, 1);
    file.sync_all().unwrap();
    file
}
