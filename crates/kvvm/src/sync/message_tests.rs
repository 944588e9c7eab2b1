use proptest::{collection::vec, prelude::*};

use super::*;

fn entry() -> impl Strategy<Value = Entry> {
    let parts = (any::<[u8; 32]>(), vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..20));
    parts.prop_map(|(account, key, value)| Entry {
        account: Account(account),
        key: key.into(),
        value: value.into(),
    })
}

fn step() -> impl Strategy<Value = Step> {
    let leaf = (any::<[u8; 32]>(), any::<[u8; 32]>());
    prop_oneof![
        any::<[u8; 32]>().prop_map(Step::Outside),
        Just(Step::Inner),
        Just(Step::End),
        leaf.prop_map(|(path, value_hash)| Step::Foreign(Leaf { path, value_hash })),
    ]
}

proptest! {
    #[test]
    fn answers_have_one_form(entries in vec(entry(), 0..6), steps in vec(step(), 0..6)) {
        let is_whole = entries.is_empty();
        let answer = RangeAnswer { range: Range { entries, steps }, is_whole };
        let bytes = answer.encode();
        prop_assert_eq!(RangeAnswer::decode(bytes.clone()), Ok(answer));
        for length in 0..bytes.len() {
            prop_assert!(RangeAnswer::decode(bytes.slice(..length)).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        prop_assert_eq!(RangeAnswer::decode(longer.into()), Err(DecodeError::TrailingBytes(1)));
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            if let Ok(other) = RangeAnswer::decode(changed.clone().into()) {
                prop_assert_eq!(other.encode(), changed);
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), kind in 0..3_u8) {
        let headed = Bytes::from([&[0, kind], &bytes[..]].concat());
        let _ = RangeAnswer::decode(headed.clone());
        if let Ok(request) = RangeRequest::decode(headed.clone()) {
            prop_assert_eq!(request.encode(), headed);
        }
    }
}

#[test]
fn requests_have_one_form() {
    let request = RangeRequest {
        height: 7,
        root: Root([1; 32]),
        first: [2; 32],
        last: [3; 32],
        bytes_max: 9,
    };
    let bytes = request.encode();
    assert!(is_range_request(&bytes));
    assert_eq!(RangeRequest::decode(bytes.clone()), Ok(request.clone()));
    for length in 0..bytes.len() {
        assert!(RangeRequest::decode(bytes.slice(..length)).is_err());
    }
    assert!(RangeRequest::decode([&bytes[..], &[0]].concat().into()).is_err());
    let backwards = RangeRequest { first: [4; 32], ..request };
    assert_eq!(RangeRequest::decode(backwards.encode()), Err(DecodeError::KeyOrder));
}

#[test]
fn limits() {
    let entry = |key: usize, value: usize| Entry {
        account: Account([1; 32]),
        key: vec![1; key].into(),
        value: vec![1; value].into(),
    };
    let decode = |entries: Vec<Entry>, steps: Vec<Step>, is_whole| {
        RangeAnswer::decode(RangeAnswer { range: Range { entries, steps }, is_whole }.encode())
    };
    let largest = entry(KEY_BYTES_MAX, VALUE_BYTES_MAX);
    decode(vec![largest.clone(); 32], Vec::new(), false).unwrap();
    assert!(decode(vec![entry(KEY_BYTES_MAX + 1, 0)], Vec::new(), true).is_err());
    assert!(decode(vec![entry(0, VALUE_BYTES_MAX + 1)], Vec::new(), true).is_err());
    assert!(decode(vec![largest; 40], Vec::new(), true).is_err(), "too long");
    assert!(decode(vec![entry(0, 0); RANGE_ENTRIES_MAX + 1], Vec::new(), true).is_err());
    assert!(decode(Vec::new(), vec![Step::End; STEPS_MAX + 1], true).is_err());
    assert!(decode(Vec::new(), Vec::new(), false).is_err(), "no progress");
    decode(Vec::new(), Vec::new(), true).unwrap();
    let full = RANGE_BYTES_MAX + entry_bytes(&entry(KEY_BYTES_MAX, VALUE_BYTES_MAX));
    assert!(full + 65 * STEPS_MAX + 16 <= ANSWER_BYTES_MAX, "what a server sends is read");
}
