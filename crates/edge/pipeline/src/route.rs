//! Where a host leads, by the snapshot in force.

use std::{sync::Arc, time::Duration};

use poterne_edge_http::{Connection, Scheme};
use poterne_edge_upstream::{OriginRoute, Place, Shown, TunnelRoute, leg};
use poterne_model::{
    AccountId, Name, TunnelId, ZoneId,
    setting::{EdgeSettings, SslMode},
};
use poterne_rules::Programs;
use poterne_snapshot::{Lookup, RulesInForce, Snapshot, Target, ZoneHead};

use crate::{
    errors::Failure,
    name::Host,
    secure::{self, Elsewhere},
    visitor_certificate::{self, Standing},
};

/// What becomes of a request for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Routed {
    /// It goes on.
    To(Route),
    /// The visitor is sent elsewhere first.
    Elsewhere(Elsewhere),
}

/// Where a host leads, and what every line about it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) way: Way,
    pub(crate) of: Of,
    /// What its zone says of visitors; the default where it is no zone's.
    pub(crate) edge: EdgeSettings,
    /// The zone's mode, which its rules may change for a request.
    pub(crate) mode: SslMode,
    /// What rules make of requests, where there are any.
    pub(crate) rules: Option<Rules>,
    /// The certificate that the visitor showed, where it showed one.
    pub(crate) shown: Option<Box<Standing>>,
}

/// The rules that a request meets: its account's, and its zone's; one of them at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The zone's name.
    pub(crate) apex: Name,
    account: Option<Arc<RulesInForce>>,
    zone: Option<Arc<RulesInForce>>,
}

impl Rules {
    fn of(apex: &Name, account: Option<&Arc<RulesInForce>>, zone: Option<&Arc<RulesInForce>>) -> Option<Self> {
        (account.is_some() || zone.is_some()).then(|| Self { apex: apex.clone(), account: account.cloned(), zone: zone.cloned() })
    }

    /// What is asked.
    pub(crate) fn programs(&self) -> Programs<'_> {
        let [account, zone] = [&self.account, &self.zone].map(|rules| rules.as_deref().map(RulesInForce::program));
        Programs { account, zone }
    }
}

/// How.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through a tunnel.
    Tunnel(TunnelRoute),
    /// Straight to an origin.
    Origin(Box<OriginRoute>),
}

/// Whose it is, for logs, and what its answers bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Of {
    pub(crate) zone: Option<ZoneId>,
    pub(crate) account: AccountId,
    pub(crate) tunnel: Option<TunnelId>,
    /// Whether the tunnel is a quick one, whose pages no search engine should keep.
    pub(crate) quick: bool,
}

impl Route {
    /// Through a tunnel.
    pub(crate) fn through(tunnel: TunnelRoute, quick: bool, edge: EdgeSettings) -> Self {
        let TunnelRoute { tunnel: id, zone, account, .. } = tunnel;
        let of = Of { zone, account, tunnel: Some(id), quick };
        Self { way: Way::Tunnel(tunnel), of, edge, mode: SslMode::Full, rules: None, shown: None }
    }

    /// Has the origin spoken to in another mode than the zone's.
    pub(crate) fn speak(&mut self, mode: SslMode, host: &Host, connection: &Connection) {
        self.mode = mode;
        if let Way::Origin(origin) = &mut self.way {
            origin.leg = leg(mode, connection.scheme, host.reached_port(connection));
        }
    }
}

/// Asks the snapshot. Holds nothing of it.
pub(crate) fn route(snapshot: &Snapshot, host: &Host, connection: &Connection, path: &str) -> Result<Routed, Failure> {
    let (zone, target, rules) = match snapshot.route(&host.name) {
        Lookup::Route { zone, target, rules, account_rules } => (zone, target, Rules::of(&zone.apex, account_rules, rules)),
        Lookup::ZoneNotServing(_) => return Err(Failure::ZonePending),
        Lookup::NoHost(_) => return Err(Failure::NoHost),
        Lookup::NoZone => return Err(Failure::NoZone),
    };
    // RFC 9110 §7.4 and edge-behaviour §5.9: a connection made for one zone does not carry another's requests.
    if let Some(sni) = connection.sni.as_deref().filter(|sni| *sni != &*host.name) {
        let of_sni = match snapshot.route(sni) {
            Lookup::Route { zone, .. } | Lookup::NoHost(zone) => Some(zone.id),
            Lookup::ZoneNotServing(_) | Lookup::NoZone => None,
        };
        if of_sni != Some(zone.id) {
            return Err(Failure::Misdirected);
        }
    }
    // Nor does one on which others were asked for a certificate, or nobody was: what it showed was shown to another host (RFC 9110 §7.4).
    if connection.scheme == Scheme::Https && visitor_certificate::asked_on(connection) != zone.asked_of(&host.name) {
        return Err(Failure::Misdirected);
    }
    // That a zone is served in clear alone its rules may say otherwise of some requests, and are asked first.
    let elsewhere = secure::elsewhere(zone, connection.scheme, path);
    if let Some(elsewhere) = elsewhere.filter(|to| *to != Elsewhere::InClear || rules.is_none()) {
        return Ok(Routed::Elsewhere(elsewhere));
    }
    let tunnel = match target {
        Target::Tunnel(tunnel) => tunnel,
        Target::UnknownTunnel(tunnel) => return Err(Failure::UnknownTunnel(tunnel)),
        Target::Origin(addresses) => {
            return Ok(Routed::To(straight(zone, rules, host, connection, Place::Addresses(addresses))));
        }
        Target::OriginName(name) => return Ok(Routed::To(straight(zone, rules, host, connection, Place::Name(name)))),
        Target::Broken => return Err(Failure::BrokenChain),
    };
    // The tunnel may be gone, or another account's, between two generations; the gateway would say the same.
    let Some(chunk) = snapshot.tunnel(tunnel).filter(|chunk| chunk.account == zone.account) else {
        return Err(Failure::UnknownTunnel(tunnel));
    };
    let tunnel = TunnelRoute { tunnel, zone: Some(zone.id), account: zone.account, connector: None };
    let shown = Standing::of(zone, connection);
    Ok(Routed::To(Route { mode: zone.origin.ssl, rules, shown, ..Route::through(tunnel, chunk.quick, zone.edge) }))
}

/// By whose certificate the edge says who it is: the host's own, else the zone's (edge-behaviour §7.9).
fn identifies(zone: &ZoneHead, host: &str) -> Option<Shown> {
    let own = zone.client.as_ref().and_then(|client| client.of_host(host)).map(|_| Shown::OfHost(host.into()));
    own.or(zone.origin.identifies.then_some(Shown::OfZone))
}

fn straight(zone: &ZoneHead, rules: Option<Rules>, host: &Host, connection: &Connection, place: Place) -> Route {
    let way = Way::Origin(Box::new(OriginRoute {
        zone: zone.id,
        account: zone.account,
        host: (&*host.name).into(),
        place,
        leg: leg(zone.origin.ssl, connection.scheme, host.reached_port(connection)),
        http2: zone.origin.http2,
        identifies: identifies(zone, &host.name),
        read_timeout: Duration::from_secs(zone.origin.read_timeout_secs.into()),
    }));
    let of = Of { zone: Some(zone.id), account: zone.account, tunnel: None, quick: false };
    Route { way, of, edge: zone.edge, mode: zone.origin.ssl, rules, shown: Standing::of(zone, connection) }
}
