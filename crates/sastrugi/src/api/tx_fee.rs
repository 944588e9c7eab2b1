//! `info.getTxFee`: what transactions of the primary network cost, as fixed numbers. Deprecated,
//! but wallets still ask. Upstream: `api/info/service.go`, `genesis/genesis_*.go`.

use sastrugi_types::formatting::{FUJI_ID, MAINNET_ID};
use serde_json::{Value, json};

const MILLI_AVAX: u64 = 1_000_000;
const AVAX: u64 = 1_000 * MILLI_AVAX;

/// What differs between networks, in nAVAX.
struct Fees {
    create_asset: u64,
    create_subnet: u64,
    transform_subnet: u64,
}

const fn fees(network_id: u32) -> Fees {
    match network_id {
        MAINNET_ID => {
            Fees { create_asset: 10 * MILLI_AVAX, create_subnet: AVAX, transform_subnet: 10 * AVAX }
        }
        FUJI_ID => Fees {
            create_asset: 10 * MILLI_AVAX,
            create_subnet: 100 * MILLI_AVAX,
            transform_subnet: AVAX,
        },
        _ => Fees {
            create_asset: MILLI_AVAX,
            create_subnet: 100 * MILLI_AVAX,
            transform_subnet: 100 * MILLI_AVAX,
        },
    }
}

/// The fees of a network, in nAVAX.
pub(super) fn answer(network_id: u32) -> Value {
    let Fees { create_asset, create_subnet, transform_subnet } = fees(network_id);
    json!({
        "txFee": MILLI_AVAX.to_string(),
        "createAssetTxFee": create_asset.to_string(),
        "createSubnetTxFee": create_subnet.to_string(),
        "transformSubnetTxFee": transform_subnet.to_string(),
        "createBlockchainTxFee": create_subnet.to_string(),
        "addPrimaryNetworkValidatorFee": "0",
        "addPrimaryNetworkDelegatorFee": "0",
        "addSubnetValidatorFee": MILLI_AVAX.to_string(),
        "addSubnetDelegatorFee": MILLI_AVAX.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_network_has_upstreams_fees() {
        let expect = |network_id, asset: &str, subnet: &str, transform: &str| {
            let fees = answer(network_id);
            assert_eq!(fees["txFee"], "1000000");
            assert_eq!(fees["createAssetTxFee"], asset);
            assert_eq!(fees["createSubnetTxFee"], subnet);
            assert_eq!(fees["createBlockchainTxFee"], subnet);
            assert_eq!(fees["transformSubnetTxFee"], transform);
            assert_eq!(fees["addSubnetValidatorFee"], "1000000");
            assert_eq!(fees["addPrimaryNetworkValidatorFee"], "0");
        };
        expect(MAINNET_ID, "10000000", "1000000000", "10000000000");
        expect(FUJI_ID, "10000000", "100000000", "1000000000");
        expect(88888, "1000000", "100000000", "100000000");
    }
}
