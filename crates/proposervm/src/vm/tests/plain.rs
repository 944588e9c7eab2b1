//! A VM whose blocks hold one number each, some of which are oracles.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sastrugi_types::{
    Id, Instant, NodeId, RequestId, WallTime, hash::sha256, version::Application,
};
use sastrugi_vm::{
    AppError, AppGossipHandler, AppRequestHandler, AppResponseHandler, Block, BlockContext,
    ChainVm, Clock, Connector, Events, Health, HealthChecker, State, Vm, VmError, VmInit,
    db::{MemoryDb, SharedDatabase},
};

/// Gossip that issues a number.
pub(super) const ISSUE: &[u8] = b"issue";
/// Numbers of this and above make a block that never verifies.
pub(super) const INVALID: u64 = 1 << 40;
/// Numbers with this bit make an oracle, the two numbers above it its options.
pub(super) const ORACLE: u64 = 1 << 20;
/// Numbers with this bit want a context.
pub(super) const CONTEXT: u64 = 1 << 21;

/// What every block begins with.
const MAGIC: [u8; 4] = *b"plai";
const LENGTH: usize = 4 + 32 + 8 + 8 + 8;

/// The VM.
#[derive(Default)]
pub(super) struct Plain {
    /// For a VM that commits on its own.
    own: Option<MemoryDb>,
    inside: Mutex<Inside>,
    log: Arc<Log>,
}

/// What the VM was told.
#[derive(Default)]
pub(super) struct Log {
    /// Verified blocks and their contexts.
    pub(super) verified: Mutex<Vec<(Id, Option<u64>)>>,
    /// Blocks without a verdict.
    pub(super) undecided: Mutex<BTreeSet<Id>>,
    /// The contexts of preferences and builds.
    pub(super) contexts: Mutex<Vec<Option<u64>>>,
}

#[derive(Default)]
struct Inside {
    db: Option<SharedDatabase>,
    clock: Option<Arc<dyn Clock>>,
    events: Events,
    processing: BTreeMap<Id, Block>,
    last: Option<Block>,
    preferred: Id,
    /// Numbers for blocks.
    pool: BTreeSet<u64>,
    issued: u64,
}

impl Plain {
    pub(super) fn with(own: Option<MemoryDb>, log: Arc<Log>) -> Self {
        Self { own, log, ..Self::default() }
    }
}

pub(super) fn make(parent: Id, height: u64, secs: i64, number: u64) -> Block {
    let numbers = [height.to_be_bytes(), secs.to_be_bytes(), number.to_be_bytes()].concat();
    parse([&MAGIC[..], &parent.0, &numbers].concat().into()).unwrap()
}

pub(super) fn number(block: &Block) -> u64 {
    u64::from_be_bytes(block.bytes[52..].try_into().unwrap())
}

fn parse(bytes: Bytes) -> Result<Block, VmError> {
    if bytes.len() != LENGTH || bytes[..4] != MAGIC {
        return Err(VmError::invalid("length"));
    }
    let word = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    Ok(Block {
        id: Id(sha256(&bytes)),
        parent: Id(bytes[4..36].try_into().unwrap()),
        height: word(36),
        timestamp: WallTime::from_unix_secs(word(44).cast_signed()),
        bytes,
    })
}

impl Inside {
    fn db(&self) -> &SharedDatabase {
        self.db.as_ref().unwrap()
    }

    fn last(&self) -> &Block {
        self.last.as_ref().unwrap()
    }

    fn block(&self, id: Id) -> Result<Option<Block>, VmError> {
        match self.processing.get(&id) {
            Some(block) => Ok(Some(block.clone())),
            None => self.db().get(&id.0)?.map(parse).transpose(),
        }
    }

    fn store(&mut self, block: &Block) -> Result<(), VmError> {
        let mut batch = sastrugi_vm::db::Batch::new();
        batch.put(block.id.0.to_vec(), block.bytes.clone());
        batch.put(block.height.to_be_bytes().to_vec(), block.id.0.to_vec());
        batch.put(&b"last"[..], block.id.0.to_vec());
        self.db().write(&batch, sastrugi_vm::db::Durability::Synced)?;
        self.last = Some(block.clone());
        Ok(())
    }

    /// Numbers that the preferred branch does not have.
    fn waiting(&self) -> BTreeSet<u64> {
        let mut waiting = self.pool.clone();
        let mut next = self.preferred;
        while let Some(block) = self.processing.get(&next) {
            waiting.remove(&number(block));
            next = block.parent;
        }
        waiting
    }

    fn signal(&self) {
        self.events.set_pending_txs(!self.waiting().is_empty());
    }
}

impl Vm for Plain {
    fn initialize(&self, init: VmInit) -> Result<(), VmError> {
        let mut inside = self.inside.lock();
        inside.db = Some(match &self.own {
            Some(own) => Arc::new(own.clone()),
            None => init.db,
        });
        inside.clock = Some(init.clock);
        inside.events = init.events;
        let last = inside.db().get(b"last")?;
        if let Some(last) = last {
            let last = Id(last[..].try_into().unwrap());
            inside.last = inside.block(last)?;
        } else {
            let secs = i64::from_be_bytes(init.genesis[..].try_into().unwrap());
            inside.store(&make(Id::EMPTY, 0, secs, 0))?;
        }
        inside.preferred = inside.last().id;
        Ok(())
    }

    fn set_state(&self, _state: State) -> Result<(), VmError> {
        Ok(())
    }

    fn version(&self) -> Result<String, VmError> {
        Ok("plain/1".to_owned())
    }

    fn shutdown(&self) -> Result<(), VmError> {
        Ok(())
    }
}

impl ChainVm for Plain {
    fn parse_block(&self, bytes: Bytes) -> Result<Block, VmError> {
        parse(bytes)
    }

    fn get_block(&self, id: Id) -> Result<Option<Block>, VmError> {
        self.inside.lock().block(id)
    }

    fn block_id_at_height(&self, height: u64) -> Result<Option<Id>, VmError> {
        let id = self.inside.lock().db().get(&height.to_be_bytes())?;
        Ok(id.map(|id| Id(id[..].try_into().unwrap())))
    }

    fn last_accepted(&self) -> Result<Id, VmError> {
        Ok(self.inside.lock().last().id)
    }

    fn build_block(&self, context: Option<BlockContext>) -> Result<Block, VmError> {
        self.log.contexts.lock().push(context.map(|context| context.p_chain_height));
        let inside = self.inside.lock();
        let number = *inside.waiting().first().ok_or(VmError::NothingToBuild)?;
        let preferred = inside.processing.get(&inside.preferred);
        let parent = preferred.unwrap_or_else(|| inside.last());
        let now = inside.clock.as_ref().unwrap().wall().max(parent.timestamp);
        Ok(make(parent.id, parent.height + 1, now.unix_secs(), number))
    }

    fn verify(&self, block: &Block, context: Option<BlockContext>) -> Result<(), VmError> {
        let context = context.map(|context| context.p_chain_height);
        self.log.verified.lock().push((block.id, context));
        let mut inside = self.inside.lock();
        let parent = inside.block(block.parent)?.ok_or(VmError::invalid("no parent"))?;
        if parent.height + 1 != block.height || number(block) >= INVALID {
            return Err(VmError::invalid("refused"));
        }
        inside.processing.insert(block.id, block.clone());
        self.log.undecided.lock().insert(block.id);
        Ok(())
    }

    fn verifies_with_context(&self, block: &Block) -> Result<bool, VmError> {
        Ok(number(block) & CONTEXT != 0)
    }

    fn accept(&self, id: Id) -> Result<(), VmError> {
        assert!(self.log.undecided.lock().remove(&id), "one verdict for what was verified");
        let mut inside = self.inside.lock();
        let block = inside.processing.get(&id).cloned().ok_or(VmError::NotFound)?;
        assert_eq!(block.parent, inside.last().id, "accepted in order");
        inside.store(&block)?;
        inside.processing.remove(&id);
        inside.pool.remove(&number(&block));
        inside.signal();
        Ok(())
    }

    fn reject(&self, id: Id) -> Result<(), VmError> {
        assert!(self.log.undecided.lock().remove(&id), "one verdict for what was verified");
        let mut inside = self.inside.lock();
        inside.processing.remove(&id).ok_or(VmError::NotFound)?;
        inside.signal();
        Ok(())
    }

    fn set_preference(&self, id: Id) -> Result<(), VmError> {
        let mut inside = self.inside.lock();
        inside.block(id)?.ok_or(VmError::NotFound)?;
        inside.preferred = id;
        inside.signal();
        Ok(())
    }

    fn set_preference_with_context(&self, id: Id, context: BlockContext) -> Result<(), VmError> {
        self.log.contexts.lock().push(Some(context.p_chain_height));
        self.set_preference(id)
    }

    fn options(&self, block: &Block) -> Result<Option<[Block; 2]>, VmError> {
        if number(block) & ORACLE == 0 {
            return Ok(None);
        }
        let secs = block.timestamp.unix_secs();
        let option = |add| make(block.id, block.height + 1, secs, add);
        Ok(Some([option(1), option(2)]))
    }
}

impl AppRequestHandler for Plain {
    fn app_request(&self, _: NodeId, _: RequestId, _: Instant, _: Bytes) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppResponseHandler for Plain {
    fn app_response(&self, _: NodeId, _: RequestId, _: Bytes) -> Result<(), VmError> {
        Ok(())
    }

    fn app_request_failed(&self, _: NodeId, _: RequestId, _: &AppError) -> Result<(), VmError> {
        Ok(())
    }
}

impl AppGossipHandler for Plain {
    fn app_gossip(&self, _: NodeId, bytes: Bytes) -> Result<(), VmError> {
        let Some(kind) = bytes.strip_prefix(ISSUE) else { return Ok(()) };
        let bits = u64::from_be_bytes(kind.try_into().unwrap());
        let mut inside = self.inside.lock();
        inside.issued += 8;
        let number = inside.issued | bits;
        inside.pool.insert(number);
        inside.signal();
        Ok(())
    }
}

impl Connector for Plain {
    fn connected(&self, _: NodeId, _: &Application) -> Result<(), VmError> {
        Ok(())
    }

    fn disconnected(&self, _: NodeId) -> Result<(), VmError> {
        Ok(())
    }
}

impl HealthChecker for Plain {
    fn health(&self) -> Health {
        Health::default()
    }
}
