//! Durations as flags write them: `30s`, `22.5s`, `1m30s`, `100ms`. Upstream: Go's
//! `time.ParseDuration`.

use std::time::Duration;

/// Units, longer names first where one is the beginning of another.
const UNITS: &[(&str, f64)] =
    &[("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

/// Reads a duration. Negative ones are refused: no flag has a use for them.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 30s, 1m30s or 100ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit) =
            UNITS.iter().find(|(name, _)| *name == &rest[..letters]).ok_or_else(wrong)?;
        nanos += number * unit;
        rest = &rest[letters..];
    }
    if text.is_empty() || nanos >= i64::MAX as f64 {
        return Err(wrong());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, nanos) in [
            ("0", 0),
            ("30s", 30_000_000_000),
            ("22.5s", 22_500_000_000),
            ("1m30s", 90_000_000_000),
            ("100ms", 100_000_000),
            ("2m0.5s", 120_500_000_000),
            ("7ns", 7),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1x", "1h1", "1..2s", "9999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
