//! The administrator's door: a socket in the state directory, of mode 0600, over which the program asks the running node.
//!
//! One exchange a connection: a request frame, an answer frame ([`protocol`]). [`server`] bounds what it reads before it stores
//! it; [`client`] tells "no node runs" from "a node runs and does not answer".

pub mod client;
pub mod live;
pub mod protocol;
pub mod server;
