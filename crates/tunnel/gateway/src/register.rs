//! What an agent says on its control stream, and what becomes of its connection.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use poterne_feed::Event;
use poterne_model::ConnectionId;
use poterne_tunnel_proto::registration::{
    ConnectionDetails, Edges, Management, RegisterConnection, RegistrationError, TunnelFacts, decide,
    features::{self, DatagramVersion, datagram_version, has},
};
use poterne_tunnel_rpc::{BoxFuture, RegistrationServer, RpcError};
use tokio_util::sync::CancellationToken;

use crate::{
    Inner,
    connection::{Connection, Introduction, Link},
    newcomers::Ticket,
    watch,
};

/// How long a refused agent may take to read why before its connection is closed. Over HTTP/2 it would wait for ever.
const REFUSAL_READ_TIMEOUT: Duration = Duration::from_secs(1);

/// How long running requests may take after the agent said goodbye; its own grace period is 3 minutes at most.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(180);

/// One connection's way from its handshake to its end.
pub(crate) struct Registration(Arc<State>);

struct State {
    inner: Arc<Inner>,
    link: Link,
    peer: SocketAddr,
    /// Held until it has registered.
    ticket: Mutex<Option<Ticket>>,
    connection: OnceLock<Arc<Connection>>,
    refused: CancellationToken,
    registered: CancellationToken,
    goodbye: CancellationToken,
}

impl Registration {
    pub(crate) fn new(inner: Arc<Inner>, link: Link, peer: SocketAddr, ticket: Ticket) -> Self {
        Self(Arc::new(State {
            inner,
            link,
            peer,
            ticket: Mutex::new(Some(ticket)),
            connection: OnceLock::new(),
            refused: CancellationToken::new(),
            registered: CancellationToken::new(),
            goodbye: CancellationToken::new(),
        }))
    }

    pub(crate) fn server(&self) -> Arc<dyn RegistrationServer> {
        Arc::new(Server(self.0.clone()))
    }

    /// Which datagrams the agent speaks.
    pub(crate) fn datagram_version(&self) -> DatagramVersion {
        self.0.connection.get().map_or(DatagramVersion::V2, |connection| connection.datagrams)
    }

    /// Why we closed the connection, if we did.
    pub(crate) fn closed_for(&self) -> Option<String> {
        self.0.connection.get()?.closed_for.get().cloned()
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        if let Some(connection) = self.0.connection.get()
            && connection.set_silent(silent)
        {
            self.0.inner.registry.arrived(connection);
        }
    }

    /// Drives the control stream; resolves with the reason when the connection should be closed.
    pub(crate) async fn supervise(&self, control: impl Future<Output = Result<(), RpcError>>) -> String {
        let state = &self.0;
        let mut control = std::pin::pin!(control);
        tokio::select! {
            outcome = &mut control => return match outcome {
                Ok(()) => "the agent ended its control stream before it registered".into(),
                Err(error) => error.to_string(),
            },
            () = state.registered.cancelled() => {}
            () = state.refused.cancelled() => {
                // The agent reads its refusal, then leaves by itself or is left.
                let _ = tokio::time::timeout(REFUSAL_READ_TIMEOUT, control).await;
                return "registration refused".into();
            }
            () = tokio::time::sleep(state.inner.settings.handshake_timeout) => return "the agent did not register in time".into(),
        }
        let ended = tokio::select! {
            outcome = &mut control => outcome,
            () = state.goodbye.cancelled() => Ok(()),
        };
        let connection = state.connection.get().expect("registered");
        match ended {
            Err(error) => return error.to_string(),
            // Its stream may end without a goodbye: the transport still serves.
            Ok(()) if !state.goodbye.is_cancelled() => std::future::pending::<()>().await,
            Ok(()) => {}
        }
        let quiet = async {
            // The answer to the goodbye still goes out over the control stream.
            let _ = tokio::time::timeout(REFUSAL_READ_TIMEOUT, control).await;
            connection.quiet().await;
        };
        if tokio::time::timeout(DRAIN_TIMEOUT, quiet).await.is_err() {
            tracing::warn!(tunnel = %connection.tunnel, connection = %connection.id, "requests still run 180 s after the agent's goodbye: cut");
        }
        "drained".into()
    }

    /// The transport is gone.
    pub(crate) async fn ended(&self, reason: &str) {
        drop(self.0.ticket().take());
        let Some(connection) = self.0.connection.get() else {
            tracing::debug!(peer = %self.0.peer, reason, "a connection ended that never registered");
            return;
        };
        connection.start_draining();
        if self.0.inner.registry.release(connection) {
            self.0.inner.counters.connections.dec();
        }
        tracing::info!(tunnel = %connection.tunnel, connector = %connection.connector, connection = %connection.id, index = connection.index, reason, "an agent's connection ended");
        let event = Event::ConnectionClosed {
            tunnel: connection.tunnel,
            connector: connection.connector,
            connection: connection.id,
            at: crate::unix_now(),
            reason: reason.to_owned(),
        };
        // Control may have gone first at shutdown.
        let _ = self.0.inner.events.send(event).await;
    }
}

struct Server(Arc<State>);

impl RegistrationServer for Server {
    fn register_connection(
        &self,
        request: RegisterConnection,
    ) -> BoxFuture<'static, Result<ConnectionDetails, RegistrationError>> {
        let state = self.0.clone();
        Box::pin(async move {
            let tunnel = request.tunnel_id;
            let answer = state.register(request).await;
            if let Err(refusal) = &answer {
                state.inner.counters.refusals.inc();
                if let Some(ticket) = &*state.ticket() {
                    ticket.refused();
                }
                tracing::warn!(peer = %state.peer, %tunnel, cause = %refusal, "an agent's registration was refused");
                state.refused.cancel();
            }
            answer
        })
    }

    fn unregister_connection(&self) -> BoxFuture<'static, ()> {
        if let Some(connection) = self.0.connection.get() {
            connection.start_draining();
            tracing::info!(tunnel = %connection.tunnel, connection = %connection.id, "an agent said goodbye: no new requests");
        }
        self.0.goodbye.cancel();
        Box::pin(async {})
    }

    fn update_local_configuration(&self, config: Bytes) -> BoxFuture<'static, ()> {
        let state = self.0.clone();
        Box::pin(async move {
            if let Some(connection) = state.connection.get() {
                let event = Event::LocalConfiguration { tunnel: connection.tunnel, connector: connection.connector, config };
                // Control may be gone at shutdown.
                let _ = state.inner.events.send(event).await;
            }
        })
    }
}

impl State {
    fn ticket(&self) -> std::sync::MutexGuard<'_, Option<Ticket>> {
        // Nothing panics while it is held.
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn register(&self, request: RegisterConnection) -> Result<ConnectionDetails, RegistrationError> {
        if self.connection.get().is_some() {
            return Err(RegistrationError::refused("this connection is registered already"));
        }
        let (tunnel, edges) = {
            let snapshot = self.inner.snapshot.load();
            let node = snapshot.node();
            let hostnames = node.management_names.iter().map(ToString::to_string).collect();
            let management = Management::new(hostnames, &node.management_keys);
            let edges = Edges::new(node.edges.clone(), &node.tunnel_pins).with_management(management);
            let edges = Edges { traces: self.inner.settings.traces, ..edges };
            (snapshot.tunnel(request.tunnel_id).cloned(), edges)
        };
        let account = tunnel.as_ref().map(|tunnel| tunnel.account.to_string());
        let facts = tunnel.as_ref().zip(account.as_deref()).map(|(tunnel, account_tag)| TunnelFacts {
            account_tag,
            secret_matches: poterne_keys::digest_matches(&tunnel.secret_digests, request.tunnel_secret.expose()),
        });
        decide(&request, facts)?;
        let tunnel = tunnel.ok_or_else(RegistrationError::unauthorized)?;

        let client = request.options.client;
        let id = ConnectionId::from_random_bytes(poterne_keys::random_bytes());
        let wants_edges = has(&client.features, features::POTERNE_EDGES_1);
        let connection = Arc::new(Connection::new(
            Introduction {
                id,
                tunnel: request.tunnel_id,
                connector: client.client_id,
                index: request.index,
                trailers: has(&client.features, features::POTERNE_TRAILERS_1),
                remotely_managed: tunnel.remote.is_some(),
                datagrams: datagram_version(&client.features),
                version: client.version,
                arch: client.arch,
                features: client.features,
                peer: self.peer,
                location: self.inner.settings.location.clone(),
            },
            self.link.clone(),
        ));
        let superseded = self
            .inner
            .registry
            .admit(connection.clone(), self.inner.settings.connections_per_tunnel_max, tunnel.quick)
            .inspect_err(|_| {
                self.inner.counters.tunnels_full.inc();
            })?;
        if self.connection.set(connection.clone()).is_err() {
            self.inner.registry.release(&connection);
            return Err(RegistrationError::refused("this connection is registered already"));
        }
        self.link.grant(self.inner.settings.connection_window);
        if let Some(old) = superseded {
            old.close("superseded by a newer connection of the same agent");
        } else {
            self.inner.counters.connections.inc();
        }
        self.inner.counters.registrations.inc();
        self.registered.cancel();
        drop(self.ticket().take());
        let info = connection.info();
        tracing::info!(tunnel = %connection.tunnel, connector = %connection.connector, connection = %id, index = connection.index, peer = %self.peer, transport = ?info.transport, version = %connection.version, "an agent registered a connection");
        let event = Event::ConnectionOpened {
            tunnel: connection.tunnel,
            connector: connection.connector,
            version: connection.version.clone(),
            arch: connection.arch.clone(),
            features: connection.features.clone(),
            connection: info,
        };
        // Control may be gone: the edge serves without it.
        let _ = self.inner.events.send(event).await;
        if tunnel.remote.is_some() {
            watch::push(&self.inner, &connection);
        }
        Ok(ConnectionDetails {
            id,
            location: connection.location.clone(),
            remotely_managed: tunnel.remote.is_some(),
            edges: wants_edges.then(|| edges.encode()),
        })
    }
}
