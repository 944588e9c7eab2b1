//! HTTP requests to a VM, independent of any server.

use std::collections::BTreeMap;

use bytes::Bytes;

/// A request for one of the VM's handlers. The server has already limited its size.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path after the handler's own, without a leading slash; mostly empty.
    pub path: String,
    /// The query string without the question mark.
    pub query: String,
    /// Header names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The whole body.
    pub body: Bytes,
}

/// The answer to an [`HttpRequest`].
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub content_type: String,
    /// The whole body.
    pub body: Bytes,
}

/// Serves one path of a VM. Called from several threads at once, beside the engine: it reads
/// committed state only. May block for a while, but not for ever.
pub trait HttpHandler: Send + Sync {
    /// Serves one request.
    fn serve(&self, request: HttpRequest) -> HttpResponse;
}
