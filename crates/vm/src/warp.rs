//! Warp: what one chain says to others, signed by its validators.
//!
//! A node gives its signature over an [`UnsignedMessage`] through its [`Signer`]. Somebody collects
//! the signatures of the validators of the chain's subnet and adds them up. The VM of another chain
//! verifies the signed [`Message`] under the subnet's [`CanonicalSet`] at a height of the P-Chain.
//!
//! | what | bytes |
//! |---|---|
//! | unsigned message | version 0 (2), network (4), source chain (32), payload |
//! | signed message | unsigned message, type 0 (4), signers, signature (96) |
//! | [`Payload::Hash`] | version 0 (2), type 0 (4), hash (32) |
//! | [`Payload::AddressedCall`] | version 0 (2), type 1 (4), source address, payload |
//!
//! Numbers are big-endian; what has no length here is a length (4) of at most 2³¹ − 1 and so many
//! bytes. Nothing may follow. The ID of a message is the SHA-256 of the unsigned message, whose
//! bytes are also what is signed. Signers are a number whose bit `i` stands for validator `i` of the
//! set, without leading zero bytes.
//!
//! [`BitSetSignature::verify`] refuses for the first of these that does not hold: the message is of
//! the network; the signers have no leading zero byte; each is in the set; they weigh enough; the
//! signature is a point of the group; there are signers; the signature is valid under the sum of
//! their keys. Parsing looks at none of these.
//!
//! Parsed values are parts of the bytes they came from, so parsing takes no memory of its own.
//!
//! Upstream: `vms/platformvm/warp`, `snow/validators/warp.go`.

mod message;
mod payload;
mod set;
mod signature;
mod signer;

use sastrugi_types::codec::{CodecError, Unpacker};

pub use message::{Message, UnsignedMessage};
pub use payload::{AddressedCall, PAYLOAD_BYTES_MAX, Payload, PayloadError};
pub use set::{CanonicalSet, CanonicalSetError, CanonicalValidator};
pub use signature::{BitSetSignature, VerifyError, verify_weight};
pub use signer::{LocalSigner, SignError, Signer};

/// The only version of the codec.
const VERSION: u16 = 0;

/// Reads the version and gives what reads the rest.
fn open(bytes: &[u8]) -> Result<Unpacker<'_>, CodecError> {
    let (version, rest) = bytes.split_first_chunk().ok_or(CodecError::NoVersion)?;
    if u16::from_be_bytes(*version) == VERSION {
        Ok(Unpacker::new(rest))
    } else {
        Err(CodecError::UnknownVersion)
    }
}

/// Reads a length and so many bytes.
fn unpack_bytes<'b>(unpacker: &mut Unpacker<'b>) -> Result<&'b [u8], CodecError> {
    let length = unpacker.unpack_count()?;
    unpacker.unpack_fixed(length)
}

#[cfg(test)]
mod tests;
