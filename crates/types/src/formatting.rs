//! Texts of bytes, addresses and networks, as APIs and files write them.
//!
//! Upstream: `utils/formatting`, `utils/constants/network_ids.go`.

mod address;
mod encoding;
mod network;

pub use address::{AddressError, ParsedAddress, format_address, parse_address};
pub use encoding::{Encoding, EncodingError};
pub use network::{
    FUJI_ID, LOCAL_ID, MAINNET_ID, NetworkNameError, TESTING_ID, address_prefix, network_id,
    network_name,
};
