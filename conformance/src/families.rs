//! The table of families: who replays each, or which part of the system will bring its replayer.

use std::collections::BTreeMap;

/// How a family is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `bytes/<name>.json`
    Bytes,
    /// `traces/<name>.jsonl` and its continuations
    Trace,
}

/// Where a family stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// `tests/<name>.rs` replays it.
    Replayed,
    /// `tests/<name>.rs` replays it but for some kinds of case, which [`cases`](crate::cases)
    /// leaves out. Each is listed with the part of the system that will bring it.
    InPart(&'static [(&'static str, &'static str)]),
    /// The named part of the system will bring the replayer.
    ComesWith(&'static str),
}

impl Column {
    /// The part of the system that will bring the replay of cases of this kind, if they are not
    /// replayed yet.
    pub fn comes_with(self, kind: &str) -> Option<&'static str> {
        match self {
            Self::Replayed => None,
            Self::InPart(later) => {
                later.iter().find(|(name, _)| *name == kind).map(|(_, part)| *part)
            }
            Self::ComesWith(part) => Some(part),
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Name of the file and of the test; `-` becomes `_` in the latter.
    pub name: &'static str,
    /// How it is stored.
    pub kind: Kind,
    /// Where it stands.
    pub column: Column,
}

const fn bytes(name: &'static str, column: Column) -> Family {
    Family { name, kind: Kind::Bytes, column }
}

const fn trace(name: &'static str, column: Column) -> Family {
    Family { name, kind: Kind::Trace, column }
}

/// Every family there is.
pub const FAMILIES: &[Family] = &[
    bytes("bloom", Column::Replayed),
    bytes("bls", Column::Replayed),
    bytes("codec", Column::Replayed),
    bytes("formatting", Column::Replayed),
    bytes("genesis", Column::InPart(GENESIS_LATER)),
    bytes("ids", Column::Replayed),
    bytes("ipclaims", Column::Replayed),
    bytes("jsontypes", Column::Replayed),
    bytes("p2p", Column::Replayed),
    bytes("proposervm", Column::InPart(PROPOSERVM_LATER)),
    bytes("samplers", Column::Replayed),
    bytes("sdk", Column::ComesWith("the p2p SDK of VMs")),
    bytes("staking", Column::Replayed),
    bytes("versions", Column::Replayed),
    bytes("warp", Column::InPart(WARP_LATER)),
    bytes("windower", Column::Replayed),
    trace("averages", Column::Replayed),
    trace("benchlist", Column::ComesWith("the bench list")),
    trace("bootstrap", Column::Replayed),
    trace("convergence-snowball", Column::Replayed),
    trace("convergence-snowman", Column::Replayed),
    trace("engine", Column::Replayed),
    trace("getter", Column::Replayed),
    trace("interval", Column::Replayed),
    trace("iptracker", Column::ComesWith("peer discovery")),
    trace("messagequeue", Column::ComesWith("fair queues")),
    trace("network", Column::ComesWith("peer discovery")),
    trace("peer", Column::Replayed),
    trace("peertracker", Column::Replayed),
    trace("polls", Column::Replayed),
    trace("resources", Column::ComesWith("fair queues")),
    trace("routing", Column::ComesWith("the bench list")),
    trace("snowball", Column::Replayed),
    trace("snowman", Column::Replayed),
    trace("statesync", Column::Replayed),
    trace("throttling", Column::ComesWith("throttles")),
    trace("timeouts", Column::Replayed),
    trace("uptime", Column::ComesWith("the P-Chain")),
];

const GENESIS_LATER: &[(&str, &str)] = &[
    ("genesis", "the P-Chain"),
    ("start_time", "the P-Chain"),
    ("custom", "the P-Chain"),
    ("custom_error", "the P-Chain"),
];

const PROPOSERVM_LATER: &[(&str, &str)] =
    &[("acp226_delay", "the EVM"), ("acp226_update", "the EVM"), ("acp226_desired", "the EVM")];

const WARP_LATER: &[(&str, &str)] = &[
    ("l1_message", "the P-Chain"),
    ("parse_l1_message", "the P-Chain"),
    ("conversion_id", "the P-Chain"),
];

/// Cases that cannot pass, by `family/name`, each with its reason, from `exceptions.txt`: one per
/// line, the name, a space, the reason. A replayer asserts that such a case differs.
pub fn exceptions() -> BTreeMap<&'static str, &'static str> {
    include_str!("../exceptions.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("no reason: {line}")))
        .collect()
}
