use sastrugi_vm::db::MemoryDb;

use super::*;
use crate::client::{Key, delete, put};

const TARGET: Target = Target { network_id: 1, chain_id: Id([2; 32]) };
const GENESIS_MS: u64 = 1_000_000;

fn open(db: &MemoryDb) -> Result<Chain, StateError> {
    open_with(db, GENESIS_MS)
}

fn open_with(db: &MemoryDb, timestamp_ms: u64) -> Result<Chain, StateError> {
    let json = format!(r#"{{"timestampMs": {timestamp_ms}}}"#);
    let genesis = Genesis::parse(json.as_bytes()).unwrap();
    let changes = genesis.changes().unwrap();
    Chain::open(Arc::new(db.clone()), TARGET, &genesis, changes, Some(3))
}

fn chain() -> Chain {
    open(&MemoryDb::new()).unwrap()
}

fn transaction(owner: u8, nonce: u64) -> Transaction {
    let value = nonce.to_be_bytes().to_vec();
    Key::from_seed(&[owner; 32]).sign(TARGET, nonce, vec![put("k", value)]).unwrap()
}

fn build(chain: &Chain, transactions: Vec<Transaction>) -> Block {
    let candidates: Vec<_> = transactions.into_iter().map(Arc::new).collect();
    let built = chain.build(&candidates, GENESIS_MS).unwrap();
    assert_eq!(built.refused, []);
    built.block.unwrap()
}

fn verify(chain: &mut Chain, block: &Block) -> Result<(), BlockError> {
    chain.verify(block.clone(), Some(GENESIS_MS), |_| false)
}

/// A valid block, changed.
fn changed(chain: &Chain, change: impl FnOnce(&mut Header, &mut Vec<Transaction>)) -> Block {
    let block = build(chain, vec![transaction(1, 0), transaction(2, 0)]);
    let (mut header, mut transactions) = (*block.header(), block.transactions().to_vec());
    change(&mut header, &mut transactions);
    Block::new(header, transactions)
}

#[test]
fn a_block_keeps_all_rules() {
    let mut chain = chain();
    let block = changed(&chain, |_, _| {});
    let mut check = |change: &dyn Fn(&mut Header, &mut Vec<Transaction>)| {
        let block = changed(&chain, change);
        verify(&mut chain, &block).unwrap_err()
    };
    let parent = Id([9; 32]);
    assert_eq!(check(&|header, _| header.parent = parent), BlockError::Parent(parent));
    for height in [0, 2, u64::MAX] {
        let error = BlockError::Height { height, expected: 1 };
        assert_eq!(check(&|header, _| header.height = height), error);
    }
    assert!(matches!(
        check(&|header, _| header.timestamp_ms = GENESIS_MS - 1),
        BlockError::BeforeParent { .. }
    ));
    assert!(matches!(
        check(&|header, _| header.timestamp_ms = GENESIS_MS + AHEAD_MS_MAX + 1),
        BlockError::Ahead { .. }
    ));
    assert_eq!(check(&|_, transactions| transactions.clear()), BlockError::Empty);
    assert!(matches!(check(&|header, _| header.root = Root([7; 32])), BlockError::Root { .. }));
    assert!(matches!(check(&|_, transactions| transactions.truncate(1)), BlockError::Root { .. }));
    assert_eq!(chain.processing_blocks(), 0, "nothing is left of invalid blocks");

    let late = changed(&chain, |header, _| header.timestamp_ms = GENESIS_MS + AHEAD_MS_MAX);
    verify(&mut chain, &late).unwrap();
    verify(&mut chain, &block).unwrap();
}

#[test]
fn while_bootstrapping_time_does_not_matter() {
    let mut chain = chain();
    let block = changed(&chain, |header, _| header.timestamp_ms = GENESIS_MS + AHEAD_MS_MAX + 1);
    chain.verify(block, None, |_| false).unwrap();
}

#[test]
fn a_transaction_takes_effect_once() {
    let mut chain = chain();
    let used = |id| BlockError::Transaction {
        id,
        error: TransactionError::NonceUsed { nonce: 0, next: 1 },
    };
    let transaction = transaction(1, 0);
    let twice = changed(&chain, |_, transactions| {
        *transactions = vec![transaction.clone(), transaction.clone()];
    });
    assert_eq!(verify(&mut chain, &twice), Err(used(transaction.id())));
    let skipped = self::transaction(1, 1);
    let gap = changed(&chain, |_, transactions| *transactions = vec![skipped.clone()]);
    let error = TransactionError::NonceTooHigh { nonce: 1, next: 0 };
    assert_eq!(verify(&mut chain, &gap), Err(BlockError::Transaction { id: skipped.id(), error }));

    let block = build(&chain, vec![transaction.clone()]);
    verify(&mut chain, &block).unwrap();
    let again = changed(&chain, |child, transactions| {
        (child.parent, child.height) = (block.id(), 2);
        *transactions = vec![transaction.clone()];
    });
    assert_eq!(verify(&mut chain, &again), Err(used(transaction.id())), "on a processing block");
    chain.accept(block.id()).unwrap().unwrap();
    assert_eq!(verify(&mut chain, &again), Err(used(transaction.id())), "on an accepted block");
}

#[test]
fn signatures_and_targets_are_checked() {
    let mut chain = chain();
    let other = Target { network_id: 9, ..TARGET };
    let foreign = Key::from_seed(&[1; 32]).sign(other, 0, vec![delete("k")]).unwrap();
    let block = changed(&chain, |_, transactions| *transactions = vec![foreign.clone()]);
    let error = TransactionError::OtherChain;
    assert_eq!(
        verify(&mut chain, &block),
        Err(BlockError::Transaction { id: foreign.id(), error })
    );

    let mut forged = transaction(1, 0).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Transaction::decode(forged.into()).unwrap();
    let block = changed(&chain, |_, transactions| transactions[0] = forged.clone());
    let error = TransactionError::Signature;
    assert_eq!(verify(&mut chain, &block), Err(BlockError::Transaction { id: forged.id(), error }));
}

#[test]
fn building_leaves_out_what_does_not_fit() {
    let chain = chain();
    let candidates = [transaction(1, 1), transaction(2, 0)].map(Arc::new);
    let built = chain.build(&candidates, 0).unwrap();
    let block = built.block.unwrap();
    assert_eq!(block.transactions(), [transaction(2, 0)]);
    assert_eq!(block.timestamp_ms(), GENESIS_MS, "not before the parent");
    let error = TransactionError::NonceTooHigh { nonce: 1, next: 0 };
    assert_eq!(built.refused, [(transaction(1, 1).id(), error)]);
    assert!(chain.build(&candidates[..1], 0).unwrap().block.is_none());
}

#[test]
fn decisions_come_in_order() {
    let mut chain = chain();
    let one = build(&chain, vec![transaction(1, 0)]);
    verify(&mut chain, &one).unwrap();
    assert!(chain.set_preference(one.id()));
    let two = build(&chain, vec![transaction(1, 1)]);
    assert_eq!(two.parent(), one.id());
    verify(&mut chain, &two).unwrap();
    assert_eq!(chain.preferred_nonces(), BTreeMap::from([(transaction(1, 0).account(), 1)]));

    assert!(!chain.set_preference(Id([9; 32])));
    assert!(chain.accept(two.id()).unwrap().is_none(), "the parent is not accepted");
    assert!(chain.accept(Id([9; 32])).unwrap().is_none());
    assert!(chain.reject(Id([9; 32])).is_none());
    chain.accept(one.id()).unwrap().unwrap();
    chain.accept(two.id()).unwrap().unwrap();
    assert!(chain.accept(two.id()).unwrap().is_none(), "it is decided");
    assert_eq!(chain.last_accepted(), &two);
    assert_eq!(chain.processing_blocks(), 0);
}

#[test]
fn a_database_belongs_to_one_genesis() {
    let db = MemoryDb::new();
    open(&db).unwrap();
    open(&db).unwrap();
    assert!(matches!(open_with(&db, GENESIS_MS + 1), Err(StateError::Corrupt(_))));
}

#[test]
fn a_failing_database_is_told() {
    let db = MemoryDb::new();
    let mut chain = open(&db).unwrap();
    let block = build(&chain, vec![transaction(1, 0)]);
    db.fail_reads_after(0);
    assert!(matches!(
        verify(&mut chain, &block),
        Err(BlockError::State(StateError::Database(DbError::Io(_))))
    ));
    db.heal();
    verify(&mut chain, &block).unwrap();
    db.fail_writes_after(0);
    assert!(matches!(chain.accept(block.id()), Err(StateError::Database(DbError::Io(_)))));
    db.heal();
    chain.accept(block.id()).unwrap().unwrap();
}
