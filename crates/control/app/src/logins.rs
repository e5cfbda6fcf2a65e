//! Agents that ask for a `cert.pem`, and wait for the operator's word (RFC 8628's device flow, in small).
//!
//! The agent shows a short code and keeps a long secret; the operator types the code at the node, and for which zone; the agent that has the
//! secret then gets a token of its own. Whoever may be talked into approving a stranger's code gives that stranger the zone's names: what
//! is shown to the operator says so, and whence the code came. Nothing is stored: a node that starts anew knows of none, and a token is
//! made only when it is fetched.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use poterne_control_store::{Micros, Zone};
use poterne_keys::{Secret, random_name, random_token};
use poterne_model::Name;

use crate::{App, AppError, Caller, quick::network};

/// How long a code is good.
pub const LOGIN_LIFE: Duration = Duration::from_secs(600);

/// How often an agent asks whether its code was approved.
pub const LOGIN_POLL: Duration = Duration::from_secs(2);

/// Logins that wait at once; beyond it new ones are refused.
pub const LOGINS_MAX: usize = 200;

/// Of these, from one source address (or IPv6 /64).
pub const LOGINS_OF_SOURCE_MAX: usize = 5;

/// Characters of a code, five random bits each. Who guesses one gains nothing: the secret fetches, and only the operator approves.
const CODE_CHARACTERS: usize = 8;

/// Longest name that an agent may give itself.
const WHO_CHARS_MAX: usize = 64;

/// A login that was begun, as told to whoever began it.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginBegun {
    /// For the operator, as `K7QM-2XPD`.
    pub code: String,
    /// For the agent alone.
    pub secret: String,
}

/// Without the secret.
impl std::fmt::Debug for LoginBegun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginBegun").field("code", &self.code).finish_non_exhaustive()
    }
}

/// A login that waits, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginWaiting {
    /// As shown by the agent.
    pub code: String,
    /// Whence it came.
    pub source: IpAddr,
    /// What the agent calls its machine: its word alone.
    pub who: String,
    /// When it was begun.
    pub begun_at: Micros,
    /// The zone it was approved for, until it is fetched.
    pub approved: Option<Name>,
}

/// All that wait. Pure: instant and randomness are handed in.
#[derive(Default)]
pub(crate) struct Logins(HashMap<[u8; 32], LoginWaiting>);

impl Logins {
    fn expire(&mut self, now: Micros) {
        let life = i64::try_from(LOGIN_LIFE.as_micros()).unwrap_or(i64::MAX);
        // A clock that was set back ends them too.
        self.0.retain(|_, login| (0..life).contains(&now.saturating_sub(login.begun_at)));
    }

    fn begin(&mut self, digest: [u8; 32], login: LoginWaiting) -> Result<(), AppError> {
        self.expire(login.begun_at);
        let source = network(login.source);
        let of_source = self.0.values().filter(|other| network(other.source) == source).count();
        if of_source >= LOGINS_OF_SOURCE_MAX || self.0.len() >= LOGINS_MAX {
            return Err(AppError::LoginsLimited { retry_secs: LOGIN_LIFE.as_secs() });
        }
        self.0.insert(digest, login);
        Ok(())
    }

    fn waiting(&mut self, now: Micros) -> Vec<LoginWaiting> {
        self.expire(now);
        let mut all: Vec<LoginWaiting> = self.0.values().cloned().collect();
        all.sort_by(|one, other| (one.begun_at, &one.code).cmp(&(other.begun_at, &other.code)));
        all
    }

    fn approve(&mut self, code: &str, zone: &Name, now: Micros) -> Option<LoginWaiting> {
        self.expire(now);
        let login = self.0.values_mut().find(|login| is_code(&login.code, code))?;
        login.approved = Some(zone.clone());
        Some(login.clone())
    }

    fn refuse(&mut self, code: &str, now: Micros) -> Option<LoginWaiting> {
        self.expire(now);
        let (digest, _) = self.0.iter().find(|(_, login)| is_code(&login.code, code))?;
        let digest = *digest;
        self.0.remove(&digest)
    }

    /// The zone of an approved one, which is over then; `None` of one that still waits.
    fn claim(&mut self, digest: &[u8; 32], now: Micros) -> Result<Option<Name>, AppError> {
        self.expire(now);
        let login = self.0.get(digest).ok_or(AppError::NotFound("login that waits: its code was refused, or is too old"))?;
        let approved = login.approved.clone();
        if approved.is_some() {
            self.0.remove(digest);
        }
        Ok(approved)
    }
}

/// As people type it: in any case, with or without the dash.
fn is_code(code: &str, typed: &str) -> bool {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect::<String>();
    plain(code) == plain(typed)
}

fn shown(code: &str) -> String {
    let (first, second) = code.split_at(code.len() / 2);
    format!("{first}-{second}").to_ascii_uppercase()
}

impl App {
    fn logins<T>(&self, act: impl FnOnce(&mut Logins, Micros) -> T) -> T {
        act(&mut self.0.logins.lock().unwrap_or_else(PoisonError::into_inner), self.now())
    }

    /// Begins a login, for anybody who asks: nothing is given before the operator's word.
    ///
    /// # Errors
    /// Too many wait.
    pub fn login_begin(&self, source: IpAddr, who: &str) -> Result<LoginBegun, AppError> {
        let (code, secret) = (shown(&random_name(CODE_CHARACTERS)), random_token("login-"));
        let digest = Secret::new(secret.clone().into_bytes()).digest();
        let who: String = who.chars().filter(|c| !c.is_control()).take(WHO_CHARS_MAX).collect();
        self.logins(|logins, now| {
            logins.begin(digest, LoginWaiting { code: code.clone(), source, who: who.clone(), begun_at: now, approved: None })
        })?;
        tracing::info!(%source, who, code, "an agent asks to be logged in");
        Ok(LoginBegun { code, secret })
    }

    /// What whoever began it gets: nothing yet, or a zone and a token for the agent's own commands on it, this once.
    ///
    /// # Errors
    /// There is none of that secret (any more).
    pub async fn login_claim(&self, secret: &str) -> Result<Option<(Zone, String)>, AppError> {
        let digest = Secret::new(secret.as_bytes().to_vec()).digest();
        let Some(zone) = self.logins(|logins, now| logins.claim(&digest, now))? else { return Ok(None) };
        // On the operator's word, which was given for this login alone.
        self.api_token_for_agent(&Caller::Operator, &zone.to_string()).await.map(Some)
    }

    /// Those that wait, oldest first.
    ///
    /// # Errors
    /// For the operator alone.
    pub fn login_list(&self, caller: &Caller) -> Result<Vec<LoginWaiting>, AppError> {
        caller.needs_operator()?;
        Ok(self.logins(Logins::waiting))
    }

    /// Lets whoever shows the code use the agent's own commands on a zone.
    ///
    /// # Errors
    /// For the operator alone; no such zone; no such code.
    pub async fn login_approve(&self, caller: &Caller, code: &str, zone: &str) -> Result<LoginWaiting, AppError> {
        caller.needs_operator()?;
        let apex = Name::parse(zone)?;
        let known = self.0.store.read().await?.zone_named(self.account(), &apex).await?;
        known.ok_or_else(|| AppError::ZoneNotFound(apex.clone()))?;
        let login = self.logins(|logins, now| logins.approve(code, &apex, now)).ok_or_else(|| no_code(code))?;
        tracing::info!(source = %login.source, who = login.who, code = login.code, zone = %apex, "a login was approved");
        Ok(login)
    }

    /// Takes a code away.
    ///
    /// # Errors
    /// For the operator alone; no such code.
    pub fn login_refuse(&self, caller: &Caller, code: &str) -> Result<LoginWaiting, AppError> {
        caller.needs_operator()?;
        let login = self.logins(|logins, now| logins.refuse(code, now)).ok_or_else(|| no_code(code))?;
        tracing::info!(source = %login.source, who = login.who, code = login.code, "a login was refused");
        Ok(login)
    }
}

fn no_code(code: &str) -> AppError {
    let shown: String = code.chars().take(32).collect();
    let why =
        format!("no agent waits with {shown:?}: a code is good for ten minutes; `poterne login list` shows those that wait");
    AppError::Invalid { what: "code", why }
}

/// In [`crate::open::Inner`].
pub(crate) type Shared = Mutex<Logins>;

#[cfg(test)]
mod tests {
    use super::*;

    fn login(code: &str, source: &str, begun_at: Micros) -> LoginWaiting {
        LoginWaiting { code: code.into(), source: source.parse().unwrap(), who: "nas".into(), begun_at, approved: None }
    }

    fn zone() -> Name {
        Name::parse("example.org").unwrap()
    }

    #[test]
    fn a_login_is_fetched_once_and_only_after_its_approval() {
        let mut logins = Logins::default();
        logins.begin([1; 32], login("K7QM-2XPD", "192.0.2.7", 0)).unwrap();
        assert_eq!(logins.claim(&[1; 32], 1).unwrap(), None);
        assert!(logins.approve("K7QM-2XPE", &zone(), 2).is_none());
        assert_eq!(logins.approve("k7qm 2xpd", &zone(), 2).unwrap().who, "nas");
        assert!(matches!(logins.claim(&[2; 32], 3), Err(AppError::NotFound(_))), "the code is not the secret");
        assert_eq!(logins.claim(&[1; 32], 3).unwrap(), Some(zone()));
        assert!(logins.claim(&[1; 32], 4).is_err());
    }

    #[test]
    fn a_code_ends_by_time_by_refusal_and_by_a_clock_set_back() {
        let life = i64::try_from(LOGIN_LIFE.as_micros()).unwrap();
        let mut logins = Logins::default();
        logins.begin([1; 32], login("A", "192.0.2.7", 10)).unwrap();
        assert_eq!(logins.waiting(10 + life - 1).len(), 1);
        assert!(logins.approve("A", &zone(), 10 + life).is_none());
        logins.begin([2; 32], login("B", "192.0.2.7", 10)).unwrap();
        assert!(logins.refuse("B", 11).is_some() && logins.claim(&[2; 32], 12).is_err());
        logins.begin([3; 32], login("C", "192.0.2.7", 10)).unwrap();
        assert!(logins.waiting(9).is_empty());
    }

    #[test]
    fn those_that_wait_are_bounded_by_source_and_in_all() {
        let mut logins = Logins::default();
        let digest = |number: usize| Secret::new(number.to_be_bytes().to_vec()).digest();
        for number in 0..LOGINS_OF_SOURCE_MAX {
            logins.begin(digest(number), login("A", "2001:db8::1", 0)).unwrap();
        }
        let error = logins.begin(digest(1000), login("A", "2001:db8::2", 0)).unwrap_err();
        assert!(matches!(error, AppError::LoginsLimited { .. }), "{error}");
        for number in LOGINS_OF_SOURCE_MAX..LOGINS_MAX {
            logins.begin(digest(number), login("A", &format!("10.0.{}.{}", number / 250, number % 250), 0)).unwrap();
        }
        assert!(logins.begin(digest(1001), login("A", "192.0.2.7", 0)).is_err());
    }

    #[test]
    fn a_code_is_easy_to_read_out() {
        assert_eq!(shown("k7qm2xpd"), "K7QM-2XPD");
    }
}
