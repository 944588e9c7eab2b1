//! Versions of node software, and which ones may talk to each other.
//!
//! Upstream: `version/{application,compatibility,constants,string}.go`.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{WallTime, upgrade::UpgradeSchedule};

/// The name AvalancheGo gives itself. Names are told, never compared.
pub const CLIENT_NAME: &str = "avalanchego";
/// The release of AvalancheGo whose behaviour is met, and that is told to peers by default.
pub const CURRENT: Version = Version::new(1, 14, 2);
/// The oldest peer accepted once the latest upgrade is active.
pub const MINIMUM: Version = Version::new(1, 14, 0);
/// The oldest peer accepted before that.
pub const PREVIOUS_MINIMUM: Version = Version::new(1, 13, 0);
/// The layout of upstream's database.
pub const DATABASE: Version = Version::new(1, 4, 5);
/// The layout of upstream's database before that.
pub const PREVIOUS_DATABASE: Version = Version::new(1, 0, 0);
/// The version of the plugin protocol that upstream's release speaks.
pub const RPC_CHAIN_VM_PROTOCOL: u32 = 45;

/// When the latest upgrade (Granite) became active on a network.
pub const fn upgrade_time(network_id: u32) -> WallTime {
    UpgradeSchedule::of_network(network_id).granite_time.wall()
}

/// Three numbers, compared from left to right. Its text is `v1.14.2`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Version {
    /// Changes when peers of different numbers can not talk.
    pub major: u32,
    /// Changes with network upgrades.
    pub minor: u32,
    /// Changes with each release.
    pub patch: u32,
}

impl Version {
    /// The version of these numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VersionError {
    /// A separator is missing: the `v` or `/` before the numbers, or a point between them.
    #[error("not three numbers with their prefix")]
    Form,
    /// One of the three is no 32-bit number.
    #[error("not a number: {0}")]
    Number(#[from] ParseIntError),
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `v1.14.2`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        text.strip_prefix('v').ok_or(VersionError::Form).and_then(numbers)
    }
}

fn numbers(text: &str) -> Result<Version, VersionError> {
    let (major, rest) = text.split_once('.').ok_or(VersionError::Form)?;
    let (minor, patch) = rest.split_once('.').ok_or(VersionError::Form)?;
    Ok(Version::new(major.parse()?, minor.parse()?, patch.parse()?))
}

/// A named version, as peers tell it. Its text is `avalanchego/1.14.2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Application {
    /// The name of the software.
    pub name: String,
    /// See [`Version::major`].
    pub major: u32,
    /// See [`Version::minor`].
    pub minor: u32,
    /// See [`Version::patch`].
    pub patch: u32,
}

impl Application {
    /// The software `name` in the given version.
    pub fn new(name: impl Into<String>, version: Version) -> Self {
        let Version { major, minor, patch } = version;
        Self { name: name.into(), major, minor, patch }
    }

    /// The version without the name, which is what comparisons are about.
    pub const fn version(&self) -> Version {
        Version::new(self.major, self.minor, self.patch)
    }

    /// The version with the revision of the source it was built from: `v1.14.2@abc`.
    pub fn with_commit(&self, commit: &str) -> String {
        format!("{}@{commit}", self.version())
    }
}

impl fmt::Display for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, major, minor, patch } = self;
        write!(f, "{name}/{major}.{minor}.{patch}")
    }
}

impl FromStr for Application {
    type Err = VersionError;

    /// Reads `avalanchego/1.14.2`. The name may contain `/`.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (name, version) = text.rsplit_once('/').ok_or(VersionError::Form)?;
        Ok(Self::new(name, numbers(version)?))
    }
}

/// The rule by which peers are accepted.
///
/// A peer's major number may not be above ours, and its version not below a minimum, which rises
/// when an upgrade becomes active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// Our own version.
    pub current: Version,
    /// The oldest peer accepted before the upgrade.
    pub minimum_before: Version,
    /// The oldest peer accepted from the upgrade on.
    pub minimum_after: Version,
    /// When the upgrade becomes active.
    pub upgrade_time: WallTime,
}

impl Compatibility {
    /// The rule of AvalancheGo v1.14.2 on a network.
    pub const fn of_network(network_id: u32) -> Self {
        Self {
            current: CURRENT,
            minimum_before: PREVIOUS_MINIMUM,
            minimum_after: MINIMUM,
            upgrade_time: upgrade_time(network_id),
        }
    }

    /// Whether a peer of this version is accepted at `now`.
    pub fn is_compatible(&self, peer: Version, now: WallTime) -> bool {
        let minimum =
            if now < self.upgrade_time { self.minimum_before } else { self.minimum_after };
        peer.major <= self.current.major && peer >= minimum
    }
}

/// What a node prints when asked for its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionInfo {
    /// The software.
    pub application: String,
    /// The layout of the database.
    pub database: String,
    /// The plugin protocol.
    pub rpcchainvm: u32,
    /// The revision of the source; may be empty.
    pub commit: String,
    /// The version of the language it was built with; upstream's is Go.
    pub go: String,
}

impl fmt::Display for VersionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { application, database, rpcchainvm, commit, go } = self;
        write!(f, "{application} [database={database}, rpcchainvm={rpcchainvm}, ")?;
        if !commit.is_empty() {
            write!(f, "commit={commit}, ")?;
        }
        write!(f, "go={go}]")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formatting::MAINNET_ID;

    #[test]
    fn texts_are_read_whole() {
        for text in ["1.2.3", "v1.2", "v1.2.3.4", "v1.2.x", "v-1.2.3", "", "v", "v4294967296.0.0"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
        assert_eq!("a/b/1.2.3".parse::<Application>().unwrap().name, "a/b");
        assert!("1.2.3".parse::<Application>().is_err());
    }

    #[test]
    fn the_minimum_rises_at_the_upgrade() {
        let rule = Compatibility::of_network(MAINNET_ID);
        let upgrade = upgrade_time(MAINNET_ID);
        let before = WallTime(upgrade.0 - 1);
        let old = Version::new(1, 13, 5);
        assert!(rule.is_compatible(old, before) && !rule.is_compatible(old, upgrade));
        assert!(!rule.is_compatible(Version::new(2, 0, 0), before));
    }

    proptest! {
        #[test]
        fn texts_come_back(name: String, major: u32, minor: u32, patch: u32) {
            let version = Version::new(major, minor, patch);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
            let application = Application::new(name, version);
            prop_assert_eq!(application.to_string().parse(), Ok(application));
        }
    }
}
