//! The tunnel's Cap'n Proto RPC on pinned threads, for both ends.
#![forbid(unsafe_code)]
