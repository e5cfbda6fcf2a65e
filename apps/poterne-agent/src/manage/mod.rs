//! The verbs that speak to a node's API: the stock agent's, with its flags and files.
//!
//! * [`cli`]: what may be typed; [`session`]: cert.pem, and with it the API; [`login`]: where cert.pem comes from;
//! * [`tunnels`], [`routes`], [`vnets`]: the verbs; [`render`]: tables, JSON and YAML;
//! * [`management`]: the token that `tail` needs;
//! * [`api`]: requests, pages and refusals; the shapes are `poterne_control_wire`'s.
//!
//! What is shown goes to stdout; what `route` and `cleanup` did is logged, as the stock agent does.

mod api;
pub(crate) mod cli;
mod login;
mod management;
mod render;
mod routes;
pub(crate) mod session;
mod tunnels;
mod vnets;

use std::process::ExitCode;

use poterne_telemetry::logs;

pub(crate) use self::management::management_token;
use self::{
    cli::{LoginFlags, ManageVerb},
    session::Session,
};
use crate::{
    cli::{RootFlags, TunnelFlags},
    run,
    settings::Settings,
};

/// `tunnel create`, `list`, `info`, `delete`, `cleanup`, `token`, `route`, `vnet` and `login`.
pub(crate) fn verb(root: &RootFlags, flags: TunnelFlags, verb: ManageVerb) -> anyhow::Result<ExitCode> {
    // A log that goes to a script is still read by people.
    run::log_to(root, logs::Format::Text)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let ManageVerb::Login(login) = verb {
        return runtime.block_on(Box::pin(login::log_in(login)));
    }
    // Of the line alone: what config.yml says of credentials is for the tunnel that runs.
    let credentials_file = flags.credentials_file.clone();
    let settings = Settings::new(flags, run::local_file(root)?)?;
    runtime.block_on(Box::pin(async {
        let session = Session::open(&settings.flags, credentials_file)?;
        match verb {
            ManageVerb::Login(_) => unreachable!("done above"),
            ManageVerb::Create(create) => tunnels::create(&session, create).await,
            ManageVerb::List(list) => tunnels::list(&session, list).await,
            ManageVerb::Info(info) => tunnels::info(&session, info).await,
            ManageVerb::Delete(delete) => tunnels::delete(&session, delete).await,
            ManageVerb::Cleanup(cleanup) => tunnels::clean_up(&session, cleanup).await,
            ManageVerb::Token(one) => tunnels::token(&session, &one.tunnel).await,
            ManageVerb::Route(route) => routes::route(&session, route).await,
            ManageVerb::Vnet(vnet) => vnets::vnet(&session, vnet).await,
        }
    }))
}

/// `login`.
pub(crate) fn log_in(root: &RootFlags, login: LoginFlags) -> anyhow::Result<ExitCode> {
    verb(root, TunnelFlags::default(), ManageVerb::Login(login))
}
