//! kvvm: a replicated key-value store, and the example of a VM to read first.
//!
//! Every account, an Ed25519 key, owns a space of keys. A signed [`Transaction`] sets and removes
//! keys of one account in one step. A [`Block`] holds transactions in order and the root of the
//! state they lead to, so that any answer about the state can be proven. There are no fees: who
//! may use a chain is a matter of who can reach its nodes.
//!
//! # A chain in one process
//!
//! The test node of [`sastrugi_vm::testkit`] stands in for the engine: it asks for a block,
//! verifies, accepts and commits.
//!
//! ```
//! use std::sync::Arc;
//!
//! use sastrugi_kvvm::{Genesis, Kvvm, Target, api, client};
//! use sastrugi_vm::testkit::{Setup, TestNode};
//!
//! let genesis = Genesis::default().to_json();
//! let node = TestNode::start(Setup::new(|| Arc::new(Kvvm::new()), genesis))?;
//!
//! // A client asks which chain this is, signs a transaction and issues it.
//! let key = client::Key::from_seed(&[7; 32]);
//! let body = node.post("/rpc", &client::call("kv.chain", &()))?.body;
//! let target: Target = client::answer(&body)?;
//! let transaction = key.sign(target, 0, vec![client::put("colour", "blue")])?;
//! node.post("/rpc", &client::issue_call(&transaction))?;
//!
//! // The VM says that it wants a block; the engine decides it.
//! assert!(node.events.pending_txs());
//! node.build_and_accept()?;
//!
//! // The client reads the value, and need not believe the node beyond the root.
//! let args = api::GetArgs {
//!     account: key.account(),
//!     key: api::Hex("colour".into()),
//!     height: None,
//!     proof: true,
//! };
//! let body = node.post("/rpc", &client::call("kv.get", &args))?.body;
//! let reply: api::GetReply = client::answer(&body)?;
//! assert_eq!(reply.value, Some(api::Hex("blue".into())));
//! assert!(reply.is_proven(key.account(), b"colour"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How to read it
//!
//! | module | story |
//! |---|---|
//! | [`transaction`], [`block`], [`genesis`] | what the bytes mean; `docs/kvvm.md` fixes them |
//! | `chain` | what makes a block valid; verify, accept, reject, build |
//! | `state` | the authenticated tree, its versions, and states that are not stored yet |
//! | `blocks`, `committed` | accepted blocks in the database, and reading beside the engine |
//! | [`Summary`], `sync` | jumping to a recent state, and serving those who do |
//! | `mempool`, `gossip`, `intake` | transactions that wait, and how they get here |
//! | `rpc`, [`api`], [`client`] | what a client says and hears |
//! | [`history`] | a long chain without an engine, for tests |
//! | [`vm`] | the traits of `sastrugi-vm`, each call sent to where it belongs |
//!
//! # What a VM author can take from here
//!
//! * Parsing is pure and strict: one value has one form, and every size has a limit.
//! * A processing block keeps its changes in memory, above its parent's. Only `accept` writes, and
//!   the chain commits what it wrote together with its own records.
//! * What runs beside the engine (messages, HTTP) reads what is committed and shares one lock with
//!   the engine's side: the mempool's.
//! * Nothing a peer or a client sends is an `Err` to the engine, and nothing they send grows
//!   without limit.
//! * Time and randomness come from [`sastrugi_vm::VmInit`] only, so a simulated chain runs the same
//!   way twice.

pub mod api;
pub mod block;
mod blocks;
mod chain;
pub mod client;
mod codec;
mod committed;
pub mod config;
pub mod genesis;
mod gossip;
pub mod history;
mod intake;
mod json;
mod mempool;
mod rpc;
mod state;
mod summary;
mod sync;
pub mod transaction;
pub mod vm;

use sastrugi_types::Id;

pub use self::{
    block::Block,
    chain::AHEAD_MS_MAX,
    codec::DecodeError,
    config::Config,
    genesis::Genesis,
    state::{Proof, ProofLeaf, Root},
    summary::Summary,
    transaction::{Account, Operation, Target, Transaction, TransactionError, UnsignedTransaction},
    vm::Kvvm,
};

/// The name of the VM.
pub const NAME: &str = "kvvm";

/// The ID of the VM: its name, filled up with zero bytes.
pub const VM_ID: Id = {
    let mut bytes = [0; 32];
    let (head, _) = bytes.split_at_mut(NAME.len());
    head.copy_from_slice(NAME.as_bytes());
    Id(bytes)
};
