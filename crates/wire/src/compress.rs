//! Compression of messages, behind a seat that another implementation can take.
//!
//! Every level is read alike, so the sender chooses. On the workloads of the codec benchmark
//! level 1 takes a sixth of the time of upstream's level 5, for messages that are a fifth smaller
//! at best and 2 % larger at worst. Contexts are kept between messages, since making one costs more than compressing a
//! small message.
//!
//! Decompression must bear any input. One frame is taken, nothing before or after it. A frame
//! that states a size within the limit is restored in one step into a buffer of that size. Any
//! other goes through the streaming decoder, which stops one byte after the limit. A frame that
//! was cut gives what came out before the cut: most often nothing, but all of it when only the
//! mark of the last block or the checksum is missing. Upstream's decoder does the same, and the
//! vectors hold such frames.
//!
//! Upstream: `utils/compression/zstd_compressor.go`.

use std::io::Cursor;

use zstd::zstd_safe::{
    self, CCtx, DCtx, InBuffer, OutBuffer, find_frame_compressed_size, get_error_name,
    get_frame_content_size,
};

use crate::WireError;

/// How messages are sent; received ones are read in any form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// Each message that may gain by it, compressed with zstd.
    #[default]
    Zstd,
}

/// A zstd compressor and decompressor, used by one thread at a time.
pub trait Compressor: Send {
    /// The compression of `content` as one frame that states its size, with `prefix` free bytes
    /// in front of it.
    fn compress(&mut self, content: &[u8], prefix: usize) -> Result<Vec<u8>, WireError>;

    /// The content of `frame`: at most `max_bytes`, else [`WireError::TooLarge`]. Takes no more
    /// memory than that, save what the frame's own window needs.
    fn decompress(&mut self, frame: &[u8], max_bytes: usize) -> Result<Vec<u8>, WireError>;
}

/// The level messages are compressed at.
const LEVEL: i32 = 1;
/// The level of short messages. It leaves literals as they are: a code for so few of them takes
/// longer to make than all the rest, and saves next to nothing.
const LEVEL_SHORT: i32 = -1;
/// The longest short message.
const SHORT_BYTES_MAX: usize = 256;
/// Fewer bytes than the magic number count as a frame that was cut.
const MAGIC_BYTES: usize = 4;
/// The streaming decoder's output grows by this much.
const CHUNK_BYTES: usize = 128 * 1024;

/// The C library's implementation.
#[derive(Default)]
pub struct Zstd {
    compressor: CCtx<'static>,
    decompressor: DCtx<'static>,
}

impl std::fmt::Debug for Zstd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Zstd").finish_non_exhaustive()
    }
}

impl Compressor for Zstd {
    fn compress(&mut self, content: &[u8], prefix: usize) -> Result<Vec<u8>, WireError> {
        let room = prefix + zstd_safe::compress_bound(content.len());
        let mut out = Cursor::new(Vec::with_capacity(room));
        out.set_position(prefix as u64);
        let level = if content.len() <= SHORT_BYTES_MAX { LEVEL_SHORT } else { LEVEL };
        self.compressor.compress(&mut out, content, level).map_err(named)?;
        Ok(out.into_inner())
    }

    fn decompress(&mut self, frame: &[u8], max_bytes: usize) -> Result<Vec<u8>, WireError> {
        let stated = get_frame_content_size(frame).ok().flatten();
        let size = stated.and_then(|size| usize::try_from(size).ok()).filter(|it| *it <= max_bytes);
        let is_whole = find_frame_compressed_size(frame) == Ok(frame.len());
        match size {
            Some(size) if is_whole => {
                let mut content = Vec::with_capacity(size);
                self.decompressor.decompress(&mut content, frame).map_err(named)?;
                Ok(content)
            }
            _ => stream(frame, max_bytes),
        }
    }
}

/// Restores a frame of unknown size. Its decoder is not kept: the buffer for a large window would
/// stay with it.
fn stream(frame: &[u8], max_bytes: usize) -> Result<Vec<u8>, WireError> {
    if frame.len() < MAGIC_BYTES {
        return Ok(Vec::new());
    }
    let mut decoder = DCtx::create();
    let mut input = InBuffer::around(frame);
    let mut content = Vec::new();
    let mut trailing = false;
    loop {
        let room = (max_bytes + 1 - content.len()).min(CHUNK_BYTES);
        content.reserve(room);
        let (before, consumed) = (content.len(), input.pos);
        let mut output = OutBuffer::around_pos(&mut content, before);
        let hint = decoder.decompress_stream(&mut output, &mut input).map_err(named)?;
        let has_ended = input.pos == frame.len();
        if content.len() > max_bytes {
            return Err(WireError::TooLarge { max_bytes });
        }
        if hint == 0 && !has_ended {
            trailing = true;
        }
        if has_ended && (hint == 0 || content.len() == before) {
            break;
        }
        if input.pos == consumed && content.len() == before {
            return Err(WireError::Zstd("no progress"));
        }
    }
    if trailing { Err(WireError::Zstd("more than one frame")) } else { Ok(content) }
}

fn named(code: usize) -> WireError {
    WireError::Zstd(get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1_000_000;

    fn frame_of(content: &[u8]) -> Vec<u8> {
        Zstd::default().compress(content, 0).unwrap()
    }

    #[test]
    fn a_context_serves_many_messages_of_all_sizes() {
        let mut zstd = Zstd::default();
        for size in [0, 1, 100, 5_000, LIMIT, 3, 128 * 1024, 0] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let packed = zstd.compress(&content, 3).unwrap();
            assert_eq!(zstd.decompress(&packed[3..], LIMIT).unwrap(), content);
        }
    }

    #[test]
    fn the_limit_is_exact_with_and_without_a_stated_size() {
        let mut zstd = Zstd::default();
        for size in [LIMIT, LIMIT + 1] {
            let content = vec![5; size];
            let stated = frame_of(&content);
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            std::io::Write::write_all(&mut encoder, &content).unwrap();
            let unstated = encoder.finish().unwrap();
            assert!(matches!(get_frame_content_size(&unstated), Ok(None)));
            for frame in [stated, unstated] {
                let restored = zstd.decompress(&frame, LIMIT);
                if size == LIMIT {
                    assert_eq!(restored.unwrap(), content);
                } else {
                    assert_eq!(restored, Err(WireError::TooLarge { max_bytes: LIMIT }));
                }
            }
        }
    }

    #[test]
    fn one_frame_and_nothing_else() {
        let mut zstd = Zstd::default();
        let frame = frame_of(b"content");
        for extra in [&[0][..], b"garbage", &frame] {
            let both = [&frame, extra].concat();
            assert!(matches!(zstd.decompress(&both, LIMIT), Err(WireError::Zstd(_))));
        }
        assert_eq!(zstd.decompress(&frame, LIMIT).unwrap(), b"content");
    }

    #[test]
    fn a_cut_frame_gives_what_came_out_before_the_cut() {
        let mut zstd = Zstd::default();
        let frame = frame_of(b"content");
        for end in 0..frame.len() {
            assert!(b"content".starts_with(&zstd.decompress(&frame[..end], LIMIT).unwrap()));
        }
    }
}
