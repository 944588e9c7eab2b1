//! Multisets. Upstream: `utils/bag/bag.go`.
//!
//! Elements are kept sorted, so every walk has the same order on every node, and a cleared bag is
//! filled again without allocating. Bags are small here (the votes of one poll); adding a new
//! element costs a move of those after it.

/// How often each element was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bag<T> {
    counts: Vec<(T, usize)>,
    len: usize,
}

impl<T> Default for Bag<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Bag<T> {
    /// An empty bag.
    pub const fn new() -> Self {
        Self { counts: Vec::new(), len: 0 }
    }

    /// An empty bag with room for `distinct` different elements.
    pub fn with_capacity(distinct: usize) -> Self {
        Self { counts: Vec::with_capacity(distinct), len: 0 }
    }

    /// Number of elements, each as often as it was added.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no element.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of different elements.
    pub const fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// The different elements with their counts, in the order of the elements.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&T, usize)> + Clone {
        self.counts.iter().map(|(element, count)| (element, *count))
    }

    /// The different elements in their order.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = &T> + Clone {
        self.counts.iter().map(|(element, _)| element)
    }

    /// The element with the highest count, and that count. The lowest such element on a tie, where
    /// upstream takes any.
    pub fn mode(&self) -> Option<(&T, usize)> {
        self.iter().reduce(|best, next| if next.1 > best.1 { next } else { best })
    }

    /// Removes everything but keeps the memory.
    pub fn clear(&mut self) {
        self.counts.clear();
        self.len = 0;
    }
}

impl<T: Ord> Bag<T> {
    /// Adds `element` once.
    pub fn add(&mut self, element: T) {
        self.add_count(element, 1);
    }

    /// Adds `element` `count` times. Counts saturate.
    pub fn add_count(&mut self, element: T, count: usize) {
        if count == 0 {
            return;
        }
        match self.position(&element) {
            Ok(at) => self.counts[at].1 = self.counts[at].1.saturating_add(count),
            Err(at) => self.counts.insert(at, (element, count)),
        }
        self.len = self.len.saturating_add(count);
    }

    /// How often `element` was added.
    pub fn count(&self, element: &T) -> usize {
        self.position(element).map_or(0, |at| self.counts[at].1)
    }

    /// Removes `element` however often it was added, and returns how often that was.
    pub fn remove(&mut self, element: &T) -> usize {
        let Ok(at) = self.position(element) else { return 0 };
        let (_, count) = self.counts.remove(at);
        self.len = self.len.saturating_sub(count);
        count
    }

    fn position(&self, element: &T) -> Result<usize, usize> {
        self.counts.binary_search_by(|(other, _)| other.cmp(element))
    }
}

impl<T: Ord + Clone> Bag<T> {
    /// The elements for which `keep` holds, with their counts.
    #[must_use]
    pub fn filter(&self, keep: impl FnMut(&T) -> bool) -> Self {
        let [_, kept] = self.split(keep);
        kept
    }

    /// The elements for which `predicate` is false, then those for which it is true.
    pub fn split(&self, mut predicate: impl FnMut(&T) -> bool) -> [Self; 2] {
        let mut parts = [Self::new(), Self::new()];
        for (element, count) in &self.counts {
            let part = &mut parts[usize::from(predicate(element))];
            part.counts.push((element.clone(), *count));
            part.len += count;
        }
        parts
    }
}

impl<T: Ord> Extend<T> for Bag<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        for element in elements {
            self.add(element);
        }
    }
}

impl<T: Ord> FromIterator<T> for Bag<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut bag = Self::new();
        bag.extend(elements);
        bag
    }
}

/// A bag that remembers which elements reached a threshold.
///
/// An element that reached it stays in the threshold set when it is removed from the bag, until the
/// threshold changes. A threshold of zero is reached by every element.
#[derive(Clone, Debug)]
pub struct ThresholdBag<T> {
    bag: Bag<T>,
    threshold: usize,
    reached: Vec<T>,
}

impl<T> Default for ThresholdBag<T> {
    fn default() -> Self {
        Self { bag: Bag::new(), threshold: 0, reached: Vec::new() }
    }
}

impl<T: Ord + Clone> ThresholdBag<T> {
    /// An empty bag with the given threshold.
    pub fn new(threshold: usize) -> Self {
        Self { threshold, ..Self::default() }
    }

    /// The bag itself.
    pub const fn bag(&self) -> &Bag<T> {
        &self.bag
    }

    /// Changes the threshold. A different one is judged by the elements now in the bag.
    pub fn set_threshold(&mut self, threshold: usize) {
        if threshold == self.threshold {
            return;
        }
        self.threshold = threshold;
        self.reached.clear();
        let reached = self.bag.counts.iter().filter(|(_, count)| *count >= threshold);
        self.reached.extend(reached.map(|(element, _)| element.clone()));
    }

    /// Adds `element` `count` times.
    pub fn add_count(&mut self, element: T, count: usize) {
        if count == 0 {
            return;
        }
        if self.bag.count(&element).saturating_add(count) >= self.threshold
            && let Err(at) = self.reached.binary_search(&element)
        {
            self.reached.insert(at, element.clone());
        }
        self.bag.add_count(element, count);
    }

    /// Removes `element` from the bag, not from the threshold set.
    pub fn remove(&mut self, element: &T) -> usize {
        self.bag.remove(element)
    }

    /// The elements that reached the threshold, sorted.
    pub fn threshold_set(&self) -> &[T] {
        &self.reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_len_include_repetitions() {
        let mut bag: Bag<_> = [3, 1, 3].into_iter().collect();
        bag.add_count(2, 0);
        assert_eq!((bag.len(), bag.distinct(), bag.count(&3), bag.count(&2)), (3, 2, 2, 0));
        assert_eq!(bag.iter().collect::<Vec<_>>(), [(&1, 1), (&3, 2)]);
        assert_eq!(bag.remove(&3), 2);
        assert_eq!(bag.remove(&3), 0);
        assert_eq!(bag.len(), 1);
    }

    #[test]
    fn the_lowest_element_wins_a_tie() {
        let bag: Bag<_> = [5, 4, 5, 4, 6].into_iter().collect();
        assert_eq!(bag.mode(), Some((&4, 2)));
        assert_eq!(Bag::<u8>::new().mode(), None);
    }

    #[test]
    fn a_removed_element_stays_in_the_threshold_set_until_the_threshold_changes() {
        let mut bag = ThresholdBag::new(2);
        bag.add_count('a', 2);
        bag.add_count('b', 1);
        bag.remove(&'a');
        bag.set_threshold(2);
        assert_eq!(bag.threshold_set(), ['a']);
        bag.set_threshold(1);
        assert_eq!(bag.threshold_set(), ['b']);
    }
}
