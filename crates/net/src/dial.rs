//! Dialling: for each node that the caller wants connected, a task that keeps it so.
//!
//! * While the node is connected, whoever opened the connection: rest until it is lost.
//! * Else wait for the pause, make the next one longer, and dial. The first pause is none.
//! * Upon the loss of a connection that became ready and lasted a while: begin without a pause.
//! * Upon two connections that crossed: see below.
//! * A private address is not dialled unless the configuration allows it; the pauses go on.
//!
//! # Two nodes that dial each other at once
//!
//! Each keeps the connection it saw first and refuses the other one; if they saw them in another
//! order, both connections are refused. Nothing failed then, so there is no reason to wait: the node
//! with the lower ID dials again at once, the other one after [`CROSSED_PAUSE`]. This is done once;
//! should it happen again before a connection lasts, the pauses go on. Upstream pauses in any case.
//!
//! # Deviations from upstream
//!
//! There the loop ends when another node answers at the address, and
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

/// After two connections crossed, the node with the higher ID leaves the other one so much time to
/// dial again.
const CROSSED_PAUSE: Duration = Duration::from_millis(250);

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It was ready, and lasted so long since it began.
    After(Duration),
    /// It never became ready, and meanwhile another one with the same node was refused.
    Crossed,
    /// It never became ready.
    Early,
}

/// The nodes that are dialled.
#[derive(Debug)]
pub(crate) struct Dialled {
    own: NodeId,
    rate: Bucket,
    delay_initial: Duration,
    wanted: Mutex<BTreeMap<NodeId, Wanted>>,
}

#[derive(Debug)]
struct Wanted {
    address: SocketAddr,
    /// What takes the place of the next pause.
    next_pause: Option<Duration>,
    /// Connections crossed, and none has lasted since.
    has_crossed: bool,
    lost: Arc<Notify>,
    task: AbortHandle,
}

impl Dialled {
    pub(crate) fn new(own: NodeId, config: DialConfig, now: Instant) -> Self {
        Self {
            own,
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

    /// A connection is lost.
    pub(crate) fn handle_loss(&self, node: NodeId, loss: Loss) {
        let mut all = self.wanted.lock();
        let Some(wanted) = all.get_mut(&node) else { return };
        match loss {
            Loss::After(lasted) if lasted >= self.delay_initial => {
                wanted.next_pause = Some(Duration::ZERO);
                wanted.has_crossed = false;
            }
            Loss::Crossed if !wanted.has_crossed => {
                let is_first = self.own < node;
                wanted.next_pause = Some(if is_first { Duration::ZERO } else { CROSSED_PAUSE });
                wanted.has_crossed = true;
            }
            _ => {}
        }
        wanted.lost.notify_one();
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

    /// What takes the place of the next pause, told once.
    fn take_pause(&self, node: NodeId) -> Option<Duration> {
        self.wanted.lock().get_mut(&node)?.next_pause.take()
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
    all.insert(node, Wanted { address, next_pause: None, has_crossed: false, lost, task });
}

async fn keep(shared: Arc<Shared>, node: NodeId, lost: Arc<Notify>) {
    let config = shared.config.dial;
    let mut delay = Duration::ZERO;
    loop {
        while shared.registry.contains(node) {
            lost.notified().await;
        }
        let instead = shared.dialled.take_pause(node);
        pause(instead.unwrap_or(delay)).await;
        if instead.is_some() {
            delay = Duration::ZERO;
        }
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
