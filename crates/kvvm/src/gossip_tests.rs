use proptest::{collection::vec, prelude::*};

use super::*;

const INTERVAL: Duration = Duration::from_secs(1);

fn id(number: u8) -> Id {
    Id([number; 32])
}

fn node(number: u8) -> NodeId {
    NodeId([number; 20])
}

#[test]
fn a_list_holds_so_much() {
    let mut list = TransactionList::default();
    let small = Bytes::from_static(b"small");
    for _ in 0..GOSSIP_TRANSACTIONS_MAX {
        assert!(list.push(&small));
    }
    assert!(!list.push(&small));
    assert_eq!(TransactionList::decode(list.encode()).unwrap().len(), GOSSIP_TRANSACTIONS_MAX);

    let mut list = TransactionList::default();
    let large = Bytes::from(vec![0; TRANSACTION_BYTES_MAX]);
    assert!(list.push(&large) && list.push(&large));
    assert!(!list.push(&small), "no bytes are left");
}

#[test]
fn a_pull_names_what_is_known() {
    let pull = Pull::new(7, [id(1), id(2)].into_iter());
    let read = Pull::decode(pull.encode()).unwrap();
    assert_eq!(read, pull);
    assert!(read.knows(id(1)) && read.knows(id(2)) && !read.knows(id(3)));
    let many = Pull::new(7, (0..=u16::MAX).map(|number| id(number as u8)));
    assert!(Pull::decode(many.encode()).is_ok());
}

#[test]
fn huge_counts_are_refused() {
    let count = [&[0, 0][..], &[0xff, 0xff]].concat();
    assert!(matches!(TransactionList::decode(count.into()), Err(DecodeError::Size { .. })));
    let count = [&[0; 10][..], &[0xff, 0xff]].concat();
    assert!(matches!(Pull::decode(count.into()), Err(DecodeError::Size { .. })));
    let unsorted = Pull { salt: 0, known: vec![2, 1] };
    assert_eq!(Pull::decode(unsorted.encode()), Err(DecodeError::KeyOrder));
}

#[test]
fn peers_are_asked_in_turn_and_answered_seldom() {
    let mut peers = Peers::new(INTERVAL, Instant::ZERO);
    assert_eq!((peers.due(), peers.pull(Instant::ZERO, 0)), (None, None), "nobody is there");
    peers.connected(node(1));
    peers.connected(node(2));
    assert_eq!(peers.pull(Instant::ZERO, 3), Some((node(2), RequestId(0))));
    assert_eq!(peers.pull(Instant::ZERO, 3), None, "not yet");
    assert_eq!(peers.due(), Some(Instant::ZERO + INTERVAL));
    assert_eq!(peers.pull(Instant::ZERO + INTERVAL, 0), Some((node(1), RequestId(2))));

    let now = Instant::ZERO + INTERVAL;
    assert!(peers.may_answer(node(1), now));
    assert!(!peers.may_answer(node(1), now), "too soon");
    assert!(peers.may_answer(node(1), now + INTERVAL / 2));
    assert!(!peers.may_answer(node(3), now), "not connected");
    peers.disconnected(node(1));
    assert!(!peers.may_answer(node(1), now + INTERVAL));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from([&[0, 0][..], &bytes].concat());
        let _ = TransactionList::decode(bytes.clone());
        let _ = Pull::decode(bytes);
    }
}
