//! Drawing beacons. Upstream: `sampler.go`.

use std::collections::{BTreeMap, BTreeSet};

use sastrugi_types::{
    NodeId,
    sampler::{Source, WeightedWithoutReplacement},
};

use super::WeightOverflow;

/// Draws `size` units of weight without replacement, or all if there are fewer, and names their
/// owners: at most `size` nodes, fewer when several units belong to one.
///
/// # Errors
/// The sum of the weights overflows.
#[doc(alias = "Sample")]
pub fn sample<S: Source + ?Sized>(
    weights: &BTreeMap<NodeId, u64>,
    size: usize,
    source: &mut S,
) -> Result<BTreeSet<NodeId>, WeightOverflow> {
    let nodes: Vec<_> = weights.keys().copied().collect();
    let mut units =
        WeightedWithoutReplacement::new(weights.values().copied()).map_err(|_| WeightOverflow)?;
    let size = usize::try_from(units.total_weight()).map_or(size, |total| total.min(size));
    let mut drawn = Vec::new();
    // There are enough units, so this cannot fail.
    units.sample(source, size, &mut drawn).map_err(|_| WeightOverflow)?;
    Ok(drawn.into_iter().map(|index| nodes[index]).collect())
}

#[cfg(test)]
mod tests {
    use sastrugi_types::sampler::Mt19937_64;

    use super::*;

    fn drawn(weights: &[u64], size: usize) -> Result<Vec<u8>, WeightOverflow> {
        let node = |index: usize| NodeId([index as u8; 20]);
        let weights = weights.iter().enumerate().map(|(index, weight)| (node(index), *weight));
        let drawn = sample(&weights.collect(), size, &mut Mt19937_64::new(5))?;
        Ok(drawn.into_iter().map(|node| node.0[0]).collect())
    }

    #[test]
    fn all_are_drawn_when_there_are_not_more() {
        assert_eq!(drawn(&[], 3), Ok(vec![]));
        assert_eq!(drawn(&[1, 1], 2), Ok(vec![0, 1]));
        assert_eq!(drawn(&[1, 1], 200), Ok(vec![0, 1]));
        assert_eq!(drawn(&[3, 0, 2], 5), Ok(vec![0, 2]), "no weight, no chance");
    }

    #[test]
    fn a_node_of_great_weight_is_drawn_once() {
        assert_eq!(drawn(&[1, u64::MAX - 1], 3), Ok(vec![1]));
        assert_eq!(drawn(&[1, 1, 1], 2).unwrap().len(), 2);
        assert_eq!(drawn(&[1, 1], 0), Ok(vec![]));
    }

    #[test]
    fn the_total_weight_must_fit() {
        assert_eq!(drawn(&[1, u64::MAX], 1), Err(WeightOverflow));
    }
}
