use bytes::Bytes;

/// From this size on a batch is kept where it was received. The log gathers smaller ones into
/// larger writes by copying them as well.
const SHARED_BYTES_MIN: usize = 32 << 10;

/// A batch as the log shall keep it in memory: shared with the buffer that it was received in, or
/// copied out of it.
///
/// A shared batch keeps its whole buffer in memory for as long as the log keeps the batch, which
/// may be long in a partition that falls idle. Then a small batch would hold a buffer a thousand
/// times its size, and no limit on what the logs keep would mean anything. So a batch is shared
/// only if it is large, and `is_most` of what was received together with it.
pub(super) fn keep(batch: Bytes, is_most: bool) -> Bytes {
    if is_most && batch.len() >= SHARED_BYTES_MIN {
        batch
    } else {
        Bytes::copy_from_slice(&batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_batch_that_came_alone_shares_its_buffer() {
        let received = Bytes::from(vec![1; SHARED_BYTES_MIN]);
        let is_shared = |batch: &Bytes, is_most| {
            let kept = keep(batch.clone(), is_most);
            assert_eq!(kept, batch);
            kept.as_ptr() == batch.as_ptr()
        };
        assert!(is_shared(&received, true));
        assert!(!is_shared(&received, false));
        assert!(!is_shared(&received.slice(1..), true));
    }
}
