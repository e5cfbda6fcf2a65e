//! The name server against the text: a file for each RFC, a test for each thing that it obliges to, asked over sockets as anybody would,
//! so that another server could sit in its place. Answers are read, and signatures checked, by the `domain` crate.
//!
//! * `net`: the server under test, on UDP, TCP, TLS and HTTPS; `zones`: what it serves; `ask`: questions and answers; `dnssec`: a
//!   validator in its plainest form;
//! * `rfc…`: named by the document, in its order;
//! * `hostile`: what nobody should send.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod ask;
mod dnssec;
mod hostile;
mod https;
mod net;
mod rfc1034;
mod rfc1035;
mod rfc2181;
mod rfc2308;
mod rfc3597;
mod rfc4035;
mod rfc4592;
mod rfc5001;
mod rfc6891;
mod rfc7766;
mod rfc7830;
mod rfc7858;
mod rfc7873;
mod rfc8482;
mod rfc8484;
mod rfc8906;
mod rfc8914;
mod rfc9103;
mod rfc9460;
mod rfc9619;
mod rfc9824;
mod zones;
