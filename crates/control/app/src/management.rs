//! Management tokens: what lets their holder speak with a tunnel's agents for an hour (tunnel-protocol §10.3).
//!
//! Nothing is kept of them but the trace: edges verify them by the public key that the snapshot carries.

use std::fmt;

use poterne_model::{AccountId, TunnelId};
use poterne_tunnel_proto::management::{
    STOCK_HOSTNAME,
    token::{Actor, Claims, Resource, Tunnel as TunnelClaim},
};
use serde_json::json;

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject},
    tunnel_objects::live,
    tunnels::traced,
};

/// How long a token opens what it is for.
const LIFE_SECS: u64 = 3600;

/// A token. `Display` shows it, `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct ManagementToken(String);

impl fmt::Display for ManagementToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ManagementToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ManagementToken(…)")
    }
}

impl App {
    /// A token for these resources of a tunnel's agents. Whoever may read tunnels may read their logs; the rest is for those who may
    /// change them.
    pub async fn management_token(
        &self,
        caller: &Caller,
        account: AccountId,
        tunnel: TunnelId,
        resources: &[Resource],
    ) -> Result<ManagementToken, AppError> {
        let mut session = self.0.store.write().await?;
        let tunnel = live(&mut session, caller, account, tunnel, permission(resources)).await?;
        let now = self.instant().as_secs().max(0).unsigned_abs();
        let iss = self.settings().management_hostname.unwrap_or_else(|| STOCK_HOSTNAME.to_owned());
        let claims = Claims {
            tun: TunnelClaim { id: tunnel.id.to_string(), account_tag: tunnel.account.to_string() },
            actor: Actor { id: actor(caller), support: false },
            res: Claims::words(resources),
            iat: now,
            exp: now + LIFE_SECS,
            iss,
        };
        let new = json!({ "resources": claims.res, "expires_in": LIFE_SECS });
        self.trace(&mut session, caller, traced("management_token", &tunnel, None, Some(new))).await?;
        // Nothing that a node obeys has changed.
        session.commit_silently().await?;
        Ok(ManagementToken(claims.encode(|bytes| self.0.management_key.sign(bytes))))
    }

    /// The same by a tunnel's name or id, for whoever asks on the node's own machine.
    pub async fn management_token_of(
        &self,
        caller: &Caller,
        tunnel: &str,
        resources: &[Resource],
    ) -> Result<ManagementToken, AppError> {
        caller.needs_operator()?;
        let tunnel = self.find_tunnel(&mut self.0.store.read().await?, tunnel).await?;
        self.management_token(caller, tunnel.account, tunnel.id, resources).await
    }

    /// The public key by which edges verify these tokens: a point of P-256, uncompressed.
    pub fn management_key(&self) -> Vec<u8> {
        self.0.management_key.public()
    }
}

fn permission(resources: &[Resource]) -> Permission {
    if resources.contains(&Resource::Admin) { Subject::Tunnels.to_edit() } else { Subject::Tunnels.to_read() }
}

/// Whom agents take a session's holder for.
fn actor(caller: &Caller) -> String {
    let person = caller.person().map(|person| person.id.to_string());
    person.or_else(|| caller.token().map(|token| token.id.to_string())).unwrap_or_else(|| "operator".to_owned())
}
