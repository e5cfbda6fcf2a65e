//! The agent's end: registering, saying goodbye, and serving what the edge asks.

use std::{net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use capnp::{Error, capability::Rc as CapRc};
use capnp_rpc::{rpc_twoparty_capnp::Side, twoparty};
use poterne_tunnel_proto::{
    config::ConfigurationAnswer,
    generated::tunnel_capnp::{cloudflared_server, configuration_manager, registration_server, session_manager},
    registration::{ConnectionDetails, RegisterConnection, RegistrationError},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use crate::{BoxFuture, Limits, RpcError, RpcThreads, bounded::Bound, convert, orderly, system};

type Answer<T> = oneshot::Sender<Result<T, RpcError>>;

enum Call {
    Register(Box<RegisterConnection>, Answer<Result<ConnectionDetails, RegistrationError>>),
    UpdateLocalConfiguration(Bytes, Answer<()>),
    Unregister(Answer<()>),
}

/// An agent's side of a control stream. Dropping the last clone ends the stream.
#[derive(Clone, Debug)]
pub struct RegistrationClient {
    calls: mpsc::Sender<Call>,
    closed: CancellationToken,
}

impl RegistrationClient {
    /// Begins the conversation; nothing is sent before the first call.
    pub fn connect<R, W>(threads: &RpcThreads, reader: R, writer: W) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        // Calls are few and in order; the sender waits.
        let (calls, receiver) = mpsc::channel(4);
        let closed = CancellationToken::new();
        let guard = closed.clone().drop_guard();
        threads.spawn(move || async move {
            let _guard = guard;
            converse(reader, writer, receiver).await;
        });
        Self { calls, closed }
    }

    /// Introduces the connection. The outer error is the stream's, the inner one the edge's refusal.
    ///
    /// # Errors
    /// The stream broke, or the edge answered what the protocol does not allow.
    pub async fn register(&self, request: RegisterConnection) -> Result<Result<ConnectionDetails, RegistrationError>, RpcError> {
        self.call(|answer| Call::Register(Box::new(request), answer)).await
    }

    /// Tells the edge the local configuration, as JSON.
    ///
    /// # Errors
    /// The stream broke.
    pub async fn update_local_configuration(&self, config: Bytes) -> Result<(), RpcError> {
        self.call(|answer| Call::UpdateLocalConfiguration(config, answer)).await
    }

    /// Says goodbye, then ends the stream in order.
    ///
    /// # Errors
    /// The edge did not answer within `timeout`.
    pub async fn unregister(&self, timeout: Duration) -> Result<(), RpcError> {
        tokio::time::timeout(timeout, self.call(Call::Unregister)).await.unwrap_or(Err(RpcError::Timeout(timeout)))
    }

    /// Resolves when the stream has ended, whoever ended it.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }

    async fn call<T>(&self, call: impl FnOnce(Answer<T>) -> Call) -> Result<T, RpcError> {
        let ended = || RpcError::Broken("the control stream has ended".into());
        let (answer, received) = oneshot::channel();
        self.calls.send(call(answer)).await.map_err(|_| ended())?;
        received.await.unwrap_or_else(|_| Err(ended()))
    }
}

async fn converse<R, W>(reader: R, writer: W, mut calls: mpsc::Receiver<Call>)
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let input = crate::input(reader, &Bound::new(Limits::default().message_bytes_max));
    let network = Box::new(twoparty::VatNetwork::new(input, crate::output(writer), Side::Client, crate::reader_options()));
    let mut rpc = capnp_rpc::RpcSystem::new(network, None);
    let edge: registration_server::Client = rpc.bootstrap(Side::Server);
    let disconnector = rpc.get_disconnector();
    let mut rpc = tokio::task::spawn_local(rpc);
    let _rpc = crate::threads::AbortOnDrop(rpc.abort_handle());
    loop {
        let call = tokio::select! {
            call = calls.recv() => call,
            _ = &mut rpc => return,
        };
        match call {
            Some(Call::Register(request, answer)) => drop(answer.send(register(&edge, &request).await)),
            Some(Call::UpdateLocalConfiguration(config, answer)) => {
                let mut request = edge.update_local_configuration_request();
                request.get().set_config(&config);
                drop(answer.send(request.send().promise.await.map(drop).map_err(RpcError::call)));
            }
            Some(Call::Unregister(answer)) => {
                let request = edge.unregister_connection_request();
                let outcome = request.send().promise.await.map(drop).map_err(RpcError::call);
                drop(answer.send(outcome));
                break;
            }
            None => break,
        }
    }
    drop(edge);
    // The peer may be gone already: ending in order is a courtesy.
    let _ = disconnector.await;
}

async fn register(
    edge: &registration_server::Client,
    register: &RegisterConnection,
) -> Result<Result<ConnectionDetails, RegistrationError>, RpcError> {
    let mut request = edge.register_connection_request();
    convert::write_register(register, request.get());
    let response = request.send().promise.await.map_err(RpcError::call)?;
    let answer = response.get().and_then(|r| r.get_result()).map_err(RpcError::call)?;
    convert::read_answer(answer).map_err(RpcError::call)
}

/// A UDP session that the edge asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpSession {
    /// Chosen by the edge.
    pub id: [u8; 16],
    /// Where its datagrams go.
    pub destination_ip: IpAddr,
    /// Where its datagrams go.
    pub destination_port: u16,
    /// Close it after this long without traffic; zero: 210 s.
    pub idle: Duration,
    /// For tracing; may be empty.
    pub trace_context: String,
}

/// What an agent does for the edge.
pub trait AgentServer: Send + Sync + 'static {
    /// A new configuration, as JSON.
    fn update_configuration(&self, version: i32, config: Bytes) -> BoxFuture<'static, ConfigurationAnswer>;
    /// A UDP session; the error is a text for the edge.
    fn register_udp_session(&self, session: UdpSession) -> BoxFuture<'static, Result<(), String>>;
    /// The edge closes a session.
    fn unregister_udp_session(&self, session: [u8; 16], message: String) -> BoxFuture<'static, ()>;
}

struct Served(Arc<dyn AgentServer>);

impl configuration_manager::Server for Served {
    async fn update_configuration(
        self: CapRc<Self>,
        params: configuration_manager::UpdateConfigurationParams,
        mut results: configuration_manager::UpdateConfigurationResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let answer = self.0.update_configuration(params.get_version(), Bytes::copy_from_slice(params.get_config()?)).await;
        let mut result = results.get().init_result();
        result.set_latest_applied_version(answer.latest_applied_version);
        result.set_err(answer.error.as_deref().unwrap_or(""));
        Ok(())
    }
}

impl session_manager::Server for Served {
    async fn register_udp_session(
        self: CapRc<Self>,
        params: session_manager::RegisterUdpSessionParams,
        mut results: session_manager::RegisterUdpSessionResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let session = UdpSession {
            id: convert::id(params.get_session_id()?, "the session id")?,
            destination_ip: convert::address(params.get_dst_ip()?)
                .ok_or_else(|| Error::failed("the destination has neither 4 nor 16 bytes".into()))?,
            destination_port: params.get_dst_port(),
            idle: convert::nanoseconds(params.get_close_after_idle_hint()),
            trace_context: params.get_trace_context()?.to_str()?.chars().take(256).collect(),
        };
        let outcome = self.0.register_udp_session(session).await;
        results.get().init_result().set_err(outcome.as_ref().err().map_or("", String::as_str));
        Ok(())
    }

    async fn unregister_udp_session(
        self: CapRc<Self>,
        params: session_manager::UnregisterUdpSessionParams,
        _: session_manager::UnregisterUdpSessionResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let session = convert::id(params.get_session_id()?, "the session id")?;
        let message = params.get_message()?.to_str()?.chars().take(256).collect();
        self.0.unregister_udp_session(session, message).await;
        Ok(())
    }
}

impl cloudflared_server::Server for Served {}

/// Serves a stream that the edge opened, after its signature was consumed; at most for `timeout`.
///
/// # Errors
/// The peer sent a message too large or broken, or the stream broke.
pub async fn serve_agent<R, W>(
    threads: &RpcThreads,
    reader: R,
    writer: W,
    server: Arc<dyn AgentServer>,
    limits: Limits,
    timeout: Duration,
) -> Result<(), RpcError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let call = threads.run(move || async move {
        let bound = Bound::new(limits.message_bytes_max_registered);
        let client: cloudflared_server::Client = capnp_rpc::new_client_from_rc(Rc::new(Served(server)));
        orderly(system(reader, writer, Side::Server, Some(client.client), &bound).await)
    });
    tokio::time::timeout(timeout, call).await.unwrap_or(Err(RpcError::Timeout(timeout)))
}
