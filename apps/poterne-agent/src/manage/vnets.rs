//! `tunnel vnet …`.

use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use http::Method;
use poterne_control_wire::private_network::VirtualNetworkObject;
use poterne_model::VirtualNetworkId;
use serde_json::{Map, json};

use super::{
    cli::{VnetListFlags, VnetVerb},
    render::{Shown, row, seconds, seconds_or_dash, table},
    session::Session,
};
use crate::print;

pub(crate) async fn vnet(session: &Session, verb: VnetVerb) -> anyhow::Result<ExitCode> {
    let base = format!("{}/teamnet/virtual_networks", session.account);
    match verb {
        VnetVerb::Add { default, name, comment } => {
            let body =
                json!({ "name": name, "comment": comment.unwrap_or_default(), "is_default_network": default == Some(true) });
            let added: VirtualNetworkObject = session.api.ask(Method::POST, &base, Some(&body)).await?;
            let default = if added.is_default_network { " (the account's default from now on)" } else { "" };
            print(&format!(
                "Added virtual network {name} with ID: {}{default}\n\
                 Networks are led in it by: poterne-agent tunnel route ip add --vnet {name} NETWORK TUNNEL\n",
                added.id
            ))
        }
        VnetVerb::List(flags) => list(session, flags).await,
        VnetVerb::Delete { force, vnet } => {
            let id = find(session, &vnet).await?;
            let query = if force == Some(true) { "?force=true" } else { "" };
            let _: VirtualNetworkObject = session.api.ask(Method::DELETE, &format!("{base}/{id}{query}"), None).await?;
            print(&format!("Deleted virtual network {vnet}\n"))
        }
        VnetVerb::Update { name, comment, default, vnet } => {
            let mut body = Map::new();
            for (key, given) in [
                ("name", name.map(Into::into)),
                ("comment", comment.map(Into::into)),
                ("is_default_network", default.map(Into::into)),
            ] {
                body.extend(given.map(|given| (key.to_owned(), given)));
            }
            ensure!(!body.is_empty(), "nothing is to be changed: give --name, --comment or --default");
            let id = find(session, &vnet).await?;
            let _: VirtualNetworkObject = session.api.ask(Method::PATCH, &format!("{base}/{id}"), Some(&body.into())).await?;
            print(&format!("Updated virtual network {vnet}\n"))
        }
    }
}

async fn networks(session: &Session, filters: &[(&str, String)]) -> anyhow::Result<Vec<VirtualNetworkObject>> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish();
    let path = format!("{}/teamnet/virtual_networks?{query}", session.account);
    // Not in pages (api-v4 §1.4).
    session.api.ask(Method::GET, &path, None).await
}

/// By UUID, or by name.
pub(crate) async fn find(session: &Session, vnet: &str) -> anyhow::Result<VirtualNetworkId> {
    if let Ok(id) = vnet.parse() {
        return Ok(id);
    }
    let found = networks(session, &[("is_deleted", "false".to_owned()), ("name", vnet.to_owned())]).await?;
    let found = found.iter().find(|network| network.name == vnet);
    found.map(|network| network.id).with_context(|| {
        format!("{vnet} is neither the ID nor the name of a virtual network; `poterne-agent tunnel vnet list` shows them")
    })
}

async fn list(session: &Session, flags: VnetListFlags) -> anyhow::Result<ExitCode> {
    let mut filters = vec![("is_deleted", (flags.show_deleted == Some(true)).to_string())];
    if let Some(id) = &flags.id {
        filters.push(("id", id.parse::<VirtualNetworkId>().context("--id")?.to_string()));
    }
    filters.extend(flags.name.filter(|name| !name.is_empty()).map(|name| ("name", name)));
    filters.extend(flags.is_default.map(|truth| ("is_default", truth.to_string())));
    let found = networks(session, &filters).await?;
    if let Some(format) = &flags.shape.output {
        return print(&Shown::List(found.iter().map(shown).collect()).render(format)?);
    }
    if found.is_empty() {
        return print("There is no virtual network that these flags mean. Add one: poterne-agent tunnel vnet add NAME\n");
    }
    let mut rows = vec![row(["ID", "NAME", "IS DEFAULT", "COMMENT", "CREATED", "DELETED"])];
    rows.extend(found.iter().map(|one| {
        let (created, deleted) = (seconds(one.created_at), seconds_or_dash(one.deleted_at));
        vec![one.id.to_string(), one.name.clone(), one.is_default_network.to_string(), one.comment.clone(), created, deleted]
    }));
    print(&table(&rows))
}

fn shown(one: &VirtualNetworkObject) -> Shown {
    Shown::Object(vec![
        (("id", "id"), Shown::word(one.id)),
        (("comment", "comment"), Shown::Text(one.comment.clone())),
        (("name", "name"), Shown::Text(one.name.clone())),
        (("is_default_network", "isdefault"), Shown::Truth(one.is_default_network)),
        (("created_at", "createdat"), Shown::Time(Some(one.created_at))),
        (("deleted_at", "deletedat"), Shown::Time(one.deleted_at)),
    ])
}
