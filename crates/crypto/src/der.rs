//! Reading and writing the little DER that staking certificates need.
//!
//! The reader accepts what the library does that upstream walks certificates with, not less and not
//! more: that makes it a rule of consensus. Lengths are definite, minimal and of at most four bytes,
//! tag numbers fit into the first byte. What follows the last element read is never looked at.

use std::borrow::Cow;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Tag of the context-specific, constructed element `[number]`.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

const TAG_NUMBER_MASK: u8 = 0x1f;
const LONG_FORM: u8 = 0x80;
const LENGTH_BYTES_MAX: usize = 4;
const ARC_BYTES_MAX: usize = 5;

/// A cursor over the elements of one DER value. Each method reads one element, or returns `None`
/// if the next one is not as asked for; after that the reader is of no further use.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.any()?;
        (found == tag).then_some(content)
    }

    /// A reader of the content of the next element, which must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.element(tag).map(Self::new)
    }

    /// The content of the next element if it has this tag. The outer `None` means that it has the
    /// tag and is malformed.
    #[expect(clippy::option_option, reason = "absent and malformed are different answers")]
    pub(crate) fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.rest.first() == Some(&tag) { self.element(tag).map(Some) } else { Some(None) }
    }

    /// The content of a well-formed object identifier: minimal arcs below 2^31.
    pub(crate) fn oid(&mut self) -> Option<&'a [u8]> {
        let content = self.element(OID)?;
        let mut arcs = skip_arc(content)?;
        while !arcs.is_empty() {
            arcs = skip_arc(arcs)?;
        }
        Some(content)
    }

    /// The minimal two's complement bytes of an integer, at least one.
    pub(crate) fn integer(&mut self) -> Option<&'a [u8]> {
        let content = self.element(INTEGER)?;
        let minimal = match content {
            [] => false,
            [0x00, second, ..] => second & 0x80 != 0,
            [0xff, second, ..] => second & 0x80 == 0,
            _ => true,
        };
        minimal.then_some(content)
    }

    /// The bytes of a bit string, moved right by the number of its unused bits, which must be zero.
    pub(crate) fn bit_string(&mut self) -> Option<Cow<'a, [u8]>> {
        let (&unused, bytes) = self.element(BIT_STRING)?.split_first()?;
        match (unused, bytes.last()) {
            (0, _) => Some(Cow::Borrowed(bytes)),
            (1..8, Some(last)) if last.trailing_zeros() >= u32::from(unused) => {
                Some(Cow::Owned(right_aligned(bytes, unused)))
            }
            _ => None,
        }
    }

    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.rest.split_first_chunk()?;
        if tag & TAG_NUMBER_MASK == TAG_NUMBER_MASK {
            return None;
        }
        let (length, rest) = if first & LONG_FORM == 0 {
            (usize::from(first), rest)
        } else {
            long_length(usize::from(first & !LONG_FORM), rest)?
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((tag, content))
    }
}

fn long_length(count: usize, bytes: &[u8]) -> Option<(usize, &[u8])> {
    if count == 0 || count > LENGTH_BYTES_MAX {
        return None;
    }
    let (length_bytes, rest) = bytes.split_at_checked(count)?;
    if length_bytes.first() == Some(&0) {
        return None;
    }
    let length = length_bytes.iter().fold(0_u32, |length, &byte| length << 8 | u32::from(byte));
    (length >= u32::from(LONG_FORM)).then_some((usize::try_from(length).ok()?, rest))
}

/// What follows the first arc of an object identifier.
fn skip_arc(bytes: &[u8]) -> Option<&[u8]> {
    let mut value = 0_u32;
    for (index, &byte) in bytes.iter().enumerate().take(ARC_BYTES_MAX) {
        let padded = index == 0 && byte == LONG_FORM;
        let too_large = value >= 1 << 24;
        if padded || too_large {
            return None;
        }
        value = value << 7 | u32::from(byte & !LONG_FORM);
        if byte & LONG_FORM == 0 {
            return bytes.get(index + 1..);
        }
    }
    None
}

fn right_aligned(bytes: &[u8], unused: u8) -> Vec<u8> {
    let mut carry = 0;
    let shifted = |&byte: &u8| {
        let out = carry | byte >> unused;
        carry = byte << (8 - unused);
        out
    };
    bytes.iter().map(shifted).collect()
}

/// One element: tag, minimal length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < LONG_FORM => out.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let first = length.iter().position(|&byte| byte != 0).unwrap_or(length.len());
            let minimal = &length[first..];
            out.push(LONG_FORM | minimal.len() as u8);
            out.extend_from_slice(minimal);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A constructed element: the parts joined.
pub(crate) fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A sequence of elements.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

/// A non-negative integer, from big-endian bytes without leading zeros.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    match bytes.first() {
        Some(first) if first & 0x80 == 0 => element(INTEGER, bytes),
        _ => element(INTEGER, &[&[0], bytes].concat()),
    }
}

/// A bit string of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(BIT_STRING, &[&[0], bytes].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let bytes = element(OCTET_STRING, &content);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.element(OCTET_STRING), Some(content.as_slice()));
            assert!(reader.rest.is_empty());
        }
    }

    #[test]
    fn lengths_are_definite_and_minimal() {
        for bytes in [
            &[0x30][..],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x7f],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x85, 1, 0, 0, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 2, 0],
            &[0x3f, 0],
        ] {
            assert_eq!(Reader::new(bytes).any(), None, "{bytes:02x?}");
        }
    }

    #[test]
    fn unused_bits_move_the_bytes_right() {
        let string = |content: &[u8]| {
            let bytes = element(BIT_STRING, content);
            Reader::new(&bytes).bit_string().map(Cow::into_owned)
        };
        assert_eq!(string(&[0, 0x12, 0x34]), Some(vec![0x12, 0x34]));
        assert_eq!(string(&[4, 0x12, 0x30]), Some(vec![0x01, 0x23]));
        assert_eq!(string(&[7, 0x80]), Some(vec![0x01]));
        assert_eq!(string(&[0]), Some(vec![]));
        for refused in [&[][..], &[1], &[8, 0], &[4, 0x12, 0x34]] {
            assert_eq!(string(refused), None, "{refused:02x?}");
        }
    }

    #[test]
    fn integers_are_minimal() {
        let integer = |content: &[u8]| {
            let bytes = element(INTEGER, content);
            Reader::new(&bytes).integer().map(<[u8]>::to_vec)
        };
        for good in [&[0][..], &[0x7f], &[0x80], &[0, 0x80], &[0xff, 0x7f]] {
            assert_eq!(integer(good).as_deref(), Some(good));
        }
        for refused in [&[][..], &[0, 0x7f], &[0xff, 0x80]] {
            assert_eq!(integer(refused), None, "{refused:02x?}");
        }
    }

    #[test]
    fn arcs_are_minimal_and_below_two_to_the_31() {
        let oid = |content: &[u8]| {
            let bytes = element(OID, content);
            Reader::new(&bytes).oid().is_some()
        };
        assert!(oid(&[0x2a, 0x87, 0xff, 0xff, 0xff, 0x7f]));
        assert!(!oid(&[0x2a, 0x88, 0x80, 0x80, 0x80, 0x00]));
        assert!(!oid(&[]));
        assert!(!oid(&[0x80, 0x01]));
        assert!(!oid(&[0x2a, 0x86]));
    }
}
