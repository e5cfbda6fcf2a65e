//! Private routes and virtual networks on the wire (api-v4 §6.7). The agent's command line reads them too.

use poterne_model::{
    Network, RouteId, Schema, TunnelId, VirtualNetworkId,
    private_network::{Route, RouteFilter, VirtualNetwork, VirtualNetworkFilter},
};
use serde::{Deserialize, Serialize};

use crate::{
    WireTime,
    query::{Parameter, Query, QueryError},
};

/// A route.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `Route`")]
pub struct RouteObject {
    pub id: RouteId,
    /// Always with its number of bits: clients parse it as such, also of a route that was just deleted.
    #[serde(serialize_with = "cidr")]
    pub network: Network,
    pub tunnel_id: TunnelId,
    /// In lists alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_name: Option<String>,
    /// In lists alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tun_type: Option<String>,
    pub virtual_network_id: VirtualNetworkId,
    /// In lists alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_network_name: Option<String>,
    #[serde(default)]
    pub comment: String,
    pub created_at: WireTime,
    pub deleted_at: Option<WireTime>,
}

fn cidr<S: serde::Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&network.to_cidr())
}

impl From<Route> for RouteObject {
    fn from(route: Route) -> Self {
        Self {
            id: route.id,
            network: route.network,
            tunnel_id: route.tunnel,
            tunnel_name: None,
            tun_type: None,
            virtual_network_id: route.virtual_network,
            virtual_network_name: None,
            comment: route.comment,
            created_at: route.created_at.into(),
            deleted_at: route.deleted_at.map(WireTime),
        }
    }
}

impl RouteObject {
    /// As a list holds it.
    #[must_use]
    pub fn with_names(self, tunnel: String, virtual_network: String) -> Self {
        let tun_type = Some("cfd_tunnel".to_owned());
        Self { tunnel_name: Some(tunnel), tun_type, virtual_network_name: Some(virtual_network), ..self }
    }
}

/// What [`read_route_filter`] reads.
pub fn route_parameters() -> [Parameter; 9] {
    let network = |name: &str, about: &str| Parameter::new(name, Schema::network(), about);
    [
        Parameter::text("comment", "of that comment"),
        Parameter::boolean("is_deleted", "deleted ones, or those that are there; absent: both"),
        network("network_subset", "that lead into this network"),
        network("network_superset", "that lead to all of this network"),
        Parameter::instant("existed_at", "that were there then"),
        Parameter::new("tunnel_id", Schema::uuid("a tunnel"), "of that tunnel"),
        Parameter::new("route_id", Schema::uuid("a route"), "that route alone"),
        Parameter::new("virtual_network_id", Schema::uuid("a virtual network"), "of that virtual network"),
        Parameter::list("tun_types", Schema::text(64), "of tunnels of these types; there is cfd_tunnel alone"),
    ]
}

/// Which routes a request lists; none when it asks for tunnels of types that are not here.
///
/// # Errors
/// A parameter makes no sense.
pub fn read_route_filter(query: &Query) -> Result<Option<RouteFilter>, QueryError> {
    let types = query.list("tun_types")?;
    if !types.is_empty() && !types.contains(&"cfd_tunnel") {
        return Ok(None);
    }
    Ok(Some(RouteFilter {
        comment: query.text("comment").map(str::to_owned),
        is_deleted: query.boolean("is_deleted")?,
        network_subset: query.parsed("network_subset")?,
        network_superset: query.parsed("network_superset")?,
        existed_at: query.instant("existed_at")?,
        tunnel: query.parsed("tunnel_id")?,
        route: query.parsed("route_id")?,
        virtual_network: query.parsed("virtual_network_id")?,
    }))
}

/// A virtual network.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `VirtualNetwork`")]
pub struct VirtualNetworkObject {
    pub id: VirtualNetworkId,
    pub name: String,
    #[serde(default)]
    pub comment: String,
    pub is_default_network: bool,
    pub created_at: WireTime,
    pub deleted_at: Option<WireTime>,
}

impl From<VirtualNetwork> for VirtualNetworkObject {
    fn from(one: VirtualNetwork) -> Self {
        let VirtualNetwork { id, name, comment, is_default, created_at, deleted_at } = one;
        let (created_at, deleted_at) = (created_at.into(), deleted_at.map(WireTime));
        Self { id, name, comment, is_default_network: is_default, created_at, deleted_at }
    }
}

/// What [`read_virtual_network_filter`] reads.
pub fn virtual_network_parameters() -> [Parameter; 5] {
    [
        Parameter::new("id", Schema::uuid("a virtual network"), "that one alone"),
        Parameter::text("name", "of that name"),
        Parameter::boolean("is_default", "the default one, or the others"),
        Parameter::boolean("is_default_network", "the same, as cloudflared spells it"),
        Parameter::boolean("is_deleted", "deleted ones, or those that are there; absent: both"),
    ]
}

/// Which virtual networks a request lists.
///
/// # Errors
/// A parameter makes no sense.
pub fn read_virtual_network_filter(query: &Query) -> Result<VirtualNetworkFilter, QueryError> {
    let is_default = query.boolean("is_default")?;
    Ok(VirtualNetworkFilter {
        id: query.parsed("id")?,
        name: query.text("name").map(str::to_owned),
        is_default: is_default.or(query.boolean("is_default_network")?),
        is_deleted: query.boolean("is_deleted")?,
    })
}

#[cfg(test)]
mod tests {
    use poterne_model::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::query::query;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    #[test]
    fn a_route_is_told_as_a_network_and_with_names_in_lists() {
        let route = Route {
            id: RouteId::from_bytes([1; 16]),
            network: "192.0.2.7".parse().unwrap(),
            tunnel: TunnelId::from_bytes([2; 16]),
            virtual_network: VirtualNetworkId::from_bytes([3; 16]),
            comment: "lab".into(),
            created_at: NOW,
            deleted_at: None,
        };
        let told = serde_json::to_value(RouteObject::from(route.clone())).unwrap();
        let expected = json!({"id": "01010101-0101-0101-0101-010101010101", "network": "192.0.2.7/32",
            "tunnel_id": "02020202-0202-0202-0202-020202020202", "virtual_network_id": "03030303-0303-0303-0303-030303030303",
            "comment": "lab", "created_at": "2027-01-15T08:00:00.000000Z", "deleted_at": null});
        assert_eq!(told, expected);
        let listed = RouteObject::from(route).with_names("web".into(), "default".into());
        let told = serde_json::to_value(&listed).unwrap();
        assert_eq!((&told["tunnel_name"], &told["tun_type"]), (&json!("web"), &json!("cfd_tunnel")));
        assert_eq!(serde_json::from_value::<RouteObject>(told).unwrap(), listed);
    }

    #[test]
    fn what_the_stock_agent_asks_is_read() {
        let asked =
            query(&[("is_deleted", "false"), ("page", "1"), ("tun_types", "cfd_tunnel"), ("network_subset", "10.0.0.1/8")]);
        let filter = read_route_filter(&asked).unwrap().unwrap();
        assert_eq!((filter.is_deleted, filter.network_subset), (Some(false), Some("10.0.0.0/8".parse().unwrap())));
        assert_eq!(read_route_filter(&query(&[("tun_types", "warp_connector")])), Ok(None));
        assert!(read_route_filter(&query(&[("tunnel_id", "web")])).is_err());
    }

    #[test]
    fn a_virtual_network_is_told_with_the_agents_spelling_and_filtered_by_both() {
        let one = VirtualNetwork::first(VirtualNetworkId::from_bytes([3; 16]), NOW);
        let told = serde_json::to_value(VirtualNetworkObject::from(one)).unwrap();
        assert_eq!(
            (&told["name"], &told["is_default_network"], &told["deleted_at"]),
            (&json!("default"), &json!(true), &json!(null))
        );
        for key in ["is_default", "is_default_network"] {
            assert_eq!(read_virtual_network_filter(&query(&[(key, "true")])).unwrap().is_default, Some(true));
        }
    }
}
