//! Private routes and virtual networks (api-v4 §6.7).

use std::net::IpAddr;

use axum::extract::State;
use poterne_control_app::RouteNamed;
use poterne_control_wire::{
    private_network::{
        RouteObject, VirtualNetworkObject, read_route_filter, read_virtual_network_filter, route_parameters,
        virtual_network_parameters,
    },
    query::{
        Parameter,
        page::{Page, PageLimits},
    },
};
use poterne_model::{
    AccountId, At, RouteId, Schema, ShapeError, VirtualNetworkId,
    permission::Subject,
    private_network::{RouteChanges, RouteDraft, VirtualNetworkDraft},
};

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
};

/// Under `/accounts/{account}/teamnet`.
pub(crate) fn routes() -> Routes {
    let base = "/accounts/{account}/teamnet";
    let path = |rest: &str| format!("{base}{rest}");
    let (all, one) = (path("/routes"), path("/routes/{route}"));
    let (networks, network) = (path("/virtual_networks"), path("/virtual_networks/{network}"));
    let routes = Subject::PrivateRoutes;
    let virtual_network =
        Parameter::new("virtual_network_id", Schema::uuid("a virtual network"), "where; absent: in the default one");
    let of_address =
        reads(routes, "Tell which route leads to an address").about("Null where none does.").query([virtual_network]);
    let force = Parameter::boolean("force", "with the routes in it");
    Routes::of("Private networks", "Routes to networks behind tunnels, and virtual networks.")
        .get(&all, list, reads(routes, "List private routes").pages(PageLimits::TUNNELS).query(route_parameters()))
        .post(&all, create, edits(routes, "Make a private route").body(RouteDraft::schema()))
        .get(&path("/routes/ip/{ip}"), self::of_address, of_address)
        .get(&one, show, reads(routes, "Show a private route"))
        .patch(&one, edit, edits(routes, "Change a private route").body(RouteChanges::schema()))
        .delete(&one, delete, edits(routes, "Delete a private route"))
        .get(&networks, self::networks, reads(routes, "List virtual networks").query(virtual_network_parameters()))
        .post(&networks, network_create, edits(routes, "Make a virtual network").body(VirtualNetworkDraft::schema(true)))
        .get(&network, self::network, reads(routes, "Show a virtual network"))
        .patch(&network, network_edit, edits(routes, "Change a virtual network").body(VirtualNetworkDraft::schema(false)))
        .delete(&network, network_delete, edits(routes, "Delete a virtual network").query([force]))
}

shown![RouteObject, VirtualNetworkObject];

fn named(route: RouteNamed) -> RouteObject {
    RouteObject::from(route.route).with_names(route.tunnel, route.virtual_network)
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<RouteObject>> {
    let page = Page::read(&query, PageLimits::TUNNELS)?;
    let filter = read_route_filter(&query)?;
    let nothing = filter.is_none();
    let mut routes = door.app.private_route_list(&caller, account, &filter.unwrap_or_default()).await?;
    if nothing {
        routes.clear();
    }
    let shown: Vec<_> = page.of(&routes).iter().cloned().map(named).collect();
    let info = page.info(shown.len(), routes.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<RouteObject> {
    Ok(Answer::success(door.app.private_route_create(&caller, account, &At::body(&body)).await?.into()))
}

async fn show(State(door): State<Door>, Who(caller): Who, Ids(account, id): Ids<AccountId, RouteId>) -> Answered<RouteObject> {
    Ok(Answer::success(door.app.private_route_get(&caller, account, id).await?.into()))
}

async fn edit(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, RouteId>,
    Json(body): Json,
) -> Answered<RouteObject> {
    Ok(Answer::success(door.app.private_route_patch(&caller, account, id, &At::body(&body)).await?.into()))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(account, id): Ids<AccountId, RouteId>) -> Answered<RouteObject> {
    Ok(Answer::success(door.app.private_route_delete(&caller, account, id).await?.into()))
}

/// Where no route leads, the result is null: the agent's command line then says so.
async fn of_address(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, ip): Ids<AccountId, String>,
    Query(query): Query,
) -> Answered<Option<RouteObject>> {
    let shown: String = ip.chars().take(64).collect();
    let address = ip.parse::<IpAddr>();
    let address = address.map_err(|_| ShapeError::new("", format!("{shown:?} is no address: write one as in 10.0.0.7")))?;
    let network: Option<VirtualNetworkId> = query.parsed("virtual_network_id")?;
    let route = door.app.private_route_for(&caller, account, address.to_canonical(), network).await?;
    Ok(Answer::success(route.map(named)))
}

async fn networks(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<VirtualNetworkObject>> {
    let filter = read_virtual_network_filter(&query)?;
    let networks = door.app.virtual_network_list(&caller, account).await?;
    Ok(Answer::success(networks.into_iter().filter(|one| filter.matches(one)).map(Into::into).collect()))
}

async fn network_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<VirtualNetworkObject> {
    Ok(Answer::success(door.app.virtual_network_create(&caller, account, &At::body(&body)).await?.into()))
}

type Network = Ids<AccountId, VirtualNetworkId>;

async fn network(State(door): State<Door>, Who(caller): Who, Ids(account, id): Network) -> Answered<VirtualNetworkObject> {
    let networks = door.app.virtual_network_list(&caller, account).await?;
    let found = networks.into_iter().find(|one| one.id == id);
    found.map(|one| Answer::success(one.into())).ok_or_else(|| Answer::no_route(&format!("virtual network {id}")))
}

async fn network_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Network,
    Json(body): Json,
) -> Answered<VirtualNetworkObject> {
    Ok(Answer::success(door.app.virtual_network_patch(&caller, account, id, &At::body(&body)).await?.into()))
}

async fn network_delete(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Network,
    Query(query): Query,
) -> Answered<VirtualNetworkObject> {
    let force = query.boolean("force")?.unwrap_or(false);
    Ok(Answer::success(door.app.virtual_network_delete(&caller, account, id, force).await?.into()))
}
