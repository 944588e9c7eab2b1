//! `process.json`: how to reach a node while it runs. Tools take its presence for "running".
//! Upstream: `config/node/process_context.go`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{StartError, at},
    identity::make_folder,
};

/// The content of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessContext {
    /// The process.
    pub pid: u32,
    /// Where the API is, `http://host:port`.
    pub uri: String,
    /// Where peers are heard, `ip:port`.
    pub staking_address: String,
}

impl ProcessContext {
    /// Reads a file; `None` if there is none, that is, if the node does not run.
    pub fn read(path: &Path) -> Result<Option<Self>, StartError> {
        match fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| StartError::file(path, format!("not a process context: {error}"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(path)(error)),
        }
    }

    /// Whether the process still exists; a zombie does not count.
    pub fn is_alive(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| state != 'Z')
    }
}

/// The file, removed when this is dropped.
#[derive(Debug)]
pub(super) struct ProcessFile(PathBuf);

impl ProcessFile {
    /// Writes the file: first beside its place, so that nobody reads half of it.
    pub(super) fn write(
        path: &Path,
        http: SocketAddr,
        staking: SocketAddr,
    ) -> Result<Self, StartError> {
        let context = ProcessContext {
            pid: std::process::id(),
            uri: format!("http://{http}"),
            staking_address: staking.to_string(),
        };
        let text = serde_json::to_string_pretty(&context)
            .map_err(|error| StartError::Other(error.to_string()))?;
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let beside = path.with_extension("json.new");
        fs::write(&beside, text).map_err(at(&beside))?;
        fs::rename(&beside, path).map_err(at(path))?;
        Ok(Self(path.to_path_buf()))
    }
}

impl Drop for ProcessFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove the process context");
        }
    }
}
