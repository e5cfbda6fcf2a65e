//! Signing in (docs/decisions/0012-sign-in.md).
//!
//! ```text
//! address and password ─→ throttle ─→ gate: argon2id ─┬─ no second factor ─────────────────────→ session
//!                                                     └─ ticket ─→ code or passkey ─→ throttle ─→ session
//! passkey alone ─→ throttle ─→ gate: signature ───────────────────────────────────────────────→ session
//! ```
//!
//! * [`throttle`], [`waiting`], [`password`], [`one_time_code`]: what is decided, pure;
//! * [`gate`]: heavy work in its turn;
//! * [`site`]: the pages that passkeys are made for, pure;
//! * here: signing in itself; what it ends in, and what of it may be asked of a caller, in [`sessions`] and [`caller`];
//! * [`passwords`], [`links`], [`totp`], [`passkeys`]: what whoever is signed in may do with theirs.
//!
//! Whether an address is known here is told to nobody: by no message, nor by the work done, nor by how long an answer takes.

mod caller;
mod error;
mod gate;
mod links;
mod one_time_code;
mod passkeys;
mod password;
mod passwords;
mod sessions;
mod site;
#[cfg(test)]
mod tests;
mod throttle;
mod totp;
mod waiting;

use std::sync::{Mutex, MutexGuard, PoisonError};

use poterne_control_store::{Micros, Person, Session, UserSession};
use poterne_model::{AccountId, UserId};
use serde_json::{Value, json};

pub(crate) use self::sessions::{is_alive, session_digest};
pub use self::{
    error::SignInError,
    links::{Invited, LinkTo},
    password::PASSWORD_BYTES,
    sessions::{Proof, SESSION_IDLE, SESSION_LIFE},
    site::Site,
    totp::{Enrolment, SecondFactors},
};
use self::{
    gate::Gate,
    one_time_code::Typed,
    passkeys::Ceremony,
    password::Password,
    throttle::{Address, Source, Throttle},
    waiting::Waiting,
};
use crate::{
    App, AppError, Caller, Identity,
    access::Request,
    audit::Traced,
    metrics::{Numbers, number},
    notice::{Notice, SignInChange},
};

/// How long after having shown who they are somebody may change what they sign in with.
pub const CONFIRMED_FOR: Micros = HOUR / 6;

const HOUR: Micros = 3_600_000_000;

/// How long a place is remembered that a person signed in from.
const SOURCE_KNOWN_FOR: Micros = 90 * 24 * HOUR;

/// Wrong codes that one ticket takes.
const TICKET_TRIES: u32 = 5;

/// Whom nobody is, for asking the store as much about an unknown address as about a known one.
const NOBODY: UserId = UserId::from_bytes([0; 16]);

/// Somebody who is not signed in yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// From where, and when.
    pub request: Request,
    /// What their browser calls itself.
    pub device: String,
}

/// What a step of signing in leads to. No `Debug`: secrets are in it.
pub enum Step {
    /// There.
    SignedIn(Box<SignedIn>),
    /// Half of it is done.
    SecondFactor(SecondFactorAsked),
}

/// Somebody is signed in.
pub struct SignedIn {
    /// What their browser shows from now on; told this once.
    pub secret: String,
    /// Their session.
    pub session: UserSession,
    /// Who they are.
    pub person: Person,
}

/// What is wanted of somebody whose password was right.
pub struct SecondFactorAsked {
    /// Names the half that is done, for five minutes.
    pub ticket: String,
    /// Whether they have an authenticator application.
    pub totp: bool,
    /// Whether they have a passkey.
    pub passkey: bool,
    /// Whether they have recovery codes left.
    pub recovery_code: bool,
}

/// What is kept in memory of those who are on their way in.
#[derive(Default)]
pub(crate) struct Entrance {
    gate: Gate,
    throttle: Mutex<Throttle>,
    tickets: Mutex<Waiting<Half>>,
    ceremonies: Mutex<Waiting<Ceremony>>,
}

/// A sign-in whose password was right.
#[derive(Clone)]
struct Half {
    person: UserId,
    /// What was kept of the password: another one since, and this is worth nothing.
    kept: Option<String>,
    /// What to keep from now on.
    rehashed: Option<String>,
    tries_left: u32,
}

impl Entrance {
    /// How many entries each table has.
    pub(crate) fn entries(&self) -> Numbers {
        let mut entries = self.throttle().entries();
        entries.extend([("tickets", number(self.tickets().len())), ("ceremonies", number(self.ceremonies().len()))]);
        entries
    }

    /// How many were sent away, and why.
    pub(crate) fn refused(&self) -> Numbers {
        vec![("throttled", self.throttle().refused()), ("busy", self.gate.refused())]
    }

    /// Counts an invitation that an account mails to an address, in lower case.
    ///
    /// # Errors
    /// The account invites, or the address is invited, too often.
    pub(crate) fn admit_invitation(&self, now: Micros, account: AccountId, email: &str) -> Result<(), AppError> {
        let admitted = self.throttle().try_invitation(now, account, Address::of(email));
        admitted.map_err(|retry_secs| AppError::InvitationsLimited { retry_secs })
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tickets(&self) -> MutexGuard<'_, Waiting<Half>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ceremonies(&self) -> MutexGuard<'_, Waiting<Ceremony>> {
        self.ceremonies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    fn source(&self) -> Source {
        Source::of(self.request.ip)
    }

    /// The person, as the audit log names whoever came so.
    fn caller(&self, person: &Person) -> Caller {
        let identity = Identity { person: Some(person.clone()), ..Identity::default() };
        Caller::Identified(identity.into(), self.request.clone())
    }
}

fn throttled(retry_secs: u64) -> AppError {
    SignInError::Throttled { retry_secs }.into()
}

impl App {
    /// Signs in with an address and a password.
    ///
    /// # Errors
    /// They are not right ([`SignInError::Wrong`], whatever exactly is wrong), or it is too early.
    pub async fn sign_in(&self, visit: &Visit, email: &str, password: &str) -> Result<Step, AppError> {
        let email = email.trim().to_lowercase();
        let (now, source, address) = (self.now(), visit.source(), Address::of(&email));
        let place = self.0.entrance.gate.enter()?;
        let (person, known) = {
            let mut session = self.0.store.read().await?;
            let person = session.person_of_email(&email).await?;
            let id = person.as_ref().map_or(NOBODY, |person| person.id);
            (person, session.is_known_source(id, &source.to_string(), now - SOURCE_KNOWN_FOR).await?)
        };
        self.0.entrance.throttle().try_password(now, address, source, known).map_err(throttled)?;
        let (shown, kept) = (Password::shown(password), person.as_ref().and_then(|person| person.password.clone()));
        let checked = kept.clone();
        let (right, rehashed) = place
            .run(move || {
                let right = shown.is_of(checked.as_deref())?;
                let is_weak = right && checked.as_deref().is_some_and(password::is_weak);
                Ok::<_, AppError>((right, if is_weak { Some(shown.hash()?) } else { None }))
            })
            .await??;
        let Some(person) = person.filter(|_| right) else {
            self.note_failure(visit, &email, "password");
            return Err(SignInError::Wrong.into());
        };
        self.0.entrance.throttle().was_right(address, source, known);
        refuse_suspended(&person)?;
        let half = Half { person: person.id, kept, rehashed, tries_left: TICKET_TRIES };
        let mut session = if person.second_factor { self.0.store.read().await? } else { self.0.store.write().await? };
        if !person.second_factor {
            // As they are now: while the password was looked at, they may have taken another, or a second factor.
            let person = self.person_of_half(&mut session, &half).await?;
            if !person.second_factor {
                let signed_in = self.begin(session, visit, person, "password", half.rehashed).await?;
                return Ok(Step::SignedIn(Box::new(signed_in)));
            }
        }
        Ok(Step::SecondFactor(self.ask_second_factor(session, visit, half).await?))
    }

    /// Goes on with a code of an authenticator application, or a recovery code.
    ///
    /// # Errors
    /// It is not right, or the ticket is not known.
    pub async fn sign_in_with_code(&self, visit: &Visit, ticket: &str, code: &str) -> Result<SignedIn, AppError> {
        let (now, source) = (self.now(), visit.source());
        let half = self.half(ticket)?;
        self.0.entrance.throttle().try_second_factor(now, half.person, source).map_err(throttled)?;
        let mut session = self.0.store.write().await?;
        let person = self.person_of_half(&mut session, &half).await?;
        let typed = Typed::read(person.id, code);
        let Some(factor) = self.use_code(&mut session, &person, typed, now).await? else {
            drop(session);
            self.note_failure(visit, &person.email, "second factor");
            return Err(SignInError::WrongCode.into());
        };
        let half = self.0.entrance.tickets().take(now, ticket).ok_or(SignInError::Unfinished)?;
        self.0.entrance.throttle().second_factor_was_right(person.id, source);
        self.begin(session, visit, person, &format!("password+{factor}"), half.rehashed).await
    }

    /// The session is the one that has seen that they have one: another's reads may be behind it.
    async fn ask_second_factor(&self, mut session: Session, visit: &Visit, half: Half) -> Result<SecondFactorAsked, AppError> {
        let person = half.person;
        let totp = session.totp(person).await?.is_some_and(|totp| totp.confirmed_at.is_some());
        let passkey = !session.passkeys(person).await?.is_empty();
        let recovery_code = session.recovery_codes(person).await? > 0;
        let ticket = self.0.entrance.tickets().add(self.now(), visit.source(), half);
        Ok(SecondFactorAsked { ticket, totp, passkey, recovery_code })
    }

    /// The half that a ticket names, one of its tries used.
    fn half(&self, ticket: &str) -> Result<Half, AppError> {
        let (mut tickets, now) = (self.0.entrance.tickets(), self.now());
        let half = tickets.look(now, ticket).ok_or(SignInError::Unfinished)?;
        // After its last one it is worth nothing, and goes with its time.
        half.tries_left = half.tries_left.checked_sub(1).ok_or(SignInError::Unfinished)?;
        Ok(half.clone())
    }

    /// Whose half it is, unless their password is another one by now.
    async fn person_of_half(&self, session: &mut Session, half: &Half) -> Result<Person, AppError> {
        let person = session.person(half.person).await?.filter(|person| person.password == half.kept);
        let person = person.ok_or(SignInError::Unfinished)?;
        refuse_suspended(&person)?;
        Ok(person)
    }

    /// Uses what was typed up, and names what it was; none when it is not right.
    async fn use_code(
        &self,
        session: &mut Session,
        person: &Person,
        typed: Option<Typed>,
        now: Micros,
    ) -> Result<Option<&'static str>, AppError> {
        let used = match typed {
            Some(Typed::Digits(digits)) => self.use_digits(session, person.id, &digits, now).await?.then_some("totp"),
            Some(Typed::Recovery(digest)) => session.use_recovery_code(person.id, &digest).await?.then_some("recovery"),
            None => None,
        };
        Ok(used)
    }

    /// Tells a person that what they sign in with is not as it was, within the transaction that changes it: whoever did it may not be
    /// they.
    async fn tell_changed(
        &self,
        session: &mut Session,
        caller: &Caller,
        person: &Person,
        change: SignInChange,
    ) -> Result<(), AppError> {
        let notice = Notice::SignInChanged { change, at: self.instant(), ip: caller.actor().ip };
        self.notify(session, None, &person.email, &notice).await?;
        Ok(())
    }

    /// Notes that somebody was not let in: in the log, and in the trace of the person where the address is one's. The latter without
    /// making anybody wait, since that would tell which addresses are.
    fn note_failure(&self, visit: &Visit, email: &str, what: &'static str) {
        let Request { ip, ray, .. } = &visit.request;
        tracing::info!(%ip, ray, what, "a sign-in was refused");
        let (app, visit, email) = (self.clone(), visit.clone(), email.to_owned());
        tokio::spawn(async move {
            let noted = async {
                let mut session = app.0.store.write().await?;
                let Some(person) = session.person_of_email(&email).await? else { return Ok(()) };
                let told = json!({ "why": format!("wrong {what}"), "device": visit.device });
                let event = traced("login_failed", "user", &person.id.to_string(), None, Some(told));
                app.trace(&mut session, &visit.caller(&person), event).await?;
                Ok::<_, AppError>(session.commit_silently().await?)
            };
            if let Err(error) = noted.await {
                tracing::warn!(%error, "it was not noted in the trace that a sign-in was refused");
            }
        });
    }
}

fn refuse_suspended(person: &Person) -> Result<(), AppError> {
    if person.suspended { Err(AppError::Unusable("its user is suspended")) } else { Ok(()) }
}

/// What a person did with what they sign in with: of no account.
fn traced(action: &'static str, kind: &'static str, id: &str, old: Option<Value>, new: Option<Value>) -> Traced {
    Traced { action, kind, id: id.to_owned(), old, new, ..Traced::default() }
}
