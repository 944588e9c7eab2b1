//! The runs in memory.

use std::collections::BTreeMap;

use sastrugi_vm::db::Database;

use super::{IntervalError, store::stored_runs};

/// A range of heights, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// The lowest height.
    pub lower: u64,
    /// The highest height.
    pub upper: u64,
}

/// Where a [`Tree`] writes its changes.
pub trait Sink {
    /// Stores a run; one with the same highest height is replaced.
    fn put(&mut self, run: Interval);
    /// Forgets the run with this highest height.
    fn delete(&mut self, upper: u64);
}

/// What [`Tree::add`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The height was there; nothing changed.
    Known,
    /// The height is new.
    New {
        /// Whether the height right below is there too.
        joins_below: bool,
    },
}

/// A set of heights, as runs of consecutive ones. Takes memory per run, not per height; each call
/// takes time logarithmic in the number of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The lowest height of each run, by its highest.
    runs: BTreeMap<u64, u64>,
    len: u64,
}

impl Tree {
    /// The empty set.
    #[doc(alias = "NewTree")]
    pub const fn new() -> Self {
        Self { runs: BTreeMap::new(), len: 0 }
    }

    /// The set that is stored.
    ///
    /// # Errors
    /// The database fails, or holds a run that no tree wrote.
    pub fn load(db: &dyn Database) -> Result<Self, IntervalError> {
        let mut tree = Self::new();
        let mut below = None;
        for run in stored_runs(db)? {
            let Interval { lower, upper } = run?;
            if lower > upper {
                return Err(IntervalError::Empty { lower, upper });
            }
            if below.is_some_and(|below| lower.saturating_sub(below) < 2) {
                return Err(IntervalError::Overlap { lower, upper });
            }
            below = Some(upper);
            tree.runs.insert(upper, lower);
            tree.len = tree.len.wrapping_add(upper - lower).wrapping_add(1);
        }
        Ok(tree)
    }

    /// Adds a height.
    pub fn add(&mut self, sink: &mut impl Sink, height: u64) -> Added {
        // Of the runs below only the one that ends right below can be met here.
        let mut near = self.runs.range_mut(height.saturating_sub(1)..);
        let (mut below, mut above) = (None, near.next());
        if let Some((&upper, &mut lower)) = above
            && upper < height
        {
            (below, above) = (Some(Interval { lower, upper }), near.next());
        }
        let joins_below = below.is_some();
        let lower = below.map_or(height, |run| run.lower);
        let upper = match above {
            Some((_, reached)) if *reached <= height => return Added::Known,
            Some((&upper, reached)) if *reached - 1 == height => {
                *reached = lower;
                upper
            }
            _ => {
                self.runs.insert(height, lower);
                height
            }
        };
        if let Some(below) = below {
            self.runs.remove(&below.upper);
            sink.delete(below.upper);
        }
        self.len = self.len.wrapping_add(1);
        sink.put(Interval { lower, upper });
        Added::New { joins_below }
    }

    /// Removes a height; whether it was there.
    pub fn remove(&mut self, sink: &mut impl Sink, height: u64) -> bool {
        let Some((&upper, reached)) = self.runs.range_mut(height..).next() else { return false };
        let lower = *reached;
        if lower > height {
            return false;
        }
        if upper > height {
            *reached = height + 1;
            sink.put(Interval { lower: height + 1, upper });
        } else {
            self.runs.remove(&upper);
            sink.delete(upper);
        }
        if lower < height {
            self.runs.insert(height - 1, lower);
            sink.put(Interval { lower, upper: height - 1 });
        }
        self.len = self.len.wrapping_sub(1);
        true
    }

    /// Whether the height is in the set.
    pub fn contains(&self, height: u64) -> bool {
        self.runs.range(height..).next().is_some_and(|(_, lower)| *lower <= height)
    }

    /// The runs, lowest first.
    pub fn flatten(&self) -> Vec<Interval> {
        self.runs.iter().map(|(&upper, &lower)| Interval { lower, upper }).collect()
    }

    /// The number of heights, modulo 2⁶⁴: 0 also when all are there.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether no height is in the set.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }
}
