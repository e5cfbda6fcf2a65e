//! `tunnel route dns`, `route lb`, `route ip …`.

use std::{net::IpAddr, process::ExitCode};

use anyhow::{Context as _, bail};
use http::Method;
use poterne_control_wire::{private_network::RouteObject, tunnel::RoutedObject};
use poterne_model::{Network, RouteId, TunnelId, VirtualNetworkId};
use poterne_tunnel_agent::terminal::plain;
use serde_json::{Value, json};

use super::{
    cli::{OfVnet, RouteIpVerb, RouteShowFlags, RouteVerb},
    render::{Shown, row, seconds, seconds_or_dash, table},
    session::Session,
    tunnels, vnets,
};
use crate::print;

pub(crate) async fn route(session: &Session, verb: RouteVerb) -> anyhow::Result<ExitCode> {
    match verb {
        RouteVerb::Dns { overwrite_dns, tunnel, hostname } => dns(session, &tunnel, &hostname, overwrite_dns == Some(true)).await,
        RouteVerb::Lb { tunnel, hostname, pool } => balanced(session, &tunnel, &hostname, &pool).await,
        RouteVerb::Ip(verb) => ip(session, verb).await,
    }
}

async fn dns(session: &Session, tunnel: &str, hostname: &str, overwrite: bool) -> anyhow::Result<ExitCode> {
    let id = tunnels::find(session, tunnel).await?;
    let body = json!({ "type": "dns", "user_hostname": hostname, "overwrite_existing": overwrite });
    let routed: RoutedObject =
        session.api.ask(Method::PUT, &format!("{}/tunnels/{id}/routes", session.zone), Some(&body)).await?;
    // A hostname outside the zone of cert.pem has got the zone's name at its end: the name that counts is the answer's.
    let name = plain(if routed.name.is_empty() { hostname } else { &routed.name });
    match routed.cname.as_str() {
        "new" => tracing::info!(tunnelID = %id, "Added CNAME {name}, which leads to this tunnel now"),
        "updated" => tracing::info!(tunnelID = %id, "{name} updated: it leads to this tunnel now"),
        _ => tracing::info!(tunnelID = %id, "{name} is already configured: it leads to this tunnel"),
    }
    let asked = hostname.trim_end_matches('.');
    if !name.eq_ignore_ascii_case(asked) && name.len() > asked.len() {
        tracing::warn!("{asked} is not in the zone of cert.pem, so the name became {name}; for another zone log in for that one");
    }
    Ok(ExitCode::SUCCESS)
}

async fn balanced(session: &Session, tunnel: &str, hostname: &str, pool: &str) -> anyhow::Result<ExitCode> {
    let id = tunnels::find(session, tunnel).await?;
    let body = json!({ "type": "lb", "lb_name": hostname, "lb_pool": pool });
    let answer: Value = session.api.ask(Method::PUT, &format!("{}/tunnels/{id}/routes", session.zone), Some(&body)).await?;
    let word = |key: &str| plain(answer[key].as_str().unwrap_or("unknown"));
    tracing::info!(tunnelID = %id, "Load balancer {hostname}: {}; its pool {pool}, which this tunnel is in now: {}", word("load_balancer"), word("pool"));
    Ok(ExitCode::SUCCESS)
}

async fn ip(session: &Session, verb: RouteIpVerb) -> anyhow::Result<ExitCode> {
    let base = format!("{}/teamnet/routes", session.account);
    match verb {
        RouteIpVerb::Add { of, network, tunnel, comment } => {
            let network: Network = network.parse()?;
            let id = tunnels::find(session, &tunnel).await?;
            let mut body = json!({ "network": network.to_cidr(), "tunnel_id": id, "comment": comment.unwrap_or_default() });
            if let Some(vnet) = vnet_of(session, of).await? {
                body["virtual_network_id"] = json!(vnet);
            }
            let added: RouteObject = session.api.ask(Method::POST, &base, Some(&body)).await?;
            print(&format!("Added route for {} over tunnel {id}\n", added.network.to_cidr()))
        }
        RouteIpVerb::Show(flags) => show(session, &base, flags).await,
        RouteIpVerb::Delete { of, route } => {
            let id = match route.parse::<RouteId>() {
                Ok(id) => id,
                Err(_) => {
                    let network: Network =
                        route.parse().with_context(|| format!("{route} is neither a route's UUID nor its network"))?;
                    the_route(session, &base, network, vnet_of(session, of).await?).await?
                }
            };
            let _: RouteObject = session.api.ask(Method::DELETE, &format!("{base}/{id}"), None).await?;
            print(&format!("Deleted route with ID {id}\n"))
        }
        RouteIpVerb::Get { of, ip } => {
            let address: IpAddr = ip.parse().with_context(|| format!("{ip} is no address; write one as in 10.0.0.7"))?;
            let query = vnet_of(session, of).await?.map_or_else(String::new, |id| format!("?virtual_network_id={id}"));
            match session.api.ask_if_any::<RouteObject>(&format!("{base}/ip/{address}{query}")).await? {
                Some(route) => print(&rows(&[route])),
                None => print(&format!("No route matches the IP {address}\n")),
            }
        }
    }
}

async fn vnet_of(session: &Session, of: OfVnet) -> anyhow::Result<Option<VirtualNetworkId>> {
    match of.vnet {
        Some(vnet) => vnets::find(session, &vnet).await.map(Some),
        None => Ok(None),
    }
}

/// The one route of exactly this network.
async fn the_route(session: &Session, base: &str, network: Network, vnet: Option<VirtualNetworkId>) -> anyhow::Result<RouteId> {
    let cidr = network.to_cidr();
    let mut filters =
        vec![("is_deleted", "false".to_owned()), ("network_subset", cidr.clone()), ("network_superset", cidr.clone())];
    filters.extend(vnet.map(|id| ("virtual_network_id", id.to_string())));
    let found: Vec<RouteObject> = session.api.list(base, &with_type(filters)).await?;
    match found.as_slice() {
        [route] => Ok(route.id),
        [] => bail!("no route is for {cidr}; `poterne-agent tunnel route ip show` lists them"),
        several => bail!("{} routes are for {cidr}, in as many virtual networks: name one with --vnet", several.len()),
    }
}

fn with_type(mut filters: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    filters.push(("tun_types", "cfd_tunnel".to_owned()));
    filters
}

/// The query of `route ip show`.
fn filters(flags: RouteShowFlags) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut filters = vec![("is_deleted", (flags.filter_is_deleted == Some(true)).to_string())];
    for (key, flag, given) in [
        ("network_subset", "--filter-network-is-subset-of", flags.filter_network_is_subset_of),
        ("network_superset", "--filter-network-is-superset-of", flags.filter_network_is_superset_of),
    ] {
        if let Some(given) = given {
            let network: Network = given.parse().context(flag)?;
            filters.push((key, network.to_cidr()));
        }
    }
    filters.extend(flags.filter_comment_is.filter(|text| !text.is_empty()).map(|text| ("comment", text)));
    if let Some(id) = flags.filter_tunnel_id {
        filters.push(("tunnel_id", id.parse::<TunnelId>().context("--filter-tunnel-id")?.to_string()));
    }
    if let Some(id) = flags.filter_vnet_id {
        filters.push(("virtual_network_id", id.parse::<VirtualNetworkId>().context("--filter-vnet-id")?.to_string()));
    }
    Ok(with_type(filters))
}

async fn show(session: &Session, base: &str, flags: RouteShowFlags) -> anyhow::Result<ExitCode> {
    let output = flags.shape.output.clone();
    let routes: Vec<RouteObject> = session.api.list(base, &filters(flags)?).await?;
    if let Some(format) = &output {
        return print(&Shown::List(routes.iter().map(shown).collect()).render(format)?);
    }
    if routes.is_empty() {
        return print("There is no route that these flags mean. Add one: poterne-agent tunnel route ip add NETWORK TUNNEL\n");
    }
    print(&rows(&routes))
}

fn rows(routes: &[RouteObject]) -> String {
    let mut rows = vec![row(["ID", "NETWORK", "VIRTUAL NET ID", "COMMENT", "TUNNEL ID", "TUNNEL NAME", "CREATED", "DELETED"])];
    rows.extend(routes.iter().map(|route| {
        vec![
            route.id.to_string(),
            route.network.to_cidr(),
            route.virtual_network_id.to_string(),
            route.comment.clone(),
            route.tunnel_id.to_string(),
            route.tunnel_name.clone().unwrap_or_default(),
            seconds(route.created_at),
            seconds_or_dash(route.deleted_at),
        ]
    }));
    table(&rows)
}

fn shown(route: &RouteObject) -> Shown {
    Shown::Object(vec![
        (("id", "id"), Shown::word(route.id)),
        (("network", "network"), Shown::Text(route.network.to_cidr())),
        (("tunnel_id", "tunnelid"), Shown::word(route.tunnel_id)),
        (("virtual_network_id", "vnetid"), Shown::word(route.virtual_network_id)),
        (("comment", "comment"), Shown::Text(route.comment.clone())),
        (("created_at", "createdat"), Shown::Time(Some(route.created_at))),
        (("deleted_at", "deletedat"), Shown::Time(route.deleted_at)),
        (("tunnel_name", "tunnelname"), Shown::Text(route.tunnel_name.clone().unwrap_or_default())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_say_what_their_flags_say() {
        let flags = RouteShowFlags {
            filter_network_is_subset_of: Some("10.1.2.3/8".into()),
            filter_network_is_superset_of: Some("10.0.0.1".into()),
            filter_comment_is: Some("a b".into()),
            ..RouteShowFlags::default()
        };
        let expected = [
            ("is_deleted", "false"),
            ("network_subset", "10.0.0.0/8"),
            ("network_superset", "10.0.0.1/32"),
            ("comment", "a b"),
            ("tun_types", "cfd_tunnel"),
        ];
        assert_eq!(filters(flags).unwrap(), expected.map(|(key, value)| (key, value.to_owned())));
        let wrong = RouteShowFlags { filter_tunnel_id: Some("web".into()), ..RouteShowFlags::default() };
        assert_eq!(
            format!("{:#}", filters(wrong).unwrap_err()),
            "--filter-tunnel-id: \"web\" is not a valid tunnel id: expected a UUID"
        );
    }
}
