//! Accepting connections.
//!
//! * So many per second; the rest waits in the system's queue.
//! * Upon one from an address that came a short time ago, or above the bound of TLS handshakes:
//!   close it.
//! * Else TLS on a task of its own, then [`Shared::begin`].

use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration};

use sastrugi_wire::peer::Direction;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::debug;

use crate::{
    bucket::{Bucket, pause},
    shared::Shared,
    tasks::Running,
    upgrade::{self, Cooldown, UpgradeError},
};

/// Rest after an error of the system, such as too many open files.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(1);

/// Accepts for ever. Dropping the future closes the socket and stops all TLS handshakes.
pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let config = shared.config.accept;
    let burst = config.per_second.saturating_add(1);
    let rate = Bucket::new(config.per_second, burst, shared.clock.instant());
    let mut cooldown = Cooldown::new(config.cooldown, config.per_second);
    let slots = Arc::new(Semaphore::new(config.upgrades_max));
    let mut upgrades = JoinSet::new();
    loop {
        pause(rate.take(1, shared.clock.instant())).await;
        let Ok((stream, address)) = listener.accept().await else {
            shared.counters.accept_failed.fetch_add(1, Ordering::Relaxed);
            pause(PAUSE_AFTER_ERROR).await;
            continue;
        };
        while upgrades.try_join_next().is_some() {}
        let is_admitted = cooldown.admit(address.ip(), shared.clock.instant());
        let slot = Arc::clone(&slots).try_acquire_owned();
        let (true, Ok(slot)) = (is_admitted, slot) else {
            shared.counters.inbound_rate_limited.fetch_add(1, Ordering::Relaxed);
            debug!(%address, "refused a connection: too many");
            continue;
        };
        shared.counters.inbound_allowed.fetch_add(1, Ordering::Relaxed);
        let held = (slot, shared.tasks.enter());
        upgrades.spawn_on(welcome(Arc::clone(&shared), stream, address, held), &shared.runtime);
    }
}

async fn welcome(
    shared: Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
    held: (OwnedSemaphorePermit, Running),
) {
    if let Err(error) = upgrade_and_begin(&shared, stream, address).await {
        shared.counters.count_refusal(&error);
        debug!(%address, %error, "refused a connection");
    }
    drop(held);
}

async fn upgrade_and_begin(
    shared: &Arc<Shared>,
    stream: TcpStream,
    address: SocketAddr,
) -> Result<(), UpgradeError> {
    stream.set_nodelay(true).map_err(UpgradeError::Connect)?;
    let (stream, certificate) = upgrade::accept(shared, stream).await?;
    shared.begin(stream, certificate, address, Direction::Ingress)
}
