//! `POST /tunnel`.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Extension, extract::State};
use poterne_control_app::App;
use poterne_control_wire::{Edges, QuickTunnel};

use crate::{
    ClientIp,
    answer::Answer,
    openapi::components::shown,
    routes::{Routes, open},
};

/// At the root, not under `/client/v4`.
pub(crate) fn routes() -> Routes {
    let about = "Tunnels without an account, where the operator has set a quick domain.";
    Routes::of("Quick tunnels", about).post("/tunnel", create, open("Make a quick tunnel").says([404, 429])).at_root()
}

shown![QuickTunnel];

async fn create(State(app): State<App>, client: Option<Extension<ClientIp>>) -> Result<Answer<QuickTunnel>, Answer<()>> {
    let source = client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(ClientIp(address))| address);
    let made = app.quick_tunnel_create(source).await?;
    let edges = app.announced().map(|announced| Edges::new(announced.edges, &announced.pin));
    Ok(Answer::success(QuickTunnel::new(made.id, made.name, made.hostname, made.account, made.secret.expose(), edges)))
}
