//! Tunnels as the API's objects: by account and id, deleted ones included where one asks for them.

use poterne_control_store::{ConfigSource, Configuration, Session, StatusFilter, StoreError, Tunnel, TunnelFilter};
use poterne_feed::Command;
use poterne_keys::Secret;
use poterne_model::{AccountId, At, ConnectorId, TunnelId, TunnelStatus};
use serde_json::json;

use crate::{
    App, AppError, Caller, Token, TunnelInfo,
    access::{Permission, Subject, Target},
    configuration,
    route::MANAGED_BY_TUNNEL,
    tunnels::{check_tunnel_name, shown, traced},
};

impl App {
    /// Part of an account's tunnels that pass, oldest first, as they are; and how many pass in all. `statuses`: those alone that are
    /// so, if any is named.
    pub async fn tunnel_page(
        &self,
        caller: &Caller,
        account: AccountId,
        filter: TunnelFilter,
        statuses: Option<Vec<TunnelStatus>>,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<TunnelInfo>, u64), AppError> {
        caller.needs(Subject::Tunnels.to_read(), Target::Account(account))?;
        let statuses = statuses.map(|wanted| StatusFilter { wanted, nodes: self.settings().nodes, now: self.now() });
        let mut session = self.0.store.read().await?;
        let (tunnels, total) = session.tunnel_list(account, &TunnelFilter { statuses, ..filter }, offset, count).await?;
        let mut described = Vec::with_capacity(tunnels.len());
        for tunnel in tunnels {
            described.push(self.info(&mut session, tunnel).await?);
        }
        Ok((described, total))
    }

    /// How these tunnels are; what a list shows of the part that is looked at.
    pub async fn tunnels_described(&self, tunnels: Vec<Tunnel>) -> Result<Vec<TunnelInfo>, AppError> {
        let mut session = self.0.store.read().await?;
        let mut described = Vec::with_capacity(tunnels.len());
        for tunnel in tunnels {
            described.push(self.info(&mut session, tunnel).await?);
        }
        Ok(described)
    }

    /// One of them, deleted or not.
    pub async fn tunnel_object(&self, caller: &Caller, account: AccountId, id: TunnelId) -> Result<TunnelInfo, AppError> {
        let mut session = self.0.store.read().await?;
        let tunnel = ever(&mut session, caller, account, id, Subject::Tunnels.to_read()).await?;
        self.info(&mut session, tunnel).await
    }

    /// Calls a tunnel otherwise, or gives it another secret: agents connected with the old one stay, and do not come back.
    pub async fn tunnel_change(
        &self,
        caller: &Caller,
        account: AccountId,
        id: TunnelId,
        name: Option<&str>,
        secret: Option<Secret>,
    ) -> Result<TunnelInfo, AppError> {
        let mut session = self.0.store.write().await?;
        let mut tunnel = live(&mut session, caller, account, id, Subject::Tunnels.to_edit()).await?;
        let old = shown(&tunnel);
        if let Some(name) = name {
            check_tunnel_name(name)?;
            match session.rename_tunnel(account, id, name).await {
                Err(StoreError::Conflict(_)) => return Err(AppError::TunnelExists(name.to_owned())),
                done => done?,
            }
            name.clone_into(&mut tunnel.name);
        }
        if let Some(secret) = secret {
            for old in session.secrets(id).await? {
                session.delete_secret(id, &old.digest).await?;
            }
            self.keep_secret(&mut session, id, &secret).await?;
        }
        self.trace(&mut session, caller, traced("update", &tunnel, Some(old), Some(shown(&tunnel)))).await?;
        let info = self.info(&mut session, tunnel).await?;
        self.finish(session).await?;
        Ok(info)
    }

    /// Deletes a tunnel. With `cascade` its connections are dropped and its routes go too; without, being in use is a refusal.
    pub async fn tunnel_remove(
        &self,
        caller: &Caller,
        account: AccountId,
        id: TunnelId,
        cascade: bool,
    ) -> Result<Tunnel, AppError> {
        let mut session = self.0.store.write().await?;
        let tunnel = live(&mut session, caller, account, id, Subject::Tunnels.to_edit()).await?;
        let connections = self.connection_count(&mut session, id).await?;
        if connections > 0 && !cascade {
            return Err(AppError::TunnelConnected { name: tunnel.name, connections });
        }
        self.check_unrouted(&mut session, &tunnel, cascade).await?;
        let deleted = self.delete_in(&mut session, tunnel, MANAGED_BY_TUNNEL).await?;
        self.trace(&mut session, caller, traced("delete", &deleted.tunnel, Some(shown(&deleted.tunnel)), None)).await?;
        self.tell_of_tunnel(&mut session, caller, &deleted.tunnel).await?;
        self.finish(session).await?;
        tracing::info!(tunnel = %id, name = deleted.tunnel.name, "tunnel deleted");
        Ok(deleted.tunnel)
    }

    /// All an agent needs. Whoever may change a tunnel may run it.
    pub async fn tunnel_token_of(&self, caller: &Caller, account: AccountId, id: TunnelId) -> Result<Token, AppError> {
        let mut session = self.0.store.read().await?;
        let tunnel = live(&mut session, caller, account, id, Subject::Tunnels.to_edit()).await?;
        let secret = self.newest_secret(&mut session, id).await?;
        Ok(self.token(&tunnel, &secret))
    }

    /// A tunnel's configuration; none while nobody has set one.
    pub async fn tunnel_configuration(
        &self,
        caller: &Caller,
        account: AccountId,
        id: TunnelId,
    ) -> Result<(Tunnel, Option<Configuration>), AppError> {
        let mut session = self.0.store.read().await?;
        let tunnel = ever(&mut session, caller, account, id, Subject::Tunnels.to_read()).await?;
        let configuration = session.configuration(id).await?;
        Ok((tunnel, configuration))
    }

    /// Sets the next version of a tunnel's configuration from the body of a PUT, if agents would take it. A tunnel that was managed at its
    /// agent's is managed here from now on. Returns once the agents connected obey it, or after two seconds.
    pub async fn tunnel_configure(
        &self,
        caller: &Caller,
        account: AccountId,
        id: TunnelId,
        body: &At<'_>,
    ) -> Result<(Tunnel, Configuration), AppError> {
        let json = configuration::read_put(body)?.to_string();
        let mut session = self.0.store.write().await?;
        let mut tunnel = live(&mut session, caller, account, id, Subject::Tunnels.to_edit()).await?;
        let current = session.configuration(id).await?;
        let version = current.as_ref().map_or(0, |configuration| configuration.version) + 1;
        let next = Configuration { version, json, created_at: self.now() };
        session.insert_configuration(id, &next).await?;
        if tunnel.config_source == ConfigSource::Local {
            session.manage_tunnel_remotely(id).await?;
            tunnel.config_source = ConfigSource::Remote;
        }
        let (old, new) = (current.map(|old| value(&old.json)), value(&next.json));
        self.trace(&mut session, caller, traced("configure", &tunnel, old, Some(new))).await?;
        self.finish(session).await?;
        self.agents_configured(id).await;
        Ok((tunnel, next))
    }

    /// Drops a tunnel's connections, or one connector's: agents that still run come back.
    pub async fn tunnel_clean_up(
        &self,
        caller: &Caller,
        account: AccountId,
        id: TunnelId,
        connector: Option<ConnectorId>,
    ) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let tunnel = live(&mut session, caller, account, id, Subject::Tunnels.to_edit()).await?;
        session.send_command(&Command::DropConnections { tunnel: id, connector }, self.now()).await?;
        let new = json!({ "connector": connector.map(|id| id.to_string()) });
        self.trace(&mut session, caller, traced("clean_up", &tunnel, None, Some(new))).await?;
        self.finish(session).await
    }
}

/// The account's tunnel of that id, deleted or not.
async fn ever(
    session: &mut Session,
    caller: &Caller,
    account: AccountId,
    id: TunnelId,
    permission: Permission,
) -> Result<Tunnel, AppError> {
    caller.needs(permission, Target::Account(account))?;
    session.tunnel(id).await?.filter(|tunnel| tunnel.account == account).ok_or(AppError::NotFound("tunnel"))
}

/// The same, if it is not deleted.
pub(crate) async fn live(
    session: &mut Session,
    caller: &Caller,
    account: AccountId,
    id: TunnelId,
    permission: Permission,
) -> Result<Tunnel, AppError> {
    let tunnel = ever(session, caller, account, id, permission).await?;
    if tunnel.deleted_at.is_some() { Err(AppError::NotFound("tunnel")) } else { Ok(tunnel) }
}

fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap_or_default()
}
