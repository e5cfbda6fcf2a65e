//! The pure part of both ends of the tunnel: no socket, no runtime, no clock.
//!
//! The protocol is the stock agent's, byte for byte; `docs/protocol/tunnel.md` describes it. What Poterne adds is negotiated by
//! feature strings that begin with `poterne_` and used only towards a peer that announced them.
//!
//! * [`stream`]: what opens a data stream, and what answers it (Cap'n Proto messages behind a signature);
//! * [`metadata`]: an HTTP request or response as metadata, and back;
//! * [`h2`]: the same over the HTTP/2 transport: marker fields and serialised headers;
//! * [`framed`]: bodies with trailers over QUIC, our extension `poterne_trailers_1`;
//! * [`registration`]: what is said at registration, what the edge decides, how long an agent waits to try again;
//! * [`config`]: the tunnel's configuration (ingress rules, origin parameters), remote JSON and local YAML, validated and matched;
//! * [`management`]: the service that the agent itself answers: tokens, log messages, sessions;
//! * [`datagram`]: UDP and ICMP framing, versions 2 and 3;
//! * [`socks`]: the negotiation that a `socks-proxy` service answers inside a WebSocket;
//! * [`token`]: tunnel tokens and credentials files;
//! * [`websocket`]: the frames that carry TCP when the service behind a WebSocket is no WebSocket server.
#![forbid(unsafe_code)]

pub mod config;
pub mod datagram;
pub mod framed;
pub mod generated;
pub mod h2;
pub mod management;
pub mod metadata;
pub mod registration;
pub mod socks;
pub mod stream;
pub mod token;
pub mod websocket;
pub mod wire;
