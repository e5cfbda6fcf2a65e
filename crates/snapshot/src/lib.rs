//! What edges and name servers obey: immutable, numbered, complete.
#![forbid(unsafe_code)]
