//! What a workload cost.

use std::collections::BTreeMap;

use serde::Serialize;

/// The figures of one workload, as its JSON line shows them. Times are in nanoseconds per
/// operation, unless the unit says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// The workload.
    pub id: String,
    /// Whose figures these are.
    pub side: &'static str,
    /// What one operation is.
    pub unit: String,
    /// Median wall time over the repetitions.
    pub median: f64,
    /// Least wall time.
    pub min: f64,
    /// Median absolute deviation of the wall time.
    pub mad: f64,
    /// Median processor time.
    pub cpu_median: f64,
    /// Least processor time.
    pub cpu_min: f64,
    /// Heap allocations per operation in the last repetition.
    pub allocs: f64,
    /// Allocated bytes per operation in the last repetition.
    pub bytes: f64,
    /// Number of repetitions.
    pub reps: usize,
    /// Operations per repetition.
    pub ops: u64,
    /// What was computed, in hexadecimal. Equal on both sides if both did the same work; all ones
    /// if the repetitions disagree.
    pub check: String,
    /// Further figures.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<&'static str, f64>,
}

/// The middle of the values, or the mean of the two in the middle. Zero if there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values[..] {
        [] => 0.0,
        _ if values.len().is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// The median distance from the median.
pub(crate) fn median_absolute_deviation(values: &[f64]) -> f64 {
    let center = median(values);
    let distances: Vec<_> = values.iter().map(|value| (value - center).abs()).collect();
    median(&distances)
}

/// Whole numbers from a thousand on, three decimals below.
pub(crate) fn round(value: f64) -> f64 {
    if value.abs() >= 1000.0 { value.round() } else { (value * 1000.0).round() / 1000.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(round(median(&[3.0, 1.0, 2.0])).to_string(), "2");
        assert_eq!(round(median(&[4.0, 1.0])).to_string(), "2.5");
        assert_eq!(round(median_absolute_deviation(&[1.0, 2.0, 9.0])).to_string(), "1");
        assert_eq!(round(1234.5678).to_string(), "1235");
    }
}
