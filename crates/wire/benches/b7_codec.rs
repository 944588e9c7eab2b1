//! B7: messages to wire bytes and back, without the length in front.
//!
//! The reference also counts what it compressed and how long that took. Here the peer counts, from
//! the numbers that come with each message.
//!
//! Two compressors may choose different bytes for the same message, so what the reference wrote is
//! parsed too, once and untimed: `reference/<message>-zstd.bin` holds the small ones, and
//! `B7_REFERENCE=<dir>` names a folder with more. `B7_WRITE=<dir>` writes ours, for the other side
//! to parse.

use std::{
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use sastrugi_benchkit::{Outcome, SplitMix64, Suite};
use sastrugi_types::{
    Id, RequestId,
    message::{Chits, Payload, Request, Response},
};
use sastrugi_wire::{Codec, Compression, Message};

const ID: RequestId = RequestId(123_456);
const DEADLINE: Duration = Duration::from_secs(2);
const REQUESTED_HEIGHT: u64 = 10_000_001;
const REPS: usize = 7;

/// A message under its name, and the bytes of its payload, which decide how often it is measured.
struct Workload {
    name: String,
    message: Message,
    payload_bytes: u64,
}

impl Workload {
    fn new(name: &str, payload_bytes: usize, chain: Id, payload: Payload) -> Self {
        let message = Message::Chain { chain, payload };
        Self { name: name.to_owned(), message, payload_bytes: payload_bytes as u64 }
    }

    fn ops(&self) -> u64 {
        (50_000_000 / self.payload_bytes.max(1)).clamp(20, 50_000)
    }
}

fn request(request: Request) -> Payload {
    Payload::Request { id: ID, deadline: DEADLINE, request }
}

fn response(response: Response) -> Payload {
    Payload::Response { id: ID, response }
}

fn workloads() -> Vec<Workload> {
    let mut rng = SplitMix64::new(7);
    let chain = Id(rng.array());
    let _node: [u8; 20] = rng.array();
    let [preferred, preferred_at_height, accepted] = [(); 3].map(|()| Id(rng.array()));
    let containers: Vec<Bytes> = (0..1_000).map(|_| rng.bytes(500).into()).collect();

    let chits =
        Chits { preferred, preferred_at_height, accepted, accepted_height: REQUESTED_HEIGHT - 1 };
    let pull = Request::PullQuery { container: preferred, requested_height: REQUESTED_HEIGHT };
    let mut workloads = vec![
        Workload::new("chits", 0, chain, response(Response::Chits(chits))),
        Workload::new("pullquery", 0, chain, request(pull)),
    ];
    for size in [100, 2_048, 65_536, 1_638_400] {
        let mut rng = SplitMix64::new(size as u64);
        // As in the reference, the text continues the random numbers of the bytes.
        let random = rng.bytes(size);
        for (kind, container) in [("rand", random), ("text", rng.text(size))] {
            let push = Request::PushQuery {
                container: container.into(),
                requested_height: REQUESTED_HEIGHT,
            };
            let name = format!("pushquery-{kind}-{size}");
            workloads.push(Workload::new(&name, size, chain, request(push)));
        }
    }
    let ancestors = response(Response::Ancestors { containers });
    workloads.push(Workload::new("ancestors-1000x500", 500_000, chain, ancestors));
    workloads
}

fn marshal(suite: &mut Suite, codec: &Codec, load: &Workload, compression: Compression) {
    let id = format!("B7-marshal-{}-{}", load.name, suffix(compression));
    suite.run(&id, "ns/msg", REPS, |meter| {
        let mut length = 0;
        meter.start();
        for _ in 0..load.ops() {
            let encoded = codec.encode(black_box(&load.message), compression);
            length = black_box(encoded).map_or(0, |encoded| encoded.bytes.len());
        }
        meter.stop();
        Outcome::new(load.ops(), length as u64).with("wire_bytes", length as f64)
    });
}

fn parse(suite: &mut Suite, codec: &Codec, load: &Workload, compression: Compression) {
    let id = format!("B7-parse-{}-{}", load.name, suffix(compression));
    let Ok(encoded) = codec.encode(&load.message, compression) else { return };
    let name = format!("{}-{}", load.name, suffix(compression));
    let reference = reference(&name);
    suite.run(&id, "ns/msg", REPS, |meter| {
        let is_message = |bytes| codec.decode(bytes).is_ok_and(|it| it.message == load.message);
        let is_read = is_message(&encoded.bytes) && reference.as_ref().is_none_or(is_message);
        meter.start();
        for _ in 0..load.ops() {
            drop(black_box(codec.decode(black_box(&encoded.bytes))));
        }
        meter.stop();
        let length = encoded.bytes.len();
        let check = if is_read { length as u64 } else { 0 };
        let outcome = Outcome::new(load.ops(), check).with("wire_bytes", length as f64);
        match &reference {
            Some(bytes) => outcome.with("reference_wire_bytes", bytes.len() as f64),
            None => outcome,
        }
    });
    if let Some(folder) = env::var_os("B7_WRITE") {
        write(&Path::new(&folder).join(format!("{name}.bin")), &encoded.bytes);
    }
}

#[expect(clippy::print_stderr, reason = "who asked for the file should hear that there is none")]
fn write(path: &Path, bytes: &[u8]) {
    if let Err(error) = fs::write(path, bytes) {
        eprintln!("{}: {error}", path.display());
    }
}

/// What the reference wrote for the same message, if it is at hand.
fn reference(name: &str) -> Option<Bytes> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/reference");
    let folder = env::var_os("B7_REFERENCE").map_or_else(default, PathBuf::from);
    fs::read(folder.join(format!("{name}.bin"))).ok().map(Bytes::from)
}

const fn suffix(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "raw",
        Compression::Zstd => "zstd",
    }
}

fn main() {
    let mut suite = Suite::from_args();
    let codec = Codec::default();
    for compression in [Compression::None, Compression::Zstd] {
        for load in workloads() {
            if compression == Compression::None || load.message.op().is_compressed() {
                marshal(&mut suite, &codec, &load, compression);
                parse(&mut suite, &codec, &load, compression);
            }
        }
    }
}
