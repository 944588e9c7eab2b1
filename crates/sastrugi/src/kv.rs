//! `sastrugi kv`: reads and writes the key-value store of a network.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::Rng as _;
use sastrugi_kvvm::{
    Account, Operation,
    api::{Decimal, GetArgs, GetReply, Hex, RangeArgs, RangeReply, TxStatus},
    client::{Key, SEED_BYTES, delete, put},
};
use sastrugi_types::Id;
use serde_json::{Value, json};

use crate::{
    client::KvClient,
    config::expand,
    error::{StartError, at},
    identity::write_new,
    network::layout::{CHAIN_NAME, DEFAULT_DIR, NetworkDir},
};

/// The key file that is used, and made, unless another is named.
pub const DEFAULT_KEY_FILE: &str = "~/.sastrugi/kv-key.json";
/// Mode of key files: only their owner reads them.
const KEY_MODE: u32 = 0o600;
/// Largest key file that is read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 4096;
/// Between two looks at a transaction.
const POLL_PERIOD: Duration = Duration::from_millis(10);

/// Where to find the node and the key.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's number in the network.
    pub node: usize,
    /// The node's address, instead of a number.
    pub url: Option<String>,
    /// The network's folder.
    pub data_dir: Option<String>,
    /// The chain's name, ID or alias.
    pub chain: Option<String>,
    /// The key file.
    pub key_file: Option<String>,
    /// Answer in JSON.
    pub json: bool,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Sets a key and waits until that is final.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// How long to wait; zero does not wait.
        wait: Duration,
    },
    /// Removes a key and waits until that is final.
    Delete {
        /// The key.
        key: String,
        /// How long to wait; zero does not wait.
        wait: Duration,
    },
    /// Shows the value of a key.
    Get {
        /// `[ACCOUNT/]KEY`
        key: String,
        /// Asks for a proof and checks it against the root of the block.
        proof: bool,
    },
    /// Lists keys.
    Range {
        /// `[ACCOUNT/]START`
        start: String,
        /// The most entries.
        limit: u64,
    },
    /// Shows what became of a transaction.
    Status {
        /// The transaction.
        tx_id: String,
    },
    /// Shows the own account.
    Account,
}

/// Does it. Returns what to print, and whether it was found.
pub fn run(options: &Options, action: &Action) -> Result<(String, bool), StartError> {
    let session = Session { options, client: connect(options)? };
    match action {
        Action::Put { key, value, wait } => {
            session.change(put(bytes(key), bytes(value)), *wait).map(found)
        }
        Action::Delete { key, wait } => session.change(delete(bytes(key)), *wait).map(found),
        Action::Get { key, proof } => session.get(key, *proof),
        Action::Range { start, limit } => session.range(start, *limit).map(found),
        Action::Status { tx_id } => session.status(tx_id),
        Action::Account => session.account().map(found),
    }
}

fn found(text: String) -> (String, bool) {
    (text, true)
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Finds the node.
fn connect(options: &Options) -> Result<KvClient, StartError> {
    let chain = options.chain.as_deref().unwrap_or(CHAIN_NAME);
    if let Some(url) = &options.url {
        return Ok(KvClient::new(url, chain));
    }
    let place = expand(options.data_dir.as_deref().unwrap_or(DEFAULT_DIR))?;
    let network = NetworkDir::open(&place)?;
    let process = network.process(options.node)?.ok_or_else(|| {
        StartError::Api(format!(
            "node {} of {} does not run; start the network with `sastrugi network`",
            options.node,
            network.path.display()
        ))
    })?;
    Ok(KvClient::new(&process.uri, chain))
}

struct Session<'a> {
    options: &'a Options,
    client: KvClient,
}

impl Session<'_> {
    /// The key; a new one is made only when the node answers.
    fn key(&self) -> Result<Key, StartError> {
        let path = expand(self.options.key_file.as_deref().unwrap_or(DEFAULT_KEY_FILE))?;
        if !path.exists() {
            self.client.target()?;
        }
        load_key(&path)
    }

    fn text(&self, plain: String, json: &Value) -> String {
        if self.options.json { json.to_string() } else { plain }
    }

    fn change(&self, operation: Operation, wait: Duration) -> Result<String, StartError> {
        let key = self.key()?;
        let nonce = self.client.next_nonce(key.account())?;
        let transaction = key
            .sign(self.client.target()?, nonce, vec![operation])
            .map_err(|error| StartError::Config(error.to_string()))?;
        let start = Instant::now();
        let tx_id = self.client.issue(&transaction)?;
        if wait.is_zero() {
            return Ok(self.text(format!("issued {tx_id}"), &json!({ "txID": tx_id })));
        }
        let height = self.wait(tx_id, start, wait)?;
        let millis = start.elapsed().as_secs_f64() * 1e3;
        Ok(self.text(
            format!("final at height {height} after {millis:.0} ms: {tx_id}"),
            &json!({ "txID": tx_id, "height": height, "afterMs": millis }),
        ))
    }

    fn wait(&self, tx_id: Id, start: Instant, wait: Duration) -> Result<u64, StartError> {
        loop {
            match self.client.status(tx_id)? {
                TxStatus::Accepted { height: Decimal(height) } => return Ok(height),
                TxStatus::Dropped { reason } => {
                    return Err(StartError::Api(format!("{tx_id} was dropped: {reason}")));
                }
                _ if start.elapsed() >= wait => {
                    return Err(StartError::Api(format!(
                        "{tx_id} is not final after {wait:?}; `sastrugi kv status {tx_id}` shows \
                         what becomes of it"
                    )));
                }
                _ => std::thread::sleep(POLL_PERIOD),
            }
        }
    }

    /// Splits `[ACCOUNT/]KEY`; without an account it is the own one.
    fn split(&self, text: &str) -> Result<(Account, Bytes), StartError> {
        if let Some((account, key)) = text.split_once('/')
            && let Ok(account) = account.parse()
        {
            return Ok((account, bytes(key)));
        }
        Ok((self.key()?.account(), bytes(text)))
    }

    fn get(&self, text: &str, proof: bool) -> Result<(String, bool), StartError> {
        let (account, key) = self.split(text)?;
        let args = GetArgs { account, key: Hex(key.clone()), height: None, proof };
        let reply: GetReply = self.client.call("kv.get", &args)?;
        if proof && !reply.is_proven(account, &key) {
            return Err(StartError::Api("the node's proof does not prove its answer".into()));
        }
        let is_set = reply.value.is_some();
        let json = json!({ "account": account, "key": text, "proven": proof, "reply": reply });
        let plain = match &reply.value {
            Some(Hex(value)) => show(value),
            None => format!("{text} is not set at height {}", reply.block.height.0),
        };
        Ok((self.text(plain, &json), is_set))
    }

    fn range(&self, text: &str, limit: u64) -> Result<String, StartError> {
        let (account, start) = self.split(text)?;
        let args = RangeArgs { account, start: Hex(start), limit: Some(Decimal(limit)) };
        let reply: RangeReply = self.client.call("kv.range", &args)?;
        let mut lines: Vec<String> = reply
            .entries
            .iter()
            .map(|entry| format!("{}\t{}", show(&entry.key.0), show(&entry.value.0)))
            .collect();
        if let Some(Hex(next)) = &reply.next {
            lines.push(format!("… more from {}", show(next)));
        }
        Ok(self.text(lines.join("\n"), &json!(reply)))
    }

    fn status(&self, tx_id: &str) -> Result<(String, bool), StartError> {
        let tx_id: Id = tx_id
            .parse()
            .map_err(|error| StartError::Config(format!("{tx_id:?} is no transaction: {error}")))?;
        let status = self.client.status(tx_id)?;
        let plain = match &status {
            TxStatus::Pending => "pending".into(),
            TxStatus::Processing => "processing".into(),
            TxStatus::Accepted { height } => format!("accepted at height {}", height.0),
            TxStatus::Dropped { reason } => format!("dropped: {reason}"),
            TxStatus::Unknown => "unknown".into(),
        };
        let is_known = !matches!(status, TxStatus::Unknown);
        Ok((self.text(plain, &json!(status)), is_known))
    }

    fn account(&self) -> Result<String, StartError> {
        let account = self.key()?.account();
        let nonce = self.client.next_nonce(account)?;
        Ok(self.text(
            format!("{account}  next nonce {nonce}"),
            &json!({ "account": account, "nextNonce": nonce.to_string() }),
        ))
    }
}

/// Text as it is, other bytes in hexadecimal.
fn show(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", const_hex::encode(bytes)),
    }
}

/// Reads a key file, or makes one.
fn load_key(path: &Path) -> Result<Key, StartError> {
    match fs::metadata(path) {
        Ok(data) if data.len() > KEY_FILE_BYTES_MAX => {
            Err(StartError::file(path, "is too long to be a key file"))
        }
        Ok(_) => {
            let text = fs::read_to_string(path).map_err(at(path))?;
            Key::from_file(&text).map_err(|error| StartError::file(path, error.to_string()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut seed = [0; SEED_BYTES];
            rand::rng().fill_bytes(&mut seed);
            let key = Key::from_seed(&seed);
            write_new(path, key.to_file().as_bytes(), KEY_MODE)?;
            Ok(key)
        }
        Err(error) => Err(at(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("key.json");
        let made = load_key(&path).unwrap().account();
        assert_eq!(load_key(&path).unwrap().account(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nonsense").unwrap();
        let error = load_key(&path).unwrap_err().to_string();
        assert!(error.contains("key.json"), "{error}");
    }

    #[test]
    fn text_is_shown_as_text_and_the_rest_in_hex() {
        assert_eq!(show(b"hello"), "hello");
        assert_eq!(show(b"a\nb"), "0x610a62");
        assert_eq!(show(&[0xff]), "0xff");
    }
}
