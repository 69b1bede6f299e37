//! Bytes of records, shown on a terminal.

use std::fmt::Write as _;

/// A few of `bytes` as text in quotes, with everything escaped that a terminal could take for more
/// than a letter; `null` if there are none.
pub(super) fn shown(bytes: Option<&[u8]>, chars_max: usize) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    // No character has more bytes than four.
    let head = &bytes[..bytes.len().min(chars_max.saturating_mul(4))];
    let mut text = String::from("\"");
    let mut chars_left = chars_max;
    let mut shown_bytes = 0;
    for chunk in head.utf8_chunks() {
        for letter in chunk.valid().chars().take(chars_left) {
            text.extend(letter.escape_debug());
            chars_left -= 1;
            shown_bytes += letter.len_utf8();
        }
        for byte in chunk.invalid().iter().take(chars_left) {
            write!(text, "\\x{byte:02x}").expect("text can be added to a string");
            chars_left -= 1;
            shown_bytes += 1;
        }
    }
    text.push('"');
    if shown_bytes < bytes.len() {
        write!(text, "... ({} bytes)", bytes.len()).expect("text can be added to a string");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_it_is_and_shortened() {
        assert_eq!(shown(None, 9), "null");
        assert_eq!(shown(Some(b""), 9), "\"\"");
        assert_eq!(shown(Some("gr\u{fc}n".as_bytes()), 9), "\"gr\u{fc}n\"");
        assert_eq!(shown(Some(b"123456789"), 9), "\"123456789\"");
        assert_eq!(shown(Some(b"1234567890"), 9), "\"123456789\"... (10 bytes)");
        let long = vec![b'x'; 1 << 20];
        assert_eq!(shown(Some(&long), 3), "\"xxx\"... (1048576 bytes)");
    }

    #[test]
    fn nothing_gets_through_to_the_terminal() {
        assert_eq!(shown(Some(b"\x1b[2J\x07"), 9), "\"\\u{1b}[2J\\u{7}\"");
        assert_eq!(shown(Some(b"a\xff\xfeb"), 9), "\"a\\xff\\xfeb\"");
        let every: String = ('\0'..=char::MAX).collect();
        let text = shown(Some(every.as_bytes()), usize::MAX);
        assert!(!text.chars().any(char::is_control));
        for reordering in ['\u{202e}', '\u{2066}', '\u{200f}', '\u{feff}', '\u{2028}'] {
            assert!(!text.contains(reordering), "{reordering:?}");
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let text = shown(Some(&bytes), 999);
        assert!(
            text.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
            "{text}"
        );
    }
}
