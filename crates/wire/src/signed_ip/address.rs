//! Forms of an address: on the wire, in signed bytes, in configuration.
//!
//! Upstream: `utils/ips`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use bytes::Bytes;
use thiserror::Error;

/// Reads the address field of a message: 4 or 16 bytes. A mapped IPv4 address becomes IPv4.
pub fn address_from_wire(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let octets = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::from(octets).to_canonical())
}

/// The address field of a message: 4 bytes for IPv4, 16 for IPv6, be it mapped or not.
pub fn address_to_wire(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
}

/// The 16 bytes of the address as they are signed.
pub fn address_to_16(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Whether the address can be dialled when private addresses are not allowed.
///
/// Not public: unspecified, loopback, link-local, multicast, IPv4 broadcast, RFC 1918 and unique
/// local addresses. Shared, documentation and reserved ranges count as public, as upstream.
pub const fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_private())
        }
        IpAddr::V6(v6) => {
            !(v6.is_unspecified()
                || v6.is_loopback()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unique_local())
        }
    }
}

/// An address and port as somebody wrote it in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredAddress {
    /// Address and port; a mapped IPv4 address became IPv4.
    pub socket: SocketAddr,
    /// The zone of an IPv6 address, as in `fe80::1%eth0`.
    pub zone: Option<String>,
}

/// Why text is not an address and port.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// There is no colon.
    #[error("no port")]
    NoPort,
    /// The port is not a number of at most 16 bits.
    #[error("invalid port")]
    Port,
    /// The address is not one.
    #[error("invalid IP address")]
    Address,
    /// IPv6 addresses stand in square brackets, others do not.
    #[error("square brackets are for IPv6 addresses, which need them")]
    Brackets,
}

impl FromStr for ConfiguredAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::Port);
        }
        let port = port.parse().map_err(|_| AddressError::Port)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let (address, zone) = parse_address(bracketed.unwrap_or(host))?;
        if bracketed.is_some() != address.is_ipv6() {
            return Err(AddressError::Brackets);
        }
        Ok(Self { socket: SocketAddr::new(address.to_canonical(), port), zone })
    }
}

fn parse_address(text: &str) -> Result<(IpAddr, Option<String>), AddressError> {
    let Some((address, zone)) = text.split_once('%') else {
        return Ok((text.parse().map_err(|_| AddressError::Address)?, None));
    };
    let address: Ipv6Addr = address.parse().map_err(|_| AddressError::Address)?;
    if zone.is_empty() || address.to_ipv4_mapped().is_some() {
        return Err(AddressError::Address);
    }
    Ok((address.into(), Some(zone.to_owned())))
}

impl fmt::Display for ConfiguredAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            None => self.socket.fmt(f),
            Some(zone) => write!(f, "[{}%{zone}]:{}", self.socket.ip(), self.socket.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_family_belong_together() {
        for text in ["1:2:3", "[1.2.3.4]:5", "[::1]", "[::1", "::1]:4", "[]:1", "[fe80::1%]:1"] {
            assert!(text.parse::<ConfiguredAddress>().is_err(), "{text}");
        }
        for text in ["[fe80::1%eth0]:1", "[::1]:0", "255.0.0.1:65535"] {
            assert_eq!(text.parse::<ConfiguredAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_received_addresses_are_unmapped() {
        let mapped: IpAddr = "::ffff:1.2.3.4".parse().unwrap();
        assert_eq!(address_to_wire(mapped).len(), 16);
        assert_eq!(address_from_wire(&address_to_wire(mapped)), Some([1, 2, 3, 4].into()));
        assert_eq!(address_to_16(mapped), address_to_16([1, 2, 3, 4].into()));
    }
}
