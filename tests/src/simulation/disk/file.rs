use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use quorate_platform::{BLOCK_BYTES, BufResult, File, IoBuf, IoBufMut, OpenMode};
use rand::RngExt;

use super::content::{Change, Content};
use super::pages::PAGE_BYTES;
use super::{DiskEvent, DiskOperation, SimDisk, device_error};

/// An open file of a [`SimDisk`].
#[derive(Clone)]
pub struct SimFile(Rc<Open>);

struct Open {
    disk: SimDisk,
    /// Under which name it was opened.
    path: Box<Path>,
    content: Rc<RefCell<Content>>,
    is_writable: bool,
    is_direct: bool,
    life: u64,
}

/// A change on its way; dropped, it may have happened or not.
struct InFlight<'a> {
    open: &'a Open,
    number: u64,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let happens = self.open.disk.happens(0.5);
        let mut content = self.open.content.borrow_mut();
        match happens {
            true => content.complete(self.number, false),
            false => drop(content.abandon(self.number)),
        }
    }
}

impl SimFile {
    pub(super) fn new(
        disk: &SimDisk,
        path: &Path,
        content: Rc<RefCell<Content>>,
        mode: OpenMode,
        is_direct: bool,
    ) -> Self {
        Self(Rc::new(Open {
            disk: disk.clone(),
            path: path.into(),
            content,
            is_writable: mode != OpenMode::Read,
            is_direct,
            life: disk.0.life.get(),
        }))
    }
}

impl Open {
    fn check_direct(&self, position: u64, len: usize, address: usize) {
        let is_fine = position.is_multiple_of(BLOCK_BYTES as u64)
            && len.is_multiple_of(BLOCK_BYTES)
            && (len == 0 || address.is_multiple_of(BLOCK_BYTES));
        assert!(
            is_fine || !self.is_direct,
            "{}: {len} bytes at {position}, from memory at {address:#x}, are no direct I/O",
            self.path.display()
        );
    }

    fn noted<T>(
        &self,
        operation: DiskOperation,
        position: u64,
        bytes: usize,
        result: io::Result<T>,
    ) -> io::Result<T> {
        self.disk.note(&DiskEvent {
            operation,
            path: &self.path,
            position,
            bytes,
            error: result.as_ref().err().map(io::Error::kind),
        });
        result
    }

    /// A read of `range` may fail for now, or for good.
    fn check_readable(&self, range: &Range<u64>) -> io::Result<()> {
        let faults = self.disk.0.faults.borrow();
        let (read_error, latent_error) = (faults.read_error, faults.latent_error);
        drop(faults);
        let mut content = self.content.borrow_mut();
        let end = range.end.min(content.durable().len());
        if range.start < end && self.disk.happens(latent_error) && self.disk.may_damage(&self.path)
        {
            let at = self
                .disk
                .0
                .random
                .borrow_mut()
                .random_range(range.start..end);
            content.wear_out(at..at + 1);
            self.disk
                .0
                .damaged
                .borrow_mut()
                .insert(self.path.to_path_buf());
        }
        let end = range.end.min(content.current().len());
        if content.is_unreadable(range.start..end) {
            return Err(device_error());
        }
        match self.disk.happens(read_error) {
            true => Err(self.disk.fail(&self.path)),
            false => Ok(()),
        }
    }

    async fn change(&self, change: Change, is_durable: bool) -> io::Result<()> {
        self.disk.check_life(self.life)?;
        if !self.is_writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.disk
            .allocate(&self.path, &mut self.content.borrow_mut(), &change.range())?;
        let number = self.disk.number();
        self.content.borrow_mut().begin(number, change);
        let in_flight = InFlight { open: self, number };
        self.disk.take_time(self.life).await?;
        let faults = self.disk.0.faults.borrow();
        let (write_error, lost_write) = (faults.write_error, faults.lost_write);
        drop(faults);
        if self.disk.happens(write_error) {
            // Whether it happened is decided as if nobody had waited for it.
            return Err(self.disk.fail(&self.path));
        }
        let is_lost =
            is_durable && self.disk.happens(lost_write) && self.disk.may_damage(&self.path);
        let mut content = self.content.borrow_mut();
        let before = content.pages();
        match is_lost {
            true => content.pretend(number),
            false => content.complete(number, is_durable),
        }
        if content.is_counted {
            let freed = (before - content.pages()) * PAGE_BYTES;
            self.disk.0.used.set(self.disk.0.used.get() - freed);
        }
        drop(content);
        drop(in_flight);
        Ok(())
    }

    async fn write<B: IoBuf>(
        &self,
        buffer: B,
        position: u64,
        is_durable: bool,
    ) -> BufResult<(), B> {
        let bytes = buffer.as_init();
        let len = bytes.len();
        self.check_direct(position, len, bytes.as_ptr().addr());
        let change = Change::write(position, bytes);
        let result = self.change(change, is_durable).await;
        let operation = match is_durable {
            true => DiskOperation::WriteDurable,
            false => DiskOperation::Write,
        };
        BufResult(self.noted(operation, position, len, result), buffer)
    }

    async fn sync(&self) -> io::Result<()> {
        self.disk.check_life(self.life)?;
        let mark = self.content.borrow().mark();
        self.disk.take_time(self.life).await?;
        let faults = self.disk.0.faults.borrow();
        let (sync_error, lost_write, rot) = (faults.sync_error, faults.lost_write, faults.rot);
        drop(faults);
        if self.disk.happens(sync_error) {
            let random = &mut self.disk.0.random.borrow_mut();
            self.content.borrow_mut().fail_sync(mark, random);
            return Err(self.disk.fail(&self.path));
        }
        if !(self.disk.happens(lost_write) && self.disk.may_damage(&self.path)) {
            self.content.borrow_mut().settle(mark);
        }
        if self.disk.happens(rot) {
            self.disk.rot_any();
        }
        Ok(())
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len), false).await
    }
}

impl File for SimFile {
    async fn read_at<B: IoBufMut>(&self, mut buffer: B, position: u64) -> BufResult<usize, B> {
        let open = &self.0;
        let room = buffer.as_uninit();
        let (len, address) = (room.len(), room.as_ptr().addr());
        open.check_direct(position, len, address);
        let readable = match open.disk.take_time(open.life).await {
            Ok(()) => open.check_readable(&(position..position + len as u64)),
            Err(error) => Err(error),
        };
        let result = readable.map(|()| {
            let content = open.content.borrow();
            let left = content.current().len().saturating_sub(position);
            let mut bytes = vec![0; len.min(usize::try_from(left).unwrap_or(usize::MAX))];
            let count = content.current().read(position, &mut bytes);
            for (to, from) in buffer.as_uninit().iter_mut().zip(&bytes) {
                to.write(*from);
            }
            // SAFETY: the first `count` bytes were just written.
            unsafe { buffer.advance_to(count) };
            count
        });
        let count = *result.as_ref().unwrap_or(&0);
        BufResult(
            open.noted(DiskOperation::Read, position, count, result),
            buffer,
        )
    }

    async fn write_all_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        self.0.write(buffer, position, false).await
    }

    async fn write_durable_at<B: IoBuf>(&self, buffer: B, position: u64) -> BufResult<(), B> {
        self.0.write(buffer, position, true).await
    }

    async fn sync_data(&self) -> io::Result<()> {
        let result = self.0.sync().await;
        self.0.noted(DiskOperation::Sync, 0, 0, result)
    }

    fn is_direct(&self) -> bool {
        self.0.is_direct
    }

    async fn len(&self) -> io::Result<u64> {
        let result = match self.0.disk.take_time(self.0.life).await {
            Ok(()) => Ok(self.0.content.borrow().current().len()),
            Err(error) => Err(error),
        };
        self.0.noted(DiskOperation::Len, 0, 0, result)
    }

    async fn set_len(&self, len: u64) -> io::Result<()> {
        let result = self.0.set_len(len).await;
        self.0.noted(DiskOperation::SetLen, len, 0, result)
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimFile").field(&self.0.path).finish()
    }
}
