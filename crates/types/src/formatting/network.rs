//! Names of networks and the human-readable parts of their addresses.

use std::borrow::Cow;

use thiserror::Error;

/// The main network.
pub const MAINNET_ID: u32 = 1;
/// The public test network.
pub const FUJI_ID: u32 = 5;
/// For unit tests.
pub const TESTING_ID: u32 = 10;
/// A network on one machine.
pub const LOCAL_ID: u32 = 12345;

const CUSTOM_PREFIX: &str = "network-";
const CUSTOM_HRP: &str = "custom";
/// Network ID, name, human-readable part of addresses. Networks 2 to 4 are history.
const NETWORKS: [(u32, &str, &str); 7] = [
    (MAINNET_ID, "mainnet", "avax"),
    (2, "cascade", "cascade"),
    (3, "denali", "denali"),
    (4, "everest", "everest"),
    (FUJI_ID, "fuji", "fuji"),
    (TESTING_ID, "testing", "testing"),
    (LOCAL_ID, "local", "local"),
];

/// A text that names no network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to parse network name: {0:?}")]
pub struct NetworkNameError(String);

/// The name of a network: `mainnet`, or `network-7` if it has none of its own.
pub fn network_name(id: u32) -> Cow<'static, str> {
    NETWORKS.iter().find(|network| network.0 == id).map_or_else(
        || Cow::Owned(format!("{CUSTOM_PREFIX}{id}")),
        |network| Cow::Borrowed(network.1),
    )
}

/// The human-readable part of addresses on a network.
pub fn address_prefix(id: u32) -> &'static str {
    NETWORKS.iter().find(|network| network.0 == id).map_or(CUSTOM_HRP, |network| network.2)
}

/// The ID of the network with this name, in any case: a known one (`testnet` is fuji),
/// `network-7`, or just the number.
///
/// # Errors
/// [`NetworkNameError`]
pub fn network_id(name: &str) -> Result<u32, NetworkNameError> {
    let lower = name.to_lowercase();
    if lower == "testnet" {
        return Ok(FUJI_ID);
    }
    if let Some((id, ..)) = NETWORKS.iter().find(|network| network.1 == lower) {
        return Ok(*id);
    }
    let number = lower.strip_prefix(CUSTOM_PREFIX).unwrap_or(&lower);
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let id = if digits { number.parse().ok() } else { None };
    id.ok_or_else(|| NetworkNameError(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for id in [0, 1, 2, 3, 4, 5, 6, 10, 12345, u32::MAX] {
            assert_eq!(network_id(&network_name(id)), Ok(id));
        }
        assert!(network_id("+1").is_err());
    }
}
