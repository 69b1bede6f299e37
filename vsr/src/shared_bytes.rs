//! Bytes that many may hold at once.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that never change: a copy shares them instead of repeating them.
///
/// Copies of the same bytes are told equal without a look at them, and a hash covers their checksum
/// instead of themselves. So a replica that holds megabytes is still cheap to clone, to compare and
/// to hash.
#[derive(Clone)]
pub(crate) struct SharedBytes {
    bytes: Arc<[u8]>,
    checksum: u32,
}

impl SharedBytes {
    pub(crate) fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let checksum = crc32c::crc32c(&bytes);
        Self { bytes, checksum }
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl PartialEq for SharedBytes {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bytes, &other.bytes)
            || (self.checksum == other.checksum && self.bytes == other.bytes)
    }
}

impl Eq for SharedBytes {}

impl Hash for SharedBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.len().hash(state);
        self.checksum.hash(state);
    }
}

impl fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:08x}", self.bytes.len(), self.checksum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_equal_wherever_they_lie() {
        let bytes = SharedBytes::new(vec![1, 2, 3]);
        assert_eq!(bytes, bytes.clone());
        assert_eq!(bytes, SharedBytes::new(vec![1, 2, 3]));
        assert_ne!(bytes, SharedBytes::new(vec![1, 2, 4]));
        assert_ne!(bytes, SharedBytes::new(vec![1, 2]));
    }
}
