//! A Snow consensus node, local networks, and the crates they are made of.
//!
//! | To | look at |
//! |---|---|
//! | run a node inside a program | [`node`] |
//! | read or write a network description | [`description`] |
//! | write a virtual machine | [`vm`], and [`kvvm`] as the example |
//! | find a name of upstream's `snow/engine/common` | [`engine::common`] |
//! | study consensus itself | [`consensus`] |

mod api;
pub mod client;
pub mod config;
pub mod database;
pub mod description;
pub mod environment;
pub mod error;
pub mod identity;
pub mod kv;
pub mod logging;
pub mod metrics;
pub mod network;
pub mod node;
pub mod signals;
pub mod version;

#[doc(no_inline)]
pub use sastrugi_consensus as consensus;
#[doc(no_inline)]
pub use sastrugi_engine as engine;
#[doc(no_inline)]
pub use sastrugi_kvvm as kvvm;
#[doc(no_inline)]
pub use sastrugi_types as types;
#[doc(no_inline)]
pub use sastrugi_vm as vm;
