//! `tunnel create`, `list`, `info`, `delete`, `cleanup`, `token`.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Method;
use poterne_control_wire::{
    WireTime,
    tunnel::{ConnectionObject, ConnectorObject, TunnelObject},
};
use poterne_model::{ConnectorId, TunnelId};
use poterne_tunnel_agent::terminal::plain;
use poterne_tunnel_proto::token::{Credentials, Secret, TunnelToken};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    api::Refused,
    cli::{CleanupFlags, CreateFlags, DeleteFlags, InfoFlags, ListFlags},
    render::{Shown, row, seconds, table, with_zone},
    session::{Session, write_credentials},
};
use crate::print;

/// Fewest bytes of a tunnel's secret.
const SECRET_BYTES_MIN: usize = 32;

pub(crate) async fn create(session: &Session, flags: CreateFlags) -> anyhow::Result<ExitCode> {
    let name = &flags.name;
    ensure!(name.parse::<TunnelId>().is_err(), "{name} is a UUID, which would pass for a tunnel's id: choose another name");
    let secret = secret(flags.secret.as_deref())?;
    let body = json!({ "name": name, "tunnel_secret": BASE64_STANDARD.encode(&secret) });
    let made: anyhow::Result<TunnelObject> =
        session.api.ask(Method::POST, &format!("{}/cfd_tunnel", session.account), Some(&body)).await;
    let tunnel = made.map_err(|error| {
        let taken = error.downcast_ref::<Refused>().is_some_and(|refused| refused.status == http::StatusCode::CONFLICT);
        let why = if taken {
            "a tunnel with this name already exists".to_owned()
        } else {
            format!("the tunnel {name} was not created")
        };
        error.context(why)
    })?;
    // Its token says where the edges are, if a Poterne node made it.
    let token = tunnel.token.as_deref().and_then(|token| TunnelToken::parse(token).ok());
    let account = session.account.trim_start_matches("/accounts/").to_owned();
    let secret = Secret::new(secret.to_vec());
    let poterne = token.and_then(|token| token.poterne);
    let credentials = Credentials(TunnelToken { account, tunnel: tunnel.id, secret, endpoint: None, poterne });
    let path = session.credentials_path(tunnel.id);
    if let Err(error) = write_credentials(&path, &credentials) {
        return Err(undo(session, tunnel.id, error).await);
    }
    if let Some(format) = &flags.shape.output {
        let token = tunnel.token.clone().unwrap_or_default();
        let shown = if format == "yaml" {
            // The stock agent's YAML keeps the two apart.
            vec![(("", "tunnel"), Shown::Object(members(&tunnel))), (("token", "token"), Shown::Text(token))]
        } else {
            let mut all = members(&tunnel);
            all.push((("token", "token"), Shown::Text(token)));
            all
        };
        return print(&Shown::Object(shown).render(format)?);
    }
    let beside = if session.credentials_file.is_none() { ", beside cert.pem" } else { "" };
    print(&format!(
        "Its credentials are in {}{beside}. Whoever has them can run it: keep them secret. Deleting the tunnel makes them worthless.\n\n\
         Created tunnel {} with id {}\n",
        path.display(),
        plain(&tunnel.name),
        tunnel.id
    ))
}

fn secret(given: Option<&str>) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        let mut secret = Zeroizing::new(vec![0; SECRET_BYTES_MIN]);
        getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("this machine gives no random bytes: {error}"))?;
        return Ok(secret);
    };
    // The value is not repeated: it is a secret, if a wrong one.
    let secret = BASE64_STANDARD.decode(given.trim()).ok().map(Zeroizing::new);
    let secret = secret.context("--secret is not base64; make one with `openssl rand -base64 32`, or leave it out")?;
    ensure!(
        secret.len() >= SECRET_BYTES_MIN,
        "--secret has {} bytes, and needs {SECRET_BYTES_MIN} at least; make one with `openssl rand -base64 32`, or leave it out",
        secret.len()
    );
    Ok(secret)
}

/// A tunnel whose credentials are nowhere could not be run: it goes again.
async fn undo(session: &Session, tunnel: TunnelId, error: anyhow::Error) -> anyhow::Error {
    let path = format!("{}/cfd_tunnel/{tunnel}?cascade=true", session.account);
    match session.api.command(Method::DELETE, &path).await {
        Ok(()) => error.context("the tunnel was deleted again, since its credentials could not be kept"),
        Err(undo) => error.context(format!(
            "its credentials could not be kept, nor the tunnel be deleted again ({undo:#}); `poterne-agent tunnel delete {tunnel}` does"
        )),
    }
}

pub(crate) async fn list(session: &Session, flags: ListFlags) -> anyhow::Result<ExitCode> {
    let mut filters = Vec::new();
    if flags.show_deleted != Some(true) {
        filters.push(("is_deleted", "false".to_owned()));
    }
    for (key, given) in [("name", flags.name), ("name_prefix", flags.name_prefix), ("exclude_prefix", flags.exclude_name_prefix)]
    {
        filters.extend(given.filter(|given| !given.is_empty()).map(|given| (key, given)));
    }
    if let Some(when) = &flags.when {
        filters.push(("existed_at", WireTime::parse(when).with_context(|| format!("--when {when}"))?.to_string()));
    }
    if let Some(id) = &flags.id {
        filters.push(("uuid", id.parse::<TunnelId>().with_context(|| format!("--id {id}"))?.to_string()));
    }
    let mut tunnels = tunnels(session, &filters).await?;
    sort(&mut tunnels, &flags.sort_by, flags.invert_sort == Some(true));
    if let Some(format) = &flags.shape.output {
        return print(&Shown::List(tunnels.iter().map(|tunnel| Shown::Object(members(tunnel))).collect()).render(format)?);
    }
    if tunnels.is_empty() {
        return print("There is no tunnel that these flags mean. Create one: poterne-agent tunnel create NAME\n");
    }
    let mut rows = vec![row(["ID", "NAME", "CREATED", "CONNECTIONS"])];
    for tunnel in &tunnels {
        let edges = by_edge(&tunnel.connections, flags.show_recently_disconnected == Some(true));
        rows.push(vec![tunnel.id.to_string(), tunnel.name.clone(), seconds(tunnel.created_at), edges]);
    }
    print(&format!("More of each: poterne-agent tunnel info NAME\n{}", table(&rows)))
}

fn sort(tunnels: &mut [TunnelObject], field: &str, inverted: bool) {
    match field {
        "id" => tunnels.sort_by_key(|tunnel| tunnel.id),
        "createdAt" => tunnels.sort_by_key(|tunnel| tunnel.created_at),
        "deletedAt" => tunnels.sort_by_key(|tunnel| tunnel.deleted_at),
        "numConnections" => tunnels.sort_by_key(|tunnel| tunnel.connections.len()),
        other => {
            if other != "name" {
                tracing::error!("--sort-by {other}: use name, id, createdAt, deletedAt or numConnections; sorted by name");
            }
            tunnels.sort_by(|one, other| one.name.cmp(&other.name));
        }
    }
    if inverted {
        tunnels.reverse();
    }
}

/// `2xams01, 2xpar01`.
fn by_edge(connections: &[ConnectionObject], ending_too: bool) -> String {
    let mut edges: BTreeMap<&str, usize> = BTreeMap::new();
    for connection in connections.iter().filter(|connection| ending_too || !connection.is_pending_reconnect) {
        *edges.entry(&connection.colo_name).or_default() += 1;
    }
    edges.iter().map(|(edge, count)| format!("{count}x{edge}")).collect::<Vec<_>>().join(", ")
}

pub(crate) async fn info(session: &Session, flags: InfoFlags) -> anyhow::Result<ExitCode> {
    let id = find(session, &flags.tunnel).await?;
    let path = format!("{}/cfd_tunnel/{id}/connections", session.account);
    let mut connectors: Vec<ConnectorObject> = session.api.ask(Method::GET, &path, None).await?;
    match flags.sort_by.as_str() {
        "id" => connectors.sort_by_key(|connector| connector.id),
        "numConnections" => connectors.sort_by_key(|connector| connector.conns.len()),
        "version" => connectors.sort_by(|one, other| one.version.cmp(&other.version)),
        field => {
            if !["createdAt", "startedAt"].contains(&field) {
                tracing::error!("--sort-by {field}: use createdAt, id, numConnections or version; sorted by createdAt");
            }
            connectors.sort_by_key(|connector| connector.run_at);
        }
    }
    if flags.invert_sort == Some(true) {
        connectors.reverse();
    }
    let found = tunnels(session, &[("uuid", id.to_string())]).await?;
    let [tunnel] = found.as_slice() else {
        bail!("the API knows {} tunnels of the id {id}, where one was expected", found.len())
    };
    if let Some(format) = &flags.shape.output {
        let shown = vec![
            (("id", "id"), Shown::word(tunnel.id)),
            (("name", "name"), Shown::Text(tunnel.name.clone())),
            (("createdAt", "createdat"), Shown::Time(Some(tunnel.created_at))),
            (("conns", "connectors"), Shown::List(connectors.iter().map(connector).collect())),
        ];
        return print(&Shown::Object(shown).render(format)?);
    }
    if connectors.is_empty() {
        return print(&format!("No agent runs tunnel {id}: it has no active connection.\n"));
    }
    let mut rows = vec![row(["CONNECTOR ID", "CREATED", "ARCHITECTURE", "VERSION", "ORIGIN IP", "EDGE"])];
    for connector in &connectors {
        let edges = by_edge(&connector.conns, flags.show_recently_disconnected == Some(true));
        if edges.is_empty() {
            continue;
        }
        let address = connector.conns.first().and_then(|connection| connection.origin_ip);
        let address = address.map_or_else(String::new, |address| address.to_string());
        rows.push(vec![
            connector.id.to_string(),
            seconds(connector.run_at),
            connector.arch.clone(),
            connector.version.clone(),
            address,
            edges,
        ]);
    }
    let head = format!("NAME:     {}\nID:       {id}\nCREATED:  {}\n\n", plain(&tunnel.name), with_zone(tunnel.created_at));
    let below = if rows.len() > 1 { table(&rows) } else { "No agent runs it now.\n".to_owned() };
    print(&(head + &below))
}

pub(crate) async fn delete(session: &Session, flags: DeleteFlags) -> anyhow::Result<ExitCode> {
    for id in find_all(session, &flags.tunnels).await? {
        let path = format!("{}/cfd_tunnel/{id}", session.account);
        let tunnel: TunnelObject = session.api.ask(Method::GET, &path, None).await.with_context(|| format!("tunnel {id}"))?;
        ensure!(tunnel.deleted_at.is_none(), "tunnel {id} was deleted before");
        let query = if flags.force == Some(true) { "?cascade=true" } else { "" };
        let deleted = session.api.command(Method::DELETE, &format!("{path}{query}")).await;
        deleted.with_context(|| format!("tunnel {id} was not deleted"))?;
        if let Some(path) = session.credentials_found(id)
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::info!(path = %path.display(), %error, "tunnel {id} is gone; its credentials, which are worthless now, could not be removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One that cannot be cleaned up does not keep the others from it, and is told by the exit code.
pub(crate) async fn clean_up(session: &Session, flags: CleanupFlags) -> anyhow::Result<ExitCode> {
    let connector = flags.connector_id.filter(|id| !id.is_empty());
    let connector: Option<ConnectorId> = match &connector {
        Some(id) => Some(id.parse().with_context(|| format!("--connector-id {id}"))?),
        None => None,
    };
    let query = connector.map_or_else(String::new, |id| format!("?client_id={id}"));
    let mut outcome = ExitCode::SUCCESS;
    for id in find_all(session, &flags.tunnels).await? {
        let path = format!("{}/cfd_tunnel/{id}/connections{query}", session.account);
        match session.api.command(Method::DELETE, &path).await {
            Ok(()) => {
                tracing::info!(tunnelID = %id, "The connections of tunnel {id} are closed; agents that still run come back")
            }
            Err(error) => {
                tracing::error!("The connections of tunnel {id} were not closed: {error:#}");
                outcome = ExitCode::FAILURE;
            }
        }
    }
    Ok(outcome)
}

pub(crate) async fn token(session: &Session, tunnel: &str) -> anyhow::Result<ExitCode> {
    let id = find(session, tunnel).await?;
    let text: Zeroizing<String> =
        Zeroizing::new(session.api.ask(Method::GET, &format!("{}/cfd_tunnel/{id}/token", session.account), None).await?);
    let token = TunnelToken::parse(&text)?;
    if let Some(path) = &session.credentials_file {
        write_credentials(path, &Credentials(token))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("{}\n", token.encode()))
}

async fn tunnels(session: &Session, filters: &[(&str, String)]) -> anyhow::Result<Vec<TunnelObject>> {
    session.api.list(&format!("{}/cfd_tunnel", session.account), filters).await
}

async fn named(session: &Session, name: &str) -> anyhow::Result<Option<TunnelId>> {
    let found = tunnels(session, &[("is_deleted", "false".to_owned()), ("name", name.to_owned())]).await?;
    Ok(found.iter().find(|tunnel| tunnel.name == name).map(|tunnel| tunnel.id))
}

/// By UUID, or by name.
pub(crate) async fn find(session: &Session, tunnel: &str) -> anyhow::Result<TunnelId> {
    if let Ok(id) = tunnel.parse() {
        return Ok(id);
    }
    named(session, tunnel).await?.with_context(|| {
        format!("{tunnel} is neither the ID nor the name of a tunnel of this account; `poterne-agent tunnel list` shows them")
    })
}

/// All before anything is done to one.
async fn find_all(session: &Session, tunnels: &[String]) -> anyhow::Result<Vec<TunnelId>> {
    let mut ids = Vec::new();
    for tunnel in tunnels {
        ids.push(find(session, tunnel).await?);
    }
    Ok(ids)
}

fn members(tunnel: &TunnelObject) -> Vec<((&'static str, &'static str), Shown)> {
    vec![
        (("id", "id"), Shown::word(tunnel.id)),
        (("name", "name"), Shown::Text(tunnel.name.clone())),
        (("created_at", "createdat"), Shown::Time(Some(tunnel.created_at))),
        (("deleted_at", "deletedat"), Shown::Time(tunnel.deleted_at)),
        (("connections", "connections"), Shown::List(tunnel.connections.iter().map(connection).collect())),
    ]
}

fn connection(connection: &ConnectionObject) -> Shown {
    let address = connection.origin_ip.map_or_else(String::new, |address| address.to_string());
    Shown::Object(vec![
        (("colo_name", "coloname"), Shown::Text(connection.colo_name.clone())),
        (("id", "id"), Shown::word(connection.id)),
        (("is_pending_reconnect", "ispendingreconnect"), Shown::Truth(connection.is_pending_reconnect)),
        (
            ("origin_ip", "originip"),
            if connection.origin_ip.is_some_and(|ip| ip.is_ipv4()) { Shown::Word(address) } else { Shown::Text(address) },
        ),
        (("opened_at", "openedat"), Shown::Time(Some(connection.opened_at))),
    ])
}

fn connector(connector: &ConnectorObject) -> Shown {
    Shown::Object(vec![
        (("id", "id"), Shown::word(connector.id)),
        (("features", "features"), Shown::List(connector.features.iter().cloned().map(Shown::Text).collect())),
        (("version", "version"), Shown::Text(connector.version.clone())),
        (("arch", "arch"), Shown::Text(connector.arch.clone())),
        (("run_at", "runat"), Shown::Time(Some(connector.run_at))),
        (("conns", "connections"), Shown::List(connector.conns.iter().map(connection).collect())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(name: &str, created: &str, edges: &[(&str, bool)]) -> TunnelObject {
        let id = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
        let connection = |(edge, ending): &(&str, bool)| json!({"id": id, "colo_name": edge, "is_pending_reconnect": ending, "opened_at": created, "origin_ip": "192.0.2.7"});
        let connections: Vec<_> = edges.iter().map(connection).collect();
        serde_json::from_value(json!({"id": id, "name": name, "created_at": created, "connections": connections})).unwrap()
    }

    #[test]
    fn connections_are_counted_by_edge() {
        let tunnel =
            tunnel("web", "2026-01-02T03:04:05Z", &[("par01", false), ("ams01", false), ("par01", false), ("lhr01", true)]);
        assert_eq!(by_edge(&tunnel.connections, false), "1xams01, 2xpar01");
        assert_eq!(by_edge(&tunnel.connections, true), "1xams01, 1xlhr01, 2xpar01");
        assert_eq!(by_edge(&[], true), "");
    }

    #[test]
    fn lists_are_sorted_by_whatever_is_asked() {
        let mut all = vec![tunnel("b", "2026-01-01T00:00:00Z", &[("x", false)]), tunnel("a", "2026-01-02T00:00:00Z", &[])];
        let mut names = |field: &str, inverted: bool| {
            sort(&mut all, field, inverted);
            all.iter().map(|tunnel| tunnel.name.clone()).collect::<String>()
        };
        assert_eq!((names("name", false), names("name", true)), ("ab".into(), "ba".into()));
        assert_eq!((names("createdAt", false), names("numConnections", false)), ("ba".into(), "ab".into()));
        assert_eq!(names("colour", false), "ab");
    }

    #[test]
    fn a_secret_is_random_or_long_enough_and_never_repeated() {
        assert_ne!(*secret(None).unwrap(), *secret(None).unwrap());
        assert_eq!(secret(Some(&BASE64_STANDARD.encode([7; 40]))).unwrap().len(), 40);
        let short = BASE64_STANDARD.encode([7; 31]);
        for wrong in [short.as_str(), "s3cret!"] {
            let error = secret(Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("openssl rand -base64 32") && !error.contains(wrong), "{error}");
        }
    }
}
