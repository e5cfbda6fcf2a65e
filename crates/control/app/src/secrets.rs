//! Tokens, and the rotation of the secrets in them.

use std::fmt;

use poterne_control_store::{SealedSecret, Session, Tunnel};
use poterne_feed::Command;
use poterne_keys::{EnvelopeError, Purpose, Secret};
use poterne_model::TunnelId;
use poterne_tunnel_proto::token::{Poterne, Secret as WireSecret, TunnelToken};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
};

/// Bytes of a tunnel's secret; the wire asks for at least 32 (edge-behaviour §6.2).
const SECRET_BYTES: usize = 32;

/// What an agent needs to run a tunnel, as one text. `Display` shows it, `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A step in the rotation of a tunnel's secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Adds a secret: old and new both admit, so that replicas can be reinstalled one by one.
    Begin,
    /// Withdraws all but the newest: whoever is connected stays, nobody new comes with the old.
    Finish,
    /// After a leak: a new secret, the others withdrawn, every connection dropped.
    Revoke,
}

impl Token {
    /// The text, for a file or a terminal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl App {
    /// The token of a tunnel, with its newest secret.
    pub async fn tunnel_token(&self, caller: &Caller, tunnel: &str) -> Result<Token, AppError> {
        caller.needs(Subject::Tunnels.to_edit(), Target::Account(self.account()))?;
        let mut session = self.0.store.read().await?;
        let tunnel = self.find_tunnel(&mut session, tunnel).await?;
        let secret = self.newest_secret(&mut session, tunnel.id).await?;
        Ok(self.token(&tunnel, &secret))
    }

    /// Takes a step in rotating a tunnel's secret; returns the token to install from now on.
    pub async fn tunnel_rotate(&self, caller: &Caller, tunnel: &str, step: Rotation) -> Result<Token, AppError> {
        caller.needs(Subject::Tunnels.to_edit(), Target::Account(self.account()))?;
        let mut session = self.0.store.write().await?;
        let tunnel = self.find_tunnel(&mut session, tunnel).await?;
        if step != Rotation::Finish {
            self.add_secret(&mut session, tunnel.id).await?;
        }
        let keep = if step == Rotation::Begin { 2 } else { 1 };
        let secrets = session.secrets(tunnel.id).await?;
        for old in secrets.iter().rev().skip(keep) {
            session.delete_secret(tunnel.id, &old.digest).await?;
        }
        if step == Rotation::Revoke {
            session.send_command(&Command::DropConnections { tunnel: tunnel.id, connector: None }, self.now()).await?;
        }
        let secret = self.newest_secret(&mut session, tunnel.id).await?;
        self.finish(session).await?;
        tracing::info!(tunnel = %tunnel.id, account = %tunnel.account, ?step, "tunnel secret rotated");
        Ok(self.token(&tunnel, &secret))
    }

    /// Gives a tunnel one more secret.
    pub(crate) async fn add_secret(&self, session: &mut Session, tunnel: TunnelId) -> Result<Secret, AppError> {
        let secret = new_secret();
        self.keep_secret(session, tunnel, &secret).await?;
        Ok(secret)
    }

    /// Keeps a secret for a tunnel.
    pub(crate) async fn keep_secret(&self, session: &mut Session, tunnel: TunnelId, secret: &Secret) -> Result<(), AppError> {
        let sealed = self.0.keys.seal(Purpose::TunnelSecret, tunnel.as_bytes(), secret.expose());
        let row = SealedSecret { digest: secret.digest(), sealed, created_at: self.now() };
        Ok(session.insert_secret(tunnel, &row).await?)
    }

    pub(crate) async fn newest_secret(&self, session: &mut Session, tunnel: TunnelId) -> Result<Secret, AppError> {
        let newest = session.secrets(tunnel).await?.pop().ok_or(EnvelopeError::Format)?;
        Ok(self.0.keys.open(Purpose::TunnelSecret, tunnel.as_bytes(), &newest.sealed)?)
    }

    pub(crate) fn token(&self, tunnel: &Tunnel, secret: &Secret) -> Token {
        let token = TunnelToken {
            account: tunnel.account.to_string(),
            tunnel: tunnel.id,
            secret: WireSecret::new(secret.expose().to_vec()),
            endpoint: None,
            poterne: self.announced(),
        };
        Token(token.encode())
    }

    /// What our agent is told of where to go and whom to trust; none while this node has not said where agents reach it.
    pub fn announced(&self) -> Option<Poterne> {
        let settings = self.settings();
        (!settings.edges.is_empty()).then_some(Poterne { edges: settings.edges, pin: settings.pin })
    }
}

/// A secret as a tunnel is given one.
pub(crate) fn new_secret() -> Secret {
    Secret::random(SECRET_BYTES)
}
