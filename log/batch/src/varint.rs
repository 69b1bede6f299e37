//! Zigzag LEB128: small numbers of either sign in few bytes.

/// The bytes that `value` takes.
pub(crate) fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends `value` to `out`.
pub(crate) fn put(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Takes a number off the front of `bytes`; `None` if it is cut off or too large for 64 bits.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// Takes a number that must fit into 32 bits.
pub(crate) fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(take(bytes)?).ok()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_take_the_size_foretold() {
        let powers = (0..63).map(|bit| 1i64 << bit);
        let edges = powers.flat_map(|power| [power, -power, power - 1, 1 - power]);
        for value in edges.chain([i64::MIN, i64::MAX]) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            assert_eq!(bytes.len(), size(value), "the size of {value}");
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
            for cut in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..cut]), None, "{value} cut to {cut} bytes");
            }
        }
    }

    #[test]
    fn numbers_that_are_too_large_are_refused() {
        assert_eq!(take(&mut [0xff; 11].as_slice()), None);
        let eleven_bits_too_many = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(take(&mut eleven_bits_too_many.as_slice()), None);
        let mut bytes = Vec::new();
        put(&mut bytes, i64::from(i32::MAX) + 1);
        assert_eq!(take_i32(&mut bytes.as_slice()), None);
    }
}
