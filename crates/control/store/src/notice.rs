//! Notices on their way out: mails and calls of webhooks, written with the change they tell of.
//!
//! Whoever sends takes some up, which moves their time on by a lease: nobody else takes them up meanwhile, and they come again by
//! themselves where the taker dies. Not to be confused with the outbox of orders to nodes ([`Session::send_command`]).

use poterne_model::{AccountId, NoticeId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, inserted, number, parsed, parsed_optional},
};

/// How a notice goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By mail.
    Mail,
    /// By a call of a webhook.
    Webhook,
}

/// A notice that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedNotice {
    /// Its id, which the recipient sees too.
    pub id: NoticeId,
    /// Whose change it tells of; none: a person's own.
    pub account: Option<AccountId>,
    /// How it goes out.
    pub channel: Channel,
    /// An address, or the id of a webhook.
    pub recipient: String,
    /// What kind of notice it is.
    pub kind: String,
    /// What it tells, sealed.
    pub sealed: Vec<u8>,
    /// Since when it waits.
    pub created_at: Micros,
    /// When it is tried next.
    pub due_at: Micros,
    /// How often it was taken up.
    pub attempts: u32,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoticeCounts {
    /// In all.
    pub all: u64,
    /// Of an account.
    pub of_account: u64,
    /// For a recipient.
    pub for_recipient: u64,
}

impl Channel {
    /// The word that is kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

impl Session {
    /// One more notice.
    pub async fn queue_notice(&mut self, notice: &QueuedNotice) -> Result<(), StoreError> {
        let statement = "INSERT INTO notice (id, account, channel, recipient, kind, sealed, created_at, due_at, attempts)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(notice.id.to_string())
            .bind(notice.account.map(|id| id.to_string()))
            .bind(notice.channel.as_str())
            .bind(&notice.recipient)
            .bind(&notice.kind)
            .bind(&notice.sealed)
            .bind(notice.created_at)
            .bind(notice.due_at)
            .bind(notice.attempts)
            .execute(self.connection())
            .await?;
        inserted(done, "notice")
    }

    /// How many wait: in all, of this account, and for this recipient.
    pub async fn notice_counts(
        &mut self,
        account: Option<AccountId>,
        channel: Channel,
        recipient: &str,
    ) -> Result<NoticeCounts, StoreError> {
        let statement = "SELECT (SELECT count(*) FROM notice) AS every_one,
            (SELECT count(*) FROM notice WHERE account = $1) AS of_account,
            (SELECT count(*) FROM notice WHERE channel = $2 AND recipient = $3) AS for_recipient";
        let statement = query(statement).bind(account.map(|id| id.to_string())).bind(channel.as_str()).bind(recipient);
        let row = statement.fetch_one(self.connection()).await?;
        Ok(NoticeCounts {
            all: number(&row, "every_one")?,
            of_account: number(&row, "of_account")?,
            for_recipient: number(&row, "for_recipient")?,
        })
    }

    /// How many wait in all.
    pub async fn notice_count(&mut self) -> Result<u64, StoreError> {
        let row = query("SELECT count(*) AS every_one FROM notice").fetch_one(self.connection()).await?;
        number(&row, "every_one")
    }

    /// When the next one is due that goes out this way, if any waits.
    pub async fn next_notice_due(&mut self, channel: Channel) -> Result<Option<Micros>, StoreError> {
        let statement = query("SELECT due_at FROM notice WHERE channel = $1 ORDER BY due_at LIMIT 1").bind(channel.as_str());
        let row = statement.fetch_optional(self.connection()).await?;
        row.as_ref().map(|row| cell(row, "due_at")).transpose()
    }

    /// Takes up what is due, at most `count`, for the node of that name: until `leased_until` nobody else does.
    pub async fn take_notices(
        &mut self,
        node: &str,
        channel: Channel,
        now: Micros,
        leased_until: Micros,
        count: u32,
    ) -> Result<Vec<QueuedNotice>, StoreError> {
        let statement = "UPDATE notice SET due_at = $2, attempts = attempts + 1, taken_by = $5 WHERE id IN
            (SELECT id FROM notice WHERE channel = $4 AND due_at <= $1 ORDER BY due_at, id LIMIT $3) RETURNING *";
        let statement = query(statement).bind(now).bind(leased_until).bind(count).bind(channel.as_str()).bind(node);
        let rows = statement.fetch_all(self.connection()).await?;
        rows.iter().map(notice).collect()
    }

    /// The node of that name begins: what it had taken up when it died is due.
    pub async fn release_notices(&mut self, node: &str, now: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE notice SET due_at = $2, taken_by = NULL WHERE taken_by = $1").bind(node).bind(now);
        statement.execute(self.connection()).await?;
        Ok(())
    }

    /// Tries it again then, unless somebody else has taken it up since.
    pub async fn postpone_notice(&mut self, id: NoticeId, attempts: u32, due_at: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE notice SET due_at = $3, taken_by = NULL WHERE id = $1 AND attempts = $2");
        statement.bind(id.to_string()).bind(attempts).bind(due_at).execute(self.connection()).await?;
        Ok(())
    }

    /// It was taken, or is given up.
    pub async fn delete_notice(&mut self, id: NoticeId) -> Result<(), StoreError> {
        query("DELETE FROM notice WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        Ok(())
    }

    /// What an account would tell a recipient is not so any more.
    pub async fn delete_notices_for(
        &mut self,
        account: AccountId,
        channel: Channel,
        recipient: &str,
        kind: Option<&str>,
    ) -> Result<(), StoreError> {
        let statement = "DELETE FROM notice WHERE account = $1 AND channel = $2 AND recipient = $3 AND kind = coalesce($4, kind)";
        let statement = query(statement).bind(account.to_string()).bind(channel.as_str()).bind(recipient).bind(kind);
        statement.execute(self.connection()).await?;
        Ok(())
    }
}

fn notice(row: &Row) -> Result<QueuedNotice, StoreError> {
    let channel = match cell(row, "channel")? {
        "mail" => Channel::Mail,
        "webhook" => Channel::Webhook,
        other => return Err(StoreError::Damaged { what: "notice", why: format!("its channel is {other:?}") }),
    };
    Ok(QueuedNotice {
        id: parsed(row, "id")?,
        account: parsed_optional(row, "account")?,
        channel,
        recipient: cell(row, "recipient")?,
        kind: cell(row, "kind")?,
        sealed: cell(row, "sealed")?,
        created_at: cell(row, "created_at")?,
        due_at: cell(row, "due_at")?,
        attempts: number(row, "attempts")?,
    })
}
