//! Tasks that converge: store to snapshot, names, certificates.
#![forbid(unsafe_code)]
