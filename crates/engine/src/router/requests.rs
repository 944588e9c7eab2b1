//! The table of outstanding requests.
//!
//! An entry lives from registration until the response comes or the timeout ends, also when the
//! chain already heard of an early failure: a late response must still be recognized, measured and
//! kept from the chain. The timer holds the entries; the index finds them by key.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use sastrugi_types::{Id, IdBuildHasher, Instant, NodeId, RequestId, message::ResponseOp};

use super::{AdaptiveTimeout, AdaptiveTimeoutConfig, Ticket, TimeoutConfigError};

/// Names an outstanding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) node: NodeId,
    pub(super) chain: Id,
    pub(super) id: RequestId,
    pub(super) op: ResponseOp,
}

/// What the timer holds for a request.
#[derive(Debug)]
pub(super) struct Entry {
    key: Key,
    /// Whether the chain heard the outcome.
    is_told: bool,
}

/// A request that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) key: Key,
    /// Whether the chain heard of an early failure before.
    pub(super) was_told: bool,
}

#[derive(Debug)]
pub(super) struct Requests {
    timer: AdaptiveTimeout<Entry>,
    index: HashTable<Ticket>,
    hasher: IdBuildHasher,
}

impl Requests {
    pub(super) fn new(
        config: AdaptiveTimeoutConfig,
        seed: u64,
        now: Instant,
    ) -> Result<Self, TimeoutConfigError> {
        let timer = AdaptiveTimeout::new(config, now)?;
        Ok(Self { timer, index: HashTable::new(), hasher: IdBuildHasher::new(seed) })
    }

    /// Registers a request. A live one of the same key ends, and its age counts as a latency.
    pub(super) fn register(&mut self, now: Instant, key: Key, is_measured: bool) {
        let Self { timer, index, hasher } = self;
        let hash = hasher.hash_one(key);
        let is_key = |ticket: &Ticket| timer.get(*ticket).is_some_and(|entry| entry.key == key);
        let live = index.find_mut(hash, is_key);
        if let Some(ticket) = live {
            timer.remove(now, *ticket);
            *ticket = timer.put(now, is_measured, Entry { key, is_told: false });
            return;
        }
        let ticket = timer.put(now, is_measured, Entry { key, is_told: false });
        index.insert_unique(hash, ticket, |ticket| {
            timer.get(*ticket).map_or(0, |entry| hasher.hash_one(entry.key))
        });
    }

    /// Ends a request because of its response; the latency is observed.
    pub(super) fn end(&mut self, now: Instant, key: &Key) -> Option<Ended> {
        let ticket = self.unlink(key)?;
        let entry = self.timer.remove(now, ticket)?;
        Some(Ended { key: entry.key, was_told: entry.is_told })
    }

    /// Marks that the chain hears the outcome; whether it is the first to be told.
    pub(super) fn tell(&mut self, key: &Key) -> bool {
        let hash = self.hasher.hash_one(key);
        let ticket = self.index.find(hash, |ticket| self.is(*ticket, key)).copied();
        let entry = ticket.and_then(|ticket| self.timer.get_mut(ticket));
        entry.is_some_and(|entry| !std::mem::replace(&mut entry.is_told, true))
    }

    /// Ends the request whose timeout ends first, if one does by now.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Ended> {
        // The index must forget the entry while the timer still knows its key.
        let key = self.timer.peek_due(now)?.key;
        self.end(now, &key)
    }

    /// Forgets all requests of a chain; says how many.
    pub(super) fn forget_chain(&mut self, chain: Id) -> usize {
        let of_chain = |(_, _, entry): &(Ticket, Instant, &Entry)| entry.key.chain == chain;
        let keys: Vec<Key> = self.timer.iter().filter(of_chain).map(|entry| entry.2.key).collect();
        for key in &keys {
            if let Some(ticket) = self.unlink(key) {
                self.timer.forget(ticket);
            }
        }
        keys.len()
    }

    /// When the oldest request was registered.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.timer.iter().map(|(_, since, _)| since).min()
    }

    pub(super) const fn timer(&self) -> &AdaptiveTimeout<Entry> {
        &self.timer
    }

    fn unlink(&mut self, key: &Key) -> Option<Ticket> {
        let Self { timer, index, hasher } = self;
        let is_key = |ticket: &Ticket| timer.get(*ticket).is_some_and(|entry| entry.key == *key);
        let entry = index.find_entry(hasher.hash_one(key), is_key).ok()?;
        Some(entry.remove().0)
    }

    fn is(&self, ticket: Ticket, key: &Key) -> bool {
        self.timer.get(ticket).is_some_and(|entry| entry.key == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key =
        Key { node: NodeId([1; 20]), chain: Id([2; 32]), id: RequestId(3), op: ResponseOp::Put };

    fn requests() -> Requests {
        Requests::new(AdaptiveTimeoutConfig::default(), 7, Instant::ZERO).unwrap()
    }

    #[test]
    fn the_kind_of_response_is_part_of_the_key() {
        let mut requests = requests();
        let chits = Key { op: ResponseOp::Chits, ..KEY };
        requests.register(Instant::ZERO, KEY, true);
        requests.register(Instant::ZERO, chits, true);
        assert_eq!(requests.timer().len(), 2);
        assert_eq!(requests.end(Instant(1), &KEY), Some(Ended { key: KEY, was_told: false }));
        assert_eq!(requests.end(Instant(1), &KEY), None);
        assert!(requests.tell(&chits));
        assert!(!requests.tell(&chits));
        assert_eq!(requests.end(Instant(1), &chits), Some(Ended { key: chits, was_told: true }));
    }

    #[test]
    fn registering_a_live_key_anew_starts_it_afresh() {
        let mut requests = requests();
        requests.register(Instant::ZERO, KEY, true);
        assert!(requests.tell(&KEY));
        let later = Instant(1_000_000_000);
        requests.register(later, KEY, true);
        assert_eq!(requests.timer().len(), 1);
        assert!(requests.timer().average_latency_nanos() < 5e9, "its age was observed");
        assert!(requests.tell(&KEY), "the new one was not told");
        assert_eq!(requests.timer().poll_timeout(), Some(later + requests.timer().timeout()));
    }

    #[test]
    fn a_model_agrees_over_many_random_steps() {
        let mut requests = requests();
        let mut model = std::collections::BTreeMap::new();
        let mut random = 1_u64;
        for step in 0..20_000_u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            let draw = (random >> 33) as u32;
            let key = Key { id: RequestId(draw % 97), chain: Id([(draw % 3) as u8; 32]), ..KEY };
            let now = Instant(step * 10_000_000);
            match draw % 7 {
                0..=2 => {
                    model.insert(key, false);
                    requests.register(now, key, false);
                }
                3 => {
                    let told = model.get_mut(&key);
                    let first = told.is_some_and(|told| !std::mem::replace(told, true));
                    assert_eq!(requests.tell(&key), first);
                }
                4 => {
                    let ended = model.remove(&key).map(|was_told| Ended { key, was_told });
                    assert_eq!(requests.end(now, &key), ended);
                }
                5 => {
                    if let Some(Ended { key, was_told }) = requests.pop_due(now) {
                        assert_eq!(model.remove(&key), Some(was_told));
                    }
                }
                _ if draw.is_multiple_of(11) => {
                    let before = model.len();
                    model.retain(|of, _| of.chain != key.chain);
                    assert_eq!(requests.forget_chain(key.chain), before - model.len());
                }
                _ => assert_eq!(requests.timer().len(), model.len()),
            }
        }
        assert!(model.len() > 10);
    }
}
