//! Who shows which credentials.
//!
//! Secrets are long and random: what is kept of one is its SHA-256, by which it is found. What was found is remembered for a moment
//! ([`REMEMBERED_FOR`]), so that a client that asks a hundred times a second is looked up once; whatever changes a token, a person
//! or a membership in this process makes all of it forgotten, also what a look has found that began before it. Looks that find nobody are counted ([`refusals`](crate::refusals)).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use poterne_control_store::{ApiToken, Micros, Person, Session, TokenOwner, UserSession};
use poterne_keys::sha256;

use crate::{
    App, AppError, SignInError,
    access::{Caller, Identity, Request},
    metrics::{Numbers, number},
    refusals::{Refusals, Verdict},
    sign_in,
};

/// How long another process's change to a token may go unseen.
const REMEMBERED_FOR: Micros = 2_000_000;

/// Identities remembered.
const REMEMBERED_MAX: usize = 10_000;

/// How exactly `last_used_on` is kept.
const USE_NOTED_EVERY: Micros = 60_000_000;

/// What a request showed.
#[derive(Debug, Clone, Copy)]
pub enum Credentials<'r> {
    /// An API token.
    Token(&'r str),
    /// An e-mail address and its owner's global key.
    Key {
        /// The address.
        email: &'r str,
        /// The key.
        key: &'r str,
    },
    /// What the browser of somebody who is signed in shows.
    Session(&'r str),
}

impl Credentials<'_> {
    /// What is said where nobody has them.
    fn unknown(&self) -> AppError {
        match self {
            Self::Token(_) => AppError::UnknownToken,
            Self::Key { .. } => AppError::UnknownKey,
            Self::Session(_) => SignInError::SessionOver.into(),
        }
    }
}

/// By the digest of what was shown: since when, and who.
type Identities = HashMap<[u8; 32], (Micros, Arc<Identity>)>;

#[derive(Default)]
pub(crate) struct Remembered {
    identities: RwLock<Identities>,
    refusals: Mutex<Refusals>,
    /// How often all of it was forgotten. What was looked up in a former generation is remembered no more.
    generation: AtomicU64,
}

impl Remembered {
    /// Something was changed that they say: after it was committed.
    pub(crate) fn forget(&self) {
        // First: whoever remembers something later than this sees it, and what was remembered before goes below.
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.identities.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.refusals().forget();
    }

    /// To be asked for before the store is, and told with what it said.
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// How many entries each table has.
    pub(crate) fn entries(&self) -> Numbers {
        let mut entries = self.refusals().entries();
        entries.push(("identities", number(self.identities.read().unwrap_or_else(PoisonError::into_inner).len())));
        entries
    }

    /// How many were refused without a look, and why.
    pub(crate) fn refused(&self) -> Numbers {
        self.refusals().refused()
    }

    fn refusals(&self) -> MutexGuard<'_, Refusals> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, digest: &[u8; 32], now: Micros) -> Option<Arc<Identity>> {
        let remembered = self.identities.read().unwrap_or_else(PoisonError::into_inner);
        let (at, identity) = remembered.get(digest)?;
        (now.saturating_sub(*at).abs() < REMEMBERED_FOR).then(|| identity.clone())
    }

    fn keep(&self, digest: [u8; 32], now: Micros, generation: u64, identity: &Arc<Identity>) {
        let mut remembered = self.identities.write().unwrap_or_else(PoisonError::into_inner);
        if generation != self.generation() {
            return;
        }
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest, (now, identity.clone()));
    }

    /// A look found nobody.
    fn not_found(&self, digest: [u8; 32], now: Micros, generation: u64) {
        let mut refusals = self.refusals();
        let is_current = generation == self.generation();
        refusals.not_found(digest, now, is_current);
    }
}

impl App {
    /// Who shows these credentials. Whether they may still be used is asked with every permission; see also [`Caller::is_usable`].
    pub async fn identify(&self, credentials: Credentials<'_>, request: Request) -> Result<Caller, AppError> {
        let now = self.now();
        let digest = match credentials {
            Credentials::Token(token) => sha256(token.as_bytes()),
            Credentials::Session(secret) => sign_in::session_digest(secret),
            Credentials::Key { email, key } => sha256(format!("{}\n{key}", email.to_ascii_lowercase()).as_bytes()),
        };
        if let Some(identity) = self.0.identities.recall(&digest, now) {
            return Ok(Caller::Identified(identity, request));
        }
        let verdict = self.0.identities.refusals().ask(request.ip, &digest, now);
        let paid = match verdict {
            Verdict::Look { paid } => paid,
            Verdict::Refused => return Err(credentials.unknown()),
            Verdict::Wait { retry_secs } => return Err(AppError::RefusedTooOften { retry_secs }),
        };
        let generation = self.0.identities.generation();
        match self.look_up(credentials, &digest).await {
            Ok(Some(identity)) => {
                self.0.identities.refusals().found(request.ip, digest, paid, now);
                if let Some(token) = &identity.token {
                    self.note_use(token, now);
                }
                if let Some(own) = &identity.session {
                    self.note_seen(own, &request, now);
                }
                let identity = Arc::new(identity);
                self.0.identities.keep(digest, now, generation, &identity);
                Ok(Caller::Identified(identity, request))
            }
            Ok(None) => {
                self.0.identities.not_found(digest, now, generation);
                Err(credentials.unknown())
            }
            Err(error) => {
                self.0.identities.refusals().failed(request.ip, &digest, paid, now);
                Err(error)
            }
        }
    }

    async fn look_up(&self, credentials: Credentials<'_>, digest: &[u8; 32]) -> Result<Option<Identity>, AppError> {
        let mut session = self.0.store.read().await?;
        match credentials {
            Credentials::Token(_) => match session.api_token_of_digest(digest).await? {
                Some(token) => identity_of(&mut session, token).await,
                None => Ok(None),
            },
            Credentials::Key { email, key } => {
                let person = session.person_of_key(&email.to_ascii_lowercase(), &sha256(key.as_bytes())).await?;
                let Some(person) = person else { return Ok(None) };
                Ok(Some(identity_of_person(&mut session, person).await?))
            }
            Credentials::Session(_) => {
                let Some(own) = session.user_session_of_digest(digest).await? else { return Ok(None) };
                let Some(person) = session.person(own.person).await? else { return Ok(None) };
                Ok(Some(Identity { session: Some(own), ..identity_of_person(&mut session, person).await? }))
            }
        }
    }

    /// Notes that a session was used, without making anybody wait. One that is over is left as it was.
    fn note_seen(&self, own: &UserSession, request: &Request, now: Micros) {
        let ip = request.ip.to_canonical().to_string();
        let is_recent = now.saturating_sub(own.last_seen_at) < USE_NOTED_EVERY;
        if is_recent && ip == own.last_ip || !sign_in::is_alive(own, now) {
            return;
        }
        let (store, id) = (self.0.store.clone(), own.id);
        tokio::spawn(async move {
            let noted = async {
                let mut session = store.write().await?;
                session.user_session_seen(id, &ip, now).await?;
                session.commit_silently().await
            };
            if let Err(error) = noted.await {
                tracing::warn!(%error, session = %id, "it was not noted that a session was used");
            }
        });
    }

    /// Notes that a token was used, without making anybody wait.
    fn note_use(&self, token: &ApiToken, now: Micros) {
        if token.last_used_at.is_some_and(|last| now.saturating_sub(last) < USE_NOTED_EVERY) {
            return;
        }
        let (store, id) = (self.0.store.clone(), token.id);
        tokio::spawn(async move {
            let noted = async {
                let mut session = store.write().await?;
                session.api_token_used(id, now).await?;
                session.commit_silently().await
            };
            if let Err(error) = noted.await {
                tracing::warn!(%error, token = %id, "it was not noted that a token was used");
            }
        });
    }
}

async fn identity_of(session: &mut Session, token: ApiToken) -> Result<Option<Identity>, AppError> {
    Ok(match token.owner {
        TokenOwner::Account(_) => Some(Identity { token: Some(token), ..Identity::default() }),
        TokenOwner::Person(id) => match session.person(id).await? {
            Some(person) => Some(Identity { token: Some(token), ..identity_of_person(session, person).await? }),
            None => None,
        },
    })
}

async fn identity_of_person(session: &mut Session, person: Person) -> Result<Identity, AppError> {
    let memberships = session.memberships(person.id).await?;
    let accounts = session.accounts_of_person(person.id).await?;
    let enforcing = accounts.into_iter().filter(|account| account.enforces_second_factor).map(|account| account.id).collect();
    Ok(Identity { person: Some(person), memberships, enforcing, ..Identity::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_up_before_a_change_is_not_remembered_after_it() {
        let (remembered, source) = (Remembered::default(), [192, 0, 2, 1].into());
        let (found, missed) = ([1; 32], [2; 32]);
        let identity = Arc::new(Identity::default());
        let look = || remembered.refusals().ask(source, &missed, 0);

        // The change is committed and everything forgotten while both are being looked up.
        let generation = remembered.generation();
        assert_eq!(look(), Verdict::Look { paid: true });
        remembered.forget();
        remembered.keep(found, 0, generation, &identity);
        remembered.not_found(missed, 0, generation);
        assert_eq!(remembered.recall(&found, 0), None);
        assert_eq!(look(), Verdict::Look { paid: true }, "it may be somebody's by now");

        let generation = remembered.generation();
        remembered.keep(found, 0, generation, &identity);
        remembered.not_found(missed, 0, generation);
        assert_eq!(remembered.recall(&found, 0), Some(identity));
        assert_eq!(look(), Verdict::Refused);
    }
}
