//! The only crate that knows the database.
#![forbid(unsafe_code)]
