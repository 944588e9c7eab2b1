//! Reads the messages between two peers. Nothing here is checked beyond its form; lists are cut
//! where the rest can only be invalid.

use super::{
    BloomFilter, ClaimedIpPort, Client, GetPeerList, Handshake, PeerList, Ping, WireError,
    decode::{Body, text},
    wire::{Reader, Value, numbers},
};

/// Subnets kept of a handshake; more than 16 are a fault.
const TRACKED_SUBNETS_MAX: usize = 64;
/// Proposals kept of each list of a handshake.
const ACPS_MAX: usize = 16_384;
/// Claims kept of a peer list: more of them are in a frame only if most are too short to hold a
/// certificate and a signature.
const CLAIMS_MAX: usize = 16_384;

pub(super) fn ping(mut reader: Reader<'_>) -> Result<Ping, WireError> {
    let mut ping = Ping::default();
    while let Some(field) = reader.field()? {
        if let (1, Value::Varint(uptime)) = field {
            ping.uptime = uptime as u32;
        }
    }
    Ok(ping)
}

pub(super) fn pong(mut reader: Reader<'_>) -> Result<(), WireError> {
    while reader.field()?.is_some() {}
    Ok(())
}

pub(super) fn handshake(body: Body<'_>) -> Result<Handshake, WireError> {
    let mut handshake = Handshake::default();
    let mut reader = body.reader();
    while let Some((field, value)) = reader.field()? {
        match (field, value) {
            (1, Value::Varint(it)) => handshake.network_id = it as u32,
            (2, Value::Varint(it)) => handshake.my_time = it,
            (3, Value::Bytes(it)) => handshake.ip_addr = body.part(it),
            (4, Value::Varint(it)) => handshake.ip_port = it as u32,
            (5, Value::Varint(it)) => handshake.upgrade_time = it,
            (6, Value::Varint(it)) => handshake.ip_signing_time = it,
            (7, Value::Bytes(it)) => handshake.ip_node_id_sig = body.part(it),
            (8, Value::Bytes(it)) if handshake.tracked_subnets.len() < TRACKED_SUBNETS_MAX => {
                handshake.tracked_subnets.push(body.part(it));
            }
            (9, Value::Bytes(it)) => client(it, handshake.client.get_or_insert_default())?,
            (10, _) => {
                numbers(value, &mut handshake.supported_acps, ACPS_MAX, |acp| acp as u32)?;
            }
            (11, _) => numbers(value, &mut handshake.objected_acps, ACPS_MAX, |acp| acp as u32)?,
            (12, Value::Bytes(it)) => {
                bloom_filter(body, it, handshake.known_peers.get_or_insert_default())?;
            }
            (13, Value::Bytes(it)) => handshake.ip_bls_sig = body.part(it),
            (14, Value::Varint(it)) => handshake.all_subnets = it != 0,
            _ => (),
        }
    }
    Ok(handshake)
}

/// Reads into what an earlier piece of the same field has set.
fn client(bytes: &[u8], client: &mut Client) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(it)) => text(it)?.clone_into(&mut client.name),
            (2, Value::Varint(it)) => client.major = it as u32,
            (3, Value::Varint(it)) => client.minor = it as u32,
            (4, Value::Varint(it)) => client.patch = it as u32,
            _ => (),
        }
    }
    Ok(())
}

/// Reads into what an earlier piece of the same field has set.
fn bloom_filter<'a>(
    body: Body<'a>,
    bytes: &'a [u8],
    filter: &mut BloomFilter,
) -> Result<(), WireError> {
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(it)) => filter.filter = body.part(it),
            (2, Value::Bytes(it)) => filter.salt = body.part(it),
            _ => (),
        }
    }
    Ok(())
}

pub(super) fn get_peer_list(body: Body<'_>) -> Result<GetPeerList, WireError> {
    let mut request = GetPeerList::default();
    let mut reader = body.reader();
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(it)) => {
                bloom_filter(body, it, request.known_peers.get_or_insert_default())?;
            }
            (2, Value::Varint(it)) => request.all_subnets = it != 0,
            _ => (),
        }
    }
    Ok(request)
}

pub(super) fn peer_list(body: Body<'_>) -> Result<PeerList, WireError> {
    let mut list = PeerList::default();
    let mut reader = body.reader();
    while let Some(field) = reader.field()? {
        if let (1, Value::Bytes(bytes)) = field {
            let claim = claimed_ip_port(body, bytes)?;
            if list.claimed_ip_ports.len() < CLAIMS_MAX {
                list.claimed_ip_ports.push(claim);
            }
        }
    }
    Ok(list)
}

fn claimed_ip_port<'a>(body: Body<'a>, bytes: &'a [u8]) -> Result<ClaimedIpPort, WireError> {
    let mut claim = ClaimedIpPort::default();
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.field()? {
        match field {
            (1, Value::Bytes(it)) => claim.x509_certificate = body.part(it),
            (2, Value::Bytes(it)) => claim.ip_addr = body.part(it),
            (3, Value::Varint(it)) => claim.ip_port = it as u32,
            (4, Value::Varint(it)) => claim.timestamp = it,
            (5, Value::Bytes(it)) => claim.signature = body.part(it),
            _ => (),
        }
    }
    Ok(claim)
}
