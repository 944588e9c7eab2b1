//! A network and a peer that is driven by hand, frame by frame.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rustls::{ClientConnection, ServerConnection, StreamOwned, pki_types::ServerName};
use sastrugi_wire::{Codec, Compression, Message, Op, frame, message::Ping};

use super::*;
use crate::{NetworkConfig, Tls};

struct RawPeer {
    stream: StreamOwned<ClientConnection, TcpStream>,
    codec: Codec,
}

impl RawPeer {
    fn connect(node: &Node, seed: u8) -> Self {
        let address = node.network.address();
        let tls = Tls::new(&identity(seed)).unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        let connection = ClientConnection::new(Arc::clone(&tls.client), name).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { stream: StreamOwned::new(connection, socket), codec: Codec::default() }
    }

    /// Writes a frame with this body.
    fn write(&mut self, body: &[u8]) {
        let mut framed = BytesMut::new();
        frame::write(body, &mut framed).unwrap();
        self.stream.write_all(&framed).unwrap();
        self.stream.flush().unwrap();
    }

    fn ping(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&pings(1))?;
        self.stream.flush()
    }

    fn read(&mut self) -> std::io::Result<Message> {
        let mut length = [0; frame::HEADER_BYTES];
        self.stream.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut body)?;
        Ok(self.codec.decode(&Bytes::from(body)).unwrap().message)
    }

    /// Reads until a message of this kind comes.
    fn read_until(&mut self, op: Op) {
        while self.read().unwrap().op() != op {}
    }

    /// Reads until the other end closes.
    fn read_to_the_end(&mut self) {
        loop {
            match self.read() {
                Ok(_) => {}
                Err(error) => {
                    assert_ne!(error.kind(), ErrorKind::WouldBlock, "not closed in time");
                    return;
                }
            }
        }
    }
}

/// So many pings, framed.
fn pings(count: usize) -> BytesMut {
    let ping = Message::Ping(Ping { uptime: 99 });
    let ping = Codec::default().encode(&ping, Compression::None).unwrap();
    let mut framed = BytesMut::new();
    for _ in 0..count {
        frame::write(&ping.bytes, &mut framed).unwrap();
    }
    framed
}

fn quick_timeouts() -> NetworkConfig {
    let mut config = config();
    config.peer.ping_period = Duration::from_millis(100);
    config.peer.timeout = Duration::from_millis(400);
    config
}

fn ingress(node: &Node) -> usize {
    node.network.health().ingress_connection_count
}

#[test]
fn frames_that_cannot_be_read_are_dropped_and_the_rest_is_answered() {
    let node = Node::start(101);
    let mut peer = RawPeer::connect(&node, 201);
    peer.read_until(Op::Handshake);
    for garbage in [&b""[..], b"garbage", &[0xff; 1000], &vec![0; frame::MESSAGE_BYTES_MAX]] {
        peer.write(garbage);
    }
    peer.ping().unwrap();
    peer.read_until(Op::Pong);
    assert_eq!(node.network.stats().msgs_failed_to_parse, 4);
    assert_eq!(ingress(&node), 1);
    assert!(node.diary.heard.lock().is_empty(), "it never sent a handshake");
}

#[test]
fn a_frame_that_is_too_long_closes() {
    let node = Node::start(102);
    let mut peer = RawPeer::connect(&node, 202);
    peer.read_until(Op::Handshake);
    peer.stream.write_all(&(frame::MESSAGE_BYTES_MAX as u32 + 1).to_be_bytes()).unwrap();
    peer.read_to_the_end();
    await_true("forgotten", || ingress(&node) == 0);
}

#[test]
fn a_silent_peer_is_closed_in_time_and_may_come_back() {
    let node = Node::try_start(103, quick_timeouts()).unwrap();
    for _ in 0..2 {
        let start = Instant::now();
        let mut peer = RawPeer::connect(&node, 203);
        peer.read_until(Op::Handshake);
        peer.read_until(Op::Ping);
        peer.read_to_the_end();
        assert!(start.elapsed() >= Duration::from_millis(400));
        await_true("forgotten", || ingress(&node) == 0);
    }
}

#[test]
fn pings_keep_a_peer_without_a_handshake_only_until_it_should_be_ready() {
    let mut config = quick_timeouts();
    config.peer.ready_timeout = Some(Duration::from_millis(900));
    let node = Node::try_start(104, config).unwrap();
    let mut peer = RawPeer::connect(&node, 204);
    let start = Instant::now();
    while peer.read().is_ok() && peer.ping().is_ok() {}
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
    await_true("forgotten", || ingress(&node) == 0);
}

#[test]
fn the_first_connection_of_a_node_stays() {
    let node = Node::start(105);
    let mut first = RawPeer::connect(&node, 205);
    first.read_until(Op::Handshake);
    let mut second = RawPeer::connect(&node, 205);
    second.read_to_the_end();
    first.ping().unwrap();
    first.read_until(Op::Pong);
    assert_eq!(ingress(&node), 1);
}

#[test]
fn a_peer_that_reads_nothing_is_closed_and_holds_up_nobody() {
    let mut config = quick_timeouts();
    config.peer.ready_timeout = None;
    let node = Node::try_start(106, config).unwrap();
    let mut peer = RawPeer::connect(&node, 206);
    peer.read_until(Op::Handshake);
    let other = Node::start(107);
    other.track(&node);
    await_connection(&node, &other);
    let flood = pings(10_000);
    while peer.stream.write_all(&flood).is_ok() {}
    await_true("only the other is left", || ingress(&node) == 1);
    assert!(node.send(&other, "still here"));
    await_true("a message", || other.diary.messages().len() == 1);
}

/// The peer's end of a connection that the node has dialled.
struct Dialled(StreamOwned<ServerConnection, TcpStream>);

impl Dialled {
    /// Accepts a connection and waits until the node has registered it.
    fn accept(listener: &TcpListener, seed: u8) -> Option<Self> {
        let (socket, _) = listener.accept().ok()?;
        socket.set_nonblocking(false).unwrap();
        let tls = Tls::new(&identity(seed)).unwrap();
        let connection = ServerConnection::new(Arc::clone(&tls.server)).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        stream.read_exact(&mut [0; 1]).unwrap();
        Some(Self(stream))
    }
}

/// A peer dials the node that has dialled it, is refused, and then gives up the node's connection:
/// so it looks when both ends keep the connection they saw first. Says after what time the node
/// dialled again, if it did so soon, the first time and the second.
fn pauses_after_crossing(own: u8, peer: u8) -> [Option<Duration>; 2] {
    let mut patient = config();
    patient.dial.delay_initial = LIMIT;
    patient.dial.delay_max = LIMIT;
    let node = Node::try_start(own, patient).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    node.network.track(identity(peer).node_id(), listener.local_addr().unwrap());
    let mut dialled = Dialled::accept(&listener, peer);
    listener.set_nonblocking(true).unwrap();
    [(); 2].map(|()| {
        RawPeer::connect(&node, peer).read_to_the_end();
        drop(dialled.take().unwrap().0);
        let start = Instant::now();
        while dialled.is_none() && start.elapsed() < Duration::from_secs(1) {
            dialled = Dialled::accept(&listener, peer);
            sleep(Duration::from_millis(1));
        }
        dialled.as_ref().map(|_| start.elapsed())
    })
}

#[test]
fn after_two_connections_crossed_the_lower_node_dials_at_once_and_only_once() {
    let (mut low, mut high) = (108, 208);
    if identity(low).node_id() > identity(high).node_id() {
        (low, high) = (high, low);
    }
    let [first, second] = pauses_after_crossing(low, high);
    assert!(first.is_some() && second.is_none(), "{first:?} {second:?}");
    let [first, second] = pauses_after_crossing(high, low);
    assert!(first >= Some(Duration::from_millis(250)) && second.is_none(), "{first:?} {second:?}");
}
