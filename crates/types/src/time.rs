//! Time as an argument: machines are told what time it is and never look at a clock.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// A point on a machine's monotonic clock: nanoseconds since the machine was started.
///
/// It never goes backwards for one machine, and it has no relation to the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// The start of the machine.
    pub const ZERO: Self = Self(0);
    /// Later than every instant a machine will see (584 years).
    pub const MAX: Self = Self(u64::MAX);

    /// Time passed since `earlier`, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at [`Instant::MAX`].
    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturates at zero.
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// A span as Go writes it, `1h0m5.25s` or `7.5ms`: the form of spans in upstream's JSON and logs.
pub fn duration_text(span: Duration) -> String {
    let nanos = span.as_nanos();
    let decimal = |unit: u128, name: &str| {
        let (whole, part) = (nanos % 60_000_000_000 / unit, nanos % unit);
        let digits = unit.ilog10() as usize;
        let part = format!("{part:0digits$}");
        let part = part.trim_end_matches('0');
        if part.is_empty() || unit == 1 {
            format!("{whole}{name}")
        } else {
            format!("{whole}.{part}{name}")
        }
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => decimal(1, "ns"),
        1_000..1_000_000 => decimal(1_000, "µs"),
        1_000_000..1_000_000_000 => decimal(1_000_000, "ms"),
        _ => {
            let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
            let seconds = decimal(1_000_000_000, "s");
            match (hours, minutes) {
                (0, 0) => seconds,
                (0, _) => format!("{minutes}m{seconds}"),
                _ => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

/// A point in calendar time: nanoseconds since the Unix epoch, negative before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub i64);

impl WallTime {
    /// The Unix epoch.
    pub const UNIX_EPOCH: Self = Self(0);

    /// The start of the given Unix second; saturates at the ends of the range.
    pub const fn from_unix_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix_secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Signed nanoseconds from `earlier` to `self`, saturating.
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    /// Saturates at the end of the range.
    fn add(self, span: Duration) -> Self {
        let nanos = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_in_go() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (999_999_999, "999.999999ms"),
            (3_300_000_000, "3.3s"),
            (1_000_000_001, "1.000000001s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (18_367_001_000_000, "5h6m7.001s"),
            (3_600_000_000_000, "1h0m0s"),
            (u64::MAX, "5124095h34m33.709551615s"),
        ] {
            assert_eq!(duration_text(Duration::from_nanos(nanos)), text);
        }
    }
}
