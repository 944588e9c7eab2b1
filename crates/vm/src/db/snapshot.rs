//! Ordered walks over a map that others go on changing.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;

use super::DbError;

/// The entries of a map whose key begins with a prefix, as they were when the walk began.
///
/// It shares the map: who writes while a walk is alive copies it (`Arc::make_mut`).
pub(super) struct Snapshot<V> {
    entries: Arc<BTreeMap<Bytes, V>>,
    prefix: Bytes,
    next: Bound<Bytes>,
}

impl<V> Snapshot<V> {
    pub(super) fn new(entries: Arc<BTreeMap<Bytes, V>>, prefix: &[u8], start: &[u8]) -> Self {
        let next = Bound::Included(Bytes::copy_from_slice(start.max(prefix)));
        Self { entries, prefix: Bytes::copy_from_slice(prefix), next }
    }
}

impl<V: Clone> Iterator for Snapshot<V> {
    type Item = (Bytes, V);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.entries.range((self.next.clone(), Bound::Unbounded)).next()?;
        if !key.starts_with(&self.prefix) {
            return None;
        }
        self.next = Bound::Excluded(key.clone());
        Some((key.clone(), value.clone()))
    }
}

/// Gives pairs until the first error or until `check` fails; the error is the last item.
pub(super) fn until_error<'a>(
    mut pairs: impl Iterator<Item = Result<(Bytes, Bytes), DbError>> + Send + 'a,
    check: impl Fn() -> Result<(), DbError> + Send + 'a,
) -> impl Iterator<Item = Result<(Bytes, Bytes), DbError>> + Send + 'a {
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let item = match check() {
            Ok(()) => pairs.next(),
            Err(error) => Some(Err(error)),
        };
        is_over = !matches!(item, Some(Ok(_)));
        item
    })
}
