//! The codec: messages to the bodies of frames and back.

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Message, WireError, decode, encode, wire::Sink};
use crate::{Compression, Compressor, Op, compress::Zstd, frame::MESSAGE_BYTES_MAX};

/// Free bytes in front of a compressed content: tag and length of the field it becomes.
const HEADER_BYTES_MAX: usize = 1 + 5;
/// Compressors kept for later use. More exist only while as many threads use one.
const IDLE_MAX: usize = 16;

/// A message ready to be framed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The body of the frame.
    pub bytes: Bytes,
    /// What the message is for.
    pub op: Op,
    /// How many bytes compression saved; negative if it cost some, 0 without it.
    pub bytes_saved: i64,
    /// Whether the message is sent even to a peer that has too much in its queue: true for a
    /// handshake. The sender sets it for the peer list that answers one.
    pub bypass_throttling: bool,
}

/// A message as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The message. Its containers are slices of the frame, or of the restored content.
    pub message: Message,
    /// How many bytes compression saved; negative if it cost some, 0 without it.
    pub bytes_saved: i64,
}

/// Encodes and decodes messages, from any thread.
///
/// It only holds compressors, so that they are made once.
pub struct Codec {
    idle: Mutex<Vec<Box<dyn Compressor>>>,
    make: fn() -> Box<dyn Compressor>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

impl Default for Codec {
    fn default() -> Self {
        Self::new(|| Box::new(Zstd::default()))
    }
}

impl Codec {
    /// A codec over the compressors that `make` makes.
    pub fn new(make: fn() -> Box<dyn Compressor>) -> Self {
        Self { idle: Mutex::default(), make }
    }

    /// Serializes a message.
    ///
    /// # Errors
    ///
    /// [`WireError::TooLarge`] if it would be compressed and is larger than a message may be (a
    /// message that is not compressed is measured when it is framed), and
    /// [`WireError::NoEncoding`] for a malformed response.
    pub fn encode(
        &self,
        message: &Message,
        compression: Compression,
    ) -> Result<Encoded, WireError> {
        let op = message.op();
        let plain = encode::encode(message)?;
        let bypass_throttling = op == Op::Handshake;
        if compression == Compression::None || !op.is_compressed() {
            return Ok(Encoded { bytes: plain.into(), op, bytes_saved: 0, bypass_throttling });
        }
        if plain.len() > MESSAGE_BYTES_MAX {
            return Err(WireError::TooLarge { max_bytes: MESSAGE_BYTES_MAX });
        }
        let packed = self.with(|compressor| compressor.compress(&plain, HEADER_BYTES_MAX))?;
        let bytes = wrap(packed);
        let bytes_saved = plain.len() as i64 - bytes.len() as i64;
        Ok(Encoded { bytes, op, bytes_saved, bypass_throttling })
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    ///
    /// See [`WireError`]; the frame is dropped and the connection stays.
    pub fn decode(&self, frame: &Bytes) -> Result<Decoded, WireError> {
        decode::decode(frame, |packed| {
            self.with(|compressor| compressor.decompress(packed, MESSAGE_BYTES_MAX))
        })
    }

    /// Lends out a compressor.
    fn with<T>(&self, work: impl FnOnce(&mut dyn Compressor) -> T) -> T {
        let idle = self.idle.lock().pop();
        let mut compressor = idle.unwrap_or_else(self.make);
        let result = work(compressor.as_mut());
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(compressor);
        }
        result
    }
}

/// Makes the field of the outer message out of a compressed content with free bytes in front.
fn wrap(mut packed: Vec<u8>) -> Bytes {
    let content_bytes = packed.len() - HEADER_BYTES_MAX;
    let mut header = Vec::with_capacity(HEADER_BYTES_MAX);
    header.tag(decode::COMPRESSED, 2);
    header.varint(content_bytes as u64);
    let start = HEADER_BYTES_MAX - header.len();
    packed[start..HEADER_BYTES_MAX].copy_from_slice(&header);
    // A message may wait long in a queue, which counts its length and not what it occupies.
    if packed.capacity() / 2 > packed.len() {
        packed.shrink_to_fit();
    }
    Bytes::from(packed).slice(start..)
}
