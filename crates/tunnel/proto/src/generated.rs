//! Generated from `schema/*.capnp` by `cargo xtask schema`, and checked in so that a build needs no schema compiler.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used, clippy::cast_possible_truncation, rust_2018_idioms)]

#[rustfmt::skip]
pub mod stream_capnp;
#[rustfmt::skip]
pub mod tunnel_capnp;
