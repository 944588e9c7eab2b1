//! When requests time out, and how long new ones may take.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use sastrugi_types::{Instant, average::Averager};

/// Dead marks are not worth a sweep below this count.
const DEAD_MARKS_MIN: usize = 64;

/// How timeouts adapt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveTimeoutConfig {
    /// The timeout before anything was observed.
    pub initial: Duration,
    /// No timeout is shorter.
    pub minimum: Duration,
    /// No timeout is longer.
    pub maximum: Duration,
    /// The timeout is this many average latencies.
    pub coefficient: f64,
    /// After this time an observation counts half.
    pub half_life: Duration,
}

impl Default for AdaptiveTimeoutConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(5),
            minimum: Duration::from_secs(2),
            maximum: Duration::from_secs(10),
            coefficient: 2.0,
            half_life: Duration::from_mins(5),
        }
    }
}

/// Why a configuration of timeouts cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeoutConfigError {
    /// The initial timeout is above the maximum.
    #[error("the initial timeout is above the maximum")]
    InitialAboveMaximum,
    /// The initial timeout is below the minimum.
    #[error("the initial timeout is below the minimum")]
    InitialBelowMinimum,
    /// The coefficient is not a number of at least 1.
    #[error("the timeout coefficient is below 1")]
    CoefficientBelowOne,
    /// The half-life is zero.
    #[error("the half-life of timeouts is not positive")]
    NoHalfLife,
}

impl AdaptiveTimeoutConfig {
    fn check(&self) -> Result<(), TimeoutConfigError> {
        if self.initial > self.maximum {
            return Err(TimeoutConfigError::InitialAboveMaximum);
        }
        if self.initial < self.minimum {
            return Err(TimeoutConfigError::InitialBelowMinimum);
        }
        if self.coefficient.is_nan() || self.coefficient < 1.0 {
            return Err(TimeoutConfigError::CoefficientBelowOne);
        }
        if self.half_life.is_zero() {
            return Err(TimeoutConfigError::NoHalfLife);
        }
        Ok(())
    }
}

/// Names an entry of [`AdaptiveTimeout`] as long as it is there; never names another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: u32,
    serial: u64,
}

#[derive(Debug)]
struct Entry<T> {
    serial: u64,
    since: Instant,
    is_measured: bool,
    what: T,
}

/// One place in the queue: deadline, then serial number, then slot.
type Mark = (Instant, u64, u32);

/// The timer behind all outstanding requests; `T` is what the owner keeps for each.
///
/// * The timeout of new requests is `coefficient` times the average latency, within bounds. Every
///   measured request that ends, answered or not, is an observation; so silence drives the timeout
///   up to its maximum.
/// * A request is due when `deadline <= now`. Those due at one instant end in the order of their
///   deadlines, equal ones in the order they were put.
///
/// The queue is a binary heap from which nothing is deleted in the middle: an entry that ended
/// early leaves a dead mark behind, dropped when it comes to the top, and all dead marks are
/// dropped once they outnumber the living. Deadlines mostly ascend, so putting is nearly free.
///
/// Upstream: `utils/timer/adaptive_timeout_manager.go`.
#[derive(Debug)]
pub struct AdaptiveTimeout<T> {
    config: AdaptiveTimeoutConfig,
    latency: Averager,
    timeout: Duration,
    entries: Vec<Option<Entry<T>>>,
    vacant: Vec<u32>,
    queue: BinaryHeap<Reverse<Mark>>,
    next_serial: u64,
}

impl<T> AdaptiveTimeout<T> {
    /// An empty timer.
    pub fn new(config: AdaptiveTimeoutConfig, now: Instant) -> Result<Self, TimeoutConfigError> {
        config.check()?;
        Ok(Self {
            config,
            latency: Averager::new(config.initial.as_nanos() as f64, config.half_life, now),
            timeout: config.initial,
            entries: Vec::new(),
            vacant: Vec::new(),
            queue: BinaryHeap::new(),
            next_serial: 0,
        })
    }

    /// Puts an entry that is due one [`AdaptiveTimeout::timeout`] from now. If `is_measured`, its
    /// end is an observation.
    pub fn put(&mut self, now: Instant, is_measured: bool, what: T) -> Ticket {
        let serial = self.next_serial;
        self.next_serial += 1;
        let entry = Entry { serial, since: now, is_measured, what };
        let slot = if let Some(slot) = self.vacant.pop() {
            self.entries[slot as usize] = Some(entry);
            slot
        } else {
            self.entries.push(Some(entry));
            (self.entries.len() - 1) as u32
        };
        self.queue.push(Reverse((now + self.timeout, serial, slot)));
        Ticket { slot, serial }
    }

    /// The entry, unless it ended.
    pub fn get(&self, ticket: Ticket) -> Option<&T> {
        self.entry(ticket).map(|entry| &entry.what)
    }

    /// The entry, unless it ended.
    pub fn get_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let entry = self.entries.get_mut(ticket.slot as usize)?.as_mut()?;
        (entry.serial == ticket.serial).then_some(&mut entry.what)
    }

    /// Ends an entry before it is due; its age is observed.
    pub fn remove(&mut self, now: Instant, ticket: Ticket) -> Option<T> {
        let entry = self.take(ticket)?;
        self.drop_dead_marks();
        Some(self.end(now, entry))
    }

    /// Forgets an entry without observing anything.
    pub fn forget(&mut self, ticket: Ticket) -> Option<T> {
        let entry = self.take(ticket)?;
        self.drop_dead_marks();
        Some(entry.what)
    }

    /// The entry that is due first, if one is due.
    pub fn peek_due(&self, now: Instant) -> Option<&T> {
        let Reverse((deadline, serial, slot)) = *self.queue.peek()?;
        if deadline <= now { self.get(Ticket { slot, serial }) } else { None }
    }

    /// Ends the entry that is due first, if one is due; its age is observed.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        self.peek_due(now)?;
        let Reverse((_, serial, slot)) = *self.queue.peek()?;
        self.remove(now, Ticket { slot, serial })
    }

    /// When the first entry is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((deadline, ..))| *deadline)
    }

    /// Takes a latency that was measured elsewhere.
    pub fn observe(&mut self, now: Instant, latency: Duration) {
        self.latency.observe(latency.as_nanos() as f64, now);
        let nanos = (self.config.coefficient * self.latency.read()) as u64;
        self.timeout = Duration::from_nanos(nanos).clamp(self.config.minimum, self.config.maximum);
    }

    /// How long an entry put now may take.
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The average latency in nanoseconds.
    pub fn average_latency_nanos(&self) -> f64 {
        self.latency.read()
    }

    /// Number of entries.
    pub const fn len(&self) -> usize {
        self.entries.len() - self.vacant.len()
    }

    /// Whether there are no entries.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries with their time of birth, in no meaningful order.
    pub fn iter(&self) -> impl Iterator<Item = (Ticket, Instant, &T)> {
        self.entries.iter().enumerate().filter_map(|(slot, entry)| {
            let entry = entry.as_ref()?;
            let ticket = Ticket { slot: slot as u32, serial: entry.serial };
            Some((ticket, entry.since, &entry.what))
        })
    }

    fn entry(&self, ticket: Ticket) -> Option<&Entry<T>> {
        let entry = self.entries.get(ticket.slot as usize)?.as_ref()?;
        (entry.serial == ticket.serial).then_some(entry)
    }

    fn take(&mut self, ticket: Ticket) -> Option<Entry<T>> {
        self.entry(ticket)?;
        let entry = self.entries[ticket.slot as usize].take()?;
        self.vacant.push(ticket.slot);
        Some(entry)
    }

    fn end(&mut self, now: Instant, entry: Entry<T>) -> T {
        if entry.is_measured {
            self.observe(now, now - entry.since);
        }
        entry.what
    }

    /// Restores that the top of the queue is alive, and that the dead do not outnumber the living.
    fn drop_dead_marks(&mut self) {
        while let Some(Reverse((_, serial, slot))) = self.queue.peek() {
            if self.entry(Ticket { slot: *slot, serial: *serial }).is_some() {
                break;
            }
            self.queue.pop();
        }
        let living = self.len();
        if self.queue.len() > 2 * living + DEAD_MARKS_MIN {
            let entries = &self.entries;
            self.queue.retain(|Reverse((_, serial, slot))| {
                entries[*slot as usize].as_ref().is_some_and(|entry| entry.serial == *serial)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TimeoutConfigError as Error, *};

    const SECOND: Duration = Duration::from_secs(1);

    fn timer() -> AdaptiveTimeout<u32> {
        AdaptiveTimeout::new(AdaptiveTimeoutConfig::default(), Instant::ZERO).unwrap()
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let check = |change: fn(&mut AdaptiveTimeoutConfig)| {
            let mut config = AdaptiveTimeoutConfig::default();
            change(&mut config);
            AdaptiveTimeout::<()>::new(config, Instant::ZERO).err()
        };
        assert_eq!(check(|_| ()), None);
        assert_eq!(check(|c| c.initial = 11 * SECOND), Some(Error::InitialAboveMaximum));
        assert_eq!(check(|c| c.initial = SECOND), Some(Error::InitialBelowMinimum));
        assert_eq!(check(|c| c.coefficient = 0.9), Some(Error::CoefficientBelowOne));
        assert_eq!(check(|c| c.coefficient = f64::NAN), Some(Error::CoefficientBelowOne));
        assert_eq!(check(|c| c.half_life = Duration::ZERO), Some(Error::NoHalfLife));
    }

    #[test]
    fn quick_answers_shorten_the_timeout() {
        let mut timer = timer();
        let latency = Duration::from_millis(100);
        for expected_ms in [5100, 3466] {
            timer.observe(Instant::ZERO, latency);
            assert_eq!(timer.timeout().as_millis(), expected_ms);
        }
        for _ in 0..100 {
            timer.observe(Instant::ZERO, latency);
        }
        assert_eq!(timer.timeout(), 2 * SECOND);
    }

    #[test]
    fn equal_deadlines_end_in_the_order_they_were_put() {
        let mut timer = timer();
        let tickets: Vec<_> = (0..100).map(|n| timer.put(Instant::ZERO, false, n)).collect();
        for n in (0..100).step_by(2) {
            assert_eq!(timer.remove(Instant::ZERO, tickets[n]), Some(n as u32));
        }
        let due = timer.poll_timeout().unwrap();
        assert_eq!(due, Instant::ZERO + 5 * SECOND);
        assert_eq!(timer.pop_due(Instant(due.0 - 1)), None);
        let fired: Vec<_> = std::iter::from_fn(|| timer.pop_due(due)).collect();
        assert_eq!(fired, (1..100).step_by(2).collect::<Vec<_>>());
        assert!(timer.is_empty());
        assert_eq!(timer.poll_timeout(), None);
    }

    #[test]
    fn a_ticket_does_not_name_the_next_tenant_of_its_slot() {
        let mut timer = timer();
        let first = timer.put(Instant::ZERO, false, 1);
        timer.remove(Instant::ZERO, first);
        let second = timer.put(Instant::ZERO, false, 2);
        assert_eq!(timer.get(first), None);
        assert_eq!(timer.remove(Instant::ZERO, first), None);
        assert_eq!(timer.forget(first), None);
        assert_eq!(timer.get(second), Some(&2));
    }

    #[test]
    fn memory_is_bounded_by_what_is_outstanding() {
        let mut timer = timer();
        let oldest = timer.put(Instant::ZERO, false, 0);
        for n in 1..10_000_u64 {
            let ticket = timer.put(Instant(n), false, 1);
            timer.remove(Instant(n), ticket);
        }
        assert!(timer.queue.len() <= 2 + DEAD_MARKS_MIN, "{}", timer.queue.len());
        assert_eq!(timer.entries.len(), 2);
        assert_eq!(timer.poll_timeout(), Some(Instant::ZERO + 5 * SECOND));
        assert_eq!(timer.get(oldest), Some(&0));
    }
}
