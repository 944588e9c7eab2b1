//! What this node says it is.

use sastrugi_types::version;

/// This program's own version.
pub const VERSION: &str = concat!("sastrugi/", env!("CARGO_PKG_VERSION"));
/// The version announced to peers and tools: the AvalancheGo release whose protocol this speaks.
pub const CLIENT_VERSION: &str = "avalanchego/1.14.2";
/// The database format that tools expect to be named.
pub const DATABASE_VERSION: &str = "v1.4.5";
/// The protocol spoken with plugins.
pub const PLUGIN_PROTOCOL: u32 = version::RPC_CHAIN_VM_PROTOCOL;

/// The line that `--version` prints.
pub fn line() -> String {
    format!(
        "{CLIENT_VERSION} [database={DATABASE_VERSION}, rpcchainvm={PLUGIN_PROTOCOL}, {VERSION}]"
    )
}

/// What `--version-json` prints; tools read `rpcchainvm`.
pub fn json() -> serde_json::Value {
    serde_json::json!({
        "application": CLIENT_VERSION,
        "database": DATABASE_VERSION,
        "rpcchainvm": PLUGIN_PROTOCOL,
        "commit": "",
        "sastrugi": VERSION,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sastrugi_types::version::{Application, CLIENT_NAME, CURRENT, DATABASE};

    #[test]
    fn the_texts_agree_with_the_protocol() {
        assert_eq!(CLIENT_VERSION, Application::new(CLIENT_NAME, CURRENT).to_string());
        assert_eq!(DATABASE_VERSION, format!("v{DATABASE}").replace("vv", "v"));
    }
}
