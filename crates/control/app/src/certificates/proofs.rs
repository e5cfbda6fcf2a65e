//! What authorities are to be shown: challenges that this program puts by itself, by whichever way.

use std::time::Duration;

use poterne_acme::{Method, Proof};
use poterne_control_store::{Challenge, Zone};
use poterne_keys::random_bytes;
use poterne_model::{ChallengeId, Name};

use crate::{
    App, AppError,
    challenges::{CHALLENGES_OF_ZONE_MAX, owner},
};

/// How long a proof is shown, in seconds: longer than an order takes, and not for ever where nobody takes it away.
const PROOF_SECS: i64 = 1800;

/// What is shown, until it is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofsShown {
    /// The challenges.
    pub ids: Vec<ChallengeId>,
    /// The store's change that put them.
    pub change: u64,
}

impl App {
    /// Puts what proves names of a zone. Nodes show it once they have applied the change ([`App::is_live_within`]).
    ///
    /// # Errors
    /// It could not be seen, or there is too much.
    pub async fn proofs_put(&self, zone: &Zone, proofs: &[Proof]) -> Result<ProofsShown, AppError> {
        let mut session = self.0.store.write().await?;
        let now = self.instant();
        let standing = session.challenges(Some(zone.id)).await?;
        let live = standing.iter().filter(|challenge| challenge.expires_at > now.as_micros()).count();
        if live + proofs.len() > 2 * CHALLENGES_OF_ZONE_MAX {
            let why = format!("{live} are shown for {} already", zone.apex);
            return Err(AppError::Invalid { what: "challenge", why });
        }
        let mut ids = Vec::with_capacity(proofs.len());
        for proof in proofs {
            let shown_at = if proof.method == Method::Dns01 {
                let owner = owner(&proof.name)?;
                self.may_be_seen(&mut session, zone, &owner).await?;
                owner
            } else {
                proof.name.clone()
            };
            let challenge = Challenge {
                id: ChallengeId::from_bytes(random_bytes()),
                zone: zone.id,
                kind: proof.method.as_str().to_owned(),
                owner: shown_at,
                token: proof.token.clone(),
                text: proof.text.clone(),
                created_at: now.as_micros(),
                expires_at: now.plus_secs(PROOF_SECS).as_micros(),
            };
            session.insert_challenge(&challenge).await?;
            ids.push(challenge.id);
        }
        let change = session.commit().await?;
        Ok(ProofsShown { ids, change })
    }

    /// Whether every live node obeys a change, waited for so long at most.
    pub async fn is_live_within(&self, change: u64, wait: Duration) -> bool {
        let Some(mut live) = self.live() else { return false };
        let reached = live.wait_for(|live| live.change >= change);
        matches!(tokio::time::timeout(wait, reached).await, Ok(Ok(_)))
    }

    /// Takes away what was shown.
    pub async fn proofs_remove(&self, ids: &[ChallengeId]) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        for id in ids {
            session.delete_challenge(*id).await?;
        }
        session.commit().await?;
        Ok(())
    }

    /// Whether a TXT record that this node shows would not be seen for one of these names: a CNAME of the user's stands there, or the name
    /// is delegated.
    pub async fn proof_by_record_is_blind(&self, zone: &Zone, hosts: &[Name]) -> Result<bool, AppError> {
        let mut session = self.0.store.read().await?;
        for host in hosts {
            match self.may_be_seen(&mut session, zone, &owner(host)?).await {
                Ok(()) => {}
                Err(AppError::Invalid { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
