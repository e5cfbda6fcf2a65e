//! The token that opens a tunnel's agents for an hour.

use http::Method;
use poterne_tunnel_agent::Trust;
use poterne_tunnel_proto::management::token::Resource;

use super::{session::Session, tunnels};
use crate::cli::TunnelFlags;

/// Asks the API for it; also tells how the node is known.
pub(crate) async fn management_token(flags: &TunnelFlags, tunnel: &str, resource: Resource) -> anyhow::Result<(String, Trust)> {
    let session = Session::open(flags, None)?;
    let id = tunnels::find(&session, tunnel).await?;
    let path = format!("{}/cfd_tunnel/{id}/management/{}", session.account, resource.as_str());
    let token = session.api.ask(Method::POST, &path, None).await?;
    Ok((token, session.api.trust().clone()))
}
