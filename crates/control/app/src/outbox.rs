//! The outbox: what people and programs are told of a change goes in with the change, and out when it is durable.
//!
//! ```text
//! verb ── notify, alert ──→ outbox (store, sealed) ── take ──→ whoever sends ── settle ──→ gone, or again later
//! ```
//!
//! At least once: whoever takes a notice up has it for [`LEASE_SECS`], and it comes again by itself where they die, sooner where they are
//! started again. Its id goes along
//! (Message-ID, `webhook-id`), by which a receiver knows it again. What is not taken in [`LIFE_SECS`] is given up, and said to be.

use std::time::Duration;

pub use poterne_control_store::Channel;
use poterne_control_store::{Micros, QueuedNotice, Session};
use poterne_keys::{Purpose, Secret, random_bytes};
use poterne_model::{AccountId, NoticeId, NotificationPolicyId, Timestamp, WebhookId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    App, AppError,
    notice::{Link, Notice},
};

/// Most notices that wait.
pub const NOTICES_MAX: u64 = 10_000;

/// Most of one account; one that makes many keeps no other's out.
pub const NOTICES_OF_ACCOUNT_MAX: u64 = 1000;

/// Most for one recipient: nobody finds hundreds when a mail server comes back.
pub const NOTICES_FOR_RECIPIENT_MAX: u64 = 100;

/// How long a notice is tried, in seconds.
pub const LIFE_SECS: i64 = 3 * 24 * 3600;

/// For how long one belongs to whoever took it up, in seconds. An attempt takes less.
pub const LEASE_SECS: i64 = 120;

/// When a notice is tried again, in seconds: first, and at most.
const AGAIN_FIRST_SECS: i64 = 15;
const AGAIN_MAX_SECS: i64 = 3600;

/// How long the outbox is left alone when nobody in this process has put anything in: other processes may.
const LOOK_EVERY: Duration = Duration::from_secs(30);

const MICROS: Micros = 1_000_000;

/// What became of telling somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is in the outbox.
    Queued(NoticeId),
    /// This node sends no mail.
    NoMail,
    /// Too much waits already; the log says so.
    Full,
}

/// A notice to send now.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Its id.
    pub id: NoticeId,
    /// Whose change it tells of.
    pub account: Option<AccountId>,
    /// To whom.
    pub to: Recipient,
    /// What.
    pub notice: Notice,
    /// The policy that asks for it, where one does.
    pub policy: Option<PolicyNamed>,
    /// Since when it waits.
    pub created_at: Timestamp,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// To whom a notice goes.
#[derive(Debug, Clone)]
pub enum Recipient {
    /// An address.
    Mail(String),
    /// A webhook.
    Webhook {
        /// Whose.
        account: AccountId,
        /// Its id.
        id: WebhookId,
        /// What it is called.
        name: String,
        /// Where it is called.
        url: String,
        /// By what it knows the sender, where it has that.
        secret: Option<Secret>,
    },
}

/// A policy, by id and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyNamed {
    /// Its id.
    pub id: NotificationPolicyId,
    /// What it is called.
    pub name: String,
}

/// What is sealed while it waits.
#[derive(Deserialize)]
struct Opened {
    notice: Notice,
    policy: Option<PolicyNamed>,
}

/// The same, borrowed.
#[derive(Serialize)]
struct ToSeal<'n> {
    notice: &'n Notice,
    policy: Option<&'n PolicyNamed>,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was taken.
    Taken,
    /// Not now.
    Failed(String),
    /// Never: another attempt would end the same way.
    Refused(String),
}

/// What becomes of a notice after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is where it should be.
    Delivered,
    /// It is tried again in so many seconds.
    Again(i64),
    /// It is not.
    GivenUp,
}

/// The one decision: `attempt` is the number of the one that just ended, from 1; `age_secs` how long the notice waits, and
/// `useful_secs` how long it still is of use, where that ends.
pub fn fate(outcome: &Attempt, attempt: u32, age_secs: i64, useful_secs: Option<i64>) -> Fate {
    let again = AGAIN_FIRST_SECS.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(AGAIN_MAX_SECS);
    let left = (LIFE_SECS - age_secs).min(useful_secs.unwrap_or(LIFE_SECS));
    match outcome {
        Attempt::Taken => Fate::Delivered,
        Attempt::Refused(_) => Fate::GivenUp,
        Attempt::Failed(_) if again >= left => Fate::GivenUp,
        Attempt::Failed(_) => Fate::Again(again),
    }
}

/// What the verbs and whoever sends share.
pub(crate) struct Outbox {
    /// This node's name for itself: what its state directory alone has.
    node: String,
    mails: Notify,
    calls: Notify,
}

impl Outbox {
    /// Of the node with this tunnel CA. What a former run of it had taken up is due again.
    pub(crate) async fn open(session: &mut Session, pin: [u8; 32], now: Micros) -> Result<Self, AppError> {
        let node: String = pin[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        session.release_notices(&node, now).await?;
        Ok(Self { node, mails: Notify::new(), calls: Notify::new() })
    }

    const fn woken(&self, channel: Channel) -> &Notify {
        match channel {
            Channel::Mail => &self.mails,
            Channel::Webhook => &self.calls,
        }
    }
}

impl App {
    /// Tells a person by mail, within the transaction that changes what it tells of. Where no mail is sent, or too much waits, the
    /// change goes on without.
    pub(crate) async fn notify(
        &self,
        session: &mut Session,
        account: Option<AccountId>,
        address: &str,
        notice: &Notice,
    ) -> Result<Told, AppError> {
        if !self.settings().sends_mail {
            return Ok(Told::NoMail);
        }
        self.queue(session, account, Channel::Mail, address, notice, None).await
    }

    pub(crate) async fn queue(
        &self,
        session: &mut Session,
        account: Option<AccountId>,
        channel: Channel,
        recipient: &str,
        notice: &Notice,
        policy: Option<&PolicyNamed>,
    ) -> Result<Told, AppError> {
        let counts = session.notice_counts(account, channel, recipient).await?;
        let full = counts.all >= NOTICES_MAX
            || account.is_some() && counts.of_account >= NOTICES_OF_ACCOUNT_MAX
            || counts.for_recipient >= NOTICES_FOR_RECIPIENT_MAX;
        if full {
            tracing::warn!(
                kind = notice.kind(),
                channel = channel.as_str(),
                waiting = counts.all,
                of_account = counts.of_account,
                for_recipient = counts.for_recipient,
                "too many notices wait already: this one is left out"
            );
            return Ok(Told::Full);
        }
        let (id, now) = (NoticeId::from_bytes(random_bytes()), self.now());
        let plain = Secret::new(serde_json::to_vec(&ToSeal { notice, policy }).expect("a notice is always JSON"));
        let queued = QueuedNotice {
            id,
            account,
            channel,
            recipient: recipient.to_owned(),
            kind: notice.kind().to_owned(),
            sealed: self.0.keys.seal(Purpose::Notice, id.as_bytes(), plain.expose()),
            created_at: now,
            due_at: now,
            attempts: 0,
        };
        session.queue_notice(&queued).await?;
        // Whoever is woken writes, and so has to wait until this transaction is over.
        self.0.outbox.woken(channel).notify_one();
        Ok(Told::Queued(id))
    }

    /// A link to a page of this node's, with a secret that no server on the way sees or logs: it is behind the `#`.
    pub(crate) fn link_to(&self, page: &str, secret: &str) -> Link {
        Link::new(format!("{}/{page}#{secret}", self.settings().pages))
    }

    /// Waits until a notice may be due that goes out this way.
    pub async fn outbox_woken(&self, channel: Channel) {
        let due = match self.0.store.read().await {
            Ok(mut session) => session.next_notice_due(channel).await.ok().flatten(),
            Err(_) => None,
        };
        let until = due.map(|due| Duration::from_micros(due.saturating_sub(self.now()).max(0).unsigned_abs()));
        let wait = until.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let _ = tokio::time::timeout(wait, self.0.outbox.woken(channel).notified()).await;
    }

    /// Takes up what is due and goes out this way, at most `count`.
    pub async fn outbox_take(&self, channel: Channel, count: u32) -> Result<Vec<Dispatch>, AppError> {
        let mut session = self.0.store.write().await?;
        let now = self.now();
        let taken =
            session.take_notices(&self.0.outbox.node, channel, now, now.saturating_add(LEASE_SECS * MICROS), count).await?;
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let mut dispatches = Vec::with_capacity(taken.len());
        for notice in taken {
            let id = notice.id;
            match self.dispatch(&mut session, notice).await? {
                Ok(dispatch) => dispatches.push(dispatch),
                Err(why) => {
                    tracing::error!(notice = %id, why, "a notice cannot be sent, and is given up");
                    session.delete_notice(id).await?;
                }
            }
        }
        session.commit_silently().await?;
        Ok(dispatches)
    }

    async fn dispatch(&self, session: &mut Session, queued: QueuedNotice) -> Result<Result<Dispatch, String>, AppError> {
        let QueuedNotice { id, account, channel, recipient, sealed, created_at, attempts, .. } = queued;
        let notice = match self.0.keys.open(Purpose::Notice, id.as_bytes(), &sealed) {
            Ok(plain) => serde_json::from_slice::<Opened>(plain.expose()).map_err(|_| "it is another version's".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let Opened { notice, policy } = match notice {
            Ok(opened) => opened,
            Err(why) => return Ok(Err(why)),
        };
        let to = match channel {
            Channel::Mail => Recipient::Mail(recipient),
            Channel::Webhook => match self.webhook_of(session, account, &recipient).await? {
                Some(to) => to,
                None => return Ok(Err("its webhook is gone".to_owned())),
            },
        };
        let created_at = Timestamp::from_micros(created_at);
        Ok(Ok(Dispatch { id, account, to, notice, policy, created_at, attempt: attempts }))
    }

    /// Keeps what became of an attempt.
    pub async fn outbox_settle(&self, dispatch: &Dispatch, outcome: &Attempt) -> Result<Fate, AppError> {
        let now = self.instant();
        let useful = dispatch.notice.expires_at().map(|at| at.secs_since(now));
        let fate = fate(outcome, dispatch.attempt, now.secs_since(dispatch.created_at), useful);
        let mut session = self.0.store.write().await?;
        match fate {
            Fate::Delivered | Fate::GivenUp => session.delete_notice(dispatch.id).await?,
            Fate::Again(secs) => {
                session.postpone_notice(dispatch.id, dispatch.attempt, now.plus_secs(secs).as_micros()).await?;
            }
        }
        if let Recipient::Webhook { id, .. } = &dispatch.to {
            session.webhook_called(*id, fate == Fate::Delivered, now.as_micros()).await?;
        }
        session.commit_silently().await?;
        Ok(fate)
    }

    /// How many notices wait.
    pub async fn outbox_length(&self) -> Result<u64, AppError> {
        Ok(self.0.store.read().await?.notice_count().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_tried_ever_more_rarely_until_its_life_is_over() {
        let failed = Attempt::Failed("x".into());
        let (mut age, mut attempts, mut pauses) = (0, 0, Vec::new());
        loop {
            attempts += 1;
            match fate(&failed, attempts, age, None) {
                Fate::Again(secs) => {
                    pauses.push(secs);
                    age += secs;
                }
                Fate::GivenUp => break,
                Fate::Delivered => panic!("it failed"),
            }
        }
        assert_eq!(pauses[..10], [15, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert!((LIFE_SECS - 3600..=LIFE_SECS).contains(&age) && attempts < 100, "{attempts} in {age}");
    }

    #[test]
    fn what_is_of_no_use_or_hope_is_given_up_at_once() {
        let failed = Attempt::Failed("x".into());
        assert_eq!(fate(&Attempt::Taken, 9, LIFE_SECS * 2, Some(-1)), Fate::Delivered);
        assert_eq!(fate(&Attempt::Refused("x".into()), 1, 0, None), Fate::GivenUp);
        assert_eq!(fate(&failed, 1, 0, Some(10)), Fate::GivenUp, "its link is over by then");
        assert_eq!(fate(&failed, 1, 0, Some(16)), Fate::Again(15));
        assert_eq!(fate(&failed, u32::MAX, 0, None), Fate::Again(3600));
    }
}
