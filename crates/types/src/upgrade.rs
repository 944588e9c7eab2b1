//! When each network upgrade becomes active: rules change with time, and all nodes of a network
//! must change them at the same block.
//!
//! Mainnet and Fuji have schedules of their own; every other network starts with all upgrades of
//! this release active ([`UpgradeTime::INITIAL`]), unless a file says otherwise. In JSON a
//! schedule is an object of RFC 3339 times, as `info.upgrades` answers and `--upgrade-file` gives
//! it; a member that is left out is zero, and so active at all times.
//!
//! Deviations: a member that is not known is an error, because it is probably a misspelt one, and
//! [`UpgradeSchedule::check`] is meant for files, where upstream checks nothing.
//! Upstream: `upgrade/upgrade.go`.
//!
//! ```
//! use sastrugi_types::{WallTime, upgrade::{Upgrade, UpgradeSchedule}};
//!
//! let mainnet = UpgradeSchedule::of_network(1);
//! let start = WallTime::from_unix_secs(1_709_740_800);
//! assert!(mainnet.is_active(Upgrade::Durango, start));
//! assert!(!mainnet.is_active(Upgrade::Etna, start));
//! ```

mod time;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use time::{TimeError, UpgradeTime};

use crate::{
    Id, WallTime,
    formatting::{FUJI_ID, LOCAL_ID, MAINNET_ID},
};

/// An upgrade. They become active in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upgrade {
    /// First phase of Apricot.
    ApricotPhase1,
    /// Second phase of Apricot.
    ApricotPhase2,
    /// Third phase of Apricot.
    ApricotPhase3,
    /// Fourth phase of Apricot: blocks get proposers (Snowman++).
    ApricotPhase4,
    /// Fifth phase of Apricot.
    ApricotPhase5,
    /// What was done shortly before the sixth phase of Apricot.
    ApricotPhasePre6,
    /// Sixth phase of Apricot.
    ApricotPhase6,
    /// What was done shortly after it.
    ApricotPhasePost6,
    /// Banff.
    Banff,
    /// Cortina: the X-Chain becomes a linear chain.
    Cortina,
    /// Durango: each proposer has a slot.
    Durango,
    /// Etna: blocks are verified under a height of the P-Chain.
    Etna,
    /// Fortuna.
    Fortuna,
    /// Granite: blocks belong to epochs.
    Granite,
    /// Helicon, for which no time was agreed yet.
    Helicon,
}

impl Upgrade {
    /// All upgrades in their order.
    pub const ALL: [Self; 15] = [
        Self::ApricotPhase1,
        Self::ApricotPhase2,
        Self::ApricotPhase3,
        Self::ApricotPhase4,
        Self::ApricotPhase5,
        Self::ApricotPhasePre6,
        Self::ApricotPhase6,
        Self::ApricotPhasePost6,
        Self::Banff,
        Self::Cortina,
        Self::Durango,
        Self::Etna,
        Self::Fortuna,
        Self::Granite,
        Self::Helicon,
    ];
}

/// The name.
impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// When each upgrade of a network becomes active, and the constants that came with some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default = "UpgradeSchedule::always")]
pub struct UpgradeSchedule {
    /// When [`Upgrade::ApricotPhase1`] becomes active.
    pub apricot_phase1_time: UpgradeTime,
    /// When [`Upgrade::ApricotPhase2`] becomes active.
    pub apricot_phase2_time: UpgradeTime,
    /// When [`Upgrade::ApricotPhase3`] becomes active.
    pub apricot_phase3_time: UpgradeTime,
    /// When [`Upgrade::ApricotPhase4`] becomes active.
    pub apricot_phase4_time: UpgradeTime,
    /// The lowest height of the P-Chain that the first block with a proposer may name.
    pub apricot_phase4_min_p_chain_height: u64,
    /// When [`Upgrade::ApricotPhase5`] becomes active.
    pub apricot_phase5_time: UpgradeTime,
    /// When [`Upgrade::ApricotPhasePre6`] becomes active.
    pub apricot_phase_pre6_time: UpgradeTime,
    /// When [`Upgrade::ApricotPhase6`] becomes active.
    pub apricot_phase6_time: UpgradeTime,
    /// When [`Upgrade::ApricotPhasePost6`] becomes active.
    pub apricot_phase_post6_time: UpgradeTime,
    /// When [`Upgrade::Banff`] becomes active.
    pub banff_time: UpgradeTime,
    /// When [`Upgrade::Cortina`] becomes active.
    pub cortina_time: UpgradeTime,
    /// The last vertex of the X-Chain's DAG.
    #[serde(rename = "cortinaXChainStopVertexID")]
    pub cortina_x_chain_stop_vertex_id: Id,
    /// When [`Upgrade::Durango`] becomes active.
    pub durango_time: UpgradeTime,
    /// When [`Upgrade::Etna`] becomes active.
    pub etna_time: UpgradeTime,
    /// When [`Upgrade::Fortuna`] becomes active.
    pub fortuna_time: UpgradeTime,
    /// When [`Upgrade::Granite`] becomes active.
    pub granite_time: UpgradeTime,
    /// Length of an epoch.
    #[serde(with = "nanos")]
    pub granite_epoch_duration: Duration,
    /// When [`Upgrade::Helicon`] becomes active.
    pub helicon_time: UpgradeTime,
}

/// Two upgrades of a schedule are in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "upgrades are out of order: {earlier} is active from {earlier_time} on, but {later}, which \
     builds on it, already from {later_time} on"
)]
pub struct UpgradeOrderError {
    /// The upgrade that must not be later.
    pub earlier: Upgrade,
    /// Its time.
    pub earlier_time: UpgradeTime,
    /// The upgrade that comes after it.
    pub later: Upgrade,
    /// Its time.
    pub later_time: UpgradeTime,
}

impl UpgradeSchedule {
    /// The schedule of a network for which no file says otherwise.
    pub const fn of_network(network_id: u32) -> Self {
        match network_id {
            MAINNET_ID => MAINNET,
            FUJI_ID => FUJI,
            _ => CUSTOM,
        }
    }

    /// Whether a file may give a network another schedule than [`Self::of_network`].
    pub const fn is_changeable(network_id: u32) -> bool {
        !matches!(network_id, MAINNET_ID | FUJI_ID | LOCAL_ID)
    }

    /// What an empty file says: every upgrade is active at all times, epochs have no length.
    pub const fn always() -> Self {
        Self {
            granite_epoch_duration: Duration::ZERO,
            ..same(UpgradeTime::ZERO, UpgradeTime::ZERO)
        }
    }

    /// When an upgrade becomes active.
    pub const fn time(&self, upgrade: Upgrade) -> UpgradeTime {
        match upgrade {
            Upgrade::ApricotPhase1 => self.apricot_phase1_time,
            Upgrade::ApricotPhase2 => self.apricot_phase2_time,
            Upgrade::ApricotPhase3 => self.apricot_phase3_time,
            Upgrade::ApricotPhase4 => self.apricot_phase4_time,
            Upgrade::ApricotPhase5 => self.apricot_phase5_time,
            Upgrade::ApricotPhasePre6 => self.apricot_phase_pre6_time,
            Upgrade::ApricotPhase6 => self.apricot_phase6_time,
            Upgrade::ApricotPhasePost6 => self.apricot_phase_post6_time,
            Upgrade::Banff => self.banff_time,
            Upgrade::Cortina => self.cortina_time,
            Upgrade::Durango => self.durango_time,
            Upgrade::Etna => self.etna_time,
            Upgrade::Fortuna => self.fortuna_time,
            Upgrade::Granite => self.granite_time,
            Upgrade::Helicon => self.helicon_time,
        }
    }

    /// Whether an upgrade is active at `time`, which it is from its very nanosecond on.
    pub fn is_active(&self, upgrade: Upgrade, time: WallTime) -> bool {
        self.time(upgrade) <= time.into()
    }

    /// Checks that no upgrade becomes active after one that builds on it.
    ///
    /// # Errors
    /// The first two neighbours that are out of order.
    pub fn check(&self) -> Result<(), UpgradeOrderError> {
        for pair in Upgrade::ALL.windows(2) {
            let &[earlier, later] = pair else { continue };
            let (earlier_time, later_time) = (self.time(earlier), self.time(later));
            if earlier_time > later_time {
                return Err(UpgradeOrderError { earlier, earlier_time, later, later_time });
            }
        }
        Ok(())
    }
}

const MAINNET: UpgradeSchedule = UpgradeSchedule {
    apricot_phase1_time: UpgradeTime::utc(2021, 3, 31, 14, 0),
    apricot_phase2_time: UpgradeTime::utc(2021, 5, 10, 11, 0),
    apricot_phase3_time: UpgradeTime::utc(2021, 8, 24, 14, 0),
    apricot_phase4_time: UpgradeTime::utc(2021, 9, 22, 21, 0),
    apricot_phase4_min_p_chain_height: 793_005,
    apricot_phase5_time: UpgradeTime::utc(2021, 12, 2, 18, 0),
    apricot_phase_pre6_time: UpgradeTime::utc(2022, 9, 5, 1, 30),
    apricot_phase6_time: UpgradeTime::utc(2022, 9, 6, 20, 0),
    apricot_phase_post6_time: UpgradeTime::utc(2022, 9, 7, 3, 0),
    banff_time: UpgradeTime::utc(2022, 10, 18, 16, 0),
    cortina_time: UpgradeTime::utc(2023, 4, 25, 15, 0),
    // jrGWDh5Po9FMj54depyunNixpia5PN4aAYxfmNzU8n752Rjga
    cortina_x_chain_stop_vertex_id: Id([
        0x61, 0x4b, 0x7d, 0xb7, 0xeb, 0x04, 0xb0, 0x26, 0x3b, 0x74, 0x34, 0xed, 0x9c, 0x1d, 0xb2,
        0x97, 0x19, 0x60, 0x25, 0x63, 0x10, 0x40, 0x40, 0x9d, 0xf7, 0x17, 0xdf, 0x7f, 0x26, 0x62,
        0x5e, 0x95,
    ]),
    durango_time: UpgradeTime::utc(2024, 3, 6, 16, 0),
    etna_time: UpgradeTime::utc(2024, 12, 16, 17, 0),
    fortuna_time: UpgradeTime::utc(2025, 4, 8, 15, 0),
    granite_time: UpgradeTime::utc(2025, 11, 19, 16, 0),
    granite_epoch_duration: Duration::from_mins(5),
    helicon_time: UpgradeTime::UNSCHEDULED,
};

const FUJI: UpgradeSchedule = UpgradeSchedule {
    apricot_phase1_time: UpgradeTime::utc(2021, 3, 26, 14, 0),
    apricot_phase2_time: UpgradeTime::utc(2021, 5, 5, 14, 0),
    apricot_phase3_time: UpgradeTime::utc(2021, 8, 16, 19, 0),
    apricot_phase4_time: UpgradeTime::utc(2021, 9, 16, 21, 0),
    apricot_phase4_min_p_chain_height: 47_437,
    apricot_phase5_time: UpgradeTime::utc(2021, 11, 24, 15, 0),
    apricot_phase_pre6_time: UpgradeTime::utc(2022, 9, 6, 20, 0),
    apricot_phase6_time: UpgradeTime::utc(2022, 9, 6, 20, 0),
    apricot_phase_post6_time: UpgradeTime::utc(2022, 9, 7, 6, 0),
    banff_time: UpgradeTime::utc(2022, 10, 3, 14, 0),
    cortina_time: UpgradeTime::utc(2023, 4, 6, 15, 0),
    // 2D1cmbiG36BqQMRyHt4kFhWarmatA1ighSpND3FeFgz3vFVtCZ
    cortina_x_chain_stop_vertex_id: Id([
        0x9e, 0xf7, 0xbb, 0x9d, 0x53, 0x3c, 0x05, 0x01, 0x89, 0xc4, 0x98, 0x0f, 0xca, 0x43, 0x36,
        0x2e, 0x0e, 0x4f, 0x75, 0xd3, 0x02, 0x40, 0x16, 0xc5, 0xf1, 0x50, 0x97, 0xd5, 0xca, 0x49,
        0x0c, 0xf0,
    ]),
    durango_time: UpgradeTime::utc(2024, 2, 13, 16, 0),
    etna_time: UpgradeTime::utc(2024, 11, 25, 16, 0),
    fortuna_time: UpgradeTime::utc(2025, 3, 13, 15, 0),
    granite_time: UpgradeTime::utc(2025, 10, 29, 15, 0),
    granite_epoch_duration: Duration::from_mins(5),
    helicon_time: UpgradeTime::UNSCHEDULED,
};

const CUSTOM: UpgradeSchedule = same(UpgradeTime::INITIAL, UpgradeTime::UNSCHEDULED);

/// All upgrades of this release at one time.
const fn same(time: UpgradeTime, helicon_time: UpgradeTime) -> UpgradeSchedule {
    UpgradeSchedule {
        apricot_phase1_time: time,
        apricot_phase2_time: time,
        apricot_phase3_time: time,
        apricot_phase4_time: time,
        apricot_phase4_min_p_chain_height: 0,
        apricot_phase5_time: time,
        apricot_phase_pre6_time: time,
        apricot_phase6_time: time,
        apricot_phase_post6_time: time,
        banff_time: time,
        cortina_time: time,
        cortina_x_chain_stop_vertex_id: Id::EMPTY,
        durango_time: time,
        etna_time: time,
        fortuna_time: time,
        granite_time: time,
        granite_epoch_duration: Duration::from_secs(30),
        helicon_time,
    }
}

/// A span as a number of nanoseconds. Upstream's are signed, but no span is negative.
mod nanos {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let nanos = u64::deserialize(from)?;
        if nanos > i64::MAX as u64 {
            return Err(D::Error::custom("a span has at most 2^63 - 1 nanoseconds"));
        }
        Ok(Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<UpgradeSchedule, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_file_leaves_out_is_always_active() {
        let schedule = read("{}").unwrap();
        assert_eq!(schedule, UpgradeSchedule::always());
        let long_ago = WallTime(i64::MIN);
        assert!(Upgrade::ALL.iter().all(|upgrade| schedule.is_active(*upgrade, long_ago)));
        let text = serde_json::to_string(&schedule).unwrap();
        assert!(text.starts_with(r#"{"apricotPhase1Time":"0001-01-01T00:00:00Z","#), "{text}");
        assert!(text.contains(r#""graniteEpochDuration":0,"#), "{text}");
    }

    #[test]
    fn the_first_pair_out_of_order_is_named() {
        let mut schedule = UpgradeSchedule::of_network(4242);
        schedule.check().unwrap();
        schedule.banff_time = UpgradeTime::utc(2021, 1, 1, 0, 0);
        schedule.etna_time = UpgradeTime::UNSCHEDULED;
        let error = schedule.check().unwrap_err();
        assert_eq!((error.earlier, error.later), (Upgrade::Banff, Upgrade::Cortina));
        assert_eq!(
            error.to_string(),
            "upgrades are out of order: Banff is active from 2021-01-01T00:00:00Z on, but Cortina, \
             which builds on it, already from 2020-12-05T05:00:00Z on"
        );
        // A file may schedule what upstream leaves open, but nothing may come before it is known.
        let error = read(r#"{"graniteTime":"2025-01-01T00:00:00Z"}"#).unwrap().check().unwrap_err();
        assert_eq!((error.earlier, error.later), (Upgrade::Granite, Upgrade::Helicon));
    }

    #[test]
    fn misspelt_and_impossible_members_are_refused() {
        for json in [
            r#"{"graniteTme":"2025-01-01T00:00:00Z"}"#,
            r#"{"GraniteTime":"2025-01-01T00:00:00Z"}"#,
            r#"{"graniteTime":1}"#,
            r#"{"graniteTime":"2025-02-29T00:00:00Z"}"#,
            r#"{"graniteEpochDuration":-1}"#,
            r#"{"graniteEpochDuration":9223372036854775808}"#,
            r#"{"graniteEpochDuration":"30s"}"#,
            r#"{"etnaTime":"2025-01-01T00:00:00Z","etnaTime":"2025-01-01T00:00:00Z"}"#,
            "",
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn each_upgrade_has_its_own_time() {
        let mut schedule = UpgradeSchedule::always();
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(text.matches("Time\"").count(), Upgrade::ALL.len());
        for (upgrade, member) in Upgrade::ALL.into_iter().zip([
            "apricotPhase1Time",
            "apricotPhase2Time",
            "apricotPhase3Time",
            "apricotPhase4Time",
            "apricotPhase5Time",
            "apricotPhasePre6Time",
            "apricotPhase6Time",
            "apricotPhasePost6Time",
            "banffTime",
            "cortinaTime",
            "durangoTime",
            "etnaTime",
            "fortunaTime",
            "graniteTime",
            "heliconTime",
        ]) {
            schedule = read(&format!(r#"{{"{member}":"2020-12-05T05:00:00Z"}}"#)).unwrap();
            for other in Upgrade::ALL {
                let expected =
                    if other == upgrade { UpgradeTime::INITIAL } else { UpgradeTime::ZERO };
                assert_eq!(schedule.time(other), expected, "{member} {other}");
            }
        }
    }
}
