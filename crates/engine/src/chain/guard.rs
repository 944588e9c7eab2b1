//! Keeps a panic inside the chain it happened in.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::common::Fatal;

/// Calls `work`; a panic is an error. Whoever calls this stops the chain upon an error, so nothing
/// looks at what the panic left half done but the chain's shutdown.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Fatal>) -> Result<T, Fatal> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Fatal::Panic(text(panic.as_ref()))))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    literal
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "of an unknown kind".to_owned())
}
