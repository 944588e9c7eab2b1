//! The clocks of the machine.

use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use sastrugi_types::{Instant, WallTime};
use sastrugi_wire::peer::Now;

/// Gives the time since the network was started, and the time of the calendar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: StdInstant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: StdInstant::now() }
    }

    pub(crate) fn instant(self) -> Instant {
        Instant(self.start.elapsed().as_nanos() as u64)
    }

    pub(crate) fn now(self) -> Now {
        Now { instant: self.instant(), wall: wall() }
    }

    /// The same instant for the runtime's timers.
    pub(crate) fn timer(self, at: Instant) -> tokio::time::Instant {
        (self.start + at.since(Instant::ZERO)).into()
    }
}

/// Calendar time. A clock set before 1970 counts as 1970.
pub(crate) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
