//! Why a node or a command could not do what it was asked: one line that says what is wrong,
//! where, and what to do.

use std::{io, path::Path};

/// A node or a command did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A flag, or flags together, make no sense.
    #[error("{0}")]
    Config(String),
    /// A file is missing, unreadable or wrong.
    #[error("{path}: {fault}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        fault: String,
    },
    /// A port cannot be used.
    #[error("{what} {address}: {error}; choose another with --{flag}")]
    Port {
        /// What it was for.
        what: &'static str,
        /// The address.
        address: String,
        /// What the system said.
        error: io::Error,
        /// The flag that changes it.
        flag: &'static str,
    },
    /// A node did not answer or answered with an error.
    #[error("{0}")]
    Api(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl StartError {
    /// A file with a fault.
    pub fn file(path: &Path, fault: impl Into<String>) -> Self {
        Self::File { path: path.display().to_string(), fault: fault.into() }
    }
}

/// Names the file that an I/O error is about.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::file(path, error.to_string())
}
