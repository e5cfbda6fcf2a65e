//! Which tunnel leads to a private network.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::COMMENT_CHARS_MAX;
use crate::{At, Network, NetworkError, RouteId, Schema, ShapeError, Timestamp, TunnelId, VirtualNetworkId};

/// Where devices of the organisation get their addresses from: no route may lead there.
const DEVICES: (&str, [u8; 4], u8) = ("100.96.0.0/12", [100, 96, 0, 0], 12);

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its id.
    pub id: RouteId,
    /// What lies behind the tunnel.
    pub network: Network,
    /// The tunnel.
    pub tunnel: TunnelId,
    /// Where the addresses mean what they mean here.
    pub virtual_network: VirtualNetworkId,
    /// For people; may be empty.
    pub comment: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted; none: it is in force.
    pub deleted_at: Option<Timestamp>,
}

/// A new route, as a body brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteDraft {
    /// See [`Route::network`].
    pub network: Network,
    /// See [`Route::tunnel`].
    pub tunnel: TunnelId,
    /// See [`Route::virtual_network`]; none: the default one.
    pub virtual_network: Option<VirtualNetworkId>,
    /// See [`Route::comment`].
    pub comment: String,
}

/// What a PATCH changes; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of `Route`")]
pub struct RouteChanges {
    pub network: Option<Network>,
    pub tunnel: Option<TunnelId>,
    pub virtual_network: Option<VirtualNetworkId>,
    pub comment: Option<String>,
}

/// Why a route was not made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It would take addresses from devices.
    #[error("{0} overlaps {devices}, where devices get their addresses from: route a network outside of it", devices = DEVICES.0)]
    Devices(Network),
    /// The same network twice.
    #[error("the virtual network has a route for {network} already ({id}): change that one, or delete it first")]
    Duplicate {
        /// The network.
        network: Network,
        /// The route that is there.
        id: RouteId,
    },
}

impl RouteDraft {
    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let [(_, network), (_, tunnel), virtual_network, comment] = members();
        let members = [("network", network.required()), ("tunnel_id", tunnel.required()), virtual_network, comment];
        let example =
            json!({ "network": "10.0.0.0/8", "tunnel_id": "3d539f97-cd3a-4d8e-833b-65e9099c7a8d", "comment": "the lab" });
        Schema::object(members).named("NewRoute").example(example)
    }

    /// From the body of a POST.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        body.required("network")?;
        body.required("tunnel_id")?;
        let RouteChanges { network: Some(network), tunnel: Some(tunnel), virtual_network, comment } = RouteChanges::read(body)?
        else {
            return Err(body.wrong("write network and tunnel_id"));
        };
        Ok(Self { network, tunnel, virtual_network, comment: comment.unwrap_or_default() })
    }
}

fn members() -> [(&'static str, Schema); 4] {
    [
        ("network", Schema::network()),
        ("tunnel_id", Schema::uuid("the tunnel that leads there")),
        ("virtual_network_id", Schema::uuid("where it leads so; the default one where none is named")),
        ("comment", Schema::text(COMMENT_CHARS_MAX)),
    ]
}

impl RouteChanges {
    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        Schema::object(members()).named("RouteChanges").example(json!({ "comment": "the other lab" }))
    }

    /// From the body of a PATCH.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let comment = body.member("comment").map(|comment| comment.text(COMMENT_CHARS_MAX).map(str::to_owned));
        Ok(Self {
            network: parsed::<Network, NetworkError>(body, "network")?,
            tunnel: parsed(body, "tunnel_id")?,
            virtual_network: parsed(body, "virtual_network_id")?,
            comment: comment.transpose()?,
        })
    }
}

/// A member that is read from its text; an empty one counts as absent.
fn parsed<T: std::str::FromStr<Err = E>, E: std::fmt::Display>(body: &At<'_>, key: &str) -> Result<Option<T>, ShapeError> {
    let Some(given) = body.member(key) else { return Ok(None) };
    let text = given.text(64)?;
    let value = (!text.is_empty()).then(|| text.parse::<T>()).transpose();
    value.map_err(|error| ShapeError::new(given.pointer(), error.to_string()))
}

impl Route {
    /// The route as a draft has it. `default` is the default virtual network; `existing` are the account's routes.
    ///
    /// # Errors
    /// It cannot stand beside them.
    pub fn new<'a>(
        id: RouteId,
        draft: RouteDraft,
        default: VirtualNetworkId,
        existing: impl IntoIterator<Item = &'a Self>,
        now: Timestamp,
    ) -> Result<Self, RouteError> {
        let RouteDraft { network, tunnel, virtual_network, comment } = draft;
        let virtual_network = virtual_network.unwrap_or(default);
        let route = Self { id, network, tunnel, virtual_network, comment, created_at: now, deleted_at: None };
        route.stands_beside(existing)?;
        Ok(route)
    }

    /// The route with these changes; unchanged where they say what is.
    ///
    /// # Errors
    /// It cannot stand beside the others of `existing`.
    pub fn with<'a>(&self, changes: RouteChanges, existing: impl IntoIterator<Item = &'a Self>) -> Result<Self, RouteError> {
        let after = Self {
            network: changes.network.unwrap_or(self.network),
            tunnel: changes.tunnel.unwrap_or(self.tunnel),
            virtual_network: changes.virtual_network.unwrap_or(self.virtual_network),
            comment: changes.comment.unwrap_or_else(|| self.comment.clone()),
            ..self.clone()
        };
        after.stands_beside(existing)?;
        Ok(after)
    }

    /// Networks may lie within each other, since the longest match wins; the same one may not lead two ways.
    fn stands_beside<'a>(&self, existing: impl IntoIterator<Item = &'a Self>) -> Result<(), RouteError> {
        let (_, address, bits) = DEVICES;
        let devices = Network::new(IpAddr::from(address), bits).expect("an IPv4 network");
        if self.network.overlaps(&devices) {
            return Err(RouteError::Devices(self.network));
        }
        let same = |other: &&Self| {
            other.id != self.id
                && other.deleted_at.is_none()
                && other.virtual_network == self.virtual_network
                && other.network == self.network
        };
        match existing.into_iter().find(same) {
            Some(other) => Err(RouteError::Duplicate { network: self.network, id: other.id }),
            None => Ok(()),
        }
    }
}

/// The route in force that leads to an address in a virtual network: the one of the smallest network that holds it.
pub fn longest_match<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
    virtual_network: VirtualNetworkId,
    address: IpAddr,
) -> Option<&'a Route> {
    let leads = |route: &&Route| {
        route.deleted_at.is_none() && route.virtual_network == virtual_network && route.network.contains(address)
    };
    routes.into_iter().filter(leads).max_by_key(|route| route.network.bits())
}

/// Which routes a list holds; what is none is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteFilter {
    /// With exactly that comment.
    pub comment: Option<String>,
    /// Deleted, or in force; none: both.
    pub is_deleted: Option<bool>,
    /// That lie within this network.
    pub network_subset: Option<Network>,
    /// That hold all of this network.
    pub network_superset: Option<Network>,
    /// That were in force at that instant.
    pub existed_at: Option<Timestamp>,
    /// Of that tunnel.
    pub tunnel: Option<TunnelId>,
    /// That one.
    pub route: Option<RouteId>,
    /// Of that virtual network.
    pub virtual_network: Option<VirtualNetworkId>,
}

impl RouteFilter {
    /// Whether the list holds it.
    pub fn matches(&self, route: &Route) -> bool {
        self.comment.as_ref().is_none_or(|comment| comment == &route.comment)
            && self.is_deleted.is_none_or(|deleted| deleted == route.deleted_at.is_some())
            && self.network_subset.is_none_or(|network| network.covers(&route.network))
            && self.network_superset.is_none_or(|network| route.network.covers(&network))
            && self.existed_at.is_none_or(|at| route.created_at <= at && route.deleted_at.is_none_or(|end| at < end))
            && self.tunnel.is_none_or(|tunnel| tunnel == route.tunnel)
            && self.route.is_none_or(|id| id == route.id)
            && self.virtual_network.is_none_or(|id| id == route.virtual_network)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const VNET: VirtualNetworkId = VirtualNetworkId::from_bytes([1; 16]);
    const OTHER: VirtualNetworkId = VirtualNetworkId::from_bytes([2; 16]);

    fn route(number: u8, network: &str) -> Route {
        Route {
            id: RouteId::from_bytes([number; 16]),
            network: network.parse().unwrap(),
            tunnel: TunnelId::from_bytes([3; 16]),
            virtual_network: VNET,
            comment: String::new(),
            created_at: NOW,
            deleted_at: None,
        }
    }

    #[test]
    fn a_body_is_read_in_canonical_form() {
        let tunnel = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
        let body = json!({"network": "10.1.2.3/8", "tunnel_id": tunnel, "comment": null, "virtual_network_id": ""});
        let draft = RouteDraft::read(&At::body(&body)).unwrap();
        assert_eq!((draft.network.to_cidr().as_str(), draft.virtual_network), ("10.0.0.0/8", None));
        for (body, pointer) in [
            (json!({"tunnel_id": tunnel}), "/network"),
            (json!({"network": "10.0.0.0/8"}), "/tunnel_id"),
            (json!({"network": "10.0.0.0/8", "tunnel_id": "web"}), "/tunnel_id"),
            (json!({"network": "ten", "tunnel_id": tunnel}), "/network"),
        ] {
            assert_eq!(RouteDraft::read(&At::body(&body)).unwrap_err().pointer, pointer);
        }
    }

    #[test]
    fn networks_may_nest_but_not_lead_two_ways() {
        let existing = [route(1, "10.0.0.0/8"), Route { deleted_at: Some(NOW), ..route(2, "10.1.0.0/16") }];
        let draft = |network: &str, virtual_network| RouteDraft {
            network: network.parse().unwrap(),
            tunnel: TunnelId::from_bytes([3; 16]),
            virtual_network,
            comment: String::new(),
        };
        let new = |draft| Route::new(RouteId::from_bytes([9; 16]), draft, VNET, &existing, NOW);
        assert!(new(draft("10.1.0.0/16", None)).is_ok(), "the one of that network is deleted");
        assert_eq!(
            new(draft("10.9.9.9/8", None)).unwrap_err(),
            RouteError::Duplicate { network: "10.0.0.0/8".parse().unwrap(), id: existing[0].id }
        );
        assert!(new(draft("10.0.0.0/8", Some(OTHER))).is_ok());
        assert!(matches!(new(draft("100.100.0.0/24", None)), Err(RouteError::Devices(_))));
        assert!(matches!(new(draft("100.64.0.0/10", None)), Err(RouteError::Devices(_))));
        let moved = existing[0].with(RouteChanges { comment: Some("x".into()), ..Default::default() }, &existing).unwrap();
        assert_eq!(moved.comment, "x");
    }

    #[test]
    fn filters_tell_subset_from_superset_and_then_from_now() {
        let ended = Route { deleted_at: Some(NOW.plus_secs(10)), ..route(1, "10.1.0.0/16") };
        let holds = |filter: RouteFilter| filter.matches(&ended);
        let net = |text: &str| Some(text.parse::<Network>().unwrap());
        assert!(holds(RouteFilter { network_subset: net("10.0.0.0/8"), ..Default::default() }));
        assert!(!holds(RouteFilter { network_subset: net("10.1.1.0/24"), ..Default::default() }));
        assert!(holds(RouteFilter { network_superset: net("10.1.1.0/24"), ..Default::default() }));
        assert!(!holds(RouteFilter { is_deleted: Some(false), ..Default::default() }));
        assert!(holds(RouteFilter { existed_at: Some(NOW.plus_secs(9)), ..Default::default() }));
        assert!(!holds(RouteFilter { existed_at: Some(NOW.plus_secs(10)), ..Default::default() }));
        assert!(!holds(RouteFilter { existed_at: Some(NOW.plus_secs(-1)), ..Default::default() }));
    }

    proptest! {
        /// The route found holds the address, and no other in force there holds it more narrowly.
        #[test]
        fn the_longest_match_wins(nets in prop::collection::vec((any::<u32>(), 0..=32_u8, any::<bool>(), any::<bool>()), 0..12), address: u32) {
            let routes: Vec<Route> = (1..).zip(&nets).map(|(number, (base, bits, deleted, elsewhere))| Route {
                // Half of them begin as the address does, so that there is something to find.
                network: Network::new(std::net::Ipv4Addr::from(if base % 2 == 0 { address } else { *base }).into(), *bits).unwrap(),
                deleted_at: deleted.then_some(NOW),
                virtual_network: if *elsewhere { OTHER } else { VNET },
                ..route(number, "10.0.0.0/8")
            }).collect();
            let address = IpAddr::from(std::net::Ipv4Addr::from(address));
            let candidates = routes.iter().filter(|r| r.deleted_at.is_none() && r.virtual_network == VNET && r.network.contains(address));
            let best = candidates.map(|r| r.network.bits()).max();
            let found = longest_match(&routes, VNET, address);
            prop_assert_eq!(found.map(|r| r.network.bits()), best);
            prop_assert!(found.is_none_or(|r| r.network.contains(address) && r.deleted_at.is_none() && r.virtual_network == VNET));
        }
    }
}
