//! What nodes say to each other to hand a state over. The bytes are fixed in `docs/kvvm.md`.

use bytes::{BufMut, Bytes};

use crate::{
    codec::{CODEC_VERSION, DecodeError, Reader, check_size},
    state::{
        Entry, Root,
        range::{Leaf, Path, Range, STEPS_MAX, Step},
    },
    transaction::{Account, KEY_BYTES_MAX, VALUE_BYTES_MAX},
};

/// What a request for a range begins with. A pull begins with 0.
pub(crate) const RANGE_KIND: u16 = 1;
/// The most bytes of entries in one answer, unless a single one has more.
pub(crate) const RANGE_BYTES_MAX: usize = 512 << 10;
/// The most entries in one answer.
pub(crate) const RANGE_ENTRIES_MAX: usize = 8192;
/// The longest answer, in bytes: entries and proof.
pub(crate) const ANSWER_BYTES_MAX: usize = RANGE_BYTES_MAX + (128 << 10);

/// What an entry takes besides its key and its value, in bytes.
const ENTRY_HEAD_BYTES: usize = 32 + 2 + 4;

const OUTSIDE: u8 = 0;
const INNER: u8 = 1;
const END: u8 = 2;
const FOREIGN: u8 = 3;

/// Asks for the entries between two paths, both included, in the state of a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeRequest {
    pub(crate) height: u64,
    /// The root of that state: it names the state beyond doubt.
    pub(crate) root: Root,
    pub(crate) first: Path,
    pub(crate) last: Path,
    /// The most bytes of entries wanted.
    pub(crate) bytes_max: u32,
}

/// Whether a request begins like one for a range.
pub(crate) fn is_range_request(bytes: &[u8]) -> bool {
    bytes.starts_with(&RANGE_KIND.to_be_bytes())
}

impl RangeRequest {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.extend(RANGE_KIND.to_be_bytes());
        out.extend(self.height.to_be_bytes());
        out.extend(self.root.0);
        out.extend(self.first);
        out.extend(self.last);
        out.extend(self.bytes_max.to_be_bytes());
        out.into()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::of_kind(bytes, RANGE_KIND)?;
        let request = Self {
            height: reader.u64()?,
            root: Root(reader.array()?),
            first: reader.array()?,
            last: reader.array()?,
            bytes_max: reader.u32()?,
        };
        reader.finish()?;
        if request.first > request.last {
            return Err(DecodeError::KeyOrder);
        }
        Ok(request)
    }
}

/// Answers a [`RangeRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeAnswer {
    pub(crate) range: Range,
    /// Whether the range goes as far as was asked; else it ends with its last entry.
    pub(crate) is_whole: bool,
}

/// What an entry takes in an answer, in bytes.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    ENTRY_HEAD_BYTES + entry.key.len() + entry.value.len()
}

impl RangeAnswer {
    pub(crate) fn encode(&self) -> Bytes {
        let Range { entries, steps } = &self.range;
        let entries_bytes: usize = entries.iter().map(entry_bytes).sum();
        let mut out = Vec::with_capacity(entries_bytes + 64 * steps.len() + 16);
        out.put_u16(CODEC_VERSION);
        out.put_u8(u8::from(self.is_whole));
        out.put_u32(entries.len() as u32);
        for Entry { account, key, value } in entries {
            out.put_slice(&account.0);
            out.put_u16(key.len() as u16);
            out.put_slice(key);
            out.put_u32(value.len() as u32);
            out.put_slice(value);
        }
        out.put_u16(steps.len() as u16);
        for step in steps {
            match step {
                Step::Outside(hash) => {
                    out.put_u8(OUTSIDE);
                    out.put_slice(hash);
                }
                Step::Inner => out.put_u8(INNER),
                Step::End => out.put_u8(END),
                Step::Foreign(leaf) => {
                    out.put_u8(FOREIGN);
                    out.put_slice(&leaf.path);
                    out.put_slice(&leaf.value_hash);
                }
            }
        }
        out.into()
    }

    /// Reads an answer, which is whole or has entries.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        check_size("answer", bytes.len(), 0, ANSWER_BYTES_MAX)?;
        let mut reader = Reader::new(bytes)?;
        let is_whole = match reader.u8()? {
            0 => false,
            1 => true,
            other => return Err(DecodeError::Tag(other)),
        };
        let entries = reader.u32()? as usize;
        check_size("entries", entries, usize::from(!is_whole), RANGE_ENTRIES_MAX)?;
        let entries = (0..entries).map(|_| decode_entry(&mut reader)).collect::<Result<_, _>>()?;
        let steps = usize::from(reader.u16()?);
        check_size("steps", steps, 0, STEPS_MAX)?;
        let steps = (0..steps).map(|_| decode_step(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { range: Range { entries, steps }, is_whole })
    }
}

fn decode_entry(reader: &mut Reader) -> Result<Entry, DecodeError> {
    let account = Account(reader.array()?);
    let key_length = usize::from(reader.u16()?);
    check_size("key", key_length, 0, KEY_BYTES_MAX)?;
    let key = reader.bytes(key_length)?;
    let value_length = reader.u32()? as usize;
    check_size("value", value_length, 0, VALUE_BYTES_MAX)?;
    Ok(Entry { account, key, value: reader.bytes(value_length)? })
}

fn decode_step(reader: &mut Reader) -> Result<Step, DecodeError> {
    match reader.u8()? {
        OUTSIDE => Ok(Step::Outside(reader.array()?)),
        INNER => Ok(Step::Inner),
        END => Ok(Step::End),
        FOREIGN => Ok(Step::Foreign(Leaf { path: reader.array()?, value_hash: reader.array()? })),
        other => Err(DecodeError::Tag(other)),
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
