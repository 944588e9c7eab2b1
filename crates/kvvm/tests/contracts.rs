//! kvvm keeps the contracts of a `ChainVm`.

use std::sync::Arc;

use sastrugi_kvvm::{Genesis, Kvvm, Target, client};
use sastrugi_vm::testkit::{Setup, suite};

#[test]
fn kvvm_keeps_the_contracts_of_a_chain_vm() {
    let setup = Setup::new(|| Arc::new(Kvvm::new()), Genesis::default().to_json());
    let target = Target { network_id: setup.network_id, chain_id: setup.chain_id };
    let mut accounts = 0_u8;
    suite(&setup, |node| {
        accounts += 1;
        let key = client::Key::from_seed(&[accounts; 32]);
        let transaction = key.sign(target, 0, vec![client::put("k", "v")]).unwrap();
        let answer = node.post("/rpc", &client::issue_call(&transaction))?;
        let issued: sastrugi_kvvm::api::TxId = client::answer(&answer.body).unwrap();
        assert_eq!(issued.tx_id, transaction.id());
        Ok(())
    })
    .unwrap();
}
