//! Staking certificates, their signatures, and BLS keys.
