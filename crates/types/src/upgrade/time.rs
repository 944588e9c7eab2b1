//! Points in time that reach from the year 0 to the year 9999.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::WallTime;

const NANOS_PER_SEC: u32 = 1_000_000_000;
const SECS_PER_DAY: i64 = 86_400;
/// From the first day of the year 0 to the Unix epoch.
const DAYS_TO_EPOCH: i64 = 719_528;
/// The first second of the year 0.
const MIN_SECS: i64 = -DAYS_TO_EPOCH * SECS_PER_DAY;
/// The last second of the year 9999.
const MAX_SECS: i64 = 253_402_300_799;

/// A point in calendar time that text can show: from the year 0 to the year 9999.
///
/// [`WallTime`] is too short for upgrades: those that nobody has scheduled wait in the year 9999,
/// those without a time were in the year 1. The text is RFC 3339, read as strictly as upstream
/// does, and written in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpgradeTime {
    secs: i64,
    nanos: u32,
}

/// A text is no RFC 3339 time between the years 0 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a time of the form 2006-01-02T15:04:05Z")]
pub struct TimeError;

impl UpgradeTime {
    /// The first moment of the year 1: what a file does not mention.
    pub const ZERO: Self = Self::utc(1, 1, 1, 0, 0);
    /// When upgrades are active that a network starts with.
    pub const INITIAL: Self = Self::utc(2020, 12, 5, 5, 0);
    /// When upgrades are active for which no time was agreed yet.
    pub const UNSCHEDULED: Self = Self::utc(9999, 12, 1, 0, 0);

    /// The start of a minute. The date must exist and be of the years 0 to 9999.
    pub(super) const fn utc(year: i64, month: i64, day: i64, hour: i64, minute: i64) -> Self {
        let secs = days_to(year, month, day) * SECS_PER_DAY + hour * 3600 + minute * 60;
        Self { secs, nanos: 0 }
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix_secs(self) -> i64 {
        self.secs
    }

    /// Nanoseconds since the last whole second.
    pub const fn subsec_nanos(self) -> u32 {
        self.nanos
    }

    /// The same time on the clock of nodes, which ends in the years 1677 and 2262.
    pub const fn wall(self) -> WallTime {
        let nanos = self.secs as i128 * NANOS_PER_SEC as i128 + self.nanos as i128;
        if nanos > i64::MAX as i128 {
            WallTime(i64::MAX)
        } else if nanos < i64::MIN as i128 {
            WallTime(i64::MIN)
        } else {
            WallTime(nanos as i64)
        }
    }

    /// Reads an RFC 3339 time. Digits behind nanoseconds are cut off.
    ///
    /// # Errors
    /// [`TimeError`]
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        Reader(text.as_bytes()).time().ok_or(TimeError)
    }
}

impl From<WallTime> for UpgradeTime {
    fn from(time: WallTime) -> Self {
        Self { secs: time.unix_secs(), nanos: time.0.rem_euclid(i64::from(NANOS_PER_SEC)) as u32 }
    }
}

/// RFC 3339, in UTC, with as many digits behind the point as it takes.
impl fmt::Display for UpgradeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) =
            (self.secs.div_euclid(SECS_PER_DAY), self.secs.rem_euclid(SECS_PER_DAY));
        let (year, month, day) = date_of(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            write!(f, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for UpgradeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for UpgradeTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UpgradeTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(format!("{text:?} is {error}")))
    }
}

/// What is left of a text.
struct Reader<'t>(&'t [u8]);

impl Reader<'_> {
    fn time(mut self) -> Option<UpgradeTime> {
        let year = self.digits(4)?;
        let month = self.after(b'-')?;
        let day = self.after(b'-')?;
        if !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
            return None;
        }
        let (hour, minute, second) = (self.after(b'T')?, self.after(b':')?, self.after(b':')?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let nanos = self.fraction()?;
        let offset = self.offset()?;
        let secs = UpgradeTime::utc(year, month, day, hour, minute).secs + second - offset;
        (self.0.is_empty() && (MIN_SECS..=MAX_SECS).contains(&secs))
            .then_some(UpgradeTime { secs, nanos })
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |number, _| {
            let digit = self.byte().filter(u8::is_ascii_digit)?;
            Some(number * 10 + i64::from(digit - b'0'))
        })
    }

    /// Two digits behind `separator`.
    fn after(&mut self, separator: u8) -> Option<i64> {
        self.byte().filter(|byte| *byte == separator)?;
        self.digits(2)
    }

    /// Nanoseconds, if there is a point.
    fn fraction(&mut self) -> Option<u32> {
        let Some(digits) = self.0.strip_prefix(b".") else { return Some(0) };
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = digits.split_at_checked(count).filter(|_| count > 0)?;
        self.0 = rest;
        let digits = digits.iter().map(|digit| u32::from(digit - b'0'));
        Some(digits.chain(std::iter::repeat(0)).take(9).fold(0, |nanos, digit| nanos * 10 + digit))
    }

    /// Seconds east of Greenwich.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.byte()? {
            b'Z' => return Some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = (self.digits(2)?, self.after(b':')?);
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the Unix epoch to a date.
const fn days_to(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day at the end. The year 0 is a leap year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // March to July, August to December, January and February: 31, 30, 31, 30, 31 days.
    let before_month = (153 * month + 2) / 5;
    365 * year + leap_days + before_month + day - 1 + 60 - DAYS_TO_EPOCH
}

/// The date so many days after the Unix epoch.
fn date_of(days: i64) -> (i64, i64, i64) {
    // A guess that is right or one too low.
    let mut year = (days + DAYS_TO_EPOCH).div_euclid(366);
    while days_to(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 12;
    while days_to(year, month, 1) > days {
        month -= 1;
    }
    (year, month, days - days_to(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn well_known_times() {
        for (secs, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_607_144_400, "2020-12-05T05:00:00Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
            (MIN_SECS, "0000-01-01T00:00:00Z"),
            (MAX_SECS, "9999-12-31T23:59:59Z"),
            (253_399_622_400, "9999-12-01T00:00:00Z"),
        ] {
            let time = UpgradeTime { secs, nanos: 0 };
            assert_eq!(time.to_string(), text);
            assert_eq!(UpgradeTime::parse(text), Ok(time));
        }
    }

    #[test]
    fn other_forms_of_the_same_time() {
        let time = UpgradeTime { secs: 1_607_144_400, nanos: 120_000_000 };
        for text in [
            "2020-12-05T05:00:00.12Z",
            "2020-12-05T05:00:00.1200000000009Z",
            "2020-12-05T05:00:00.12+00:00",
            "2020-12-05T04:30:00.12-00:30",
            "2020-12-06T04:59:00.12+23:59",
        ] {
            assert_eq!(UpgradeTime::parse(text), Ok(time), "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_times() {
        for text in [
            "",
            "2020-12-05",
            "2020-12-05T05:00:00",
            "2020-12-05 05:00:00Z",
            "2020-12-05t05:00:00z",
            "2020-12-05T5:00:00Z",
            "2020-12-05T24:00:00Z",
            "2020-12-05T05:60:00Z",
            "2020-12-05T05:00:60Z",
            "2020-12-05T05:00:00.Z",
            "2020-12-05T05:00:00,1Z",
            "2020-12-05T05:00:00+24:00",
            "2020-12-05T05:00:00+00:60",
            "2020-12-05T05:00:00+0000",
            "2020-12-05T05:00:00ZZ",
            "2020-13-01T00:00:00Z",
            "2020-00-01T00:00:00Z",
            "2020-01-00T00:00:00Z",
            "2021-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "+020-01-01T00:00:00Z",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(UpgradeTime::parse(text), Err(TimeError), "{text}");
        }
    }

    #[test]
    fn the_clock_of_nodes_ends_before_what_is_unscheduled() {
        assert_eq!(UpgradeTime::UNSCHEDULED.wall(), WallTime(i64::MAX));
        assert_eq!(UpgradeTime::ZERO.wall(), WallTime(i64::MIN));
        assert_eq!(UpgradeTime::from(WallTime(i64::MIN)).wall(), WallTime(i64::MIN));
        assert!(UpgradeTime::from(WallTime(i64::MAX)) < UpgradeTime::UNSCHEDULED);
        assert!(UpgradeTime::from(WallTime(i64::MIN)) > UpgradeTime::ZERO);
    }

    proptest! {
        #[test]
        fn texts_come_back(secs in MIN_SECS..=MAX_SECS, nanos in 0..NANOS_PER_SEC) {
            let time = UpgradeTime { secs, nanos };
            prop_assert_eq!(UpgradeTime::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn the_clock_of_nodes_comes_back(nanos: i64) {
            prop_assert_eq!(UpgradeTime::from(WallTime(nanos)).wall(), WallTime(nanos));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = UpgradeTime::parse(&text);
        }
    }
}
