//! Requests as map keys.

use std::fmt;

use sastrugi_types::{NodeId, RequestId};

/// A request by whom it went to and its number. Text form: `NodeID-…:17`, the upstream
/// `MarshalText`. Upstream: `snow/engine/common/request.go`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "MarshalText")]
pub struct Request {
    /// Whom it went to.
    #[doc(alias = "NodeID")]
    pub node: NodeId,
    /// Its number.
    #[doc(alias = "RequestID")]
    pub request: RequestId,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node, self.request)
    }
}
