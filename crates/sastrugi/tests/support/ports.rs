//! Ports that no other test uses.

use std::net::{Ipv4Addr, TcpListener};

/// Ports per block.
const BLOCK: u16 = 16;
/// Below the ports that systems hand out for outgoing connections.
const FIRST: u16 = 12_000;
const BLOCKS: u16 = 1_000;

/// A block of consecutive free ports of the loopback. Its first port is bound for as long as the
/// block is used, and so tells other tests, also those of other processes, to take another block.
#[derive(Debug)]
pub(crate) struct Ports {
    _mark: TcpListener,
    first: u16,
}

impl Ports {
    /// Takes a block.
    pub(crate) fn take() -> Self {
        let start = std::process::id() as u16 % BLOCKS;
        let blocks = (start..BLOCKS).chain(0..start);
        blocks.map(|block| FIRST + block * BLOCK).find_map(Self::at).unwrap()
    }

    fn at(mark: u16) -> Option<Self> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        let ports = Self { _mark: bind(mark)?, first: mark + 1 };
        (mark + 1..mark + BLOCK).all(|port| bind(port).is_some()).then_some(ports)
    }

    /// The first port of the block that may be used; the next fourteen may be, too.
    pub(crate) const fn first(&self) -> u16 {
        self.first
    }
}
