//! The built-in virtual machine: a replicated key-value store.
