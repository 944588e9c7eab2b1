//! Frames: a length of four bytes, big-endian, then that many bytes of message.
//!
//! [`FrameDecoder`] takes what arrives, in pieces of any size. It stops between length and body
//! when asked to, because a throttle may want to wait there. Its memory grows with what arrived,
//! not with what a length promises.
//!
//! Upstream: `network/peer/msg_length.go`, `network/peer/peer.go`.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

/// Largest body of a frame, and largest content of a compressed message.
pub const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The length in front of a body.
pub const HEADER_BYTES: usize = 4;

/// Least room made for a body that has begun to arrive.
const BODY_BYTES_MIN: usize = 4 * 1024;

/// A body is, or would be, longer than [`MESSAGE_BYTES_MAX`]. On receipt the connection closes;
/// an own message is not sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a frame of {length} bytes, more than {MESSAGE_BYTES_MAX}")]
pub struct FrameTooLarge {
    /// Its length in bytes.
    pub length: usize,
}

/// Puts frames together from what arrives.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body: Vec<u8>,
}

impl FrameDecoder {
    /// Upon input: takes the length of the next body, and stops before the body. `None` if it
    /// has not arrived whole.
    pub fn poll_length(&mut self, input: &mut &[u8]) -> Result<Option<usize>, FrameTooLarge> {
        let missing = HEADER_BYTES - self.header_filled;
        let taken = take(input, missing);
        self.header[self.header_filled..][..taken.len()].copy_from_slice(taken);
        self.header_filled += taken.len();
        if self.header_filled < HEADER_BYTES {
            return Ok(None);
        }
        let length = u32::from_be_bytes(self.header) as usize;
        if length > MESSAGE_BYTES_MAX { Err(FrameTooLarge { length }) } else { Ok(Some(length)) }
    }

    /// Upon input: takes as much of the next frame as there is. `None` if it has not arrived
    /// whole; then all of the input was taken.
    pub fn poll_frame(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, FrameTooLarge> {
        let Some(length) = self.poll_length(input)? else { return Ok(None) };
        let taken = take(input, length - self.body.len());
        self.reserve(taken.len(), length);
        self.body.extend_from_slice(taken);
        if self.body.len() < length {
            return Ok(None);
        }
        self.header_filled = 0;
        Ok(Some(std::mem::take(&mut self.body).into()))
    }

    /// Makes room for what arrived, doubling as needed, but never for more than the whole body.
    fn reserve(&mut self, arrived: usize, length: usize) {
        let needed = self.body.len() + arrived;
        if needed > self.body.capacity() {
            let wanted = needed.max(2 * self.body.len()).max(BODY_BYTES_MIN).min(length);
            self.body.reserve_exact(wanted - self.body.len());
        }
    }
}

/// Takes at most `max` bytes off the front.
fn take<'a>(input: &mut &'a [u8], max: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(max.min(input.len()));
    *input = rest;
    taken
}

/// What stands in front of a body of this length.
pub fn header(length: usize) -> Result<[u8; HEADER_BYTES], FrameTooLarge> {
    if length > MESSAGE_BYTES_MAX {
        return Err(FrameTooLarge { length });
    }
    Ok((length as u32).to_be_bytes())
}

/// Appends a frame with this body.
pub fn write(body: &[u8], out: &mut BytesMut) -> Result<(), FrameTooLarge> {
    let header = header(body.len())?;
    out.reserve(HEADER_BYTES + body.len());
    out.put_slice(&header);
    out.put_slice(body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(bodies: &[&[u8]]) -> BytesMut {
        let mut out = BytesMut::new();
        for body in bodies {
            write(body, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn frames_arrive_in_any_pieces() {
        let large = vec![7; 100_000];
        let bodies: [&[u8]; 5] = [b"one", b"", &large, b"", b"two"];
        let wire = framed(&bodies);
        for piece in [1, 2, 3, 5, 4_096, wire.len()] {
            let mut decoder = FrameDecoder::default();
            let mut found = Vec::new();
            for mut input in wire.chunks(piece) {
                while let Some(frame) = decoder.poll_frame(&mut input).unwrap() {
                    found.push(frame);
                }
                assert!(input.is_empty());
            }
            assert_eq!(found, bodies, "in pieces of {piece}");
        }
    }

    #[test]
    fn the_length_is_known_before_the_body_is_touched() {
        let wire = framed(&[b"body"]);
        let mut decoder = FrameDecoder::default();
        let mut input = &wire[..];
        assert_eq!(decoder.poll_length(&mut input), Ok(Some(4)));
        assert_eq!(decoder.poll_length(&mut input), Ok(Some(4)));
        assert_eq!(input, b"body");
        assert_eq!(decoder.poll_frame(&mut input), Ok(Some(Bytes::from_static(b"body"))));
        assert_eq!(decoder.poll_length(&mut input), Ok(None));
    }

    #[test]
    fn the_largest_length_passes_and_the_next_does_not() {
        let length = MESSAGE_BYTES_MAX;
        let mut decoder = FrameDecoder::default();
        assert_eq!(decoder.poll_length(&mut &header(length).unwrap()[..]), Ok(Some(length)));
        let too_large = FrameTooLarge { length: length + 1 };
        assert_eq!(header(length + 1), Err(too_large));
        let mut decoder = FrameDecoder::default();
        let input = (length as u32 + 1).to_be_bytes();
        assert_eq!(decoder.poll_frame(&mut &input[..]), Err(too_large));
    }

    #[test]
    fn a_promised_length_takes_no_memory() {
        let mut decoder = FrameDecoder::default();
        let mut input = &header(MESSAGE_BYTES_MAX).unwrap()[..];
        assert_eq!(decoder.poll_frame(&mut input), Ok(None));
        assert_eq!(decoder.body.capacity(), 0);
        for _ in 0..100 {
            assert_eq!(decoder.poll_frame(&mut &[0; 1_000][..]), Ok(None));
            assert!(decoder.body.capacity() <= BODY_BYTES_MIN.max(2 * decoder.body.len()));
        }
    }
}
