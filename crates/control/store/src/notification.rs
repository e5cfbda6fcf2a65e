//! Webhooks, notification policies, and how tunnels were when that was last told.

use poterne_model::{
    AccountId, NotificationPolicyId, Timestamp, TunnelId, TunnelStatus, WebhookId,
    notification::{AlertType, NotificationPolicy, Webhook},
};

use crate::{
    Micros, Session, StoreError, Tunnel,
    database::{Row, query},
    rows::{cell, changed, inserted, number, parsed},
    tunnel::tunnel,
};

/// A tunnel, how it was last told to be, and its live connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelTold {
    /// The tunnel.
    pub tunnel: Tunnel,
    /// How it was when that was last told; none: nobody looked yet.
    pub told: Option<TunnelStatus>,
    /// Connections of the connector that has most, those that say goodbye aside.
    pub connections_of_best: usize,
    /// Of all its connectors.
    pub connections: usize,
}

impl Session {
    /// An account's webhooks, oldest first.
    pub async fn webhooks(&mut self, account: AccountId) -> Result<Vec<Webhook>, StoreError> {
        let statement = query("SELECT * FROM webhook WHERE account = $1 ORDER BY created_at, id").bind(account.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(webhook).collect()
    }

    /// One of them, with its secret, sealed.
    pub async fn webhook(&mut self, account: AccountId, id: WebhookId) -> Result<Option<(Webhook, Vec<u8>)>, StoreError> {
        let statement =
            query("SELECT * FROM webhook WHERE id = $1 AND account = $2").bind(id.to_string()).bind(account.to_string());
        let row = statement.fetch_optional(self.connection()).await?;
        row.as_ref().map(|row| Ok((webhook(row)?, cell(row, "sealed")?))).transpose()
    }

    /// A new webhook.
    pub async fn insert_webhook(&mut self, account: AccountId, webhook: &Webhook, sealed: &[u8]) -> Result<(), StoreError> {
        let statement = "INSERT INTO webhook (id, account, name, url, sealed, created_at) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(webhook.id.to_string())
            .bind(account.to_string())
            .bind(&webhook.name)
            .bind(&webhook.url)
            .bind(sealed)
            .bind(webhook.created_at.as_micros())
            .execute(self.connection())
            .await?;
        inserted(done, "webhook")
    }

    /// Changes a webhook's name, URL and secret.
    pub async fn update_webhook(&mut self, webhook: &Webhook, sealed: &[u8]) -> Result<(), StoreError> {
        let statement = query("UPDATE webhook SET name = $2, url = $3, sealed = $4 WHERE id = $1").bind(webhook.id.to_string());
        let statement = statement.bind(&webhook.name).bind(&webhook.url).bind(sealed);
        changed(statement.execute(self.connection()).await?, "webhook")
    }

    /// Notes that a notice was taken there, or was not.
    pub async fn webhook_called(&mut self, id: WebhookId, taken: bool, at: Micros) -> Result<(), StoreError> {
        let statement = if taken {
            "UPDATE webhook SET last_success = $2 WHERE id = $1"
        } else {
            "UPDATE webhook SET last_failure = $2 WHERE id = $1"
        };
        query(statement).bind(id.to_string()).bind(at).execute(self.connection()).await?;
        Ok(())
    }

    /// Takes a webhook away.
    pub async fn delete_webhook(&mut self, id: WebhookId) -> Result<(), StoreError> {
        let done = query("DELETE FROM webhook WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "webhook")
    }

    /// An account's policies, oldest first.
    pub async fn notification_policies(&mut self, account: AccountId) -> Result<Vec<NotificationPolicy>, StoreError> {
        let statement = query("SELECT * FROM notification_policy WHERE account = $1 ORDER BY created_at, id");
        statement.bind(account.to_string()).fetch_all(self.connection()).await?.iter().map(policy).collect()
    }

    /// Its policies for one kind of event.
    pub async fn notification_policies_for(
        &mut self,
        account: AccountId,
        alert: AlertType,
    ) -> Result<Vec<NotificationPolicy>, StoreError> {
        let statement = query("SELECT * FROM notification_policy WHERE account = $1 AND alert_type = $2 ORDER BY created_at, id");
        let statement = statement.bind(account.to_string()).bind(alert.as_str());
        statement.fetch_all(self.connection()).await?.iter().map(policy).collect()
    }

    /// The accounts that have policies for that kind of event.
    pub async fn accounts_notified_of(&mut self, alert: AlertType) -> Result<Vec<AccountId>, StoreError> {
        let statement = query("SELECT DISTINCT account FROM notification_policy WHERE alert_type = $1").bind(alert.as_str());
        statement.fetch_all(self.connection()).await?.iter().map(|row| parsed(row, "account")).collect()
    }

    /// Writes a policy as it is now, new or not.
    pub async fn put_notification_policy(&mut self, account: AccountId, policy: &NotificationPolicy) -> Result<(), StoreError> {
        let text = serde_json::to_string(&policy.text).expect("a policy is always JSON");
        let statement = "INSERT INTO notification_policy (id, account, alert_type, text, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET alert_type = excluded.alert_type, text = excluded.text,
            modified_at = excluded.modified_at";
        query(statement)
            .bind(policy.id.to_string())
            .bind(account.to_string())
            .bind(policy.text.alert_type.as_str())
            .bind(text)
            .bind(policy.created_at.as_micros())
            .bind(policy.modified_at.as_micros())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Takes a policy away.
    pub async fn delete_notification_policy(&mut self, id: NotificationPolicyId) -> Result<(), StoreError> {
        let done = query("DELETE FROM notification_policy WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "notification policy")
    }

    /// An account's live tunnels, and what of each is needed to see whether there is something to tell.
    pub async fn tunnels_told(&mut self, account: AccountId) -> Result<Vec<TunnelTold>, StoreError> {
        let statement = "SELECT tunnel.*, told.status AS told, coalesce(live.best, 0) AS best, coalesce(live.every_one, 0) AS every_one
            FROM tunnel LEFT JOIN tunnel_told AS told ON told.tunnel = tunnel.id
            LEFT JOIN (SELECT tunnel, max(n) AS best, CAST(sum(n) AS BIGINT) AS every_one
                FROM (SELECT tunnel, connector, count(*) AS n FROM connection WHERE NOT draining GROUP BY tunnel, connector) AS one
                GROUP BY tunnel) AS live ON live.tunnel = tunnel.id
            WHERE tunnel.account = $1 AND tunnel.deleted_at IS NULL AND NOT tunnel.quick ORDER BY tunnel.id";
        let rows = query(statement).bind(account.to_string()).fetch_all(self.connection()).await?;
        rows.iter().map(tunnel_told).collect()
    }

    /// How a tunnel was when that was last told; none: nobody looked yet.
    pub async fn tunnel_told(&mut self, id: TunnelId) -> Result<Option<TunnelStatus>, StoreError> {
        let statement = query("SELECT status FROM tunnel_told WHERE tunnel = $1").bind(id.to_string());
        let row = statement.fetch_optional(self.connection()).await?;
        row.as_ref().map(|row| cell(row, "status").and_then(status)).transpose()
    }

    /// From now on it is told to be so.
    pub async fn tell_tunnel(&mut self, tunnel: TunnelId, status: TunnelStatus) -> Result<(), StoreError> {
        let statement = "INSERT INTO tunnel_told (tunnel, status) VALUES ($1, $2)
            ON CONFLICT (tunnel) DO UPDATE SET status = excluded.status";
        query(statement).bind(tunnel.to_string()).bind(status.as_str()).execute(self.connection()).await?;
        Ok(())
    }
}

fn tunnel_told(row: &Row) -> Result<TunnelTold, StoreError> {
    Ok(TunnelTold {
        tunnel: tunnel(row)?,
        told: cell::<Option<&str>>(row, "told")?.map(status).transpose()?,
        connections_of_best: number(row, "best")?,
        connections: number(row, "every_one")?,
    })
}

fn status(word: &str) -> Result<TunnelStatus, StoreError> {
    let all = [TunnelStatus::Inactive, TunnelStatus::Healthy, TunnelStatus::Degraded, TunnelStatus::Down];
    let found = all.into_iter().find(|status| status.as_str() == word);
    found.ok_or_else(|| StoreError::Damaged { what: "tunnel status", why: format!("it is {word:?}") })
}

fn webhook(row: &Row) -> Result<Webhook, StoreError> {
    let instant = |column| Ok::<_, StoreError>(cell::<Option<Micros>>(row, column)?.map(Timestamp::from_micros));
    Ok(Webhook {
        id: parsed(row, "id")?,
        name: cell(row, "name")?,
        url: cell(row, "url")?,
        created_at: Timestamp::from_micros(cell(row, "created_at")?),
        last_success: instant("last_success")?,
        last_failure: instant("last_failure")?,
    })
}

fn policy(row: &Row) -> Result<NotificationPolicy, StoreError> {
    let text = serde_json::from_str(cell(row, "text")?);
    let text = text.map_err(|error| StoreError::Damaged { what: "notification policy", why: error.to_string() })?;
    Ok(NotificationPolicy {
        id: parsed(row, "id")?,
        text,
        created_at: Timestamp::from_micros(cell(row, "created_at")?),
        modified_at: Timestamp::from_micros(cell(row, "modified_at")?),
    })
}
