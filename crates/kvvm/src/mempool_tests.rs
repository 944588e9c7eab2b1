use super::*;
use crate::{
    client::{Key, put},
    transaction::Target,
};

const NOW: Instant = Instant(1_000_000_000);

fn mempool() -> (Mempool, Events) {
    let events = Events::default();
    let config = Config {
        mempool_txs: 6,
        mempool_txs_per_account: 4,
        mempool_bytes: 4096,
        ..Config::default()
    };
    (Mempool::new(config, events.clone()), events)
}

fn transaction(owner: u8, nonce: u64, value: &str) -> Transaction {
    let target = Target { network_id: 1, chain_id: Id([2; 32]) };
    let value = value.as_bytes().to_vec();
    Key::from_seed(&[owner; 32]).sign(target, nonce, vec![put("k", value)]).unwrap()
}

fn nonces(mempool: &Mempool) -> Vec<u64> {
    mempool.executable().iter().map(|transaction| transaction.nonce()).collect()
}

#[test]
fn executes_in_the_order_of_nonces_and_arrival() {
    let (mut mempool, _) = mempool();
    for nonce in [11, 13, 10] {
        mempool.add(transaction(1, nonce, ""), Origin::Local, 10, NOW).unwrap();
    }
    assert_eq!(nonces(&mempool), [10, 11], "13 waits for 12");
    mempool.add(transaction(2, 0, ""), Origin::Local, 0, NOW).unwrap();
    mempool.add(transaction(1, 12, ""), Origin::Local, 10, NOW).unwrap();
    assert_eq!(nonces(&mempool), [10, 11, 0, 12, 13]);
    let account = transaction(1, 0, "").account();
    assert_eq!(mempool.free_nonce(account, 10), 14);
    assert_eq!(mempool.free_nonce(transaction(3, 0, "").account(), 5), 5);
}

#[test]
fn takes_so_much_and_no_more() {
    let (mut mempool, _) = mempool();
    let mut add = |owner, nonce, value: &str| {
        mempool.add(transaction(owner, nonce, value), Origin::Local, 0, NOW)
    };
    let huge = "x".repeat(4096);
    assert_eq!(add(1, 0, &huge), Err(PoolError::Full));
    add(1, 0, "").unwrap();
    assert_eq!(add(1, 0, ""), Err(PoolError::Known));
    assert_eq!(add(1, 0, "other"), Err(PoolError::NonceTaken(0)));
    for nonce in 1..4 {
        add(1, nonce, "").unwrap();
    }
    assert!(matches!(
        add(1, 4, ""),
        Err(PoolError::Transaction(TransactionError::NonceTooHigh { .. }))
    ));
    add(2, 0, "").unwrap();
    add(3, 0, "").unwrap();
    assert_eq!(add(4, 0, ""), Err(PoolError::Full));
    assert_eq!(mempool.len(), 6);
    let size_bytes: usize =
        mempool.transactions().map(|transaction| transaction.bytes().len()).sum();
    assert_eq!(mempool.size_bytes(), size_bytes);
}

#[test]
fn old_nonces_are_refused() {
    let (mut mempool, _) = mempool();
    let used = PoolError::Transaction(TransactionError::NonceUsed { nonce: 4, next: 5 });
    assert_eq!(mempool.add(transaction(1, 4, ""), Origin::Local, 5, NOW), Err(used));
    let last = mempool.add(transaction(1, u64::MAX, ""), Origin::Local, u64::MAX, NOW);
    assert!(last.is_err(), "there is no nonce after it");
}

#[test]
fn gossiped_transactions_wait_before_they_are_eligible() {
    let (mut mempool, events) = mempool();
    mempool.add(transaction(1, 0, ""), Origin::Remote, 0, NOW).unwrap();
    mempool.signal(NOW);
    assert!(!events.pending_txs());
    let due = mempool.due().unwrap();
    assert_eq!(due, NOW + Duration::from_millis(500));
    mempool.signal(due);
    assert!(events.pending_txs());

    mempool.prefer(BTreeMap::from([(transaction(1, 0, "").account(), 1)]));
    mempool.signal(due);
    assert!(!events.pending_txs(), "the preferred block has it");
    mempool.add(transaction(1, 1, ""), Origin::Local, 0, due).unwrap();
    mempool.signal(due);
    assert!(events.pending_txs(), "this one was issued here");
}

#[test]
fn a_nearer_due_time_wakes_the_chain() {
    let (mut mempool, events) = mempool();
    let wakes = Arc::new(parking_lot::Mutex::new(0));
    let counter = Arc::clone(&wakes);
    events.on_change(move || *counter.lock() += 1);
    mempool.add(transaction(1, 0, ""), Origin::Remote, 0, NOW).unwrap();
    mempool.signal(NOW);
    assert_eq!(*wakes.lock(), 1, "something is due now and was not before");
    mempool.add(transaction(2, 0, ""), Origin::Remote, 0, NOW).unwrap();
    mempool.signal(NOW);
    assert_eq!(*wakes.lock(), 1, "nothing is due sooner");
}

#[test]
fn follows_blocks() {
    let (mut mempool, _) = mempool();
    let [one, other, two] =
        [transaction(1, 0, ""), transaction(1, 0, "other"), transaction(1, 1, "")];
    for transaction in [&one, &two] {
        mempool.add(transaction.clone(), Origin::Local, 0, NOW).unwrap();
    }
    assert_eq!(mempool.status(other.id()), PoolStatus::Unknown);
    // Two siblings, one with the transaction that waits, one with another.
    mempool.verified(std::slice::from_ref(&one));
    mempool.verified(std::slice::from_ref(&other));
    assert_eq!(mempool.status(one.id()), PoolStatus::Processing);
    mempool.accepted(std::slice::from_ref(&other));
    mempool.rejected(std::slice::from_ref(&one));
    assert_eq!(mempool.status(other.id()), PoolStatus::Processing, "until it is committed");
    assert_eq!(mempool.status(one.id()), PoolStatus::Dropped(PoolError::Overtaken(0)));
    assert_eq!(mempool.status(two.id()), PoolStatus::Pending);
    assert_eq!(nonces(&mempool), [1]);
    mempool.verified(std::slice::from_ref(&two));
    mempool.accepted(std::slice::from_ref(&two));
    assert_eq!((mempool.len(), mempool.size_bytes(), mempool.due()), (0, 0, None));
    assert!(mempool.accounts.is_empty() && mempool.by_arrival.is_empty());
}

#[test]
fn what_cannot_be_built_goes() {
    let (mut mempool, events) = mempool();
    let stale = transaction(1, 0, "");
    mempool.add(stale.clone(), Origin::Local, 0, NOW).unwrap();
    mempool.add(transaction(1, 2, ""), Origin::Local, 0, NOW).unwrap();
    mempool.refused(stale.id(), TransactionError::NonceUsed { nonce: 0, next: 2 });
    mempool.signal(NOW);
    assert!(events.pending_txs());
    assert_eq!(nonces(&mempool), [2]);
}

#[test]
fn nothing_waits_for_ever() {
    let (mut mempool, _) = mempool();
    let lonely = transaction(1, 3, "");
    mempool.add(lonely.clone(), Origin::Local, 0, NOW).unwrap();
    mempool.signal(NOW);
    let due = mempool.due().unwrap();
    mempool.expire(due);
    assert_eq!(mempool.status(lonely.id()), PoolStatus::Dropped(PoolError::Expired));
    assert_eq!(mempool.len(), 0);
}

#[test]
fn so_many_dropped_transactions_are_remembered() {
    let (mut mempool, _) = mempool();
    for nonce in 0..=DROPPED_MAX as u64 + 10 {
        mempool.add(transaction(1, nonce, ""), Origin::Local, nonce, NOW).unwrap();
        mempool.expire(Instant::MAX);
    }
    assert_eq!(mempool.dropped.len(), DROPPED_MAX);
    assert_eq!(mempool.dropped_order.len(), DROPPED_MAX);
}
