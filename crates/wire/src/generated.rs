//! Types generated from the `.proto` files of this package by `cargo xtask codegen`.
//!
//! They are the schema in Rust. The codec does not use them, it is tested against them: for speed,
//! and because it must take what these decoders refuse. Decode with them what the codec hands out
//! encoded, the Simplex messages.

#![expect(missing_docs, clippy::doc_markdown, reason = "generated")]

#[rustfmt::skip]
pub mod p2p;
