//! The HTTP API: `/ext/info`, `/ext/health`, `/ext/metrics` and `/ext/bc/<chain>…`.
//!
//! Bodies and headers are limited, and names of hosts are checked, so that a page in a browser
//! cannot reach a node by a name of its own. Work happens on threads that may block, because it
//! may wait for a chain. Upstream: `api/server/server.go`.

mod blocks;
pub(crate) mod health;
mod info;
mod tx_fee;

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header},
};
use sastrugi_vm::{
    State as ChainState,
    http::{HttpRequest, HttpResponse},
    json_rpc,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::node::Shared;

/// Largest body that is read, in bytes.
const BODY_BYTES_MAX: usize = 4 << 20;
/// All header names and values of a request, in bytes. The server itself takes at most 100 headers.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// What browsers may send, as upstream allows it.
const CORS_METHODS: [axum::http::Method; 3] =
    [axum::http::Method::GET, axum::http::Method::POST, axum::http::Method::HEAD];

/// Settings of the server.
#[derive(Clone, Debug)]
pub(crate) struct ApiConfig {
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) read_timeout: Duration,
    pub(crate) info: bool,
    pub(crate) health: bool,
    pub(crate) metrics: bool,
}

struct Api {
    config: ApiConfig,
    node: Arc<Shared>,
    node_id: HeaderValue,
}

/// Serves until `stop` is done, then finishes the calls that are running.
pub(crate) async fn serve(
    listener: TcpListener,
    config: ApiConfig,
    node: Arc<Shared>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let node_id = HeaderValue::from_str(&node.node_id().to_string())
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let cors = cors(&config.allowed_origins);
    let api = Arc::new(Api { config, node, node_id });
    let app = Router::new().fallback(answer).layer(cors).with_state(api);
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop).await
}

fn cors(origins: &[String]) -> CorsLayer {
    let layer = CorsLayer::new().allow_methods(CORS_METHODS).allow_headers([
        header::ORIGIN,
        header::ACCEPT,
        header::CONTENT_TYPE,
        HeaderName::from_static("x-requested-with"),
    ]);
    if origins.iter().any(|origin| origin == "*") {
        return layer.allow_origin(AllowOrigin::any());
    }
    let allowed: Vec<String> = origins.to_vec();
    layer.allow_credentials(true).allow_origin(AllowOrigin::predicate(move |origin, _| {
        let origin = origin.to_str().unwrap_or_default();
        allowed.iter().any(|pattern| matches_pattern(pattern, origin))
    }))
}

/// Whether the text is the pattern, in which one `*` stands for anything.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(text),
        Some((head, tail)) => {
            text.len() >= head.len() + tail.len() && text.starts_with(head) && text.ends_with(tail)
        }
    }
}

/// Answers one request.
async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response<Body> {
    let node_id = api.node_id.clone();
    let answered = match admit(&api, request).await {
        Ok(request) => {
            let worked = tokio::task::spawn_blocking(move || route(&api, request)).await;
            worked.unwrap_or_else(|_| plain(500, "the call failed; see the log of the node"))
        }
        Err(refusal) => refusal,
    };
    let mut response = respond(answered);
    response.headers_mut().insert("node-id", node_id);
    response
}

/// Checks the host and reads the body.
async fn admit(api: &Api, request: Request) -> Result<HttpRequest, HttpResponse> {
    let (head, body) = request.into_parts();
    let sizes = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if sizes.sum::<usize>() > HEADER_BYTES_MAX {
        return Err(plain(431, "the headers are too large"));
    }
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if !is_host_allowed(host.unwrap_or_default(), &api.config.allowed_hosts) {
        return Err(plain(403, "invalid host specified"));
    }
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(plain(413, "the body is too large"));
    }
    let read = tokio::time::timeout(api.config.read_timeout, to_bytes(body, BODY_BYTES_MAX)).await;
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(plain(413, "the body is too large")),
        Err(_) => return Err(plain(408, "the body took too long")),
    };
    Ok(HttpRequest {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers(&head.headers),
        body,
    })
}

fn headers(from: &HeaderMap) -> BTreeMap<String, String> {
    let readable = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    from.iter().filter_map(readable).collect()
}

/// An empty host, an IP address and a listed name may ask; ports do not matter.
fn is_host_allowed(host: &str, allowed: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.is_empty()
        || bare.parse::<std::net::IpAddr>().is_ok()
        || allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(name))
}

/// Finds who answers.
fn route(api: &Api, request: HttpRequest) -> HttpResponse {
    let path = request.path.clone();
    let config = &api.config;
    match path.as_str() {
        "/ext/info" if config.info => {
            json_rpc::serve(&request, |method, params| info::call(&api.node, method, params))
        }
        "/ext/metrics" if config.metrics => metrics(&api.node),
        _ => match path.strip_prefix("/ext/health") {
            Some(rest) if config.health => health::serve(&api.node, rest, &request),
            _ => match path.strip_prefix("/ext/bc/") {
                Some(rest) => chain(&api.node, rest, request),
                None => not_found(),
            },
        },
    }
}

/// A chain's own handler; only once the chain is in normal operation.
fn chain(node: &Shared, rest: &str, mut request: HttpRequest) -> HttpResponse {
    let (name, extension) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let Some(chain) = node.chain(name) else { return not_found() };
    if let Some(answer) = blocks::serve(chain, extension, &request) {
        return answer;
    }
    let longest = |path: &&String| path.len();
    let matching = chain.handlers.keys().filter(|path| extension.starts_with(path.as_str()));
    let Some(path) = matching.max_by_key(longest) else { return not_found() };
    if chain.view.last().state != ChainState::NormalOp
        && chain.view.look().state != ChainState::NormalOp
    {
        return plain(503, "API call rejected because chain is not done bootstrapping");
    }
    extension[path.len()..].trim_start_matches('/').clone_into(&mut request.path);
    match chain.handlers.get(path) {
        Some(handler) => handler.serve(request),
        None => not_found(),
    }
}

fn metrics(node: &Shared) -> HttpResponse {
    HttpResponse {
        status: 200,
        content_type: "text/plain; version=0.0.4; charset=utf-8".into(),
        body: Bytes::from(crate::metrics::render(node)),
    }
}

fn not_found() -> HttpResponse {
    plain(404, "404 page not found")
}

/// An answer in plain text.
pub(crate) fn plain(status: u16, text: &str) -> HttpResponse {
    HttpResponse {
        status,
        content_type: "text/plain; charset=utf-8".into(),
        body: Bytes::from(format!("{text}\n")),
    }
}

/// An answer in JSON.
pub(crate) fn json(status: u16, body: &Value) -> HttpResponse {
    HttpResponse {
        status,
        content_type: "application/json; charset=utf-8".into(),
        body: Bytes::from(body.to_string()),
    }
}

/// The arguments of a method; what is missing has its zero value.
fn arguments<T: DeserializeOwned>(params: Value) -> Result<T, String> {
    serde_json::from_value(params).map_err(|error| {
        format!(
            "couldn't unmarshal an argument. Ensure arguments are valid and properly formatted. \
             See documentation for example calls: {error}"
        )
    })
}

fn respond(answer: HttpResponse) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_str(&answer.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_and_listed_names() {
        let allowed = vec!["localhost".to_owned()];
        for host in ["", "127.0.0.1:9650", "[::1]:9650", "LocalHost:1", "localhost", "10.0.0.1"] {
            assert!(is_host_allowed(host, &allowed), "{host}");
        }
        for host in ["evil.example", "evil.example:9650", "127.0.0.1.evil.example"] {
            assert!(!is_host_allowed(host, &allowed), "{host}");
            assert!(is_host_allowed(host, &["*".to_owned()]), "{host}");
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches_pattern("https://*.example.org", "https://a.example.org"));
        assert!(!matches_pattern("https://*.example.org", "https://example.net"));
        assert!(!matches_pattern("ab*ba", "aba"));
    }
}
