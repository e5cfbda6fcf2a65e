//! Challenges: what a certificate authority asks to be shown in a zone before it gives a certificate (RFC 8555 §8.4).
//!
//! They stand over a zone's records and not among them (edge-behaviour §1.8): no list shows them, no export has them, and no wildcard
//! gives way to them. A verb that puts one returns once this node shows it, so that whoever asked can tell the authority to look.

use poterne_acme::Method;
use poterne_control_store::{Challenge, Session, Zone};
use poterne_keys::random_bytes;
use poterne_model::{ChallengeId, Name, RecordType, ZoneId, name::ancestors};
use serde_json::Value;

use crate::{App, AppError, Caller};

/// Most challenges of a zone at once: two for each name of the largest certificate that is given.
pub const CHALLENGES_OF_ZONE_MAX: usize = 200;

/// Most at one name.
pub const CHALLENGES_OF_NAME_MAX: usize = 16;

/// How long one is shown at most, in seconds: as long as authorities wait.
pub const CHALLENGE_LIFE_SECS_MAX: i64 = 7 * 24 * 3600;

/// Longest text, in octets: one string of a TXT record.
const TEXT_MAX: usize = 255;

/// Most forgotten at once.
const EXPIRED_AT_ONCE: u32 = 1000;

/// What an owner begins with.
const PREFIX: &str = "_acme-challenge";

impl App {
    /// Shows a text at `_acme-challenge.` and the name, beside others that are shown there, for so many seconds. A wildcard is proven by
    /// the name it stands under. The same text again lasts for longer.
    ///
    /// # Errors
    /// It could not be seen: a CNAME of the user's stands there, or the name is delegated. Or there are too many.
    pub async fn challenge_put(
        &self,
        caller: &Caller,
        zone: ZoneId,
        name: &Name,
        text: &str,
        life_secs: i64,
    ) -> Result<Challenge, AppError> {
        caller.needs_operator()?;
        let mut session = self.0.store.write().await?;
        let zone = session.zone(zone).await?.ok_or(AppError::NotFound("zone"))?;
        self.put_challenge(session, &zone, name, text, life_secs).await
    }

    /// The same in whichever zone the name lies in: the one that serves, else one of the node's first account.
    pub async fn challenge_put_at(&self, caller: &Caller, name: &str, text: &str, life_secs: i64) -> Result<Challenge, AppError> {
        caller.needs_operator()?;
        let name = Name::parse(name)?;
        let mut session = self.0.store.write().await?;
        let zone = self.zone_of_challenge(&mut session, &name).await?;
        self.put_challenge(session, &zone, &name, text, life_secs).await
    }

    /// Shows it no more; false: it was not shown.
    pub async fn challenge_remove(&self, caller: &Caller, id: ChallengeId) -> Result<bool, AppError> {
        caller.needs_operator()?;
        let mut session = self.0.store.write().await?;
        let was_there = session.delete_challenge(id).await?;
        if was_there {
            self.finish(session).await?;
        }
        Ok(was_there)
    }

    /// Shows no challenge of a name any more, or not this one; those that are gone.
    pub async fn challenges_remove_at(
        &self,
        caller: &Caller,
        name: &str,
        text: Option<&str>,
    ) -> Result<Vec<Challenge>, AppError> {
        caller.needs_operator()?;
        let name = Name::parse(name)?;
        let owner = owner(&name)?;
        let mut session = self.0.store.write().await?;
        let zone = self.zone_of_challenge(&mut session, &name).await?;
        let mut gone = session.challenges(Some(zone.id)).await?;
        gone.retain(|challenge| challenge.owner == owner && text.is_none_or(|text| challenge.text == text));
        for challenge in &gone {
            session.delete_challenge(challenge.id).await?;
        }
        if !gone.is_empty() {
            self.finish(session).await?;
        }
        Ok(gone)
    }

    /// Forgets challenges whose time is over; returns how many. Called by the publisher, so it does not wait for publication. Name servers
    /// have not shown them since.
    pub async fn expire_challenges(&self) -> Result<usize, AppError> {
        if self.0.store.read().await?.challenges_expired(self.now(), 1).await?.is_empty() {
            return Ok(0);
        }
        let mut session = self.0.store.write().await?;
        let expired = session.challenges_expired(self.now(), EXPIRED_AT_ONCE).await?;
        for id in &expired {
            session.delete_challenge(*id).await?;
        }
        session.commit().await?;
        Ok(expired.len())
    }

    async fn zone_of_challenge(&self, session: &mut Session, name: &Name) -> Result<Zone, AppError> {
        if let Some(zone) = session.serving_zone_over(name).await? {
            return Ok(zone);
        }
        let own = session.zone_of_account_over(self.account(), name).await?;
        own.ok_or_else(|| AppError::NoZone { hostname: name.clone(), suggestion: name.to_string() })
    }

    async fn put_challenge(
        &self,
        mut session: Session,
        zone: &Zone,
        name: &Name,
        text: &str,
        life_secs: i64,
    ) -> Result<Challenge, AppError> {
        let invalid = |what, why: String| Err(AppError::Invalid { what, why });
        if !name.is_within(&zone.apex) {
            return invalid("name", format!("{name} is not in the zone {}", zone.apex));
        }
        if text.is_empty() || text.len() > TEXT_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid("text", format!("it must be 1 to {TEXT_MAX} visible ASCII characters, as the authority gave it"));
        }
        if !(1..=CHALLENGE_LIFE_SECS_MAX).contains(&life_secs) {
            return invalid("lifetime", format!("{life_secs} s is not between 1 s and {CHALLENGE_LIFE_SECS_MAX} s"));
        }
        let owner = owner(name)?;
        self.may_be_seen(&mut session, zone, &owner).await?;
        let (now, standing) = (self.instant(), session.challenges(Some(zone.id)).await?);
        let live = || standing.iter().filter(|challenge| challenge.expires_at > now.as_micros());
        let expires_at = now.plus_secs(life_secs).as_micros();
        if let Some(same) = live().find(|challenge| challenge.owner == owner && challenge.text == text) {
            let expires_at = same.expires_at.max(expires_at);
            session.extend_challenge(same.id, expires_at).await?;
            self.finish(session).await?;
            return Ok(Challenge { expires_at, ..same.clone() });
        }
        for (count, max, whose) in [
            (live().count(), CHALLENGES_OF_ZONE_MAX, &zone.apex),
            (live().filter(|challenge| challenge.owner == owner).count(), CHALLENGES_OF_NAME_MAX, &owner),
        ] {
            if count >= max {
                let why = format!("{max} are shown for {whose} already: take some away, or wait until they are over");
                return invalid("challenge", why);
            }
        }
        let (id, created_at) = (ChallengeId::from_bytes(random_bytes()), now.as_micros());
        let (kind, token) = (Method::Dns01.as_str().to_owned(), String::new());
        let challenge = Challenge { id, zone: zone.id, kind, owner, token, text: text.to_owned(), created_at, expires_at };
        session.insert_challenge(&challenge).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, owner = %challenge.owner, life_secs, "a challenge is shown");
        Ok(challenge)
    }

    /// Whether an authority that asks for the owner would be answered from this zone, and from nowhere else.
    pub(crate) async fn may_be_seen(&self, session: &mut Session, zone: &Zone, owner: &Name) -> Result<(), AppError> {
        let blind = |why: String| Err(AppError::Invalid { what: "challenge", why });
        for record in session.records_at(zone.id, owner.as_str()).await? {
            if record.kind == RecordType::Cname && !is_hidden(&record.settings) {
                let target = Name::parse(&record.content)?;
                if !target.is_within(&zone.apex) {
                    return blind(format!(
                        "{owner} is a CNAME to {target}: authorities are answered there; prove the name there, or delete the CNAME"
                    ));
                }
            }
        }
        for ancestor in ancestors(owner.as_str()).take_while(|name| name.len() > zone.apex.as_str().len()) {
            if session.records_at(zone.id, ancestor).await?.iter().any(|record| record.kind.as_str() == "NS") {
                return blind(format!("{ancestor} is delegated to other name servers: prove {owner} there"));
            }
        }
        Ok(())
    }
}

/// Whether a CNAME with these settings is flattened, and so not seen.
fn is_hidden(settings: &str) -> bool {
    serde_json::from_str::<Value>(settings).is_ok_and(|settings| settings["flatten_cname"] == Value::Bool(true))
}

/// Where a name is proven.
pub(crate) fn owner(name: &Name) -> Result<Name, AppError> {
    let proven = if name.is_wildcard() { name.parent() } else { None };
    let proven = proven.as_ref().unwrap_or(name);
    if proven.as_str().starts_with(PREFIX) {
        return Err(AppError::Invalid { what: "name", why: format!("write the name that is to be proven, without {PREFIX}") });
    }
    Ok(Name::parse(&format!("{PREFIX}.{proven}"))?)
}
