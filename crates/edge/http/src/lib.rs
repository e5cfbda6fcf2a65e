//! One request and response vocabulary, whatever framed it.
//!
//! A visitor's HTTP/1.1, 2 or 3 is parsed here and nowhere else; the pipeline and the upstreams see [`Request`], [`Response`]
//! and [`Body`], which say nothing about the codec underneath. No type of that codec crosses this crate's border, so it can be
//! replaced without touching a stage.
//!
//! * [`body`]: bodies that flow, frame by frame, with back-pressure;
//! * [`pieces`]: what of a body waits in memory, counted as what it takes; pure;
//! * [`request`]: what a request carries beside its head: the visitor's connection, and whether it wants a WebSocket;
//! * [`limits`]: every bound, with its default;
//! * [`strict`], [`fields`]: what a head and trailers may say, so that no origin reads a request otherwise than we did; pure;
//! * [`http1`]: our own codec, and the task around it;
//! * `http2`: the `h2` crate, and the task around it;
//! * [`http3`]: our own frames over QUIC's streams, and the task around them; `multiplexed` is what both have in common;
//! * [`serve`]: which of the former two frames an accepted connection, and what answers.
#![forbid(unsafe_code)]

mod alarm;
pub mod body;
mod date;
pub mod drain;
pub mod fields;
pub mod http1;
mod http2;
pub mod http3;
pub mod limits;
mod multiplexed;
pub mod pieces;
pub mod request;
pub mod serve;
pub mod strict;
mod websocket;

pub use body::{Body, BodyError, Frame};
pub use http1::SocketOf;
pub use limits::Limits;
pub use request::{Connection, Kind, Negotiated, Scheme};
pub use serve::{Handler, Protocol, serve_connection};
pub use strict::Refusal;

/// A request whose body flows. Its extensions hold a [`Kind`] where that is not [`Kind::Http`].
pub type Request = http::Request<Body>;

/// A response whose body flows.
pub type Response = http::Response<Body>;
