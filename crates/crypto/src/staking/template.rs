//! The certificate a new node makes for itself.
//!
//! Version 3, serial number 0, no names, valid from 1999-12-31 (upstream asks for "January 0, 2000")
//! for as long as anyone will run it, a P-256 key for digital signatures that is no authority,
//! signed by itself. Upstream: `staking.NewCertAndKeyBytes`; the part that is signed is the same
//! byte for byte, given the same key and end.

use sastrugi_types::WallTime;

use super::public_key::PublicKey;
use crate::der::{
    self, BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, SEQUENCE, UTC_TIME, context,
};

/// How long a new certificate is valid, in calendar years.
const VALIDITY_YEARS: i64 = 100;
const NOT_BEFORE: &[u8] = b"991231000000Z";
const VERSION_3: u8 = 2;

/// 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA256_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// 2.5.29.15
const KEY_USAGE_OID: &[u8] = &[0x55, 0x1d, 0x0f];
/// 2.5.29.19
const BASIC_CONSTRAINTS_OID: &[u8] = &[0x55, 0x1d, 0x13];
/// A bit string whose only bit, `digitalSignature`, is set.
const DIGITAL_SIGNATURE: &[u8] = &[0x03, 0x02, 0x07, 0x80];

const SECONDS_PER_DAY: i64 = 86_400;

/// The part that is signed.
pub(super) fn to_be_signed(key: &PublicKey, now: WallTime) -> Vec<u8> {
    let no_name = der::sequence(&[]);
    let validity = der::sequence(&[
        &der::element(UTC_TIME, NOT_BEFORE),
        &der::element(GENERALIZED_TIME, end_of_validity(now).as_bytes()),
    ]);
    let extensions = der::sequence(&[
        &critical_extension(KEY_USAGE_OID, DIGITAL_SIGNATURE),
        &critical_extension(BASIC_CONSTRAINTS_OID, &der::element(SEQUENCE, &[])),
    ]);
    der::sequence(&[
        &der::constructed(context(0), &[&der::element(INTEGER, &[VERSION_3])]),
        &der::element(INTEGER, &[0]),
        &signature_algorithm(),
        &no_name,
        &validity,
        &no_name,
        &key.subject_public_key_info(),
        &der::constructed(context(3), &[&extensions]),
    ])
}

/// The whole certificate.
pub(super) fn certificate(to_be_signed: &[u8], signature: &[u8]) -> Vec<u8> {
    der::sequence(&[to_be_signed, &signature_algorithm(), &der::bit_string(signature)])
}

fn signature_algorithm() -> Vec<u8> {
    der::sequence(&[&der::element(OID, ECDSA_WITH_SHA256_OID)])
}

fn critical_extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    der::sequence(&[
        &der::element(OID, oid),
        &der::element(BOOLEAN, &[0xff]),
        &der::element(OCTET_STRING, value),
    ])
}

/// 100 calendar years after `now`, as `YYYYMMDDhhmmssZ`.
fn end_of_validity(now: WallTime) -> String {
    let seconds = now.unix_secs();
    let (year, month, day) = civil_date(seconds.div_euclid(SECONDS_PER_DAY));
    let year = year + VALIDITY_YEARS;
    let (month, day) =
        if (month, day) == (2, 29) && !is_leap(year) { (3, 1) } else { (month, day) };
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
}

/// Year, month (1 to 12) and day (1 to 31) in the Gregorian calendar of a day counted from the Unix
/// epoch.
///
/// Years are counted from March, so that the leap day is the last one; 400 of them have 146 097
/// days.
fn civil_date(days: i64) -> (i64, i64, i64) {
    let from_march_of_0 = days + 719_468;
    let era = from_march_of_0.div_euclid(146_097);
    let day_of_era = from_march_of_0.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * era + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_hundred_years_on() {
        let end = |seconds| end_of_validity(WallTime::from_unix_secs(seconds));
        assert_eq!(end(0), "20700101000000Z");
        assert_eq!(end(951_782_400), "21000301000000Z"); // 29 February 2000
        assert_eq!(end(951_868_799), "21000301235959Z");
        assert_eq!(end(1_709_164_800), "21240229000000Z"); // 29 February 2024
        assert_eq!(end(1_735_689_599), "21241231235959Z");
        assert_eq!(end(-1), "20691231235959Z");
    }
}
