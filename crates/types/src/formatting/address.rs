//! Addresses: the alias of a chain, `-`, and bech32.
//!
//! Bech32 as upstream's library reads it: at most 90 characters, either checksum constant (that of
//! bech32 or bech32m), and no demand on the bits that fill the last group. Upstream:
//! `utils/formatting/address`, and the package `bech32` of btcutil.

use thiserror::Error;

use crate::{ShortId, id::IdError};

const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_GROUPS: usize = 6;
const TEXT_BYTES_MIN: usize = 8;
const TEXT_BYTES_MAX: usize = 90;
const BECH32: u32 = 1;
const BECH32M: u32 = 0x2bc8_30a3;

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is no `-` after the chain.
    #[error("no separator found in address")]
    NoSeparator,
    /// The bech32 part is too short or too long.
    #[error("invalid bech32 string length {0}")]
    Length(usize),
    /// A character is not allowed where it stands.
    #[error("invalid character in bech32 string")]
    Character,
    /// The letters are of both cases.
    #[error("string not all lowercase or all uppercase")]
    MixedCase,
    /// The `1` that ends the human-readable part is missing or misplaced.
    #[error("invalid bech32 separator")]
    Bech32Separator,
    /// The checksum is wrong.
    #[error("invalid bech32 checksum")]
    Checksum,
}

/// The parts of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedAddress {
    /// The chain's alias or ID; may be empty.
    pub chain: String,
    /// The human-readable part, in lower case, which names the network.
    pub hrp: String,
    /// The bytes; 20 in a valid address.
    pub bytes: Vec<u8>,
}

impl ParsedAddress {
    /// The bytes as an identifier.
    ///
    /// # Errors
    /// [`IdError::Length`] if there are not 20 bytes.
    pub fn short_id(&self) -> Result<ShortId, IdError> {
        self.bytes.as_slice().try_into()
    }
}

/// The text of `bytes` on `chain` of the network whose human-readable part is `hrp`.
pub fn format_address(chain: &str, hrp: &str, bytes: &[u8]) -> String {
    let hrp = hrp.to_lowercase();
    let mut groups = regroup(bytes, 8, 5);
    let checksum = polymod(&hrp, groups.iter().copied().chain([0; CHECKSUM_GROUPS])) ^ BECH32;
    groups.extend((0..CHECKSUM_GROUPS).rev().map(|group| (checksum >> (5 * group)) as u8 & 31));
    let data: String =
        groups.iter().map(|group| char::from(CHARSET[usize::from(*group)])).collect();
    format!("{chain}-{hrp}1{data}")
}

/// Reads an address. Nothing is said about the chain, the network or the number of bytes.
///
/// # Errors
/// [`AddressError`]
pub fn parse_address(text: &str) -> Result<ParsedAddress, AddressError> {
    let (chain, bech32) = text.split_once('-').ok_or(AddressError::NoSeparator)?;
    if !(TEXT_BYTES_MIN..=TEXT_BYTES_MAX).contains(&bech32.len()) {
        return Err(AddressError::Length(bech32.len()));
    }
    if !bech32.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AddressError::Character);
    }
    let lower = bech32.to_ascii_lowercase();
    if lower != bech32 && bech32.to_ascii_uppercase() != bech32 {
        return Err(AddressError::MixedCase);
    }
    let (hrp, data) = lower.rsplit_once('1').ok_or(AddressError::Bech32Separator)?;
    if hrp.is_empty() || data.len() < CHECKSUM_GROUPS {
        return Err(AddressError::Bech32Separator);
    }
    let groups = data
        .bytes()
        .map(|byte| CHARSET.iter().position(|letter| *letter == byte).map(|group| group as u8))
        .collect::<Option<Vec<u8>>>()
        .ok_or(AddressError::Character)?;
    if !matches!(polymod(hrp, groups.iter().copied()), BECH32 | BECH32M) {
        return Err(AddressError::Checksum);
    }
    let payload = &groups[..groups.len() - CHECKSUM_GROUPS];
    Ok(ParsedAddress {
        chain: chain.to_owned(),
        hrp: hrp.to_owned(),
        bytes: regroup(payload, 5, 8),
    })
}

/// Cuts groups of `from` bits into groups of `to` bits, at most 8 each; zeros fill the last one.
fn regroup(groups: &[u8], from: u32, to: u32) -> Vec<u8> {
    let mask = (1u32 << to) - 1;
    let mut regrouped = Vec::with_capacity(groups.len() * from as usize / to as usize + 1);
    let (mut bits, mut held) = (0u32, 0u32);
    for group in groups {
        bits = (bits << from | u32::from(*group)) & 0xffff;
        held += from;
        while held >= to {
            held -= to;
            regrouped.push((bits >> held & mask) as u8);
        }
    }
    if held > 0 {
        regrouped.push((bits << (to - held) & mask) as u8);
    }
    regrouped
}

/// The checksum polynomial over the expanded human-readable part and the groups.
fn polymod(hrp: &str, groups: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let high = hrp.bytes().map(|byte| byte >> 5);
    let low = hrp.bytes().map(|byte| byte & 31);
    high.chain([0]).chain(low).chain(groups).fold(1, |checksum, group| {
        let top = checksum >> 25;
        let shifted = (checksum & 0x01ff_ffff) << 5 ^ u32::from(group);
        GENERATOR
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |checksum, (_, term)| checksum ^ term)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_address_comes_back(bytes: [u8; 20]) {
            let parsed = parse_address(&format_address("P", "fuji", &bytes)).unwrap();
            prop_assert_eq!((parsed.chain.as_str(), parsed.hrp.as_str()), ("P", "fuji"));
            prop_assert_eq!(parsed.short_id(), Ok(ShortId(bytes)));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = parse_address(&format!("X-avax1{text}"));
            let _ = parse_address(&text);
        }

        #[test]
        fn no_input_panics(chain: String, hrp: String, bytes: Vec<u8>) {
            let _ = format_address(&chain, &hrp, &bytes);
        }
    }
}
