//! Dialling: for each node that the caller wants connected, a task that keeps it so.
//!
//! * While the node is connected, whoever opened the connection: rest until it is lost.
//! * Else wait for the pause, make the next one longer, and dial. The first pause is none.
//! * Upon the loss of a connection that became ready and lasted a while: begin without a pause.
//! * A private address is not dialled unless the configuration allows it; the pauses go on.
//!
//! Deviations from upstream: there the loop ends when another node answers at the address, and
//! that node stays connected; here it is refused, with a warning, and dialled again after the
//! pause, since the mistake may be mended at the other end. There the pause is always forgotten
//! after a connection that became ready; here it must also have lasted.
//!
//! Upstream: `network/tracked_ip.go`, `network/network.go`, `network/dialer/dialer.go`.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use sastrugi_types::{Instant, NodeId, sampler::Source};
use sastrugi_wire::{peer::Direction, signed_ip::is_public};
use tokio::{net::TcpStream, sync::Notify, task::AbortHandle, time::timeout};
use tracing::{debug, info, warn};

use crate::{
    bucket::{Bucket, pause},
    config::DialConfig,
    shared::Shared,
    upgrade::{self, UpgradeError},
};

/// The nodes that are dialled.
#[derive(Debug)]
pub(crate) struct Dialled {
    rate: Bucket,
    delay_initial: Duration,
    wanted: Mutex<BTreeMap<NodeId, Wanted>>,
}

#[derive(Debug)]
struct Wanted {
    address: SocketAddr,
    is_pause_forgotten: bool,
    lost: Arc<Notify>,
    task: AbortHandle,
}

impl Dialled {
    pub(crate) fn new(config: DialConfig, now: Instant) -> Self {
        Self {
            rate: Bucket::new(config.per_second, config.per_second, now),
            delay_initial: config.delay_initial,
            wanted: Mutex::default(),
        }
    }

    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.wanted.lock().contains_key(&node)
    }

    pub(crate) fn len(&self) -> usize {
        self.wanted.lock().len()
    }

    /// A connection is lost; it lasted so long since it became ready, if it did.
    pub(crate) fn handle_loss(&self, node: NodeId, lasted: Option<Duration>) {
        if let Some(wanted) = self.wanted.lock().get_mut(&node) {
            wanted.is_pause_forgotten |= lasted.is_some_and(|it| it >= self.delay_initial);
            wanted.lost.notify_one();
        }
    }

    /// Ends all dialling.
    pub(crate) fn close(&self) {
        for wanted in self.wanted.lock().values() {
            wanted.task.abort();
        }
    }

    /// Where to dial.
    fn address(&self, node: NodeId) -> Option<SocketAddr> {
        self.wanted.lock().get(&node).map(|wanted| wanted.address)
    }

    /// Whether to begin without a pause, told once.
    fn takes_no_pause(&self, node: NodeId) -> bool {
        let mut wanted = self.wanted.lock();
        wanted.get_mut(&node).is_some_and(|it| std::mem::take(&mut it.is_pause_forgotten))
    }
}

/// Wants a node connected. For one that is wanted already only the address may change.
pub(crate) fn want(shared: &Arc<Shared>, node: NodeId, address: SocketAddr) {
    if node == shared.node {
        return;
    }
    let mut all = shared.dialled.wanted.lock();
    if shared.registry.is_closing() {
        return;
    }
    if let Some(wanted) = all.get_mut(&node) {
        wanted.address = address;
        return;
    }
    let lost = Arc::new(Notify::new());
    let task = shared.spawn(keep(Arc::clone(shared), node, Arc::clone(&lost)));
    all.insert(node, Wanted { address, is_pause_forgotten: false, lost, task });
}

async fn keep(shared: Arc<Shared>, node: NodeId, lost: Arc<Notify>) {
    let config = shared.config.dial;
    let mut delay = Duration::ZERO;
    loop {
        while shared.registry.contains(node) {
            lost.notified().await;
        }
        if shared.dialled.takes_no_pause(node) {
            delay = Duration::ZERO;
        }
        pause(delay).await;
        delay = longer(delay, config, &mut **shared.random.lock());
        if shared.registry.contains(node) {
            continue;
        }
        let Some(address) = shared.dialled.address(node) else { return };
        match dial(&shared, node, address).await {
            Ok(()) => debug!(%node, %address, "dialled"),
            Err(UpgradeError::Duplicate(_)) => {}
            Err(UpgradeError::Closing) => return,
            Err(error @ UpgradeError::WrongIdentity(_)) => {
                warn!(%node, %address, %error, "cannot dial");
            }
            Err(error) => info!(%node, %address, %error, "cannot dial"),
        }
    }
}

async fn dial(shared: &Arc<Shared>, node: NodeId, address: SocketAddr) -> Result<(), UpgradeError> {
    if !shared.config.allow_private_ips && !is_public(address.ip()) {
        return Err(UpgradeError::PrivateAddress);
    }
    pause(shared.dialled.rate.take(1, shared.clock.instant())).await;
    let connecting = timeout(shared.config.dial.timeout, TcpStream::connect(address)).await;
    let stream = connecting.map_err(|_| UpgradeError::Timeout)?.map_err(UpgradeError::Connect)?;
    stream.set_nodelay(true).map_err(UpgradeError::Connect)?;
    let (stream, certificate) = upgrade::dial(shared, stream, address).await?;
    let found = certificate.node_id();
    if found != node && found != shared.node {
        return Err(UpgradeError::WrongIdentity(found));
    }
    shared.begin(stream, certificate, address, Direction::Egress)
}

/// The pause after this one. Upstream: `trackedIP.increaseDelay`.
fn longer(pause: Duration, config: DialConfig, random: &mut dyn Source) -> Duration {
    let pause = if pause.is_zero() { config.delay_initial } else { pause };
    let longer = pause.mul_f64(1.0 + unit(random));
    if longer > config.delay_max {
        config.delay_max.mul_f64(0.75 + 0.25 * unit(random))
    } else {
        longer
    }
}

/// A number from 0 to 1, which it does not reach.
fn unit(random: &mut dyn Source) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use sastrugi_types::sampler::Mt19937_64;

    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_differ() {
        let config = DialConfig::default();
        for seed in 0..100 {
            let mut random = Mt19937_64::new(seed);
            let mut delay = Duration::ZERO;
            for exponent in 1..=5 {
                delay = longer(delay, config, &mut random);
                assert!(delay >= config.delay_initial);
                assert!(delay <= Duration::from_secs(1 << exponent));
            }
            for _ in 0..100 {
                delay = longer(delay, config, &mut random);
            }
            assert!(delay >= config.delay_max.mul_f64(0.75) && delay <= config.delay_max);
        }
    }
}
