//! The tunnel's Cap'n Proto RPC on pinned threads, for both ends.
//!
//! What is *decided* (who may register, which configuration is newer) stays with the callers; this crate carries questions and
//! answers. Every conversation reads through [`bounded`], so that a peer cannot make us allocate more than it may say.
//!
//! * [`edge`]: serving registrations and session ends, pushing configurations;
//! * [`agent`]: registering, saying goodbye, serving what the edge asks.
#![forbid(unsafe_code)]

pub mod agent;
pub mod bounded;
mod convert;
pub mod edge;
mod threads;

use std::time::Duration;

use capnp_rpc::{RpcSystem, rpc_twoparty_capnp::Side, twoparty};
pub use futures_util::future::BoxFuture;
pub use poterne_tunnel_proto::config::ConfigurationAnswer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};

use crate::bounded::{Bound, BoundedReader};
pub use crate::{
    agent::{AgentServer, RegistrationClient, UdpSession, serve_agent},
    edge::{RegistrationServer, SessionServer, serve_registration, serve_sessions, update_configuration},
    threads::RpcThreads,
};

/// How much a peer may say in one message.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Before the peer has registered, in bytes. Default 64 KiB: a registration takes about 600.
    pub message_bytes_max: usize,
    /// After it has, in bytes. Default 1 MiB: a local configuration of thousands of rules.
    pub message_bytes_max_registered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 64 * 1024, message_bytes_max_registered: 1024 * 1024 }
    }
}

/// Why a conversation ended badly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// The stream broke, or the peer sent what the protocol does not allow. Culprit: the peer or the network.
    #[error("the RPC stream broke: {0}")]
    Broken(String),
    /// The peer answered a call with an error.
    #[error("the peer refused the call: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("the peer did not answer within {0:?}")]
    Timeout(Duration),
    /// A fault of ours.
    #[error("the RPC task ended unexpectedly: {0}")]
    Panicked(String),
}

impl RpcError {
    fn call(error: capnp::Error) -> Self {
        let text: String = error.to_string().chars().take(500).collect();
        match error.kind {
            capnp::ErrorKind::Disconnected => Self::Broken(text),
            _ => Self::Refused(text),
        }
    }
}

type Input<R> = tokio::io::BufReader<BoundedReader<R>>;

fn input<R: AsyncRead + Unpin>(reader: R, bound: &Bound) -> Compat<Input<R>> {
    // Small: thousands of control streams are idle for days.
    tokio::io::BufReader::with_capacity(1024, BoundedReader::new(reader, bound.clone())).compat()
}

fn output<W: AsyncWrite + Unpin>(writer: W) -> Compat<tokio::io::BufWriter<W>> {
    tokio::io::BufWriter::with_capacity(1024, writer).compat_write()
}

fn reader_options() -> capnp::message::ReaderOptions {
    let mut options = capnp::message::ReaderOptions::new();
    // Twice the largest message, in words: more work than that is an amplification (https://capnproto.org/encoding.html#security-considerations).
    options.traversal_limit_in_words(Some(2 * 1024 * 1024 / 8)).nesting_limit(16);
    options
}

async fn system<R, W>(
    reader: R,
    writer: W,
    side: Side,
    bootstrap: Option<capnp::capability::Client>,
    bound: &Bound,
) -> Result<(), capnp::Error>
where
    R: AsyncRead + Unpin + 'static,
    W: AsyncWrite + Unpin + 'static,
{
    let network = twoparty::VatNetwork::new(input(reader, bound), output(writer), side, reader_options());
    RpcSystem::new(Box::new(network), bootstrap).await
}

/// The stock agent ends its streams with an Abort that says so; a peer that just goes away is no error of the conversation.
fn orderly(outcome: Result<(), capnp::Error>) -> Result<(), RpcError> {
    match outcome {
        Err(error) if !error.to_string().contains("rpc: shutdown") && error.kind != capnp::ErrorKind::Disconnected => {
            Err(RpcError::Broken(error.to_string().chars().take(500).collect()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
