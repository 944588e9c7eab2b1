//! Gears. Upstream: `snow/engine/common/engine.go`.

use std::any::Any;

use sastrugi_types::{Instant, RequestId, WallTime};
use sastrugi_vm::Health;

use super::{Cx, Fatal, Handled, Handler};

/// Whether a gear has more long work to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing left.
    Idle,
    /// Call [`Engine::work`] again when nothing more urgent waits.
    More,
}

/// A gear: the object in charge of a chain for a while.
///
/// The nodes in all calls are authenticated. The chain calls one method at a time. A gear is `Any`, so
/// that its owner can look at the counters of the gear it knows.
pub trait Engine: Handler + Any + Send {
    /// Takes charge. The first request uses the number after `start_request`.
    #[doc(alias = "Start")]
    fn start(&mut self, cx: &mut Cx<'_>, start_request: RequestId) -> Handled;

    /// Does a bounded slice of long work.
    fn work(&mut self, _cx: &mut Cx<'_>) -> Result<Progress, Fatal> {
        Ok(Progress::Idle)
    }

    /// The wake-up that was registered through [`Cx::timer`] is due.
    fn timeout(&mut self, _cx: &mut Cx<'_>) -> Handled {
        Ok(())
    }

    /// How the gear and its VM are.
    #[doc(alias = "HealthCheck")]
    fn health(&mut self, now: Instant, wall: WallTime) -> Health;
}
