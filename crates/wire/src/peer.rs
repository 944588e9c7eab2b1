//! One connection to one peer: a machine without I/O.
//!
//! It is made when TLS is done, so the certificate is known, and it lives until the connection
//! ends. The driver feeds it what arrives and the time, takes from it what is to be written, and
//! answers its questions about the [`Network`].
//!
//! ```text
//!                 handshake accepted             first peer list
//!    Started ──────────────────────────> Greeted ────────────────> Ready
//!       │      Network::peers, PeerList     │   Network::connected    │
//!       │                                   │                         │
//!       └───────────────────┬───────────────┴─────────────────────────┘
//!                           v   any CloseReason
//!                        Closed
//!                Network::disconnected, once
//! ```
//!
//! # Upon an input
//!
//! * *Start*: the handshake is the first frame out. It goes past the queue.
//! * *Handshake*. Started: check it ([`handshake`]), then the version, then the
//!   BLS signature if the node is a validator with a BLS key; any fault closes. Then Greeted:
//!   answer with a peer list, be it empty, which no throttle can drop. Later: close.
//! * *Peer list*. Started: ignore it. Greeted: report connected, Ready, then go on as if Ready.
//!   Ready: read all entries, any fault closes; then let the network track them, a refusal
//!   closes.
//! * *Request for a peer list*. Not Ready: drop it. Ready: a bad filter closes; else tell what the
//!   network gives, unless that is nothing.
//! * *Ping*. Close if it claims more than 100 %; else note it and answer with one pong.
//! * *Pong*. Close if no ping is outstanding. Two pings outstanding count as one.
//! * *A message about a chain*. Ready: hand it on. Else: drop it.
//! * *A frame that cannot be read*: drop it. It does not count as received, but re-arms the
//!   deadline.
//! * *A frame announced as too long*: close. *End of the stream*: close.
//! * *Ping period over*: close if the connection is no longer desired; if Ready, check version
//!   and BLS signature again (time and validators change), and close on a fault; else send a
//!   ping with the uptime of the peer.
//! * *Deadlines*: a length, a body, a write each have [`PeerConfig::timeout`]. A length's begins
//!   with the end of the frame before, a body's when the throttle admits it; pieces do not
//!   re-arm. [`PeerConfig::ready_timeout`] runs from start until Ready.
//! * *Close*: refuse and abandon what waits to be sent, then report disconnected. What was read
//!   behind the frame that closed is not looked at.
//!
//! # Invariants
//!
//! * `disconnected` comes once, at the end; `connected` at most once, before it; messages about
//!   chains only between the two, in the order of the wire.
//! * The handshake leaves before all else, the peer list that answers the peer's handshake before
//!   `connected` is reported, so before any message that engines send because of it.
//! * No input panics. Memory: one frame as far as it arrived, and the outbox, which the throttler
//!   bounds.
//!
//! # Deviations from upstream
//!
//! * A peer that does not become ready in time is closed; upstream keeps it as long as it pings.
//! * A failed handshake leaves nothing behind.
//! * An own message that fits no frame is refused when it is queued; upstream drops it silently
//!   when it is written. The queue also has a bound in messages.
//!
//! Upstream: `network/peer/peer.go`.

mod config;
mod fact;
mod info;
mod network;
mod outbox;

use std::sync::Arc;

use bytes::Bytes;
use sastrugi_crypto::Certificate;
use sastrugi_types::{Id, Instant, NodeId, WallTime, message::Inbound};

use crate::{
    Decoded, Encoded, Message, Op, WireError,
    frame::FrameDecoder,
    handshake::{self, HandshakeFault, Remote, Wanted},
    message::{GetPeerList, Handshake, PeerList, Ping},
    signed_ip::{ClaimedIp, SignedIp},
};

pub use config::{PeerConfig, PeerConfigError};
pub use fact::{Attention, CloseReason, DropReason, Fact, Part, Refusal, TrackError};
pub use info::PeerInfo;
pub use network::{Network, PeersRequest, Registration};
pub use outbox::{FRAMES_MAX, Outbox};

/// Most uptime a ping may claim, in percent.
pub const UPTIME_MAX: u32 = 100;

/// The time of a call, on both clocks. Neither goes backwards for one peer, except the wall clock
/// when somebody sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub instant: Instant,
    /// For what is told to others, and for what they tell.
    pub wall: WallTime,
}

/// How far the exchange of handshakes has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing acceptable came from the peer.
    Started,
    /// The peer's handshake was accepted.
    Greeted,
    /// The peer accepted ours: its peer list came.
    Ready,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Length,
    Throttled,
    Body,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer dialled us.
    Ingress,
    /// We dialled the peer.
    Egress,
}

/// One connection. See the [module](self).
#[derive(Debug)]
pub struct Peer {
    config: Arc<PeerConfig>,
    certificate: Certificate,
    direction: Direction,
    outbox: Outbox,

    stage: Stage,
    remote: Option<Box<Remote>>,
    /// The registration whose BLS key was last found to have signed the claim; zero before.
    verified: Id,
    closed: Option<CloseReason>,

    frames: FrameDecoder,
    reading: Reading,
    read_deadline: Option<Instant>,

    /// The handshake, until it is taken.
    greeting: Option<Encoded>,
    write_deadline: Option<Instant>,

    ready_deadline: Option<Instant>,
    next_ping: Instant,
    ping_sent: Option<Instant>,

    observed_uptime: u32,
    last_sent: WallTime,
    last_received: WallTime,
}

impl Peer {
    /// A connection whose TLS is done.
    ///
    /// `certificate` is what TLS has shown, `ip` the node's own signed claim. The outbox belongs
    /// to this connection alone.
    pub fn start(
        config: Arc<PeerConfig>,
        certificate: Certificate,
        direction: Direction,
        outbox: Outbox,
        ip: &SignedIp,
        now: Now,
        network: &mut dyn Network,
    ) -> Self {
        let ready_deadline = config.ready_timeout.map(|timeout| now.instant + timeout);
        let next_ping = now.instant + config.ping_period;
        let mut peer = Self {
            config,
            certificate,
            direction,
            outbox,
            stage: Stage::Started,
            remote: None,
            verified: Id::EMPTY,
            closed: None,
            frames: FrameDecoder::default(),
            reading: Reading::Length,
            read_deadline: None,
            greeting: None,
            write_deadline: None,
            ready_deadline,
            next_ping,
            ping_sent: None,
            observed_uptime: 0,
            last_sent: WallTime::UNIX_EPOCH,
            last_received: WallTime::UNIX_EPOCH,
        };
        peer.arm_read(now);
        let built = peer.build_greeting(ip, now, network);
        match built {
            Ok(greeting) => peer.greeting = Some(greeting),
            Err(reason) => peer.close(reason, network),
        }
        peer
    }

    // ---- What the driver reads ----

    /// Upon bytes: reads all frames in them, with no throttle in between.
    ///
    /// The three calls below do the same in steps.
    pub fn handle_bytes(&mut self, now: Now, mut input: &[u8], network: &mut dyn Network) {
        loop {
            if self.reading == Reading::Length && self.handle_length(&mut input, network).is_none()
            {
                return;
            }
            self.handle_admission(now);
            if !self.handle_body(now, &mut input, network) {
                return;
            }
        }
    }

    /// Upon bytes: takes the length of the next frame off the front. `None` until it has arrived
    /// whole (and when closed). The driver then asks its throttles for that many bytes; no read
    /// deadline runs meanwhile.
    pub fn handle_length(&mut self, input: &mut &[u8], network: &mut dyn Network) -> Option<usize> {
        if self.closed.is_some() || self.reading != Reading::Length {
            return None;
        }
        match self.frames.poll_length(input) {
            Ok(length) => {
                if length.is_some() {
                    self.reading = Reading::Throttled;
                    self.read_deadline = None;
                }
                length
            }
            Err(too_large) => {
                self.close(too_large.into(), network);
                None
            }
        }
    }

    /// Upon the throttles' consent: the body may be read; its deadline begins.
    pub fn handle_admission(&mut self, now: Now) {
        if self.reading == Reading::Throttled {
            self.reading = Reading::Body;
            self.arm_read(now);
        }
    }

    /// Upon bytes: takes the rest of the frame off the front, and handles it when it is whole.
    /// Says whether it was. A body of length 0 is whole without any bytes.
    pub fn handle_body(&mut self, now: Now, input: &mut &[u8], network: &mut dyn Network) -> bool {
        if self.closed.is_some() || self.reading != Reading::Body {
            return false;
        }
        match self.frames.poll_frame(input) {
            Ok(None) => false,
            Ok(Some(frame)) => {
                self.handle_frame(now, &frame, network);
                self.reading = Reading::Length;
                self.arm_read(now);
                true
            }
            Err(too_large) => {
                self.close(too_large.into(), network);
                false
            }
        }
    }

    /// Upon the end of the stream, or an error of it: closes.
    pub fn handle_end(&mut self, network: &mut dyn Network) {
        self.close(CloseReason::Ended(self.part()), network);
    }

    // ---- What the driver writes ----

    /// The next message to write: its frame header, then its bytes.
    ///
    /// The driver may take several before it writes them together; it must not take more while
    /// the connection accepts no bytes. A write deadline runs until [`Peer::handle_flushed`].
    pub fn poll_output(&mut self, now: Now) -> Option<Encoded> {
        if self.closed.is_some() {
            return None;
        }
        let message = self.greeting.take().or_else(|| self.outbox.pop())?;
        if message.op == Op::Ping {
            self.ping_sent = Some(now.instant);
        }
        self.write_deadline = Some(now.instant + self.config.timeout);
        self.last_sent = now.wall;
        Some(message)
    }

    /// Upon the connection having accepted all bytes of all messages taken.
    pub fn handle_flushed(&mut self) {
        self.write_deadline = None;
    }

    /// Queues a message, or says false. The same as a push into the outbox, and reported.
    pub fn send(&mut self, message: Encoded, network: &mut dyn Network) -> bool {
        let op = message.op;
        match self.outbox.push(message) {
            Ok(()) => true,
            Err(reason) => {
                network.observe(Fact::SendFailed { op, reason });
                false
            }
        }
    }

    /// Asks the peer for claims.
    pub fn send_get_peer_list(&mut self, network: &mut dyn Network) {
        if self.closed.is_some() {
            return;
        }
        let known_peers = Some(network.known_peers());
        let all_subnets = self.wants_all_subnets(network);
        let message = Message::GetPeerList(GetPeerList { known_peers, all_subnets });
        self.build_and_send(&message, network);
    }

    // ---- Time ----

    /// When to call [`Peer::handle_timeout`], unless something else changes it. `None` when
    /// closed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        let deadlines = [self.read_deadline, self.write_deadline, self.ready_deadline];
        deadlines.into_iter().flatten().chain([self.next_ping]).min()
    }

    /// Upon the time of [`Peer::poll_timeout`], or later: deadlines first, then the ping. A call
    /// too early does nothing.
    pub fn handle_timeout(&mut self, now: Now, network: &mut dyn Network) {
        if self.closed.is_some() {
            return;
        }
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|it| it <= now.instant);
        if is_over(self.read_deadline) {
            self.close(CloseReason::ReadTimeout(self.part()), network);
        } else if is_over(self.write_deadline) {
            self.close(CloseReason::WriteTimeout, network);
        } else if is_over(self.ready_deadline) {
            self.close(CloseReason::ReadyTimeout, network);
        } else if self.next_ping <= now.instant {
            self.skip_to_next_ping(now.instant);
            self.ping(now, network);
        }
    }

    // ---- The end ----

    /// Closes the connection from this side.
    pub fn shut_down(&mut self, network: &mut dyn Network) {
        self.close(CloseReason::Shutdown, network);
    }

    /// Why the connection is closed, if it is. Then the driver drops it.
    pub const fn closed(&self) -> Option<&CloseReason> {
        self.closed.as_ref()
    }

    // ---- What is known of the peer ----

    /// The peer.
    pub const fn node(&self) -> NodeId {
        self.certificate.node_id()
    }

    /// The certificate TLS has shown.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Who opened the connection.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether it counts as an inbound connection: opened by the peer and not closed.
    pub fn counts_as_ingress(&self) -> bool {
        self.direction == Direction::Ingress && self.closed.is_none()
    }

    /// The sending side, for other threads.
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// How far the handshakes have come; what it was when the connection is closed.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// What the peer said of itself, once it was accepted.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_deref()
    }

    /// Whether a ping waits for its pong.
    pub const fn is_ping_outstanding(&self) -> bool {
        self.ping_sent.is_some()
    }

    /// This node's uptime in percent, as the peer sees it: what its last ping said.
    pub const fn observed_uptime(&self) -> u32 {
        self.observed_uptime
    }

    /// The registration as a validator whose BLS key signed the peer's claim; zero if there is none.
    pub const fn verified_registration(&self) -> Id {
        self.verified
    }

    /// When the last message was taken to be written; the epoch if none was.
    pub const fn last_sent(&self) -> WallTime {
        self.last_sent
    }

    /// When the last message was understood; the epoch if none was.
    pub const fn last_received(&self) -> WallTime {
        self.last_received
    }

    /// Everything `info.peers` tells; `None` unless the peer became ready.
    pub fn info(&self) -> Option<PeerInfo> {
        let remote = self.remote.as_deref().filter(|_| self.stage == Stage::Ready)?;
        Some(PeerInfo::new(remote, self.observed_uptime, self.last_sent, self.last_received))
    }
}

/// Upon each message.
impl Peer {
    fn handle_frame(&mut self, now: Now, frame: &Bytes, network: &mut dyn Network) {
        let bytes = frame.len();
        match self.config.codec.decode(frame) {
            Ok(Decoded { message, bytes_saved }) => {
                self.received(message.op(), bytes, bytes_saved, now, network);
                if let Err(reason) = self.handle_message(now, message, network) {
                    self.close(reason, network);
                }
            }
            Err(WireError::Invalid { op, field }) => {
                self.received(op, bytes, 0, now, network);
                let reason = match self.stage {
                    Stage::Ready => field.into(),
                    _ => DropReason::NotReady,
                };
                network.observe(Fact::Dropped { op, reason });
            }
            Err(error) => network.observe(Fact::Unparsable(error)),
        }
    }

    fn received(
        &mut self,
        op: Op,
        bytes: usize,
        bytes_saved: i64,
        now: Now,
        network: &mut dyn Network,
    ) {
        self.last_received = now.wall;
        network.observe(Fact::Received { op, bytes, bytes_saved });
    }

    fn handle_message(
        &mut self,
        now: Now,
        message: Message,
        network: &mut dyn Network,
    ) -> Result<(), CloseReason> {
        match message {
            Message::Ping(ping) => self.handle_ping(ping, network),
            Message::Pong => self.handle_pong(now, network),
            Message::Handshake(message) => self.handle_handshake(now, &message, network),
            Message::PeerList(message) => self.handle_peer_list(&message, network),
            Message::GetPeerList(_) | Message::Chain { .. } if self.stage != Stage::Ready => {
                let op = message.op();
                network.observe(Fact::Dropped { op, reason: DropReason::NotReady });
                Ok(())
            }
            Message::GetPeerList(message) => self.handle_get_peer_list(&message, network),
            Message::Chain { chain, payload } => {
                network.inbound(Inbound { from: self.node(), chain, payload });
                Ok(())
            }
        }
    }

    fn handle_ping(&mut self, ping: Ping, network: &mut dyn Network) -> Result<(), CloseReason> {
        if ping.uptime > UPTIME_MAX {
            return Err(CloseReason::Uptime(ping.uptime));
        }
        self.observed_uptime = ping.uptime;
        let pong = self.build(&Message::Pong)?;
        self.send(pong, network);
        Ok(())
    }

    fn handle_pong(&mut self, now: Now, network: &mut dyn Network) -> Result<(), CloseReason> {
        let sent = self.ping_sent.take().ok_or(CloseReason::UnexpectedPong)?;
        network.observe(Fact::RoundTrip(now.instant - sent));
        Ok(())
    }

    fn handle_handshake(
        &mut self,
        now: Now,
        message: &Handshake,
        network: &mut dyn Network,
    ) -> Result<(), CloseReason> {
        if self.stage != Stage::Started {
            return Err(CloseReason::SecondHandshake);
        }
        let (remote, wanted) = self.examine(now, message, network)?;
        self.verified = self.still_acceptable(&remote, now, network)?;
        self.stage = Stage::Greeted;

        let answer = network.peers(request(&remote, &wanted));
        self.remote = Some(Box::new(remote));
        let mut answer = self.build(&peer_list(&answer))?;
        answer.bypass_throttling = true;
        self.send(answer, network);
        Ok(())
    }

    /// The checks of a handshake, and what there is to report on the way.
    fn examine(
        &self,
        now: Now,
        message: &Handshake,
        network: &mut dyn Network,
    ) -> Result<(Remote, Wanted), HandshakeFault> {
        let config = &*self.config;
        handshake::examine_network(config, message)?;
        network.observe(Fact::ClockSkew(handshake::clock_skew(message, now.wall)));
        handshake::examine_clock(config, message, now.wall)?;
        let version = handshake::application(message).version();
        if version > config.compatibility.current {
            network.observe(Fact::NewerVersion(version));
        }
        handshake::examine(config, &self.certificate, message, now.wall)
    }

    /// What can change while a connection lasts: whether the version is compatible, and whether
    /// the claim is signed by the key that the node is registered with as a validator. Gives the
    /// registration verified. As upstream, one is verified once, whatever its key becomes, and
    /// the zero transaction counts as verified.
    fn still_acceptable(
        &self,
        remote: &Remote,
        now: Now,
        network: &mut dyn Network,
    ) -> Result<Id, CloseReason> {
        let version = remote.application.version();
        if !self.config.compatibility.is_compatible(version, now.wall) {
            return Err(CloseReason::Version(version));
        }
        match network.registration(remote.node) {
            Some(Registration { tx, key: Some(key) }) if tx != self.verified => {
                if remote.ip.is_signed_by(&key) { Ok(tx) } else { Err(CloseReason::BlsSignature) }
            }
            _ => Ok(self.verified),
        }
    }

    fn handle_peer_list(
        &mut self,
        message: &PeerList,
        network: &mut dyn Network,
    ) -> Result<(), CloseReason> {
        let Some(remote) = &self.remote else { return Ok(()) };
        if self.stage == Stage::Greeted {
            self.stage = Stage::Ready;
            self.ready_deadline = None;
            network.connected(remote);
        }
        let claims: Result<Vec<_>, _> =
            message.claimed_ip_ports.iter().map(ClaimedIp::from_wire).collect();
        Ok(network.track(claims?)?)
    }

    fn handle_get_peer_list(
        &mut self,
        message: &GetPeerList,
        network: &mut dyn Network,
    ) -> Result<(), CloseReason> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let filter = message.known_peers.clone().unwrap_or_default();
        let (known, salt) = handshake::known_peers(&filter)?;
        let wanted = Wanted { known, salt, all_subnets: message.all_subnets };
        let claims = network.peers(request(remote, &wanted));
        if claims.is_empty() {
            network.observe(Fact::NothingToTell);
        } else {
            self.build_and_send(&peer_list(&claims), network);
        }
        Ok(())
    }
}

/// Upon time, and towards the end.
impl Peer {
    fn ping(&mut self, now: Now, network: &mut dyn Network) {
        if let Err(reason) = self.try_ping(now, network) {
            self.close(reason, network);
        }
    }

    fn try_ping(&mut self, now: Now, network: &mut dyn Network) -> Result<(), CloseReason> {
        let node = self.node();
        if !network.allows(node) {
            return Err(CloseReason::NotAllowed);
        }
        if let (Stage::Ready, Some(remote)) = (self.stage, &self.remote) {
            self.verified = self.still_acceptable(remote, now, network)?;
        }
        let uptime = network.uptime(node);
        if uptime.is_none() {
            network.observe(Fact::UptimeUnknown);
        }
        let uptime = ((uptime.unwrap_or_default() * 100.0) as u32).min(UPTIME_MAX);
        let ping = self.build(&Message::Ping(Ping { uptime }))?;
        self.send(ping, network);
        Ok(())
    }

    /// Keeps the beat: a late call skips the pings it missed.
    fn skip_to_next_ping(&mut self, now: Instant) {
        let period = self.config.ping_period.as_nanos().max(1);
        let missed = u128::from(now.0.saturating_sub(self.next_ping.0)) / period;
        let ahead = u64::try_from((missed + 1) * period).unwrap_or(u64::MAX);
        self.next_ping = Instant(self.next_ping.0.saturating_add(ahead));
    }

    fn arm_read(&mut self, now: Now) {
        self.read_deadline = Some(now.instant + self.config.timeout);
    }

    fn part(&self) -> Part {
        if self.reading == Reading::Length { Part::Length } else { Part::Body }
    }

    fn close(&mut self, reason: CloseReason, network: &mut dyn Network) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason.clone());
        self.greeting = None;
        self.frames = FrameDecoder::default();
        network.observe(Fact::Closing(reason));
        for op in self.outbox.close() {
            network.observe(Fact::SendFailed { op, reason: Refusal::Abandoned });
        }
        network.disconnected(self.node(), self.stage == Stage::Ready);
    }
}

/// A peer that is dropped without an end gives back what it holds of the throttler.
impl Drop for Peer {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// Own messages.
impl Peer {
    fn build_greeting(
        &self,
        ip: &SignedIp,
        now: Now,
        network: &mut dyn Network,
    ) -> Result<Encoded, CloseReason> {
        if ip.claim.address.port() == 0 {
            return Err(CloseReason::OwnPort);
        }
        let known_peers = network.known_peers();
        let all_subnets = self.wants_all_subnets(network);
        let greeting = handshake::greet(&self.config, ip, now.wall, known_peers, all_subnets);
        self.build(&Message::Handshake(Box::new(greeting)))
    }

    fn wants_all_subnets(&self, network: &dyn Network) -> bool {
        self.config.connect_to_all_validators || network.is_validator()
    }

    fn build(&self, message: &Message) -> Result<Encoded, CloseReason> {
        let Self { config, .. } = self;
        config.codec.encode(message, config.compression).map_err(CloseReason::CannotBuild)
    }

    fn build_and_send(&mut self, message: &Message, network: &mut dyn Network) {
        match self.build(message) {
            Ok(message) => {
                self.send(message, network);
            }
            Err(reason) => self.close(reason, network),
        }
    }
}

fn request<'a>(remote: &'a Remote, wanted: &'a Wanted) -> PeersRequest<'a> {
    PeersRequest {
        node: remote.node,
        subnets: &remote.tracked_subnets,
        all_subnets: wanted.all_subnets,
        known: &wanted.known,
        salt: &wanted.salt,
    }
}

fn peer_list(claims: &[ClaimedIp]) -> Message {
    let claimed_ip_ports = claims.iter().map(ClaimedIp::to_wire).collect();
    Message::PeerList(PeerList { claimed_ip_ports })
}

#[cfg(test)]
mod tests;
