//! Telling how tunnels are: looked at again and again, told when it is not as it was told last.
//!
//! The word itself is the model's, which forgives a connection that is missing for a moment ([`poterne_model::tunnel::status`]): nothing
//! is told of a node that was started again. What was told is kept, so that no two nodes tell it, nor one twice.

use std::time::Duration;

use poterne_control_store::{Session, Tunnel, TunnelTold};
use poterne_model::{Timestamp, TunnelStatus, notification::AlertType, tunnel::status};

use crate::{
    App, AppError, Caller,
    notice::Notice,
    tunnels::{facts_of, seconds},
};

/// How often tunnels are looked at, where somebody wants to know.
pub const LOOK_EVERY: Duration = Duration::from_secs(15);

impl App {
    /// Looks at the tunnels of accounts with a policy for it, and tells what changed; how many that were.
    pub async fn tunnels_look(&self) -> Result<usize, AppError> {
        let mut changed = Vec::new();
        let mut session = self.0.store.read().await?;
        let (now, nodes) = (seconds(self.now()), self.settings().nodes);
        for account in session.accounts_notified_of(AlertType::TunnelHealth).await? {
            for TunnelTold { tunnel, told, connections_of_best, connections } in session.tunnels_told(account).await? {
                let (is, since) = status(facts_of(&tunnel, connections_of_best, connections, nodes), now);
                if told != Some(is) {
                    changed.push((tunnel, told, is, since.unwrap_or(now)));
                }
            }
        }
        drop(session);
        if changed.is_empty() {
            return Ok(0);
        }
        let mut told = 0;
        let mut session = self.0.store.write().await?;
        for (tunnel, before, is, since) in changed {
            // Another node may have told it meanwhile.
            if session.tunnel_told(tunnel.id).await? != before {
                continue;
            }
            session.tell_tunnel(tunnel.id, is).await?;
            // What a tunnel was before anybody asked is no news.
            let Some(before) = before else { continue };
            self.tell_health(&mut session, &tunnel, before, is, since).await?;
            told += 1;
        }
        session.commit_silently().await?;
        Ok(told)
    }

    async fn tell_health(
        &self,
        session: &mut Session,
        tunnel: &Tunnel,
        before: TunnelStatus,
        status: TunnelStatus,
        since: u64,
    ) -> Result<(), AppError> {
        let at = Timestamp::from_secs(i64::try_from(since).unwrap_or(i64::MAX));
        let notice = Notice::TunnelHealth { tunnel: tunnel.id, name: tunnel.name.clone(), status, before, at };
        self.alert(session, tunnel.account, &notice).await.map(drop)
    }

    /// Tells that a tunnel came or went.
    pub(crate) async fn tell_of_tunnel(&self, session: &mut Session, caller: &Caller, tunnel: &Tunnel) -> Result<(), AppError> {
        let notice = Notice::TunnelUpdate {
            tunnel: tunnel.id,
            name: tunnel.name.clone(),
            deleted: tunnel.deleted_at.is_some(),
            by: caller.actor().email,
            at: self.instant(),
        };
        self.alert(session, tunnel.account, &notice).await.map(drop)
    }
}
