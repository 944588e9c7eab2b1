use proptest::{collection::vec, prelude::*};

use super::*;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

const TARGET: Target = Target { network_id: 12_345, chain_id: Id([0xc4; 32]) };

fn unsigned(operations: Vec<Operation>) -> UnsignedTransaction {
    let account = Account(key(1).verifying_key().to_bytes());
    UnsignedTransaction { target: TARGET, account, nonce: 7, operations }
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Operation {
    Operation::Put { key: key.into(), value: value.into() }
}

fn delete(key: impl Into<Bytes>) -> Operation {
    Operation::Delete { key: key.into() }
}

fn signed() -> Transaction {
    unsigned(vec![put("a", "1"), delete("b"), put("c", "")]).sign(&key(1)).unwrap()
}

/// The bytes of a transaction that `sign` would refuse, with a valid signature.
fn forced(unsigned: &UnsignedTransaction) -> Bytes {
    let bytes = unsigned.encode();
    let signature = key(1).sign(&signed_message(&bytes));
    [&bytes[..], &signature.to_bytes()].concat().into()
}

#[test]
fn what_was_signed_is_read() {
    let transaction = signed();
    let read = Transaction::decode(transaction.bytes().clone()).unwrap();
    assert_eq!(read, transaction);
    read.verify_signature().unwrap();
    read.check_target(TARGET).unwrap();
}

#[test]
fn it_is_for_one_chain() {
    for other in [Target { network_id: 1, ..TARGET }, Target { chain_id: Id([0xc5; 32]), ..TARGET }]
    {
        assert_eq!(signed().check_target(other), Err(TransactionError::OtherChain));
    }
}

#[test]
fn the_form_is_strict() {
    let long = |length| Bytes::from(vec![b'k'; length]);
    let too_many = (0..=OPERATIONS_MAX as u8).map(|number| delete(vec![number])).collect();
    let heavy = (0..5).map(|number| put(vec![number], long(VALUE_BYTES_MAX))).collect();
    for operations in [
        vec![],
        vec![delete("")],
        vec![delete("a"), delete("a")],
        vec![put("b", "1"), put("a", "1")],
        vec![delete(long(KEY_BYTES_MAX + 1))],
        vec![put("a", long(VALUE_BYTES_MAX + 1))],
        too_many,
        heavy,
    ] {
        let unsigned = unsigned(operations);
        Transaction::decode(forced(&unsigned)).unwrap_err();
        unsigned.sign(&key(1)).unwrap_err();
    }
    let largest = unsigned(vec![put(long(KEY_BYTES_MAX), long(VALUE_BYTES_MAX))]);
    Transaction::decode(forced(&largest)).unwrap();
}

#[test]
fn every_byte_is_signed() {
    let bytes = signed().bytes().clone();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << bit;
            if let Ok(changed) = Transaction::decode(changed.into()) {
                assert_eq!(changed.verify_signature(), Err(TransactionError::Signature));
            }
        }
    }
}

#[test]
fn weak_keys_sign_nothing() {
    // With the neutral element as key, one signature would fit every message.
    let mut weak = unsigned(vec![delete("a")]);
    weak.account = Account(std::array::from_fn(|at| u8::from(at == 0)));
    let bytes = [&weak.encode()[..], &weak.account.0, &[0; 32]].concat();
    let transaction = Transaction::decode(bytes.into()).unwrap();
    assert_eq!(transaction.verify_signature(), Err(TransactionError::Signature));
}

#[test]
fn an_account_is_exact_text() {
    let account = signed().account();
    assert_eq!(account.to_string().parse(), Ok(account));
    for text in ["", "0x", &account.to_string()[2..], &format!("{account}00")] {
        assert_eq!(text.parse::<Account>(), Err(AccountError));
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let key = vec(any::<u8>(), 1..8);
    let value = proptest::option::of(vec(any::<u8>(), 0..40));
    (key, value).prop_map(|(key, value)| match value {
        Some(value) => put(key, value),
        None => delete(key),
    })
}

proptest! {
    #[test]
    fn any_transaction_comes_back(mut operations in vec(operation(), 1..20), nonce: u64) {
        operations.sort_by(|a, b| a.key().cmp(b.key()));
        operations.dedup_by(|a, b| a.key() == b.key());
        let transaction =
            UnsignedTransaction { nonce, ..unsigned(operations) }.sign(&key(1)).unwrap();
        prop_assert_eq!(Transaction::decode(transaction.bytes().clone()), Ok(transaction));
    }

    #[test]
    fn what_is_read_has_no_other_form(noise in vec((any::<u16>(), any::<u8>()), 0..4), cut: u16) {
        let mut bytes = signed().bytes().to_vec();
        for (at, value) in noise {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(bytes.len().saturating_sub(usize::from(cut % 400).saturating_sub(300)));
        if let Ok(transaction) = Transaction::decode(bytes.clone().into()) {
            let again = [&transaction.unsigned.encode()[..], &transaction.signature].concat();
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Transaction::decode(bytes.into());
    }
}
