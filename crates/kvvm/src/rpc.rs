//! The JSON-RPC service `kv` at `/rpc`. It sees committed state only.

use std::sync::Arc;

use bytes::Bytes;
use sastrugi_types::formatting::Encoding;
use sastrugi_vm::{
    http::{HttpHandler, HttpRequest, HttpResponse},
    json_rpc,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    api::{
        AccountArgs, AccountReply, BlockInfo, BlockJson, BlockReply, GetArgs, GetBlockArgs,
        GetReply, IssueTxArgs, RANGE_BYTES_MAX, RANGE_ENTRIES_MAX, RangeArgs, RangeEntry,
        RangeReply, TxId, TxJson, TxStatus,
    },
    block::Block,
    committed::Summary,
    intake::Intake,
    json::{Decimal, Hex},
    mempool::PoolStatus,
};

/// Serves the methods.
pub(crate) struct Rpc(pub(crate) Arc<Intake>);

impl HttpHandler for Rpc {
    fn serve(&self, request: HttpRequest) -> HttpResponse {
        json_rpc::serve(&request, |method, params| self.call(method, params))
    }
}

/// What the client reads when a method fails.
type Failure = String;

impl Rpc {
    fn call(&self, method: &str, params: Value) -> Result<Value, Failure> {
        match method {
            "kv.get" => with(params, |args| self.get(&args)),
            "kv.range" => with(params, |args| self.range(&args)),
            "kv.issueTx" => with(params, |args| self.issue_tx(&args)),
            "kv.getTxStatus" => with(params, |args| self.tx_status(&args)),
            "kv.getBlock" => with(params, |args| self.block(&args)),
            "kv.lastAccepted" => reply(&BlockInfo::from(&self.0.committed.last().map_err(text)?)),
            "kv.account" => with(params, |args| self.account(&args)),
            "kv.chain" => reply(&self.0.target),
            _ => Err(format!("rpc: can't find method \"{method}\"")),
        }
    }

    fn get(&self, args: &GetArgs) -> Result<GetReply, Failure> {
        let height = args.height.map(|Decimal(height)| height);
        let found =
            self.0.committed.get(args.account, &args.key.0, height, args.proof).map_err(text)?;
        Ok(GetReply {
            block: BlockInfo::from(&found.block),
            value: found.value.map(Hex),
            proof: found.proof,
        })
    }

    fn range(&self, args: &RangeArgs) -> Result<RangeReply, Failure> {
        let limit = args.limit.map_or(RANGE_ENTRIES_MAX, |Decimal(limit)| limit);
        if limit == 0 {
            return Err("limit must be at least 1".to_owned());
        }
        let limit = limit.min(RANGE_ENTRIES_MAX) as usize;
        let page = self
            .0
            .committed
            .range(args.account, &args.start.0, limit, RANGE_BYTES_MAX)
            .map_err(text)?;
        let entry = |(key, value)| RangeEntry { key: Hex(key), value: Hex(value) };
        Ok(RangeReply {
            block: BlockInfo::from(&page.block),
            entries: page.entries.into_iter().map(entry).collect(),
            next: page.next.map(Hex),
        })
    }

    fn issue_tx(&self, args: &IssueTxArgs) -> Result<TxId, Failure> {
        let bytes = args.encoding.decode(&args.tx).map_err(text)?;
        let tx_id = self.0.issue(Bytes::from(bytes)).map_err(text)?;
        Ok(TxId { tx_id })
    }

    /// Looks at what is committed twice: a transaction may leave the mempool for the chain between
    /// the looks.
    fn tx_status(&self, args: &TxId) -> Result<TxStatus, Failure> {
        if let Some(status) = self.accepted(args)? {
            return Ok(status);
        }
        match self.0.mempool.lock().status(args.tx_id) {
            PoolStatus::Processing => return Ok(TxStatus::Processing),
            PoolStatus::Pending => return Ok(TxStatus::Pending),
            PoolStatus::Dropped(reason) => {
                return Ok(TxStatus::Dropped { reason: reason.to_string() });
            }
            PoolStatus::Unknown => {}
        }
        Ok(self.accepted(args)?.unwrap_or(TxStatus::Unknown))
    }

    fn accepted(&self, args: &TxId) -> Result<Option<TxStatus>, Failure> {
        let height = self.0.committed.transaction_height(args.tx_id).map_err(text)?;
        Ok(height.map(|height| TxStatus::Accepted { height: Decimal(height) }))
    }

    fn block(&self, args: &GetBlockArgs) -> Result<BlockReply, Failure> {
        let committed = &self.0.committed;
        let id = match (args.block_id, args.height) {
            (Some(id), None) => id,
            (None, Some(Decimal(height))) => committed.id_at(height).map_err(text)?,
            _ => return Err("name the block by either blockID or height".to_owned()),
        };
        let block = committed.block(id).map_err(text)?.ok_or("no such accepted block")?;
        let encoding = args.encoding;
        if encoding == Encoding::Json {
            return Ok(BlockReply::Json { block: BlockJson::from(&block), encoding });
        }
        let block = encoding.encode(block.bytes()).map_err(text)?;
        Ok(BlockReply::Bytes { block, encoding })
    }

    fn account(&self, args: &AccountArgs) -> Result<AccountReply, Failure> {
        let (nonce, next_nonce) = self.0.nonces(args.account).map_err(text)?;
        Ok(AccountReply { nonce: Decimal(nonce), next_nonce: Decimal(next_nonce) })
    }
}

impl From<&Summary> for BlockInfo {
    fn from(Summary { id, header }: &Summary) -> Self {
        Self {
            block_id: *id,
            height: Decimal(header.height),
            root: header.root,
            timestamp_ms: Decimal(header.timestamp_ms),
        }
    }
}

impl From<&Block> for BlockJson {
    fn from(block: &Block) -> Self {
        Self {
            block: BlockInfo::from(&Summary { id: block.id(), header: *block.header() }),
            parent_id: block.parent(),
            txs: block.transactions().iter().map(TxJson::from).collect(),
        }
    }
}

fn with<A: DeserializeOwned, R: Serialize>(
    params: Value,
    method: impl FnOnce(A) -> Result<R, Failure>,
) -> Result<Value, Failure> {
    let args = serde_json::from_value(params).map_err(|error| {
        format!(
            "couldn't unmarshal an argument. Ensure arguments are valid and properly formatted. \
             See documentation for example calls: {error}"
        )
    })?;
    reply(&method(args)?)
}

fn reply<R: Serialize>(reply: &R) -> Result<Value, Failure> {
    serde_json::to_value(reply).map_err(text)
}

fn text(error: impl std::fmt::Display) -> Failure {
    error.to_string()
}

#[cfg(test)]
mod tests;
