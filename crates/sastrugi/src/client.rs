//! Talks to the API of a node, as the commands `kv` and `network --load` do.

use std::time::Duration;

use sastrugi_kvvm::{
    Account, Target, Transaction,
    api::{AccountArgs, AccountReply, TxId, TxStatus},
    client,
};
use sastrugi_types::Id;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::StartError;

/// A call may take no longer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The status of an answer from a node that does not have the chain.
const NOT_FOUND: u16 = 404;
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// A client of one chain of one node.
#[derive(Clone, Debug)]
pub struct KvClient {
    agent: ureq::Agent,
    url: String,
}

impl KvClient {
    /// Talks to the chain `chain` of the node at `url`, `http://host:port`.
    pub fn new(url: &str, chain: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build();
        let url = format!("{}/ext/bc/{chain}/rpc", url.trim_end_matches('/'));
        Self { agent: config.into(), url }
    }

    /// Makes a call.
    pub fn call<A: Serialize, R: DeserializeOwned>(
        &self,
        method: &str,
        args: &A,
    ) -> Result<R, StartError> {
        self.post(&client::call(method, args))
    }

    /// Issues a transaction and returns its ID.
    pub fn issue(&self, transaction: &Transaction) -> Result<Id, StartError> {
        let TxId { tx_id } = self.post(&client::issue_call(transaction))?;
        Ok(tx_id)
    }

    /// The chain's own name for itself, which transactions must carry.
    pub fn target(&self) -> Result<Target, StartError> {
        self.call("kv.chain", &())
    }

    /// The nonce for the account's next transaction.
    pub fn next_nonce(&self, account: Account) -> Result<u64, StartError> {
        let reply: AccountReply = self.call("kv.account", &AccountArgs { account })?;
        Ok(reply.next())
    }

    /// What became of a transaction.
    pub fn status(&self, tx_id: Id) -> Result<TxStatus, StartError> {
        self.call("kv.getTxStatus", &TxId { tx_id })
    }

    fn post<R: DeserializeOwned>(&self, body: &str) -> Result<R, StartError> {
        let fault = |error: String| StartError::Api(format!("{}: {error}", self.url));
        let mut response = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(body)
            .map_err(|error| fault(format!("no answer ({error}); is the node running?")))?;
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_vec()
            .map_err(|error| fault(error.to_string()))?;
        if status == NOT_FOUND {
            return Err(fault("the node has no such chain; ask for another with --chain".into()));
        }
        if !status.is_success() {
            return Err(fault(String::from_utf8_lossy(&body).trim().to_owned()));
        }
        client::answer(&body).map_err(|error| fault(error.to_string()))
    }
}
