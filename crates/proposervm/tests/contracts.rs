//! A wrapped VM keeps the contracts that the bare one keeps.

#![expect(clippy::unwrap_used, reason = "a call that must succeed fails the test")]

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use sastrugi_crypto::Identity;
use sastrugi_kvvm::{Genesis, Kvvm, Target, client};
use sastrugi_proposervm::{Config, ProposerVm};
use sastrugi_types::{Id, NodeId, WallTime};
use sastrugi_vm::{
    ChainVm, VmError,
    testkit::{Setup, TestNode, state_sync_suite, suite},
    validators::{ValidatorOutput, ValidatorSet, ValidatorState},
};

fn identity() -> &'static Arc<Identity> {
    static IDENTITY: OnceLock<Arc<Identity>> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let mut fill = |bytes: &mut [u8]| bytes.fill(5);
        let identity = Identity::generate(&mut fill, WallTime::from_unix_secs(1_700_000_000));
        Arc::new(identity.unwrap())
    })
}

fn wrapped() -> Arc<dyn ChainVm> {
    Arc::new(ProposerVm::new(Arc::new(Kvvm::new()), Config::new(identity().clone())))
}

/// A P-Chain on which this node is the only validator, or nobody is.
struct Alone(bool);

impl ValidatorState for Alone {
    fn minimum_height(&self) -> Result<u64, VmError> {
        Ok(3)
    }

    fn current_height(&self) -> Result<u64, VmError> {
        Ok(4)
    }

    fn subnet_of(&self, _chain: Id) -> Result<Id, VmError> {
        Err(VmError::NotFound)
    }

    fn validator_set(&self, _height: u64, _subnet: Id) -> Result<Arc<ValidatorSet>, VmError> {
        let node = identity().node_id();
        let output = ValidatorOutput { node, public_key: None, weight: 7 };
        Ok(Arc::new(BTreeMap::from_iter(self.0.then_some((node, output)))))
    }
}

fn setup(is_validator: bool, config: &'static str) -> Setup {
    Setup {
        config: config.into(),
        node_id: identity().node_id(),
        validators: Arc::new(Alone(is_validator)),
        ..Setup::new(wrapped, Genesis::default().to_json())
    }
}

/// Issues the first transaction of one account after another.
fn issuer() -> impl FnMut(&TestNode) -> Result<(), VmError> {
    let mut accounts = 0_u32;
    let Setup { network_id, chain_id, .. } = setup(true, "");
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
fn a_wrapped_kvvm_keeps_the_contracts_of_a_chain_vm() {
    for is_validator in [false, true] {
        suite(&setup(is_validator, ""), issuer()).unwrap();
    }
}

#[test]
fn a_wrapped_kvvm_keeps_the_contracts_of_a_state_syncable_vm() {
    let config = r#"{"stateSyncSummaryInterval": 7, "stateSyncMinBlocks": 1}"#;
    for is_validator in [false, true] {
        state_sync_suite(&setup(is_validator, config), issuer()).unwrap();
    }
}

#[test]
fn another_nodes_key_is_refused() {
    let stranger = Setup { node_id: NodeId([9; 20]), ..setup(true, "") };
    let error = TestNode::start(stranger).unwrap_err().to_string();
    assert!(error.contains("the staking key is that of"), "{error}");
}
