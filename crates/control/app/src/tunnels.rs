//! Tunnels: making, showing, deleting.

use poterne_control_store::{ConfigSource, Session, StoreError, Tunnel};
use poterne_feed::Command;
use poterne_keys::{Secret, random_bytes};
use poterne_model::{
    AccountId, ConnectorInfo, Name, TunnelId, TunnelStatus,
    tunnel::{StatusFacts, connections_wanted},
};
use serde_json::json;

use crate::{
    App, AppError, Caller, Token,
    access::{Subject, Target},
    audit::Traced,
    route::{MANAGED_BY_TUNNEL, tunnel_name},
    secrets::new_secret,
};

/// Longest name of a tunnel, in characters.
const TUNNEL_NAME_MAX: usize = 100;

/// A tunnel as it is born.
#[derive(Debug, Clone)]
pub struct NewTunnel {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// Its token.
    pub token: Token,
    /// Its secret, told this once.
    pub secret: Secret,
}

/// A tunnel as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct TunnelInfo {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// How it is.
    pub status: TunnelStatus,
    /// Since when, in seconds since the Unix epoch; none while it never was connected.
    pub since: Option<u64>,
    /// The agents connected now.
    pub connectors: Vec<ConnectorInfo>,
    /// The hostnames of its rules here; empty for a tunnel whose agent brings its own.
    pub hostnames: Vec<Name>,
}

/// What deleting a tunnel took away, and what it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// Names whose record went with it.
    pub removed: Vec<Name>,
    /// Names that still point to it, because somebody else made their record: visitors there get error 1016 (edge-behaviour
    /// §1.7, §2.6).
    pub left: Vec<Name>,
}

impl App {
    /// Makes a tunnel in the node's first account.
    pub async fn tunnel_create(&self, caller: &Caller, name: &str, config_source: ConfigSource) -> Result<NewTunnel, AppError> {
        self.tunnel_create_in(caller, self.account(), name, config_source, None).await
    }

    /// Makes a tunnel. Its name is unique among the account's live ones; without a secret it is given one.
    pub async fn tunnel_create_in(
        &self,
        caller: &Caller,
        account: AccountId,
        name: &str,
        config_source: ConfigSource,
        secret: Option<Secret>,
    ) -> Result<NewTunnel, AppError> {
        caller.needs(Subject::Tunnels.to_edit(), Target::Account(account))?;
        check_tunnel_name(name)?;
        let mut session = self.0.store.write().await?;
        let tunnel = Tunnel {
            id: TunnelId::from_random_bytes(random_bytes()),
            account,
            name: name.to_owned(),
            config_source,
            created_at: self.now(),
            deleted_at: None,
            conns_active_at: None,
            conns_inactive_at: None,
            first_connected_at: None,
            last_loss_at: None,
            quick: false,
            expires_at: None,
        };
        match session.insert_tunnel(&tunnel).await {
            Err(StoreError::Conflict(_)) => return Err(AppError::TunnelExists(name.to_owned())),
            done => done?,
        }
        let secret = secret.unwrap_or_else(new_secret);
        self.keep_secret(&mut session, tunnel.id, &secret).await?;
        self.trace(&mut session, caller, traced("create", &tunnel, None, Some(shown(&tunnel)))).await?;
        self.tell_of_tunnel(&mut session, caller, &tunnel).await?;
        self.finish(session).await?;
        tracing::info!(tunnel = %tunnel.id, name, account = %tunnel.account, "tunnel created");
        let token = self.token(&tunnel, &secret);
        Ok(NewTunnel { tunnel, token, secret })
    }

    /// The account's live tunnels, oldest first.
    pub async fn tunnel_list(&self, caller: &Caller) -> Result<Vec<TunnelInfo>, AppError> {
        caller.needs(Subject::Tunnels.to_read(), Target::Account(self.account()))?;
        let mut session = self.0.store.read().await?;
        let mut infos = Vec::new();
        for tunnel in session.tunnels(Some(self.account())).await? {
            infos.push(self.info(&mut session, tunnel).await?);
        }
        Ok(infos)
    }

    /// A tunnel, by name or id.
    pub async fn tunnel_info(&self, caller: &Caller, tunnel: &str) -> Result<TunnelInfo, AppError> {
        caller.needs(Subject::Tunnels.to_read(), Target::Account(self.account()))?;
        let mut session = self.0.store.read().await?;
        let tunnel = self.find_tunnel(&mut session, tunnel).await?;
        self.info(&mut session, tunnel).await
    }

    /// Deletes a tunnel and the records this instance made for it. Refused while agents are connected, unless `force` drops them.
    pub async fn tunnel_delete(&self, caller: &Caller, tunnel: &str, force: bool) -> Result<Deleted, AppError> {
        caller.needs(Subject::Tunnels.to_edit(), Target::Account(self.account()))?;
        let mut session = self.0.store.write().await?;
        let tunnel = self.find_tunnel(&mut session, tunnel).await?;
        let connections = self.connection_count(&mut session, tunnel.id).await?;
        if connections > 0 && !force {
            return Err(AppError::TunnelConnected { name: tunnel.name, connections });
        }
        self.check_unrouted(&mut session, &tunnel, force).await?;
        let deleted = self.delete_in(&mut session, tunnel, MANAGED_BY_TUNNEL).await?;
        self.trace(&mut session, caller, traced("delete", &deleted.tunnel, Some(shown(&deleted.tunnel)), None)).await?;
        self.tell_of_tunnel(&mut session, caller, &deleted.tunnel).await?;
        self.finish(session).await?;
        tracing::info!(tunnel = %deleted.tunnel.id, name = deleted.tunnel.name, "tunnel deleted");
        Ok(deleted)
    }

    /// Deletes a tunnel within a transaction, with its records of this mark, and orders its connections dropped.
    pub(crate) async fn delete_in(&self, session: &mut Session, tunnel: Tunnel, mark: &str) -> Result<Deleted, AppError> {
        let now = self.now();
        let mut targets = vec![tunnel_name(tunnel.id)];
        let own = self.settings().tunnel_domain.map(|domain| Name::parse(&format!("{}.{domain}", tunnel.id)));
        targets.extend(own.and_then(Result::ok));
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        for target in targets {
            for record in session.cnames_to(tunnel.account, &target).await? {
                if record.managed_by.as_deref() == Some(mark) {
                    session.delete_record(record.id).await?;
                    removed.push(record.name);
                } else {
                    left.push(record.name);
                }
            }
        }
        session.delete_private_routes_of(tunnel.account, tunnel.id, now).await?;
        session.delete_tunnel(tunnel.id, now).await?;
        session.send_command(&Command::DropConnections { tunnel: tunnel.id, connector: None }, now).await?;
        Ok(Deleted { tunnel: Tunnel { deleted_at: Some(now), ..tunnel }, removed, left })
    }

    /// Refuses to delete a tunnel that private routes lead into, unless they go with it.
    pub(crate) async fn check_unrouted(&self, session: &mut Session, tunnel: &Tunnel, cascade: bool) -> Result<(), AppError> {
        let routes = session.private_route_count(tunnel.id).await?;
        if routes == 0 || cascade {
            return Ok(());
        }
        let why = format!("{routes} private routes lead into it: delete them first, or with it (cascade=true, --force)");
        Err(AppError::InUse { what: "tunnel", name: tunnel.name.clone(), why })
    }

    /// The account's live tunnel of this name or id; an id of another account is as unknown as one of nobody.
    pub(crate) async fn find_tunnel(&self, session: &mut Session, tunnel: &str) -> Result<Tunnel, AppError> {
        let found = match tunnel.parse::<TunnelId>() {
            Ok(id) => session.tunnel(id).await?.filter(|found| found.deleted_at.is_none() && found.account == self.account()),
            Err(_) => session.tunnel_named(self.account(), tunnel).await?,
        };
        found.ok_or_else(|| AppError::TunnelNotFound(tunnel.chars().take(TUNNEL_NAME_MAX).collect()))
    }
}

/// A tunnel for the trace; its secret is no part of it.
pub(crate) fn shown(tunnel: &Tunnel) -> serde_json::Value {
    json!({ "name": tunnel.name, "config_src": tunnel.config_source.as_str() })
}

pub(crate) fn traced(
    action: &'static str,
    tunnel: &Tunnel,
    old: Option<serde_json::Value>,
    new: Option<serde_json::Value>,
) -> Traced {
    Traced { account: Some(tunnel.account), action, kind: "tunnel", id: tunnel.id.to_string(), old, new, ..Traced::default() }
}

pub(crate) fn facts(tunnel: &Tunnel, connectors: &[ConnectorInfo], nodes: usize) -> StatusFacts {
    let live = |connector: &ConnectorInfo| connector.connections.iter().filter(|connection| !connection.draining).count();
    facts_of(tunnel, connectors.iter().map(live).max().unwrap_or(0), connectors.iter().map(live).sum(), nodes)
}

/// With so many live connections of the best connector, and in all.
pub(crate) fn facts_of(tunnel: &Tunnel, connections_of_best: usize, connections: usize, nodes: usize) -> StatusFacts {
    StatusFacts {
        connections_of_best,
        connections,
        wanted: connections_wanted(nodes, tunnel.quick),
        last_loss: tunnel.last_loss_at.map(seconds),
        first_connected: tunnel.first_connected_at.map(seconds),
    }
}

pub(crate) fn seconds(micros: i64) -> u64 {
    micros.max(0).unsigned_abs() / 1_000_000
}

pub(crate) fn check_tunnel_name(name: &str) -> Result<(), AppError> {
    let wrong = |why| Err(AppError::TunnelName { name: name.chars().take(TUNNEL_NAME_MAX).collect(), why });
    if name.trim().is_empty() || name.trim() != name {
        return wrong("it is empty, or begins or ends with a space");
    }
    if name.chars().count() > TUNNEL_NAME_MAX {
        return wrong("it is longer than 100 characters");
    }
    if name.chars().any(char::is_control) {
        return wrong("it has a control character");
    }
    if name.parse::<TunnelId>().is_ok() {
        return wrong("it has the form of a tunnel's id, and could not be told from one");
    }
    Ok(())
}
