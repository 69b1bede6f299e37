use std::fs::read_to_string;
use std::path::Path;

use rustix::fs::{Dev, major, minor};

/// The block device below a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockDevice {
    pub(crate) name: String,
    /// What the device says of itself; many virtual disks say that they turn.
    pub(crate) is_rotational: Option<bool>,
    pub(crate) write_cache: Option<WriteCache>,
}

/// What the kernel knows of the memory in which a device keeps what it has confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteCache {
    /// There is one, and it is emptied for every sync.
    Flushed,
    /// The device says that there is none that a power cut would empty; syncs do not flush.
    NeedsNoFlush,
}

impl BlockDevice {
    /// The device with this number; file systems without a disk, and some that span several, have
    /// a number that belongs to none.
    pub(super) fn of(number: Dev) -> Option<Self> {
        let link = format!("/sys/dev/block/{}:{}", major(number), minor(number));
        let folder = Path::new(&link).canonicalize().ok()?;
        let name = folder.file_name()?.to_string_lossy().into_owned();
        // A partition lies inside the folder of its disk, which alone has a queue.
        let queue = [folder.join("queue"), folder.parent()?.join("queue")]
            .into_iter()
            .find(|queue| queue.is_dir())?;
        let read = |name: &str| read_to_string(queue.join(name)).ok();
        Some(Self {
            name,
            is_rotational: read("rotational").map(|text| text.trim() == "1"),
            write_cache: read("write_cache").and_then(|text| WriteCache::parse(text.trim())),
        })
    }
}

impl WriteCache {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "write back" => Some(Self::Flushed),
            "write through" => Some(Self::NeedsNoFlush),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_says_of_a_cache_is_believed() {
        assert_eq!(WriteCache::parse("write back"), Some(WriteCache::Flushed));
        let through = WriteCache::parse("write through");
        assert_eq!(through, Some(WriteCache::NeedsNoFlush));
        assert_eq!(WriteCache::parse("none"), None);
    }

    #[test]
    fn a_number_without_a_device_has_none() {
        assert_eq!(BlockDevice::of(0), None);
    }
}
