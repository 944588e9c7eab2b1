//! Messages between VMs of different nodes. Upstream: `snow/engine/common/{engine,sender,error}.go`.

use std::{borrow::Cow, collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use sastrugi_types::{Instant, NodeId, RequestId};

use crate::VmError;

/// A failure of an app request.
///
/// Two of these are equal when their codes are; the text is for people only. Codes above zero
/// belong to VMs, the others to the platform. The code −1 does not prove a timeout: a peer may
/// send any code.
#[derive(Clone, Debug)]
pub struct AppError {
    /// What went wrong.
    #[doc(alias = "Code")]
    pub code: i32,
    /// The same for people.
    #[doc(alias = "Message")]
    pub message: Cow<'static, str>,
}

impl AppError {
    /// The default when a VM fails without a code of its own.
    #[doc(alias = "ErrUndefined")]
    pub const UNDEFINED: Self = Self { code: 0, message: Cow::Borrowed("undefined") };
    /// Given for each app request that ends without an answer: a timeout, a node that is not
    /// connected, a message that could not be encoded.
    #[doc(alias = "ErrTimeout")]
    pub const TIMEOUT: Self = Self { code: -1, message: Cow::Borrowed("timed out") };
}

impl PartialEq for AppError {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

impl Eq for AppError {}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for AppError {}

/// Who gets gossip. The zero value is nobody.
///
/// Named nodes get it if they are connected and allowed. The counts add random connected peers
/// that track the subnet: a peer counts first against `peers`, when that is used up against
/// `validators` or `non_validators`, whichever it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendConfig {
    /// These, if they are connected.
    #[doc(alias = "NodeIDs")]
    pub node_ids: BTreeSet<NodeId>,
    /// So many validators, or all when fewer are connected.
    #[doc(alias = "Validators")]
    pub validators: usize,
    /// So many other peers, or all when fewer are connected.
    #[doc(alias = "NonValidators")]
    pub non_validators: usize,
    /// So many peers of any kind, or all when fewer are connected.
    #[doc(alias = "Peers")]
    pub peers: usize,
}

/// Answers app requests of other nodes.
pub trait AppRequestHandler {
    /// A request came. Any node may send one at any time, and the bytes are untrusted.
    ///
    /// Answer through [`AppSender::send_app_response`] or [`AppSender::send_app_error`] with the
    /// same number, or stay silent: then the peer's own timeout ends the request. An answer after
    /// `deadline` will probably be ignored. An error stops the chain.
    #[doc(alias = "AppRequest")]
    fn app_request(
        &self,
        node: NodeId,
        request: RequestId,
        deadline: Instant,
        bytes: Bytes,
    ) -> Result<(), VmError>;
}

/// Hears the outcome of this node's app requests: exactly one call per request and node.
pub trait AppResponseHandler {
    /// The node answered. The bytes are untrusted. An error stops the chain.
    #[doc(alias = "AppResponse")]
    fn app_response(&self, node: NodeId, request: RequestId, bytes: Bytes) -> Result<(), VmError>;

    /// There will be no answer. An error stops the chain.
    #[doc(alias = "AppRequestFailed")]
    fn app_request_failed(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError>;
}

/// Hears gossip.
pub trait AppGossipHandler {
    /// Gossip came. The bytes are untrusted, and no answer is expected. An error stops the chain.
    #[doc(alias = "AppGossip")]
    fn app_gossip(&self, node: NodeId, bytes: Bytes) -> Result<(), VmError>;
}

/// All messages between VMs. The calls come from a pool of threads, beside the engine and beside
/// each other, in no particular order.
pub trait AppHandler: AppRequestHandler + AppResponseHandler + AppGossipHandler {}

impl<T: AppRequestHandler + AppResponseHandler + AppGossipHandler + ?Sized> AppHandler for T {}

/// Sends messages to VMs of other nodes. May be used from any thread; never blocks.
pub trait AppSender: Send + Sync {
    /// Sends a request to each of these nodes, under a number the VM chose. After `Ok` exactly
    /// one outcome per node reaches [`AppResponseHandler`]; after an error at most one.
    #[doc(alias = "SendAppRequest")]
    fn send_app_request(
        &self,
        nodes: &BTreeSet<NodeId>,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError>;

    /// Answers a request that this node sent under this number.
    #[doc(alias = "SendAppResponse")]
    fn send_app_response(
        &self,
        node: NodeId,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError>;

    /// Answers a request with a failure.
    #[doc(alias = "SendAppError")]
    fn send_app_error(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError>;

    /// Sends gossip. It never reaches this node itself.
    #[doc(alias = "SendAppGossip")]
    fn send_app_gossip(&self, config: &SendConfig, bytes: Bytes) -> Result<(), VmError>;
}

impl<T: AppSender + ?Sized> AppSender for Arc<T> {
    fn send_app_request(
        &self,
        nodes: &BTreeSet<NodeId>,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        (**self).send_app_request(nodes, request, bytes)
    }

    fn send_app_response(
        &self,
        node: NodeId,
        request: RequestId,
        bytes: Bytes,
    ) -> Result<(), VmError> {
        (**self).send_app_response(node, request, bytes)
    }

    fn send_app_error(
        &self,
        node: NodeId,
        request: RequestId,
        error: &AppError,
    ) -> Result<(), VmError> {
        (**self).send_app_error(node, request, error)
    }

    fn send_app_gossip(&self, config: &SendConfig, bytes: Bytes) -> Result<(), VmError> {
        (**self).send_app_gossip(config, bytes)
    }
}
