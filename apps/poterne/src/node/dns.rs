//! The name server put together: sockets, and what it says of this node.

use std::{io, net::SocketAddr, sync::Arc};

use poterne_dns_answer::{CookieOpener, Service, Signer, SignerLimits};
use poterne_dns_resolver::Resolver;
use poterne_dns_server::{Bound, Doh, Server, Settings, Told, bind as bind_both, rate::Rates, sockets_per_address};
use poterne_edge_http::{Connection, Request};
use poterne_edge_listen::Listener;
use poterne_edge_pipeline::{NodeFuture, NodeService};
use poterne_edge_tls::Certificates;
use poterne_feed::Event;
use poterne_keys::NodeKey;
use poterne_model::Name;
use poterne_snapshot::SnapshotHandle;
use poterne_telemetry::Metrics;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::mpsc;

use super::edge::Edge;
use crate::{addresses, bind::BindError, config::Config, inherited::Inherited};

/// Answers of one kind that a network gets, for each that it gets of the same.
const SAME_OF_A_KIND: u32 = 20;

/// Whose ports they are.
const PLAIN: &str = "dns.listen";

/// Takes the name server's ports, in clear and for TLS.
pub(super) fn bind(config: &Config, sockets: &mut Inherited) -> Result<(Vec<Bound>, Vec<Listener>), BindError> {
    let (plain, tls) = config.dns_listens(addresses::of_this_machine);
    let mut bound = Vec::with_capacity(plain.len());
    for address in plain {
        let taken = bind_at(address, sockets);
        bound.push(taken.map_err(|error| BindError { setting: PLAIN, address, error })?);
    }
    let mut listeners = Vec::with_capacity(tls.len());
    for address in tls {
        let taken = crate::bind::listen("dns.listen_tls", address, sockets)?.into_std().and_then(Listener::from_std);
        listeners.push(taken.map_err(|error| BindError { setting: "dns.listen_tls", address, error })?);
    }
    Ok((bound, listeners))
}

fn bind_at(address: SocketAddr, sockets: &mut Inherited) -> io::Result<Bound> {
    // systemd's are for visitors: a name server needs UDP sockets of its own kind.
    let given = sockets.is_given(PLAIN, address).then(|| sockets.listener(PLAIN, address)).flatten();
    let bound = match given {
        Some(listener) => {
            let listener = Listener::from_std(listener)?;
            let udp = std::iter::from_fn(|| sockets.udp(PLAIN, address).map(|(socket, _)| socket)).collect();
            Bound { address: listener.local_addr(), udp, tcp: Some(listener) }
        }
        None => bind_both(address, sockets_per_address())?,
    };
    for socket in &bound.udp {
        sockets.keep(PLAIN, address, true, socket)?;
    }
    if let Some(listener) = &bound.tcp {
        sockets.keep(PLAIN, address, false, listener)?;
    }
    Ok(bound)
}

/// Puts it together; nothing is answered yet.
pub(super) fn assemble(
    config: &Config,
    names: &[Name],
    snapshot: &SnapshotHandle,
    edge: &Edge,
    key: &NodeKey,
    (resolver, events): (&Resolver, mpsc::Sender<Event>),
    metrics: &Metrics,
) -> Server {
    let own = names.first().map(Name::to_string);
    let secret = key.derive("poterne dns cookie 1");
    let cookie_secrets = secret.expose().first_chunk::<16>().copied().into_iter().collect();
    let signer = Arc::new(Signer::new(key.clone(), SignerLimits::default()));
    let rate = config.dns.responses_per_sec;
    let rates = Rates { same_per_sec: rate, kind_per_sec: rate.saturating_mul(SAME_OF_A_KIND) };
    let settings = Settings {
        service: Service {
            nsid: own.clone().unwrap_or_default().into_bytes(),
            cookie_secrets,
            cookie_opener: Some(Arc::new(CookieOpener::new(key.clone()))),
            signer: Some(signer),
            ..Service::default()
        },
        // With nobody to ask, CNAMEs that lead away are better shown than not found.
        resolver: resolver.has_servers().then(|| resolver.clone()),
        rates: (rate > 0).then_some(rates),
        tls: Some(tls(Arc::clone(&edge.certificates), config.dns.nameservers.first().map(Name::to_string).or(own))),
        told: Arc::new(move |told| {
            // What finds no room is said again: by the primary, or by the next transfer.
            let _ = events.try_send(match told {
                Told::Notified(zone) => Event::ZoneNotified { zone },
                Told::Transferred { zone, serial } => Event::ZoneTransferred { zone, serial },
            });
        }),
        ..Settings::default()
    };
    Server::new(settings, snapshot.clone(), metrics)
}

/// Questions that visitors' listeners receive.
pub(super) struct OverHttps(pub Doh);

impl NodeService for OverHttps {
    fn handle(&self, request: Request, connection: &Arc<Connection>) -> NodeFuture {
        let (doh, connection) = (self.0.clone(), Arc::clone(connection));
        Box::pin(async move { doh.handle(request, &connection).await })
    }
}

/// How DNS over TLS is spoken (RFC 7858): with the visitors' certificates, and with that of the first name server's name, else the node's, for who
/// names nobody: so do resolvers that know a name server by its address, and NSD, which verifies a name that it does not say.
fn tls(certificates: Arc<Certificates>, own: Option<String>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(OrOwn { certificates, own }));
    config.alpn_protocols = vec![b"dot".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct OrOwn {
    certificates: Arc<Certificates>,
    own: Option<String>,
}

impl ResolvesServerCert for OrOwn {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) => self.certificates.find(&name.to_ascii_lowercase()),
            None => self.certificates.find(self.own.as_deref()?),
        }
    }
}
