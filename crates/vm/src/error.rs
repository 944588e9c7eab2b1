//! How a VM call can fail.

use crate::db::DbError;

/// Why a VM call failed.
///
/// Which of these stop the chain depends on the call, not on the variant: see the methods of
/// [`crate::Vm`] and [`crate::ChainVm`].
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// There is no such thing. Most look-ups say this with `None` instead.
    #[error("not found")]
    NotFound,
    /// The VM lacks this optional ability.
    #[error("not implemented by this VM")]
    NotImplemented,
    /// The VM was shut down, or is gone.
    #[error("the VM is shut down")]
    Closed,
    /// The input is not what it should be: bytes that do not parse, a block that does not verify.
    #[error("invalid: {0}")]
    Invalid(String),
    /// There is nothing to build.
    #[error("nothing to build")]
    NothingToBuild,
    /// The database failed.
    #[error("database: {0}")]
    Database(#[from] DbError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl VmError {
    /// A block, transaction or argument that is refused, with the reason.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}
