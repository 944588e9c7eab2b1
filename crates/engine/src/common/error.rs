//! What stops a chain.

use sastrugi_vm::{VmError, db::DbError};

/// The reason a chain stops. A peer's fault is never one.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The VM failed in a call that must not fail.
    #[error("VM, {call}: {error}")]
    Vm {
        /// The call.
        call: &'static str,
        /// How it failed.
        error: VmError,
    },
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] DbError),
    /// Something the engine relies on does not hold.
    #[error("{0}")]
    Broken(String),
    /// A handler panicked; the chain is stopped as if it had failed.
    #[error("panic: {0}")]
    Panic(String),
}

impl Fatal {
    /// Names the VM call that failed.
    pub const fn vm(call: &'static str) -> impl FnOnce(VmError) -> Self {
        move |error| Self::Vm { call, error }
    }
}

/// The outcome of a handler: an error stops the chain.
pub type Handled = Result<(), Fatal>;
