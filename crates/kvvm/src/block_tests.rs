use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    client::{Key, put},
    transaction::Target,
};

fn transaction(value_bytes: usize) -> Transaction {
    let target = Target { network_id: 1, chain_id: Id([2; 32]) };
    Key::from_seed(&[1; 32]).sign(target, 0, vec![put("k", vec![0; value_bytes])]).unwrap()
}

const HEADER: Header =
    Header { parent: Id([3; 32]), height: 5, timestamp_ms: TIMESTAMP_MS_MAX, root: Root([4; 32]) };

#[test]
fn what_was_written_is_read() {
    for transactions in [vec![], vec![transaction(1)], vec![transaction(9), transaction(0)]] {
        let block = Block::new(HEADER, transactions);
        assert_eq!(Block::decode(block.bytes().clone()), Ok(block.clone()));
        assert_eq!(block.to_vm().timestamp, WallTime(TIMESTAMP_MS_MAX as i64 * NANOS_PER_MS));
    }
    assert_eq!(Block::new(HEADER, vec![]).bytes().len(), HEADER_BYTES);
}

#[test]
fn the_form_is_strict() {
    let late = Header { timestamp_ms: TIMESTAMP_MS_MAX + 1, ..HEADER };
    assert!(matches!(Block::decode(encode(&late, &[])), Err(DecodeError::Size { .. })));
    let many = encode(&HEADER, &vec![transaction(0); BLOCK_TRANSACTIONS_MAX + 1]);
    assert!(matches!(Block::decode(many), Err(DecodeError::Size { .. })));
    let large = encode(&HEADER, &vec![transaction(16_000); 33]);
    assert!(matches!(Block::decode(large), Err(DecodeError::Size { .. })));
    // A count that promises more than there is.
    let mut empty = encode(&HEADER, &[]).to_vec();
    empty[HEADER_BYTES - 1] = 1;
    assert_eq!(Block::decode(empty.into()), Err(DecodeError::Truncated));
}

#[test]
fn a_full_block_is_just_not_too_large() {
    let transaction = transaction(16_000);
    let mut room = Room::WHOLE;
    let mut transactions = Vec::new();
    while room.take(&transaction) {
        transactions.push(transaction.clone());
    }
    let block = Block::new(HEADER, transactions.clone());
    assert!(Block::decode(block.bytes().clone()).is_ok());
    transactions.push(transaction);
    assert!(Block::decode(encode(&HEADER, &transactions)).is_err());
}

#[test]
fn milliseconds_round_down_and_are_not_negative() {
    assert_eq!(to_ms(WallTime(1_999_999)), 1);
    assert_eq!(to_ms(WallTime(-1)), 0);
    assert_eq!(to_ms(WallTime(i64::MAX)), TIMESTAMP_MS_MAX);
}

proptest! {
    #[test]
    fn what_is_read_has_no_other_form(noise in vec((any::<u16>(), any::<u8>()), 0..4)) {
        let mut bytes = Block::new(HEADER, vec![transaction(3), transaction(0)]).bytes().to_vec();
        for (at, value) in noise {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        if let Ok(block) = Block::decode(bytes.clone().into()) {
            prop_assert_eq!(Header::of(bytes.clone().into()), Ok(block.header));
            prop_assert_eq!(&encode(&block.header, &block.transactions)[..], &bytes[..]);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Block::decode(bytes.into());
    }
}
