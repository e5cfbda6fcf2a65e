//! Where a host leads, by the snapshot in force.

use poterne_edge_http::Connection;
use poterne_edge_upstream::TunnelRoute;
use poterne_snapshot::{Lookup, Snapshot, Target};

use crate::errors::Failure;

/// A host that leads through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) tunnel: TunnelRoute,
    /// Whether the tunnel is a quick one, whose pages no search engine should keep.
    pub(crate) quick: bool,
}

/// Asks the snapshot. Copies a few ids; holds nothing of it.
pub(crate) fn route(snapshot: &Snapshot, host: &str, connection: &Connection) -> Result<Route, Failure> {
    let (zone, target) = match snapshot.route(host) {
        Lookup::Route { zone, target } => (zone, target),
        Lookup::ZoneNotServing(_) => return Err(Failure::ZonePending),
        Lookup::NoHost(_) => return Err(Failure::NoHost),
        Lookup::NoZone => return Err(Failure::NoZone),
    };
    // RFC 9110 §7.4 and edge-behaviour §5.9: a connection made for one zone does not carry another's requests.
    if let Some(sni) = connection.sni.as_deref().filter(|sni| *sni != host) {
        let of_sni = match snapshot.route(sni) {
            Lookup::Route { zone, .. } | Lookup::NoHost(zone) => Some(zone.id),
            Lookup::ZoneNotServing(_) | Lookup::NoZone => None,
        };
        if of_sni != Some(zone.id) {
            return Err(Failure::Misdirected);
        }
    }
    let tunnel = match target {
        Target::Tunnel(tunnel) => tunnel,
        Target::UnknownTunnel(tunnel) => return Err(Failure::UnknownTunnel(tunnel)),
        Target::Origin(_) | Target::OriginName(_) => return Err(Failure::DirectOrigin),
        Target::Broken => return Err(Failure::BrokenChain),
    };
    // The tunnel may be gone, or another account's, between two generations; the gateway would say the same.
    let Some(chunk) = snapshot.tunnel(tunnel).filter(|chunk| chunk.account == zone.account) else {
        return Err(Failure::UnknownTunnel(tunnel));
    };
    let tunnel = TunnelRoute { tunnel, zone: Some(zone.id), account: zone.account, connector: None };
    Ok(Route { tunnel, quick: chunk.quick })
}
