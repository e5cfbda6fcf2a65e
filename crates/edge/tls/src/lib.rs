//! SNI to certificate, ALPN, session tickets.
#![forbid(unsafe_code)]
