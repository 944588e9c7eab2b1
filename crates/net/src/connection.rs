//! One connection: the peer machine, its socket, and the task between them.
//!
//! The task runs two loops side by side, so an answer leaves without waking another task:
//!
//! * The reader feeds the machine with what arrives, waits for the [admission](crate::admission)
//!   of each frame, and keeps the machine's time, whatever it waits for.
//! * The writer takes messages until a batch is full, writes the batch, and says so. While the
//!   socket takes nothing the reader goes on.
//! * When one of them ends, or the network closes, so does the other, and then the machine.
//!
//! Locks: the machine is locked for each call, and what it reports is handled under that lock.
//! The caller's [`Inbox`](crate::Inbox) is called under it as well.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use sastrugi_types::{Id, Instant, NodeId};
use sastrugi_wire::{
    Encoded, Peer, frame,
    peer::{Direction, Outbox, PeerInfo, Refusal},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::TcpStream,
    sync::Notify,
    time::{Sleep, sleep_until},
};
use tokio_rustls::TlsStream;

use crate::{
    admission::{Admission, Permit},
    shared::Shared,
    surroundings::Surroundings,
};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// A batch is written once it is at least this long.
const BATCH_BYTES: usize = 64 * 1024;
/// A message at least this long ends a batch, and is written without being copied into it.
const LARGE_BYTES: usize = 16 * 1024;

/// A connection past TLS, as all threads see it.
pub(crate) struct Connection {
    node: NodeId,
    address: SocketAddr,
    direction: Direction,
    outbox: Outbox,
    since: Instant,
    /// The subnets it tracks, once the handshake is done.
    subnets: OnceLock<BTreeSet<Id>>,
    /// Another connection with the same node was refused before this one was ready.
    had_rival: AtomicBool,
    peer: Mutex<Peer>,
    /// Something waits to be written.
    wake: Notify,
    /// The connection is to end.
    end: Notify,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Connection {
    pub(crate) fn new(peer: Peer, address: SocketAddr, since: Instant) -> Self {
        Self {
            node: peer.node(),
            address,
            direction: peer.direction(),
            outbox: peer.outbox().clone(),
            since,
            subnets: OnceLock::new(),
            had_rival: AtomicBool::new(false),
            peer: Mutex::new(peer),
            wake: Notify::new(),
            end: Notify::new(),
        }
    }

    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    /// The other end of the socket.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn direction(&self) -> Direction {
        self.direction
    }

    /// Since when there is a connection.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// The handshake is done. The first call counts.
    pub(crate) fn set_ready(&self, subnets: BTreeSet<Id>) {
        self.subnets.get_or_init(|| subnets);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.subnets.get().is_some()
    }

    /// Another connection with the same node is refused.
    pub(crate) fn note_rival(&self) {
        if !self.is_ready() {
            self.had_rival.store(true, Ordering::Relaxed);
        }
    }

    /// Whether another connection was refused before this one was ready.
    pub(crate) fn had_rival(&self) -> bool {
        self.had_rival.load(Ordering::Relaxed)
    }

    /// Whether the peer tracks a subnet.
    pub(crate) fn tracks(&self, subnet: Id) -> bool {
        self.subnets.get().is_some_and(|subnets| subnets.contains(&subnet))
    }

    pub(crate) fn info(&self) -> Option<PeerInfo> {
        self.peer.lock().info()
    }

    /// Queues a message.
    pub(crate) fn send(&self, message: Encoded) -> Result<(), Refusal> {
        self.outbox.push(message)?;
        self.wake.notify_one();
        Ok(())
    }

    /// Ends the connection from this side.
    pub(crate) fn shut_down(&self, shared: &Shared) {
        let mut surroundings = Surroundings::new(shared, self.node);
        self.peer.lock().shut_down(&mut surroundings);
        self.end.notify_one();
    }
}

/// Runs a connection to its end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    stream: TlsStream<TcpStream>,
) {
    let ending = Ending { shared: &shared, connection: &connection };
    let (read_half, write_half) = split(stream);
    let mut reader = Reader::new(&shared, &connection);
    let writer = Writer { shared: &shared, connection: &connection };
    tokio::select! {
        biased;
        () = reader.run(read_half) => {}
        () = writer.run(write_half) => {}
        () = connection.end.notified() => {}
    }
    drop(ending);
}

/// Whatever ends the task, a panic of the caller's inbox included, ends the machine, so that the
/// node may come back.
struct Ending<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut surroundings = Surroundings::new(self.shared, self.connection.node);
        self.connection.peer.lock().handle_end(&mut surroundings);
    }
}

/// The reading side.
struct Reader<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    admission: Arc<Admission>,
    alarm: Pin<Box<Sleep>>,
    /// What the frame being read holds, from its admission to its end.
    permit: Option<Permit>,
}

/// The machine is closed.
struct Closed;

impl<'a> Reader<'a> {
    fn new(shared: &'a Shared, connection: &'a Connection) -> Self {
        let now = shared.clock.instant();
        let alarm = Box::pin(sleep_until(shared.clock.timer(now)));
        let admission = Arc::new(Admission::new(shared.config.inbound, now));
        Self { shared, connection, admission, alarm, permit: None }
    }

    async fn run(&mut self, mut half: ReadHalf<TlsStream<TcpStream>>) {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(read) = self.attend(half.read(&mut buffer)).await {
            let Ok(length @ 1..) = read else { return };
            if self.take_in(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }

    /// Feeds the machine with bytes.
    async fn take_in(&mut self, mut input: &[u8]) -> Result<(), Closed> {
        loop {
            if self.permit.is_none() {
                let length =
                    self.call(|peer, surroundings| peer.handle_length(&mut input, surroundings))?;
                let Some(length) = length else { return Ok(()) };
                let admission = Arc::clone(&self.admission);
                let Shared { clock, counters, .. } = self.shared;
                self.permit =
                    Some(self.attend(admission.admit(length, *clock, &counters.admission)).await?);
                self.call(|peer, surroundings| peer.handle_admission(surroundings.now()))?;
            }
            let mut surroundings = Surroundings::new(self.shared, self.connection.node);
            surroundings.lend(&mut self.permit);
            let mut peer = self.connection.peer.lock();
            let now = surroundings.now();
            let is_whole = peer.handle_body(now, &mut input, &mut surroundings);
            let is_closed = peer.closed().is_some();
            drop(peer);
            self.wake_writer();
            if is_closed {
                return Err(Closed);
            }
            if !is_whole {
                return Ok(());
            }
            self.permit = None;
        }
    }

    /// Waits for something, and keeps the machine's time meanwhile.
    async fn attend<T>(&mut self, awaited: impl Future<Output = T>) -> Result<T, Closed> {
        tokio::pin!(awaited);
        loop {
            tokio::select! {
                biased;
                () = self.alarm.as_mut() => self.handle_alarm()?,
                output = &mut awaited => return Ok(output),
            }
        }
    }

    /// The alarm may be early: deadlines move away with each frame, and the alarm stays.
    fn handle_alarm(&mut self) -> Result<(), Closed> {
        let next = self.call(|peer, surroundings| {
            peer.handle_timeout(surroundings.now(), surroundings);
            peer.poll_timeout()
        })?;
        self.wake_writer();
        let next = self.shared.clock.timer(next.ok_or(Closed)?);
        self.alarm.as_mut().reset(next);
        Ok(())
    }

    fn call<T>(
        &self,
        call: impl FnOnce(&mut Peer, &mut Surroundings<'_>) -> T,
    ) -> Result<T, Closed> {
        let mut surroundings = Surroundings::new(self.shared, self.connection.node);
        let mut peer = self.connection.peer.lock();
        let result = call(&mut peer, &mut surroundings);
        if peer.closed().is_some() { Err(Closed) } else { Ok(result) }
    }

    fn wake_writer(&self) {
        if !self.connection.outbox.is_empty() {
            self.connection.wake.notify_one();
        }
    }
}

/// The writing side.
struct Writer<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
}

/// What is written at once: many small messages, and after them a large one.
#[derive(Default)]
struct Batch {
    small: BytesMut,
    large: Bytes,
}

impl Writer<'_> {
    /// Ends with the machine, or when the socket breaks.
    async fn run(&self, mut half: WriteHalf<TlsStream<TcpStream>>) {
        let mut batch = Batch::default();
        while self.gather(&mut batch) {
            if batch.small.is_empty() {
                self.connection.wake.notified().await;
                continue;
            }
            if write(&mut half, &batch).await.is_err() {
                return;
            }
            self.connection.peer.lock().handle_flushed();
            batch.small.clear();
            batch.large.clear();
        }
    }

    /// Fills a batch with what waits. Says false when the machine is closed.
    fn gather(&self, batch: &mut Batch) -> bool {
        let now = self.shared.clock.now();
        let mut peer = self.connection.peer.lock();
        while batch.small.len() < BATCH_BYTES && batch.large.is_empty() {
            let Some(message) = peer.poll_output(now) else { break };
            let Ok(header) = frame::header(message.bytes.len()) else { continue };
            self.shared.counters.sent(&message, now.instant);
            batch.small.put_slice(&header);
            if message.bytes.len() < LARGE_BYTES {
                batch.small.put_slice(&message.bytes);
            } else {
                batch.large = message.bytes;
            }
        }
        peer.closed().is_none()
    }
}

async fn write(half: &mut WriteHalf<TlsStream<TcpStream>>, batch: &Batch) -> io::Result<()> {
    half.write_all(&batch.small).await?;
    half.write_all(&batch.large).await?;
    half.flush().await
}
