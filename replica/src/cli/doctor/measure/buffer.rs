/// The largest operation.
pub(super) const BUFFER_BYTES: u32 = 1 << 20;
/// What direct files want their memory aligned to at most, wherever this runs.
const ALIGNMENT: usize = 4_096;

/// Memory that the kernel may read and write at any time, since it is never given back.
///
/// A program that measures once and ends needs no more, and nothing can go wrong with it: not even
/// an operation that outlives the ring it was given to touches memory of anybody else.
pub(super) fn forever() -> &'static mut [u8] {
    let size = BUFFER_BYTES as usize;
    let memory = vec![0; size + ALIGNMENT].leak();
    let skipped = memory.as_ptr().align_offset(ALIGNMENT);
    let buffer = &mut memory[skipped..skipped + size];
    fill(buffer);
    buffer
}

/// Noise, for some disks and file systems make nothing of zeros, or little of what repeats.
fn fill(buffer: &mut [u8]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for bytes in buffer.chunks_mut(8) {
        // Xorshift: any nonzero beginning gives a long sequence.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.copy_from_slice(&state.to_le_bytes()[..bytes.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_aligned_and_holds_noise() {
        let buffer = forever();
        assert_eq!(buffer.len(), BUFFER_BYTES as usize);
        assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
        let zeros = buffer.iter().filter(|byte| **byte == 0).count();
        assert!(zeros < buffer.len() / 100, "{zeros}");
    }
}
