//! The chain as the engine drives it: what is accepted, and the processing blocks above.
//!
//! A block is valid after its parent if
//!
//! * its height is the parent's plus one, and its time not before the parent's, and while the
//!   chain is in normal operation at most [`AHEAD_MS_MAX`] after this node's clock,
//! * it has transactions, and each of them, in order, is for this chain, is signed (which is not
//!   checked again while bootstrapping), and carries the account's nonce at that point,
//! * its root is that of the state the transactions lead to.
//!
//! Verifying a block makes its [`Layer`]; accepting it stores the layer, the block and its index
//! in one batch; rejecting drops the layer.

use std::{collections::BTreeMap, sync::Arc};

use sastrugi_types::Id;
use sastrugi_vm::{
    VmError,
    db::{Batch, Database, DbError, Durability},
};

use crate::{
    block::{Block, Header},
    blocks,
    genesis::Genesis,
    state::{Changes, Generation, Layer, Root, StateError, Store, View, versions},
    summary::Summary,
    sync::{self, Landing},
    transaction::{Account, Operation, Target, Transaction, TransactionError},
};

/// How far the time of a block may be ahead of this node's clock, in milliseconds.
pub const AHEAD_MS_MAX: u64 = 10_000;

/// Why a block is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    /// The parent is neither processing nor the last accepted block.
    #[error("the parent {0} is neither processing nor last accepted")]
    Parent(Id),
    /// The height does not follow.
    #[error("the height is {height}, after the parent it should be {expected}")]
    Height { height: u64, expected: u64 },
    /// The time is before the parent's.
    #[error("the time {time_ms} ms is before the parent's {parent_ms} ms")]
    BeforeParent { time_ms: u64, parent_ms: u64 },
    /// The time is too far ahead.
    #[error("the time {time_ms} ms is too far ahead of this node's {now_ms} ms")]
    Ahead { time_ms: u64, now_ms: u64 },
    /// There are no transactions.
    #[error("the block has no transactions")]
    Empty,
    /// A transaction is not valid.
    #[error("transaction {id}: {error}")]
    Transaction { id: Id, error: TransactionError },
    /// The root is another one.
    #[error("the root is {root}, after the transactions it should be {expected}")]
    Root { root: Root, expected: Root },
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// See the module.
pub(crate) struct Chain {
    db: Arc<dyn Database>,
    target: Target,
    /// How many old states stay readable; `None` keeps all.
    state_history: Option<u64>,
    last_accepted: Block,
    /// The generation of the last accepted block's state.
    generation: Generation,
    preferred: Id,
    processing: BTreeMap<Id, Processing>,
}

/// What came of an attempt to build.
pub(crate) struct Built {
    /// `None` if no transaction could go in.
    pub(crate) block: Option<Block>,
    /// The transactions that could not.
    pub(crate) refused: Vec<(Id, TransactionError)>,
}

struct Processing {
    block: Block,
    layer: Layer,
}

impl Chain {
    /// Opens the chain, or begins it with genesis.
    pub(crate) fn open(
        db: Arc<dyn Database>,
        target: Target,
        genesis: &Genesis,
        genesis_changes: Changes,
        state_history: Option<u64>,
    ) -> Result<Self, StateError> {
        let first_store = Store::new(&*db, Generation::default());
        let layer = Layer::genesis(first_store, genesis_changes)?;
        let first = genesis.block(layer.root());
        let (last_accepted, generation) = if let Some(last) = blocks::last(&*db)? {
            if blocks::id_at(&*db, 0)? != Some(first.id()) {
                return Err(StateError::Corrupt("the database has another genesis".to_owned()));
            }
            let missing = || StateError::Corrupt("the last accepted block is missing".to_owned());
            (blocks::block(&*db, last.id)?.ok_or_else(missing)?, last.generation)
        } else {
            let mut batch = Batch::new();
            versions::store(first_store, &mut batch, &layer)?;
            blocks::store(&mut batch, &first, Generation::default());
            db.write(&batch, Durability::Buffered)?;
            (first, Generation::default())
        };
        let preferred = last_accepted.id();
        let processing = BTreeMap::new();
        Ok(Self { db, target, state_history, last_accepted, generation, preferred, processing })
    }

    pub(crate) const fn last_accepted(&self) -> &Block {
        &self.last_accepted
    }

    /// A processing or accepted block.
    pub(crate) fn block(&self, id: Id) -> Result<Option<sastrugi_vm::Block>, DbError> {
        match self.processing.get(&id) {
            Some(processing) => Ok(Some(processing.block.to_vm())),
            None => blocks::vm_block(&*self.db, id),
        }
    }

    /// Whether the block was verified and is not decided.
    pub(crate) fn is_processing(&self, id: Id) -> bool {
        self.processing.contains_key(&id)
    }

    pub(crate) fn id_at(&self, height: u64) -> Result<Option<Id>, DbError> {
        blocks::id_at(&*self.db, height)
    }

    pub(crate) fn processing_blocks(&self) -> usize {
        self.processing.len()
    }

    /// Names the block to build on; `false` if it is unknown or decided.
    pub(crate) fn set_preference(&mut self, id: Id) -> bool {
        let is_known = self.branch(id).is_some();
        if is_known {
            self.preferred = id;
        }
        is_known
    }

    /// The nonces of the accounts with transactions in the preferred processing blocks.
    pub(crate) fn preferred_nonces(&self) -> BTreeMap<Account, u64> {
        let mut nonces = BTreeMap::new();
        for processing in self.branch(self.preferred).unwrap_or_default() {
            for transaction in processing.block.transactions() {
                nonces.insert(transaction.account(), transaction.nonce() + 1);
            }
        }
        nonces
    }

    /// Verifies a block, and makes it processing. `now_ms` is `None` unless the chain is in normal
    /// operation; `is_signed` knows transactions whose signature needs no check.
    pub(crate) fn verify(
        &mut self,
        block: Block,
        now_ms: Option<u64>,
        is_signed: impl Fn(Id) -> bool,
    ) -> Result<(), BlockError> {
        let branch = self.branch(block.parent()).ok_or(BlockError::Parent(block.parent()))?;
        check_header(&block, self.top(&branch), now_ms)?;
        for transaction in block.transactions() {
            if !is_signed(transaction.id()) {
                transaction
                    .verify_signature()
                    .map_err(|error| BlockError::Transaction { id: transaction.id(), error })?;
            }
        }
        let view = self.view(&branch);
        let mut draft = Draft::new(self.target, &view);
        for transaction in block.transactions() {
            draft.execute(transaction)?;
        }
        let layer = view.apply(draft.changes)?;
        if layer.root() != block.root() {
            return Err(BlockError::Root { root: block.root(), expected: layer.root() });
        }
        self.processing.insert(block.id(), Processing { block, layer });
        Ok(())
    }

    /// Builds a block on the preferred one from transactions whose signatures were checked.
    pub(crate) fn build(
        &self,
        candidates: &[Arc<Transaction>],
        now_ms: u64,
    ) -> Result<Built, StateError> {
        let branch = self.branch(self.preferred).unwrap_or_default();
        let preferred = self.top(&branch);
        let view = self.view(&branch);
        let mut draft = Draft::new(self.target, &view);
        let mut transactions = Vec::new();
        let mut refused = Vec::new();
        for candidate in candidates {
            match draft.add(candidate) {
                Ok(()) => transactions.push(Transaction::clone(candidate)),
                Err(AddError::State(error)) => return Err(error),
                Err(AddError::Transaction(error)) => refused.push((candidate.id(), error)),
            }
        }
        if transactions.is_empty() {
            return Ok(Built { block: None, refused });
        }
        let header = Header {
            parent: preferred.id(),
            height: preferred.height() + 1,
            timestamp_ms: preferred.timestamp_ms().max(now_ms),
            root: view.apply(draft.changes)?.root(),
        };
        Ok(Built { block: Some(Block::new(header, transactions)), refused })
    }

    /// Accepts a processing block whose parent is the last accepted one. Gives it; `None` if it is
    /// not so.
    pub(crate) fn accept(&mut self, id: Id) -> Result<Option<Block>, StateError> {
        let Some(processing) = self.processing.get(&id) else { return Ok(None) };
        if processing.block.parent() != self.last_accepted.id() {
            return Ok(None);
        }
        self.write_accepted(&processing.block, &processing.layer)?;
        let accepted = self.processing.remove(&id).map(|processing| processing.block);
        if let Some(block) = &accepted {
            self.last_accepted = block.clone();
        }
        Ok(accepted)
    }

    fn write_accepted(&self, block: &Block, layer: &Layer) -> Result<(), StateError> {
        let mut batch = Batch::new();
        versions::store(self.store(), &mut batch, layer)?;
        blocks::store(&mut batch, block, self.generation);
        if let Some(history) = self.state_history {
            let oldest = block.height().saturating_sub(history.max(1));
            versions::forget(self.store(), &mut batch, oldest)?;
        }
        Ok(self.db.write(&batch, Durability::Buffered)?)
    }

    /// Accepts a block made of signed transactions, on the last accepted one. There must not be
    /// processing blocks.
    pub(crate) fn append(
        &mut self,
        timestamp_ms: u64,
        transactions: Vec<Transaction>,
    ) -> Result<&Block, BlockError> {
        debug_assert!(self.processing.is_empty(), "a history has no forks");
        let view = self.view(&[]);
        let mut draft = Draft::new(self.target, &view);
        for transaction in &transactions {
            draft.execute(transaction)?;
        }
        let layer = view.apply(draft.changes)?;
        let header = Header {
            parent: self.last_accepted.id(),
            height: self.last_accepted.height() + 1,
            timestamp_ms,
            root: layer.root(),
        };
        let block = Block::new(header, transactions);
        check_header(&block, &self.last_accepted, None)?;
        self.write_accepted(&block, &layer)?;
        (self.preferred, self.last_accepted) = (block.id(), block);
        Ok(&self.last_accepted)
    }

    /// Rejects a processing block. Gives it; `None` if it was not processing.
    pub(crate) fn reject(&mut self, id: Id) -> Option<Block> {
        self.processing.remove(&id).map(|processing| processing.block)
    }

    /// The summary of the state at a height, if it is stored; that of genesis in any case.
    pub(crate) fn summary_at(&self, height: u64) -> Result<Option<Summary>, DbError> {
        let is_stored = versions::oldest(self.store())?.is_some_and(|oldest| oldest <= height);
        if height > 0 && !is_stored {
            return Ok(None);
        }
        let Some(id) = blocks::id_at(&*self.db, height)? else { return Ok(None) };
        Ok(blocks::block(&*self.db, id)?.map(Summary::of))
    }

    /// The generation of the last accepted block's state.
    pub(crate) const fn generation(&self) -> Generation {
        self.generation
    }

    /// The nonce of the account's next transaction after the last accepted block.
    pub(crate) fn nonce(&self, account: Account) -> Result<u64, StateError> {
        View::stored(self.store(), self.last_accepted.height()).nonce(account)
    }

    /// Accepts a block far ahead, whose state is in another generation, with one batch. Gives the
    /// processing blocks, which have lost their meaning; `None` if the block is not ahead.
    pub(crate) fn jump(&mut self, landing: Landing) -> Result<Option<Vec<Block>>, StateError> {
        let Landing { summary, generation, mut batch } = landing;
        let (from, block) = (self.last_accepted.height(), summary.block());
        if block.height() <= from {
            return Ok(None);
        }
        versions::retire(self.store(), &mut batch);
        sync::land(&mut batch, self.generation);
        blocks::store(&mut batch, block, generation);
        blocks::store_jump(&mut batch, from, block.height());
        self.db.write(&batch, Durability::Buffered)?;
        self.last_accepted = block.clone();
        self.generation = generation;
        self.preferred = block.id();
        let dropped = std::mem::take(&mut self.processing);
        Ok(Some(dropped.into_values().map(|processing| processing.block).collect()))
    }

    /// The processing blocks between the last accepted one and `id`, lowest first, `id` included.
    /// `None` if `id` does not descend from the last accepted block.
    fn branch(&self, id: Id) -> Option<Vec<&Processing>> {
        let mut branch = Vec::new();
        let mut next = id;
        while next != self.last_accepted.id() {
            let processing = self.processing.get(&next)?;
            next = processing.block.parent();
            branch.push(processing);
        }
        branch.reverse();
        Some(branch)
    }

    /// Where the last accepted block's state is.
    fn store(&self) -> Store<'_> {
        Store::new(&*self.db, self.generation)
    }

    /// The block a branch leads to.
    fn top<'a>(&'a self, branch: &[&'a Processing]) -> &'a Block {
        branch.last().map_or(&self.last_accepted, |processing| &processing.block)
    }

    /// The state a branch leads to.
    fn view<'a>(&'a self, branch: &[&'a Processing]) -> View<'a> {
        let layers = branch.iter().map(|processing| &processing.layer).collect();
        View::above(self.store(), self.last_accepted.height(), layers)
    }
}

fn check_header(block: &Block, parent: &Block, now_ms: Option<u64>) -> Result<(), BlockError> {
    let (height, expected) = (block.height(), parent.height().saturating_add(1));
    if height != expected {
        return Err(BlockError::Height { height, expected });
    }
    let (time_ms, parent_ms) = (block.timestamp_ms(), parent.timestamp_ms());
    if time_ms < parent_ms {
        return Err(BlockError::BeforeParent { time_ms, parent_ms });
    }
    if let Some(now_ms) = now_ms
        && time_ms > now_ms.saturating_add(AHEAD_MS_MAX)
    {
        return Err(BlockError::Ahead { time_ms, now_ms });
    }
    if block.transactions().is_empty() {
        return Err(BlockError::Empty);
    }
    Ok(())
}

impl From<BlockError> for VmError {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::State(error) => error.into(),
            error => Self::invalid(error.to_string()),
        }
    }
}

/// What the transactions of a block lead to, one after another.
struct Draft<'a> {
    target: Target,
    view: &'a View<'a>,
    nonces: BTreeMap<Account, u64>,
    changes: Changes,
}

enum AddError {
    Transaction(TransactionError),
    State(StateError),
}

impl<'a> Draft<'a> {
    fn new(target: Target, view: &'a View<'a>) -> Self {
        Self { target, view, nonces: BTreeMap::new(), changes: Changes::default() }
    }

    /// Executes a transaction of a block.
    fn execute(&mut self, transaction: &Transaction) -> Result<(), BlockError> {
        self.add(transaction).map_err(|error| match error {
            AddError::State(error) => error.into(),
            AddError::Transaction(error) => BlockError::Transaction { id: transaction.id(), error },
        })
    }

    /// Executes a signed transaction, all of it or nothing.
    fn add(&mut self, transaction: &Transaction) -> Result<(), AddError> {
        transaction.check_target(self.target).map_err(AddError::Transaction)?;
        let account = transaction.account();
        let next = match self.nonces.get(&account) {
            Some(next) => *next,
            None => self.view.nonce(account).map_err(AddError::State)?,
        };
        let after = check_nonce(transaction.nonce(), next).map_err(AddError::Transaction)?;
        self.nonces.insert(account, after);
        self.changes.set_nonce(account, after);
        for operation in transaction.operations() {
            let (key, value) = match operation {
                Operation::Put { key, value } => (key, Some(value.clone())),
                Operation::Delete { key } => (key, None),
            };
            self.changes.set(account, key.clone(), value);
        }
        Ok(())
    }
}

/// The nonce must be the account's next. Gives the one after it.
pub(crate) const fn check_nonce(nonce: u64, next: u64) -> Result<u64, TransactionError> {
    if nonce < next {
        return Err(TransactionError::NonceUsed { nonce, next });
    }
    match nonce.checked_add(1) {
        Some(after) if nonce == next => Ok(after),
        _ => Err(TransactionError::NonceTooHigh { nonce, next }),
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
