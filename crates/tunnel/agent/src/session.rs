//! One connection's life: registered, serving, said goodbye, closed.
//!
//! * [`quic`]: the agent is the QUIC client; the edge opens a stream for each request;
//! * [`http2`]: the agent is the HTTP/2 *server* on the connection it dialled.
//!
//! [`streams`] counts what a connection serves at once. Both end in an [`Event`] for the supervisor. On shutdown both unregister, and go on serving until the edge closes the
//! connection or the grace period is over (reference §6.5).

pub(crate) mod http2;
pub(crate) mod quic;
mod streams;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use poterne_model::tunnel::Transport;
use poterne_tunnel_proto::registration::{
    ClientInfo, ConnectionDetails, ConnectionOptions, Edges, RegisterConnection, RegistrationError, features,
};
use poterne_tunnel_rpc::{AgentServer, BoxFuture, ConfigurationAnswer, RegistrationClient, UdpSession};
use tokio::{sync::MutexGuard, time::timeout};

use crate::{
    Shared,
    supervise::{Dial, Event},
    trust::Trust,
};

/// How long the edge may take to end a connection that is renewed: its own limit for what runs is 180 s.
const RENEWAL_MAX: Duration = Duration::from_secs(200);

/// What became of asking to be registered.
enum Registered {
    Yes,
    No(Event),
}

/// Registers connection `dial.index` and does what follows from the answer.
async fn register(
    shared: &Shared,
    client: &RegistrationClient,
    dial: Dial,
    transport: Transport,
    local_ip: Option<IpAddr>,
) -> Registered {
    let identity = &shared.identity;
    let request = RegisterConnection {
        account_tag: identity.account.clone(),
        tunnel_secret: identity.secret.clone(),
        tunnel_id: identity.tunnel,
        index: dial.index,
        options: ConnectionOptions {
            client: ClientInfo {
                client_id: shared.connector,
                features: announced(shared.post_quantum),
                version: shared.version.clone(),
                arch: arch(),
            },
            origin_local_ip: local_ip,
            replace_existing: false,
            compression_quality: 0,
            previous_attempts: dial.attempts,
        },
    };
    let answer = timeout(shared.rpc_timeout, client.register(request)).await;
    match answer {
        Ok(Ok(Ok(details))) => {
            accepted(shared, client, dial, transport, details).await;
            Registered::Yes
        }
        Ok(Ok(Err(refusal))) => {
            shared.metrics.register_fail.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Registered::No(refused(dial.index, &refusal))
        }
        Ok(Err(error)) => {
            shared.metrics.register_fail.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tracing::warn!(connIndex = dial.index, %error, "the edge did not answer the registration");
            Registered::No(Event::Failed)
        }
        Err(_) => {
            shared.metrics.register_fail.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tracing::warn!(connIndex = dial.index, "the edge did not answer the registration within {:?}", shared.rpc_timeout);
            Registered::No(Event::Failed)
        }
    }
}

async fn accepted(shared: &Shared, client: &RegistrationClient, dial: Dial, transport: Transport, details: ConnectionDetails) {
    shared.metrics.register_success.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let protocol = if transport == Transport::Quic { "quic" } else { "http2" };
    tracing::info!(connIndex = dial.index, connection = %details.id, location = details.location, protocol, "Registered tunnel connection");
    let edges = details.edges.as_deref().and_then(Edges::parse);
    shared.edges_that_trace.note(dial.index, edges.as_ref().is_some_and(|edges| edges.traces));
    if let Some(announced) = &details.edges {
        shared.management.learn(edges.and_then(|edges| edges.management).as_ref());
        if shared.edges.learn(announced) {
            learned(shared, announced);
        }
    }
    if dial.index == 0
        && !details.remotely_managed
        && let Err(error) = client.update_local_configuration(shared.local_configuration.clone()).await
    {
        tracing::warn!(%error, "the edge could not be told the local configuration");
    }
}

/// The edge announced its next authorities: trust them beside the present ones, from the next dial on.
fn learned(shared: &Shared, announced: &[u8]) {
    let Trust::Pins(given) = &shared.trust else { return };
    let mut pins = given.clone();
    for pin in Edges::parse(announced).map(|edges| edges.pins()).unwrap_or_default() {
        if !pins.contains(&pin) {
            pins.push(pin);
        }
    }
    if let Err(error) = shared.dialer.retrust(&Trust::Pins(pins)) {
        tracing::warn!(%error, "the authorities announced by the edge cannot be used");
    }
}

/// In plain words, since this line is what an operator with a wrong token will look for.
fn refused(index: u8, refusal: &RegistrationError) -> Event {
    if refusal.is_duplicate() {
        return Event::Elsewhere;
    }
    if refusal.is_unauthorized() {
        tracing::error!(
            connIndex = index,
            cause = refusal.cause,
            "the edge refused this tunnel's token; if it was rotated or the tunnel deleted, fetch a new token. Trying again, slowly"
        );
    } else {
        tracing::error!(connIndex = index, cause = refusal.cause, "the edge refused the registration. Trying again, slowly");
    }
    Event::Refused { retry_after: refusal.retry_after }
}

fn announced(post_quantum: bool) -> Vec<String> {
    let mut all = vec![
        features::ALLOW_REMOTE_CONFIG,
        features::SERIALIZED_HEADERS,
        features::QUIC_EOF,
        features::MANAGEMENT_LOGS,
        features::POTERNE_TRAILERS_1,
        features::POTERNE_EDGES_1,
    ];
    if post_quantum {
        all.push(features::POST_QUANTUM);
    }
    all.into_iter().map(str::to_owned).collect()
}

/// `GOOS_GOARCH`, as the stock agent writes it.
fn arch() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    let os = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    format!("{os}_{arch}")
}

/// Says goodbye; the edge stops sending new requests, lets the running ones finish and then closes.
async fn goodbye(shared: &Shared, client: &RegistrationClient, index: u8) {
    let limit = shared.grace_period.max(Duration::from_secs(1));
    match timeout(limit, client.unregister(limit)).await {
        Ok(Ok(())) => tracing::info!(connIndex = index, "Unregistered tunnel connection"),
        Ok(Err(error)) => tracing::debug!(connIndex = index, %error, "the goodbye was not answered"),
        Err(_) => tracing::debug!(connIndex = index, "the goodbye was not answered within {limit:?}"),
    }
}

/// The turn to say goodbye and be dialled again: one connection has it at a time, and only while all are up. A single connection never
/// has it: nothing would serve meanwhile.
fn renewal(shared: &Shared, index: u8) -> Option<MutexGuard<'_, ()>> {
    let turn = shared.renewing.try_lock().ok()?;
    let wanted = shared.connections_wanted;
    if wanted < 2 || shared.connections.up() < wanted {
        return None;
    }
    tracing::info!(connIndex = index, "Renewing a connection that served many requests at once, to give their memory back");
    Some(turn)
}

/// What the edge may ask of us on a stream of its own.
pub(crate) struct EdgeCalls(pub(crate) Arc<Shared>);

impl AgentServer for EdgeCalls {
    fn update_configuration(&self, version: i32, config: Bytes) -> BoxFuture<'static, ConfigurationAnswer> {
        let shared = self.0.clone();
        Box::pin(async move {
            // Reading authorities from disk may take a while; the RPC threads serve all connections.
            let applying = tokio::task::spawn_blocking(move || shared.rules.apply(version, &config, &shared.metrics)).await;
            applying.unwrap_or_else(|error| ConfigurationAnswer { latest_applied_version: -1, error: Some(error.to_string()) })
        })
    }

    fn register_udp_session(&self, _: UdpSession) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Err("this agent does not carry UDP: it did not announce a datagram version".to_owned())))
    }

    fn unregister_udp_session(&self, _: [u8; 16], _: String) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
