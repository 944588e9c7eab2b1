//! kvvm keeps the contracts of a `ChainVm`, and of a `StateSyncableVm`.

#![expect(clippy::unwrap_used, reason = "a call that must succeed fails the test")]

use std::sync::Arc;

use sastrugi_kvvm::{Genesis, Kvvm, Target, client};
use sastrugi_vm::{
    VmError,
    testkit::{Setup, TestNode, state_sync_suite, suite},
};

fn setup(config: &'static str) -> Setup {
    let setup = Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json());
    Setup { config: config.into(), ..setup }
}

/// Issues the first transaction of one account after another.
fn issuer() -> impl FnMut(&TestNode) -> Result<(), VmError> {
    let mut accounts = 0_u32;
    let Setup { network_id, chain_id, .. } = setup("");
    move |node| {
        accounts += 1;
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&accounts.to_be_bytes());
        let target = Target { network_id, chain_id };
        let key = client::Key::from_seed(&seed);
        let transaction = key.sign(target, 0, vec![client::put("k", "v")]).unwrap();
        let answer = node.post("/rpc", &client::issue_call(&transaction))?;
        let issued: sastrugi_kvvm::api::TxId = client::answer(&answer.body).unwrap();
        assert_eq!(issued.tx_id, transaction.id());
        Ok(())
    }
}

#[test]
fn kvvm_keeps_the_contracts_of_a_chain_vm() {
    suite(&setup(""), issuer()).unwrap();
}

#[test]
fn kvvm_keeps_the_contracts_of_a_state_syncable_vm() {
    let config = r#"{"stateSyncSummaryInterval": 7, "stateSyncMinBlocks": 1}"#;
    state_sync_suite(&setup(config), issuer()).unwrap();
}
