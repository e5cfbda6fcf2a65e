//! Private routes and virtual networks. They are kept and told; no node carries private networks yet.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use poterne_control_store::Session;
use poterne_keys::random_bytes;
use poterne_model::{
    AccountId, At, RouteId, ShapeError, TunnelId, VirtualNetworkId,
    permission::Right,
    private_network::{
        Route, RouteChanges, RouteDraft, RouteFilter, VirtualNetwork, VirtualNetworkDraft, VirtualNetworkError, longest_match,
    },
};
use serde_json::{Value, json};

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject, Target},
    audit::Traced,
};

/// Most routes of an account in force.
const ROUTES_MAX: usize = 10_000;

/// Most virtual networks of an account in force.
const VIRTUAL_NETWORKS_MAX: usize = 1000;

/// A route, with what its tunnel and its virtual network are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteNamed {
    /// The route.
    pub route: Route,
    /// Its tunnel's name.
    pub tunnel: String,
    /// Its virtual network's name.
    pub virtual_network: String,
}

impl App {
    /// An account's virtual networks, deleted ones included; the default, which is always there, first.
    pub async fn virtual_network_list(&self, caller: &Caller, account: AccountId) -> Result<Vec<VirtualNetwork>, AppError> {
        caller.needs(needed(Right::Read), Target::Account(account))?;
        let found = self.0.store.read().await?.virtual_networks(account).await?;
        if default(&found).is_some() {
            return Ok(found);
        }
        let mut session = self.writing_networks(caller, account, Right::Read).await?;
        let networks = session.virtual_networks(account).await?;
        session.commit_silently().await?;
        Ok(networks)
    }

    /// Makes a virtual network from the body of a POST.
    pub async fn virtual_network_create(
        &self,
        caller: &Caller,
        account: AccountId,
        body: &At<'_>,
    ) -> Result<VirtualNetwork, AppError> {
        let mut session = self.writing_networks(caller, account, Right::Edit).await?;
        let draft = VirtualNetworkDraft::read(body)?;
        let all = session.virtual_networks(account).await?;
        if all.iter().filter(|one| one.deleted_at.is_none()).count() >= VIRTUAL_NETWORKS_MAX {
            let why = format!("there are {VIRTUAL_NETWORKS_MAX} already: delete one first");
            return Err(AppError::Invalid { what: "virtual networks", why });
        }
        let id = VirtualNetworkId::from_random_bytes(random_bytes());
        let changed = VirtualNetwork::create(&all, id, draft, self.instant())?;
        self.put_networks(session, caller, account, "add", None, changed).await
    }

    /// Changes a virtual network as a PATCH says.
    pub async fn virtual_network_patch(
        &self,
        caller: &Caller,
        account: AccountId,
        id: VirtualNetworkId,
        body: &At<'_>,
    ) -> Result<VirtualNetwork, AppError> {
        let mut session = self.writing_networks(caller, account, Right::Edit).await?;
        let all = session.virtual_networks(account).await?;
        let changed = VirtualNetwork::change(&all, id, VirtualNetworkDraft::read(body)?)?;
        let before = all.into_iter().find(|one| one.id == id).ok_or(VirtualNetworkError::NotFound(id))?;
        if changed.is_empty() {
            return Ok(before);
        }
        self.put_networks(session, caller, account, "update", Some(before), changed).await
    }

    /// Deletes a virtual network; with `force` its routes too.
    pub async fn virtual_network_delete(
        &self,
        caller: &Caller,
        account: AccountId,
        id: VirtualNetworkId,
        force: bool,
    ) -> Result<VirtualNetwork, AppError> {
        let mut session = self.writing_networks(caller, account, Right::Edit).await?;
        let all = session.virtual_networks(account).await?;
        let now = self.instant();
        let routes = session.private_routes(account).await?;
        let inside: Vec<Route> =
            routes.into_iter().filter(|route| route.deleted_at.is_none() && route.virtual_network == id).collect();
        let deleted = VirtualNetwork::delete(&all, id, inside.len(), force, now)?;
        for route in inside {
            let gone = Route { deleted_at: Some(now), ..route };
            session.update_private_route(account, &gone).await?;
            self.trace(&mut session, caller, traced_route("delete", account, Some(&gone), None)).await?;
        }
        let before = all.into_iter().find(|one| one.id == id);
        self.put_networks(session, caller, account, "delete", before, vec![deleted]).await
    }

    /// An account's routes that pass, in the order they were made.
    pub async fn private_route_list(
        &self,
        caller: &Caller,
        account: AccountId,
        filter: &RouteFilter,
    ) -> Result<Vec<RouteNamed>, AppError> {
        caller.needs(needed(Right::Read), Target::Account(account))?;
        let mut session = self.0.store.read().await?;
        let mut routes = session.private_routes(account).await?;
        routes.retain(|route| filter.matches(route));
        named(&mut session, account, routes).await
    }

    /// One of them, deleted or not.
    pub async fn private_route_get(&self, caller: &Caller, account: AccountId, id: RouteId) -> Result<Route, AppError> {
        caller.needs(needed(Right::Read), Target::Account(account))?;
        let routes = self.0.store.read().await?.private_routes(account).await?;
        routes.into_iter().find(|route| route.id == id).ok_or(AppError::NotFound("route"))
    }

    /// The route that an address takes in a virtual network, or in the default one.
    pub async fn private_route_for(
        &self,
        caller: &Caller,
        account: AccountId,
        address: IpAddr,
        network: Option<VirtualNetworkId>,
    ) -> Result<Option<RouteNamed>, AppError> {
        caller.needs(needed(Right::Read), Target::Account(account))?;
        let mut session = self.0.store.read().await?;
        let networks = session.virtual_networks(account).await?;
        let Some(network) = network.or_else(|| default(&networks)) else { return Ok(None) };
        let routes = session.private_routes(account).await?;
        let Some(route) = longest_match(&routes, network, address) else { return Ok(None) };
        Ok(named(&mut session, account, vec![route.clone()]).await?.pop())
    }

    /// Makes a route from the body of a POST.
    pub async fn private_route_create(&self, caller: &Caller, account: AccountId, body: &At<'_>) -> Result<Route, AppError> {
        let mut session = self.writing_networks(caller, account, Right::Edit).await?;
        let draft = RouteDraft::read(body)?;
        check_ends(&mut session, account, Some(draft.tunnel), draft.virtual_network).await?;
        let existing = session.private_routes(account).await?;
        if existing.iter().filter(|route| route.deleted_at.is_none()).count() >= ROUTES_MAX {
            let why = format!("there are {ROUTES_MAX} already: delete some, or join networks");
            return Err(AppError::Invalid { what: "routes", why });
        }
        let default = default(&session.virtual_networks(account).await?).ok_or(AppError::NotFound("virtual network"))?;
        let route = Route::new(RouteId::from_random_bytes(random_bytes()), draft, default, &existing, self.instant())?;
        session.insert_private_route(account, &route).await?;
        self.trace(&mut session, caller, traced_route("add", account, None, Some(&route))).await?;
        session.commit().await?;
        Ok(route)
    }

    /// Changes a route as a PATCH says.
    pub async fn private_route_patch(
        &self,
        caller: &Caller,
        account: AccountId,
        id: RouteId,
        body: &At<'_>,
    ) -> Result<Route, AppError> {
        let mut session = self.writing_networks(caller, account, Right::Edit).await?;
        let existing = session.private_routes(account).await?;
        let before = in_force(&existing, id)?;
        let changes = RouteChanges::read(body)?;
        check_ends(&mut session, account, changes.tunnel, changes.virtual_network).await?;
        let after = before.with(changes, &existing)?;
        if after != *before {
            session.update_private_route(account, &after).await?;
            self.trace(&mut session, caller, traced_route("update", account, Some(before), Some(&after))).await?;
            session.commit().await?;
        }
        Ok(after)
    }

    /// Deletes a route.
    pub async fn private_route_delete(&self, caller: &Caller, account: AccountId, id: RouteId) -> Result<Route, AppError> {
        let mut session = self.writing_networks(caller, account, Right::Edit).await?;
        let existing = session.private_routes(account).await?;
        let before = in_force(&existing, id)?;
        let gone = Route { deleted_at: Some(self.instant()), ..before.clone() };
        session.update_private_route(account, &gone).await?;
        self.trace(&mut session, caller, traced_route("delete", account, Some(before), None)).await?;
        session.commit().await?;
        Ok(gone)
    }

    /// A writing session in which the account has its default network.
    async fn writing_networks(&self, caller: &Caller, account: AccountId, right: Right) -> Result<Session, AppError> {
        caller.needs(needed(right), Target::Account(account))?;
        let mut session = self.0.store.write().await?;
        if session.account(account).await?.is_none() {
            return Err(AppError::NotFound("account"));
        }
        if default(&session.virtual_networks(account).await?).is_none() {
            let first = VirtualNetwork::first(VirtualNetworkId::from_random_bytes(random_bytes()), self.instant());
            session.put_virtual_network(account, &first).await?;
        }
        Ok(session)
    }

    /// Keeps those that changed, of which the first is the one meant.
    async fn put_networks(
        &self,
        mut session: Session,
        caller: &Caller,
        account: AccountId,
        action: &'static str,
        before: Option<VirtualNetwork>,
        changed: Vec<VirtualNetwork>,
    ) -> Result<VirtualNetwork, AppError> {
        // The one that was the default steps back first.
        for one in changed.iter().rev() {
            session.put_virtual_network(account, one).await?;
        }
        let meant = changed.into_iter().next().ok_or(AppError::NotFound("virtual network"))?;
        let traced = Traced {
            account: Some(account),
            action,
            kind: "virtual_network",
            id: meant.id.to_string(),
            old: before.as_ref().map(shown),
            new: meant.deleted_at.is_none().then(|| shown(&meant)),
            ..Traced::default()
        };
        self.trace(&mut session, caller, traced).await?;
        session.commit().await?;
        Ok(meant)
    }
}

const fn needed(right: Right) -> Permission {
    Permission { subject: Subject::PrivateRoutes, right }
}

fn default(networks: &[VirtualNetwork]) -> Option<VirtualNetworkId> {
    networks.iter().find(|one| one.is_default && one.deleted_at.is_none()).map(|one| one.id)
}

fn in_force(routes: &[Route], id: RouteId) -> Result<&Route, AppError> {
    routes.iter().find(|route| route.id == id && route.deleted_at.is_none()).ok_or(AppError::NotFound("route"))
}

/// A route leads into a live tunnel, and lies in a virtual network, of its own account.
async fn check_ends(
    session: &mut Session,
    account: AccountId,
    tunnel: Option<TunnelId>,
    network: Option<VirtualNetworkId>,
) -> Result<(), AppError> {
    if let Some(tunnel) = tunnel {
        let live = session.tunnel(tunnel).await?.is_some_and(|found| found.account == account && found.deleted_at.is_none());
        if !live {
            return Err(ShapeError::new("/tunnel_id", format!("there is no tunnel {tunnel} in this account")).into());
        }
    }
    if let Some(network) = network {
        let networks = session.virtual_networks(account).await?;
        if !networks.iter().any(|one| one.id == network && one.deleted_at.is_none()) {
            let why = format!("there is no virtual network {network} in this account");
            return Err(ShapeError::new("/virtual_network_id", why).into());
        }
    }
    Ok(())
}

async fn named(session: &mut Session, account: AccountId, routes: Vec<Route>) -> Result<Vec<RouteNamed>, AppError> {
    let networks = session.virtual_networks(account).await?;
    let networks: HashMap<_, _> = networks.into_iter().map(|one| (one.id, one.name)).collect();
    let ids: BTreeSet<_> = routes.iter().map(|route| route.tunnel).collect();
    let tunnels = session.tunnel_names(account, &ids.into_iter().collect::<Vec<_>>()).await?;
    let name = |route: Route| RouteNamed {
        tunnel: tunnels.get(&route.tunnel).cloned().unwrap_or_default(),
        virtual_network: networks.get(&route.virtual_network).cloned().unwrap_or_default(),
        route,
    };
    Ok(routes.into_iter().map(name).collect())
}

fn shown(one: &VirtualNetwork) -> Value {
    json!({ "name": one.name, "comment": one.comment, "is_default": one.is_default })
}

fn shown_route(route: &Route) -> Value {
    json!({ "network": route.network, "tunnel_id": route.tunnel, "virtual_network_id": route.virtual_network,
        "comment": route.comment })
}

fn traced_route(action: &'static str, account: AccountId, old: Option<&Route>, new: Option<&Route>) -> Traced {
    let id = new.or(old).map_or_else(String::new, |route| route.id.to_string());
    let (old, new) = (old.map(shown_route), new.map(shown_route));
    Traced { account: Some(account), action, kind: "private_route", id, old, new, ..Traced::default() }
}
