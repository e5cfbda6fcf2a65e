//! The edge's end: serving registrations and session ends, and pushing configurations.

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use capnp::{Error, capability::Rc as CapRc};
use capnp_rpc::{rpc_twoparty_capnp::Side, twoparty};
use poterne_tunnel_proto::{
    config::ConfigurationAnswer,
    generated::tunnel_capnp::{cloudflared_server, registration_server, session_manager},
    registration::{ConnectionDetails, RegisterConnection, RegistrationError},
    stream::RPC_SIGNATURE,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::{BoxFuture, Limits, RpcError, RpcThreads, bounded::Bound, convert, orderly, system};

/// What an edge does for a connection's control stream.
pub trait RegistrationServer: Send + Sync + 'static {
    /// The agent introduces itself.
    fn register_connection(
        &self,
        request: RegisterConnection,
    ) -> BoxFuture<'static, Result<ConnectionDetails, RegistrationError>>;
    /// The agent says goodbye: no new requests, running ones end, then the edge closes the connection.
    fn unregister_connection(&self) -> BoxFuture<'static, ()>;
    /// A locally managed agent tells its configuration, as JSON.
    fn update_local_configuration(&self, config: Bytes) -> BoxFuture<'static, ()>;
}

struct Registration {
    server: Arc<dyn RegistrationServer>,
    bound: Bound,
    limits: Limits,
}

impl registration_server::Server for Registration {
    async fn register_connection(
        self: CapRc<Self>,
        params: registration_server::RegisterConnectionParams,
        mut results: registration_server::RegisterConnectionResults,
    ) -> Result<(), Error> {
        let request = convert::read_register(params.get()?)?;
        let answer = self.server.register_connection(request).await;
        if answer.is_ok() {
            self.bound.set(self.limits.message_bytes_max_registered);
        }
        convert::write_answer(&answer, results.get().init_result());
        Ok(())
    }

    async fn unregister_connection(
        self: CapRc<Self>,
        _: registration_server::UnregisterConnectionParams,
        mut results: registration_server::UnregisterConnectionResults,
    ) -> Result<(), Error> {
        self.server.unregister_connection().await;
        answer_with_nothing(results.get());
        Ok(())
    }

    async fn update_local_configuration(
        self: CapRc<Self>,
        params: registration_server::UpdateLocalConfigurationParams,
        mut results: registration_server::UpdateLocalConfigurationResults,
    ) -> Result<(), Error> {
        let config = Bytes::copy_from_slice(params.get()?.get_config()?);
        self.server.update_local_configuration(config).await;
        answer_with_nothing(results.get());
        Ok(())
    }
}

/// Results without a field. To have asked for their builder makes the answer an empty struct, which stock agents are known to read;
/// untouched it would be a null pointer.
fn answer_with_nothing<B>(_: B) {}

/// Serves a control stream. Resolves when the stream ends; the peer's orderly `rpc: shutdown` is no error.
///
/// # Errors
/// The peer sent a message too large or broken, or the stream broke.
pub async fn serve_registration<R, W>(
    threads: &RpcThreads,
    reader: R,
    writer: W,
    server: Arc<dyn RegistrationServer>,
    limits: Limits,
) -> Result<(), RpcError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    threads
        .run(move || async move {
            let bound = Bound::new(limits.message_bytes_max);
            let registration = Registration { server, bound: bound.clone(), limits };
            let client: registration_server::Client = capnp_rpc::new_client_from_rc(Rc::new(registration));
            orderly(system(reader, writer, Side::Server, Some(client.client), &bound).await)
        })
        .await
}

/// Tells an agent its configuration, on a stream opened for that. Writes the RPC signature first.
///
/// # Errors
/// The agent did not answer within `timeout`, or not as the protocol says.
pub async fn update_configuration<R, W>(
    threads: &RpcThreads,
    reader: R,
    mut writer: W,
    version: i32,
    config: Bytes,
    timeout: Duration,
) -> Result<ConfigurationAnswer, RpcError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let call = threads.run(move || async move {
        writer.write_all(&RPC_SIGNATURE).await.map_err(|e| RpcError::Broken(e.to_string()))?;
        let network = Box::new(twoparty::VatNetwork::new(
            crate::input(reader, &Bound::new(Limits::default().message_bytes_max)),
            crate::output(writer),
            Side::Client,
            crate::reader_options(),
        ));
        let mut rpc = capnp_rpc::RpcSystem::new(network, None);
        let agent: cloudflared_server::Client = rpc.bootstrap(Side::Server);
        let _rpc = crate::threads::AbortOnDrop(tokio::task::spawn_local(rpc).abort_handle());
        let agent: poterne_tunnel_proto::generated::tunnel_capnp::configuration_manager::Client =
            capnp::capability::FromClientHook::new(agent.client.hook);
        let mut request = agent.update_configuration_request();
        request.get().set_version(version);
        request.get().set_config(&config);
        let response = request.send().promise.await.map_err(RpcError::call)?;
        let result = response.get().and_then(|r| r.get_result()).map_err(RpcError::call)?;
        let error =
            result.get_err().and_then(|e| Ok(e.to_str()?.chars().take(1000).collect::<String>())).map_err(RpcError::call)?;
        let answer = ConfigurationAnswer {
            latest_applied_version: result.get_latest_applied_version(),
            error: (!error.is_empty()).then_some(error),
        };
        Ok(answer)
    });
    tokio::time::timeout(timeout, call).await.unwrap_or(Err(RpcError::Timeout(timeout)))
}

/// What an edge does for streams that an agent opens: UDP sessions that end.
pub trait SessionServer: Send + Sync + 'static {
    /// The agent has closed this session.
    fn unregister_udp_session(&self, session: [u8; 16], message: String) -> BoxFuture<'static, ()>;
}

struct Sessions(Arc<dyn SessionServer>);

impl session_manager::Server for Sessions {
    async fn unregister_udp_session(
        self: CapRc<Self>,
        params: session_manager::UnregisterUdpSessionParams,
        mut results: session_manager::UnregisterUdpSessionResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let session = convert::id(params.get_session_id()?, "the session id")?;
        let message = params.get_message()?.to_str()?.chars().take(256).collect();
        self.0.unregister_udp_session(session, message).await;
        answer_with_nothing(results.get());
        Ok(())
    }
}

/// Serves a stream that the agent opened, after its signature was consumed; at most for `timeout`.
///
/// # Errors
/// As for [`serve_registration`].
pub async fn serve_sessions<R, W>(
    threads: &RpcThreads,
    reader: R,
    writer: W,
    server: Arc<dyn SessionServer>,
    limits: Limits,
    timeout: Duration,
) -> Result<(), RpcError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let call = threads.run(move || async move {
        let bound = Bound::new(limits.message_bytes_max);
        let client: session_manager::Client = capnp_rpc::new_client_from_rc(Rc::new(Sessions(server)));
        orderly(system(reader, writer, Side::Server, Some(client.client), &bound).await)
    });
    tokio::time::timeout(timeout, call).await.unwrap_or(Err(RpcError::Timeout(timeout)))
}
