//! JSON-RPC 2.0 as AvalancheGo speaks it: one call per POST, no batches, and a failed method is
//! answered with status 200. Upstream: `utils/json/codec.go`.

use crate::http::{HttpRequest, HttpResponse};
use bytes::Bytes;
use serde_json::{Value, json};

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const SERVER_ERROR: i32 = -32_000;

/// Unwraps a call, makes it, and wraps the answer. A call without an ID is made, and answered
/// with nothing.
pub fn serve(
    request: &HttpRequest,
    call: impl FnOnce(&str, Value) -> Result<Value, String>,
) -> HttpResponse {
    if request.method != "POST" {
        let text = format!("rpc: POST method required, received {}", request.method);
        return response(405, TEXT, text);
    }
    let content_type = request.headers.get("content-type").map_or("", String::as_str);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return response(415, TEXT, format!("rpc: unrecognized Content-Type: {content_type}"));
    }
    let body: Value = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(error) => return failure(PARSE_ERROR, &error.to_string(), &Value::Null),
    };
    let id = body.get("id").unwrap_or(&Value::Null);
    let (Some("2.0"), Some(method)) = (member(&body, "jsonrpc"), member(&body, "method")) else {
        return failure(INVALID_REQUEST, "rpc: not a JSON-RPC 2.0 request", id);
    };
    let answer = single(body.get("params")).and_then(|params| call(method, params));
    match answer {
        _ if id.is_null() => response(200, JSON, String::new()),
        Ok(result) => {
            let body = json!({ "jsonrpc": "2.0", "result": result, "id": id });
            response(200, JSON, body.to_string())
        }
        Err(message) => failure(SERVER_ERROR, &message, id),
    }
}

/// The one argument: an object, alone or in an array.
fn single(params: Option<&Value>) -> Result<Value, String> {
    match params {
        None | Some(Value::Null) => Ok(json!({})),
        Some(params @ Value::Object(_)) => Ok(params.clone()),
        Some(Value::Array(params)) => match params.as_slice() {
            [params] => Ok(params.clone()),
            _ => Err("rpc: params must be one object".to_owned()),
        },
        Some(_) => Err("rpc: params must be one object".to_owned()),
    }
}

fn member<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn failure(code: i32, message: &str, id: &Value) -> HttpResponse {
    let error = json!({ "code": code, "message": message, "data": null });
    response(200, JSON, json!({ "jsonrpc": "2.0", "error": error, "id": id }).to_string())
}

fn response(status: u16, content_type: &str, body: String) -> HttpResponse {
    HttpResponse { status, content_type: content_type.to_owned(), body: Bytes::from(body) }
}
