//! How both ends of the tunnel drive their connections.
//!
//! A connection is driven by one task; every stream that writes wakes it. Run at once, as a scheduler does with what was woken last,
//! it would send a packet for each write. Here it takes its turn after the tasks that are ready already: what they write leaves
//! together, in one packet or at least in one system call. An idle process loses nothing but a look at its sockets.
//!
//! * [`turns`]: the waiting itself;
//! * [`runtime`]: the same for all that quinn drives;
//! * [`mtu`]: how large its packets may become;
//! * [`handover`]: how a program that is replaced shares its UDP sockets with the one that replaces it;
//! * [`congestion`]: how a connection over TCP paces itself;
//! * [`soon`](mod@soon): waiting for what a peer has nearly always sent already.
#![forbid(unsafe_code)]

pub mod congestion;
pub mod handover;
pub mod mtu;
pub mod runtime;
pub mod soon;
pub mod turns;

pub use crate::{congestion::ask_for_bbr, mtu::Route, runtime::InTurns, soon::soon, turns::Turns};
