//! Sockets, connection limits, drain.
#![forbid(unsafe_code)]
