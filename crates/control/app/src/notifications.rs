//! Webhooks and notification policies: who is told of an account's events, and the telling itself.

use std::collections::BTreeSet;

use poterne_control_store::{Channel, Membership, MembershipStatus, Session};
use poterne_guard::{Guard, Scheme, Target as Place, guard::Admitted};
use poterne_keys::{Purpose, random_bytes};
use poterne_model::{
    AccountId, At, NotificationPolicyId, ShapeError, WebhookId,
    notification::{AlertType, Facts, NotificationPolicy, PolicyDraft, Webhook, WebhookDraft},
};
use serde_json::{Value, json};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    audit::Traced,
    notice::Notice,
    outbox::{PolicyNamed, Recipient, Told},
};

/// Most webhooks, and most policies, of an account.
const WEBHOOKS_MAX: usize = 100;
const POLICIES_MAX: usize = 100;

impl App {
    /// An account's webhooks, oldest first.
    pub async fn webhook_list(&self, caller: &Caller, account: AccountId) -> Result<Vec<Webhook>, AppError> {
        caller.needs(Subject::Notifications.to_read(), Target::Account(account))?;
        Ok(self.0.store.read().await?.webhooks(account).await?)
    }

    /// One of them.
    pub async fn webhook_get(&self, caller: &Caller, account: AccountId, id: WebhookId) -> Result<Webhook, AppError> {
        caller.needs(Subject::Notifications.to_read(), Target::Account(account))?;
        let found = self.0.store.read().await?.webhook(account, id).await?;
        found.map(|(webhook, _)| webhook).ok_or(AppError::NotFound("webhook"))
    }

    /// Makes a webhook from the body of a POST.
    pub async fn webhook_create(&self, caller: &Caller, account: AccountId, body: &At<'_>) -> Result<Webhook, AppError> {
        caller.needs(Subject::Notifications.to_edit(), Target::Account(account))?;
        let WebhookDraft { name, url, secret } = WebhookDraft::read(body)?;
        self.check_url(account, body, &url)?;
        let mut session = self.0.store.write().await?;
        if session.webhooks(account).await?.len() >= WEBHOOKS_MAX {
            let why = format!("there are {WEBHOOKS_MAX} already: delete one first");
            return Err(AppError::Invalid { what: "webhooks", why });
        }
        let id = WebhookId::from_bytes(random_bytes());
        let webhook = Webhook { id, name, url, created_at: self.instant(), last_success: None, last_failure: None };
        let sealed = self.seal_webhook(id, secret.as_ref().map_or("", |secret| secret.expose()));
        session.insert_webhook(account, &webhook, &sealed).await?;
        self.trace(&mut session, caller, traced_webhook("create", account, None, Some(&webhook))).await?;
        session.commit_silently().await?;
        tracing::info!(%account, webhook = %id, "webhook created");
        Ok(webhook)
    }

    /// Changes a webhook as the body of a PUT says. A secret that it does not name stays with the place that it was given for: where the
    /// scheme, the host or the port is another, it goes, since every call shows it.
    pub async fn webhook_update(
        &self,
        caller: &Caller,
        account: AccountId,
        id: WebhookId,
        body: &At<'_>,
    ) -> Result<Webhook, AppError> {
        caller.needs(Subject::Notifications.to_edit(), Target::Account(account))?;
        let WebhookDraft { name, url, secret } = WebhookDraft::read(body)?;
        self.check_url(account, body, &url)?;
        let mut session = self.0.store.write().await?;
        let (before, sealed) = session.webhook(account, id).await?.ok_or(AppError::NotFound("webhook"))?;
        let after = Webhook { name, url, ..before.clone() };
        let sealed = match secret {
            Some(secret) => self.seal_webhook(id, secret.expose()),
            None if is_same_place(&before.url, &after.url) => sealed,
            None => self.seal_webhook(id, ""),
        };
        session.update_webhook(&after, &sealed).await?;
        self.trace(&mut session, caller, traced_webhook("update", account, Some(&before), Some(&after))).await?;
        session.commit_silently().await?;
        Ok(after)
    }

    /// Takes a webhook away, with what waits for it; one that a policy names stays.
    pub async fn webhook_delete(&self, caller: &Caller, account: AccountId, id: WebhookId) -> Result<(), AppError> {
        caller.needs(Subject::Notifications.to_edit(), Target::Account(account))?;
        let mut session = self.0.store.write().await?;
        let (before, _) = session.webhook(account, id).await?.ok_or(AppError::NotFound("webhook"))?;
        let policies = session.notification_policies(account).await?;
        if let Some(policy) = policies.iter().find(|policy| policy.text.mechanisms.webhooks.contains(&id)) {
            let why = format!("the policy {:?} tells it of events: change that one first", policy.text.name);
            return Err(AppError::InUse { what: "webhook", name: before.name, why });
        }
        session.delete_webhook(id).await?;
        session.delete_notices_for(account, Channel::Webhook, &id.to_string(), None).await?;
        self.trace(&mut session, caller, traced_webhook("delete", account, Some(&before), None)).await?;
        Ok(session.commit_silently().await?)
    }

    /// An account's policies, oldest first.
    pub async fn notification_policy_list(
        &self,
        caller: &Caller,
        account: AccountId,
    ) -> Result<Vec<NotificationPolicy>, AppError> {
        caller.needs(Subject::Notifications.to_read(), Target::Account(account))?;
        Ok(self.0.store.read().await?.notification_policies(account).await?)
    }

    /// One of them.
    pub async fn notification_policy_get(
        &self,
        caller: &Caller,
        account: AccountId,
        id: NotificationPolicyId,
    ) -> Result<NotificationPolicy, AppError> {
        let policies = self.notification_policy_list(caller, account).await?;
        policies.into_iter().find(|policy| policy.id == id).ok_or(AppError::NotFound("notification policy"))
    }

    /// The kinds of events there are, for whoever may see policies.
    pub fn alert_types(&self, caller: &Caller, account: AccountId) -> Result<&'static [AlertType], AppError> {
        caller.needs(Subject::Notifications.to_read(), Target::Account(account))?;
        Ok(AlertType::ALL)
    }

    /// Whether mail is sent from here, for whoever may see policies.
    pub fn sends_mail(&self, caller: &Caller, account: AccountId) -> Result<bool, AppError> {
        caller.needs(Subject::Notifications.to_read(), Target::Account(account))?;
        Ok(self.settings().sends_mail)
    }

    /// Makes a policy from the body of a POST; changes the one of this id as the body of a PUT says.
    pub async fn notification_policy_write(
        &self,
        caller: &Caller,
        account: AccountId,
        id: Option<NotificationPolicyId>,
        body: &At<'_>,
    ) -> Result<NotificationPolicy, AppError> {
        caller.needs(Subject::Notifications.to_edit(), Target::Account(account))?;
        let mut session = self.0.store.write().await?;
        let all = session.notification_policies(account).await?;
        let before = match id {
            Some(id) => {
                let found = all.iter().find(|policy| policy.id == id);
                Some(found.cloned().ok_or(AppError::NotFound("notification policy"))?)
            }
            None if all.len() >= POLICIES_MAX => {
                let why = format!("there are {POLICIES_MAX} already: delete one first");
                return Err(AppError::Invalid { what: "notification policies", why });
            }
            None => None,
        };
        let text = PolicyDraft::read(body, before.as_ref().map(|before| &before.text))?;
        self.check_recipients(&mut session, account, &text).await?;
        let now = self.instant();
        let after = match &before {
            Some(before) => NotificationPolicy { text, modified_at: now, ..before.clone() },
            None => {
                let id = NotificationPolicyId::from_bytes(random_bytes());
                NotificationPolicy { id, text, created_at: now, modified_at: now }
            }
        };
        session.put_notification_policy(account, &after).await?;
        let action = if before.is_some() { "update" } else { "create" };
        self.trace(&mut session, caller, traced_policy(action, account, before.as_ref(), Some(&after))).await?;
        session.commit_silently().await?;
        Ok(after)
    }

    /// Takes a policy away.
    pub async fn notification_policy_delete(
        &self,
        caller: &Caller,
        account: AccountId,
        id: NotificationPolicyId,
    ) -> Result<(), AppError> {
        caller.needs(Subject::Notifications.to_edit(), Target::Account(account))?;
        let mut session = self.0.store.write().await?;
        let all = session.notification_policies(account).await?;
        let before = all.into_iter().find(|policy| policy.id == id).ok_or(AppError::NotFound("notification policy"))?;
        session.delete_notification_policy(id).await?;
        self.trace(&mut session, caller, traced_policy("delete", account, Some(&before), None)).await?;
        Ok(session.commit_silently().await?)
    }

    /// What a stranger's URL is held against.
    pub fn guard(&self) -> Guard {
        let settings = self.settings();
        Guard { allowed: settings.origins_allowed, own: settings.public_addresses }
    }

    /// Tells whom an account's policies name, within the transaction that changes what it tells of.
    /// How many are told.
    pub(crate) async fn alert(&self, session: &mut Session, account: AccountId, notice: &Notice) -> Result<usize, AppError> {
        let Some((kind, facts)) = of_alert(notice) else { return Ok(0) };
        let sends_mail = self.settings().sends_mail;
        let (mut told, mut count) = (BTreeSet::new(), 0);
        for policy in session.notification_policies_for(account, kind).await? {
            if !policy.text.takes(&facts) {
                continue;
            }
            let named = PolicyNamed { id: policy.id, name: policy.text.name };
            let addresses = if sends_mail { policy.text.mechanisms.email } else { BTreeSet::new() };
            for address in addresses {
                // Whoever has left since is told nothing any more.
                if is_member(session, account, &address).await? && told.insert((Channel::Mail.as_str(), address.clone())) {
                    let queued = self.queue(session, Some(account), Channel::Mail, &address, notice, Some(&named)).await?;
                    count += usize::from(matches!(queued, Told::Queued(_)));
                }
            }
            for webhook in policy.text.mechanisms.webhooks {
                if told.insert((Channel::Webhook.as_str(), webhook.to_string())) {
                    let queued =
                        self.queue(session, Some(account), Channel::Webhook, &webhook.to_string(), notice, Some(&named)).await?;
                    count += usize::from(matches!(queued, Told::Queued(_)));
                }
            }
        }
        Ok(count)
    }

    pub(crate) async fn webhook_of(
        &self,
        session: &mut Session,
        account: Option<AccountId>,
        id: &str,
    ) -> Result<Option<Recipient>, AppError> {
        let (Some(account), Ok(id)) = (account, id.parse::<WebhookId>()) else { return Ok(None) };
        let Some((webhook, sealed)) = session.webhook(account, id).await? else { return Ok(None) };
        let secret = self.0.keys.open(Purpose::WebhookSecret, id.as_bytes(), &sealed)?;
        let secret = (!secret.expose().is_empty()).then_some(secret);
        Ok(Some(Recipient::Webhook { account, id, name: webhook.name, url: webhook.url, secret }))
    }

    fn seal_webhook(&self, id: WebhookId, secret: &str) -> Vec<u8> {
        self.0.keys.seal(Purpose::WebhookSecret, id.as_bytes(), secret.as_bytes())
    }

    /// Refuses a URL that nothing can ever be taken to. Where a name leads is seen when it is called.
    fn check_url(&self, account: AccountId, body: &At<'_>, url: &str) -> Result<(), ShapeError> {
        let at = body.required("url")?;
        let wrong = |why: String| ShapeError::new(at.pointer(), format!("{}: {why}", at.pointer()));
        let place = Place::parse(url).map_err(|error| wrong(error.to_string()))?;
        let Some(address) = place.address else { return Ok(()) };
        match self.guard().admits(account, (address, place.port).into(), false) {
            Err(refusal) => Err(wrong(refusal.to_string())),
            Ok(Admitted::Global) if place.scheme == Scheme::Http => {
                Err(wrong("it would be called in clear: write https://".to_owned()))
            }
            Ok(_) => Ok(()),
        }
    }

    /// Mail goes to those who belong to the account, and to its own webhooks: this node is nobody's way to write to strangers.
    async fn check_recipients(&self, session: &mut Session, account: AccountId, text: &PolicyDraft) -> Result<(), AppError> {
        for address in &text.mechanisms.email {
            if !is_member(session, account, address).await? {
                let why = format!("{address:?} is no member's: mail goes to the account's members, once they have accepted");
                return Err(ShapeError::new("/mechanisms/email", why).into());
            }
        }
        for id in &text.mechanisms.webhooks {
            if session.webhook(account, *id).await?.is_none() {
                let why = format!("the account has no webhook {id}: see …/alerting/v3/destinations/webhooks");
                return Err(ShapeError::new("/mechanisms/webhooks", why).into());
            }
        }
        Ok(())
    }
}

async fn is_member(session: &mut Session, account: AccountId, address: &str) -> Result<bool, AppError> {
    let Some(person) = session.person_of_email(address).await? else { return Ok(false) };
    let belongs = |of: &Membership| of.account == account && of.status == MembershipStatus::Accepted;
    Ok(!person.suspended && session.memberships(person.id).await?.iter().any(belongs))
}

/// Whether whoever listens at one URL is who listens at the other.
fn is_same_place(one: &str, other: &str) -> bool {
    let place = |url| Place::parse(url).ok().map(|place| (place.scheme, place.host, place.port));
    place(one).is_some_and(|one| place(other) == Some(one))
}

/// Of which kind of event a notice tells, and with which facts.
fn of_alert(notice: &Notice) -> Option<(AlertType, Facts<'_>)> {
    let of = |tunnel, name| Facts { tunnel: Some(tunnel), tunnel_name: Some(name), ..Facts::default() };
    Some(match notice {
        Notice::TunnelHealth { tunnel, name, status, .. } => {
            (AlertType::TunnelHealth, Facts { new_status: Some(*status), ..of(*tunnel, name) })
        }
        Notice::TunnelUpdate { tunnel, name, deleted, .. } => {
            (AlertType::TunnelUpdate, Facts { event: Some(if *deleted { "delete" } else { "create" }), ..of(*tunnel, name) })
        }
        Notice::MemberAdded { .. } | Notice::MemberRemoved { .. } => (AlertType::Members, Facts::default()),
        Notice::TokenCreated { .. } => (AlertType::Tokens, Facts::default()),
        Notice::ZoneEnd { over, .. } => {
            (AlertType::ZoneStatus, Facts { event: Some(if *over { "deleted" } else { "ending" }), ..Facts::default() })
        }
        Notice::ZoneStatus { status, .. } => (AlertType::ZoneStatus, Facts { event: Some(status.as_str()), ..Facts::default() }),
        Notice::SecondaryZone { event, .. } => (AlertType::SecondaryZone, Facts { event: Some(event), ..Facts::default() }),
        Notice::HealthCheck { check, status, .. } => {
            (AlertType::HealthCheck, Facts { health_check: Some(*check), health: Some(*status), ..Facts::default() })
        }
        Notice::Invitation { .. }
        | Notice::PasswordReset { .. }
        | Notice::NewSignIn { .. }
        | Notice::SignInChanged { .. }
        | Notice::Test { .. } => return None,
    })
}

fn traced_webhook(action: &'static str, account: AccountId, old: Option<&Webhook>, new: Option<&Webhook>) -> Traced {
    // Path and query of such URLs are often their secret.
    let place = |url: &str| Place::parse(url).map_or_else(|_| String::new(), |place| place.to_string());
    let shown = |webhook: &Webhook| json!({ "name": webhook.name, "url": place(&webhook.url) });
    let id = old.or(new).map_or_else(String::new, |webhook| webhook.id.to_string());
    Traced { account: Some(account), action, kind: "webhook", id, old: old.map(shown), new: new.map(shown), ..Traced::default() }
}

fn traced_policy(
    action: &'static str,
    account: AccountId,
    old: Option<&NotificationPolicy>,
    new: Option<&NotificationPolicy>,
) -> Traced {
    let shown = |policy: &NotificationPolicy| serde_json::to_value(&policy.text).unwrap_or(Value::Null);
    let id = old.or(new).map_or_else(String::new, |policy| policy.id.to_string());
    let kind = "notification_policy";
    Traced { account: Some(account), action, kind, id, old: old.map(shown), new: new.map(shown), ..Traced::default() }
}
