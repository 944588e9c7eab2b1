//! Numbered seats that are used again.

use std::ops::{Index, IndexMut};

/// Values under dense numbers. A number is given out again after its value was removed, so that
/// a structure that breathes allocates nothing once it has reached its size.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    /// Number of values.
    pub(crate) const fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    /// Stores `value` and returns its number.
    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.values[index as usize] = value;
            return index;
        }
        self.values.push(value);
        (self.values.len() - 1) as u32
    }

    /// Frees a number that is in use. The value stays behind until the seat is taken again.
    #[inline]
    pub(crate) fn remove(&mut self, index: u32) {
        debug_assert!(!self.free.contains(&index), "freed twice");
        self.free.push(index);
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.values[index as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.values[index as usize]
    }
}
