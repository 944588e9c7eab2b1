//! PEM, the text form of certificate and key files.

use std::fmt::Write as _;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Bytes that make one full line of 64 characters.
const LINE_BYTES: usize = 48;

/// One section.
pub(super) fn section(label: &str, der: &[u8]) -> String {
    let mut text = String::with_capacity(der.len() * 3 / 2 + 64);
    let _infallible = writeln!(text, "-----BEGIN {label}-----");
    for line in der.chunks(LINE_BYTES) {
        line.chunks(3).for_each(|group| push_base64(&mut text, group));
        text.push('\n');
    }
    let _infallible = writeln!(text, "-----END {label}-----");
    text
}

/// Four characters for one to three bytes.
fn push_base64(text: &mut String, group: &[u8]) {
    let bits = (0..3).fold(0, |bits, at| bits << 8 | group.get(at).map_or(0, |&b| u32::from(b)));
    for at in 0..4 {
        let digit = (bits >> (18 - 6 * at)) & 0x3f;
        text.push(if at > group.len() { '=' } else { char::from(ALPHABET[digit as usize]) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_each_remainder() {
        for (bytes, text) in [(&b"f"[..], "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v")] {
            let mut out = String::new();
            push_base64(&mut out, bytes);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn lines_have_64_characters() {
        let text = section("X", &[0xff; 49]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.first(), Some(&"-----BEGIN X-----"));
        assert_eq!(lines.get(1).map(|line| line.len()), Some(64));
        assert_eq!(lines.get(2), Some(&"/w=="));
        assert_eq!(lines.last(), Some(&"-----END X-----"));
    }
}
