//! What is committed: all that calls beside the engine may see.
//!
//! The engine may commit a block between two reads. Past states do not change, so whoever reads a
//! state asks at the end whether it is still there ([`View::confirm`]). Only the last state's
//! ordered index changes under the reader, who then starts again.

use std::sync::Arc;

use bytes::Bytes;
use sastrugi_types::Id;
use sastrugi_vm::db::{Database, DbError};

use crate::{
    block::{Block, Header},
    blocks::{self, Last},
    state::{
        Entry, Generation, Proof, StateError, Store, View, index,
        range::{Path, Range},
    },
    sync::RangeRequest,
    transaction::Account,
};

/// So often a reader starts again when the chain outruns it.
const ATTEMPTS_MAX: usize = 16;

/// See the module.
pub(crate) struct Committed(Arc<dyn Database>);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// Genesis is not committed yet.
    #[error("the chain is not ready")]
    NotReady,
    /// No block was accepted at this height.
    #[error("no block was accepted at height {0}")]
    Height(u64),
    /// This node jumped over this height.
    #[error(
        "block {height} is not on this node: state sync took it from height {from} to height {to}"
    )]
    JumpedOver { height: u64, from: u64, to: u64 },
    /// The chain moves faster than one can read.
    #[error("the state changed too often meanwhile, try again")]
    Outrun,
    /// The state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<DbError> for ReadError {
    fn from(error: DbError) -> Self {
        Self::State(error.into())
    }
}

/// Names a block and its state.
pub(crate) struct Summary {
    pub(crate) id: Id,
    pub(crate) header: Header,
}

/// What a key holds in the state after a block.
pub(crate) struct Found {
    pub(crate) block: Summary,
    pub(crate) value: Option<Bytes>,
    pub(crate) proof: Option<Proof>,
}

/// The first entries of a range, in the state after a block.
pub(crate) struct Page {
    pub(crate) block: Summary,
    pub(crate) entries: Vec<(Bytes, Bytes)>,
    /// The key that follows the last entry, if there is one.
    pub(crate) next: Option<Bytes>,
}

impl Committed {
    pub(crate) const fn new(db: Arc<dyn Database>) -> Self {
        Self(db)
    }

    /// The last accepted block.
    pub(crate) fn last(&self) -> Result<Summary, ReadError> {
        self.summary(self.last_accepted()?.id)
    }

    pub(crate) fn block(&self, id: Id) -> Result<Option<Block>, ReadError> {
        Ok(blocks::block(&*self.0, id)?)
    }

    /// The ID of the accepted block at a height.
    pub(crate) fn id_at(&self, height: u64) -> Result<Id, ReadError> {
        if let Some(id) = blocks::id_at(&*self.0, height)? {
            return Ok(id);
        }
        Err(match blocks::jump_over(&*self.0, height)? {
            Some((from, to)) => ReadError::JumpedOver { height, from, to },
            None => ReadError::Height(height),
        })
    }

    pub(crate) fn transaction_height(&self, id: Id) -> Result<Option<u64>, ReadError> {
        Ok(blocks::transaction_height(&*self.0, id)?)
    }

    /// The nonce of the account's next transaction.
    pub(crate) fn nonce(&self, account: Account) -> Result<u64, ReadError> {
        self.at_last(|view| Ok(view.nonce(account)?)).map(|(_, nonce)| nonce)
    }

    /// What a key holds, at a height or in the last state.
    pub(crate) fn get(
        &self,
        account: Account,
        key: &[u8],
        height: Option<u64>,
        with_proof: bool,
    ) -> Result<Found, ReadError> {
        let read = |view: &View<'_>| {
            let value = view.value(account, key)?;
            let proof = with_proof.then(|| view.prove(account, key)).transpose()?;
            Ok((value, proof))
        };
        let (id, (value, proof)) = match height {
            None => self.at_last(read)?,
            Some(height) => {
                let generation = self.last_accepted()?.generation;
                (self.id_at(height)?, self.at(generation, height, read)?)
            }
        };
        Ok(Found { block: self.summary(id)?, value, proof })
    }

    /// The entries of an account from `start` on, at most `entries_max` of them, and no more than
    /// fill `bytes_max`, but at least one.
    pub(crate) fn range(
        &self,
        account: Account,
        start: &[u8],
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        for _ in 0..ATTEMPTS_MAX {
            let last = self.last_accepted()?;
            let store = Store::new(&*self.0, last.generation);
            let mut keys = index::keys(store, account, start, entries_max.saturating_add(1))?;
            let view = View::stored(store, last.height);
            let mut next = (keys.len() > entries_max).then(|| keys.pop()).flatten();
            let mut entries = Vec::with_capacity(keys.len());
            let mut size_bytes = 0;
            for key in keys {
                let value = view.value(account, &key)?.unwrap_or_default();
                size_bytes += key.len() + value.len();
                if size_bytes > bytes_max && !entries.is_empty() {
                    next = Some(key);
                    break;
                }
                entries.push((key, value));
            }
            if self.last_accepted()? == last {
                return Ok(Page { block: self.summary(last.id)?, entries, next });
            }
        }
        Err(ReadError::Outrun)
    }

    /// The proven range of a stored state that somebody asks for, up to the first entry that does
    /// not fit; and the path it goes up to. `None` if the state is not there.
    pub(crate) fn proven_range(
        &self,
        asked: &RangeRequest,
        fits: impl FnMut(&Entry) -> bool,
    ) -> Result<Option<(Range, Path)>, ReadError> {
        let RangeRequest { height, root, first, last, .. } = *asked;
        let store = Store::new(&*self.0, self.last_accepted()?.generation);
        let Some(id) = blocks::id_at(&*self.0, height)? else { return Ok(None) };
        if self.summary(id)?.header.root != root {
            return Ok(None);
        }
        if View::stored(store, height).confirm().is_err() {
            return Ok(None);
        }
        let range = Range::read(store, height, first, last, fits);
        match View::stored(store, height).confirm() {
            Ok(()) => Ok(Some(range?)),
            Err(StateError::Unavailable(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn last_accepted(&self) -> Result<Last, ReadError> {
        blocks::last(&*self.0)?.ok_or(ReadError::NotReady)
    }

    fn summary(&self, id: Id) -> Result<Summary, ReadError> {
        let header = blocks::header(&*self.0, id)?;
        let missing = || StateError::Corrupt(format!("block {id} is missing"));
        Ok(Summary { id, header: header.ok_or_else(missing)? })
    }

    fn at<T>(
        &self,
        generation: Generation,
        height: u64,
        read: impl Fn(&View<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let view = View::stored(Store::new(&*self.0, generation), height);
        let result = read(&view);
        view.confirm()?;
        result
    }

    /// Reads the last state, or the next one if that was forgotten meanwhile.
    fn at_last<T>(
        &self,
        read: impl Fn(&View<'_>) -> Result<T, ReadError>,
    ) -> Result<(Id, T), ReadError> {
        for _ in 0..ATTEMPTS_MAX {
            let Last { id, height, generation } = self.last_accepted()?;
            match self.at(generation, height, &read) {
                Ok(result) => return Ok((id, result)),
                Err(ReadError::State(StateError::Unavailable(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ReadError::Outrun)
    }
}
