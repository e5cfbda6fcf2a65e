//! Webhooks, notification policies, and the kinds of events there are (`/accounts/{account}/alerting/v3`).

use std::collections::BTreeMap;

use axum::extract::State;
use poterne_control_wire::notification::{AlertObject, PolicyObject, WebhookObject, available_alerts};
use poterne_model::{
    AccountId, At, NotificationPolicyId, WebhookId,
    notification::{PolicyDraft, WebhookDraft},
    permission::Subject,
};
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
    tokens::Gone as Made,
};

/// What becomes of a secret that a PUT does not name.
const MOVED: &str = "Without a `secret` the one before stays, unless the scheme, the host or the port of `url` is another: then there is \
    none, so that a new place is not shown what was meant for the old one.";

/// Under `/accounts/{account}/alerting/v3`.
pub(crate) fn routes() -> Routes {
    let base = "/accounts/{account}/alerting/v3";
    let path = |rest: &str| format!("{base}{rest}");
    let (hooks, hook) = (path("/destinations/webhooks"), path("/destinations/webhooks/{webhook}"));
    let (all, one) = (path("/policies"), path("/policies/{policy}"));
    let notices = Subject::Notifications;
    Routes::of("Notifications", "Who is told of an account's events: webhooks, and policies that name them and members.")
        .get(&path("/available_alerts"), alerts, reads(notices, "List the kinds of events that are told"))
        .get(&path("/destinations/eligible"), eligible, reads(notices, "List by which ways events can be told"))
        .get(&hooks, webhooks, reads(notices, "List webhooks"))
        .post(&hooks, webhook_create, edits(notices, "Make a webhook").body(WebhookDraft::schema()))
        .get(&hook, webhook, reads(notices, "Show a webhook").about("Its secret is in no answer."))
        .put(&hook, webhook_update, edits(notices, "Change a webhook").about(MOVED).body(WebhookDraft::schema()))
        .delete(&hook, webhook_delete, edits(notices, "Delete a webhook"))
        .get(&all, policies, reads(notices, "List notification policies"))
        .post(&all, policy_create, edits(notices, "Make a notification policy").body(PolicyDraft::schema(true)))
        .get(&one, policy, reads(notices, "Show a notification policy"))
        .put(&one, policy_update, edits(notices, "Change a notification policy").body(PolicyDraft::schema(false)))
        .delete(&one, policy_delete, edits(notices, "Delete a notification policy"))
}

shown![WebhookObject, PolicyObject, AlertObject];

async fn alerts(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
) -> Answered<BTreeMap<&'static str, Vec<AlertObject>>> {
    Ok(Answer::success(available_alerts(door.app.alert_types(&caller, account)?)))
}

/// By which ways the account can be told: mail only where this node sends it.
async fn eligible(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
) -> Answered<BTreeMap<&'static str, Vec<Value>>> {
    let mail = door.app.sends_mail(&caller, account)?;
    let way = |kind: &str, offered: bool| json!({ "eligible": offered, "ready": offered, "type": kind });
    let ways = vec![way("email", mail), way("webhook", true), way("pagerduty", false)];
    let kinds = door.app.alert_types(&caller, account)?;
    Ok(Answer::success(kinds.iter().map(|kind| (kind.as_str(), ways.clone())).collect()))
}

async fn webhooks(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<WebhookObject>> {
    let all = door.app.webhook_list(&caller, account).await?;
    Ok(Answer::success(all.into_iter().map(Into::into).collect()))
}

async fn webhook_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<Made<WebhookId>> {
    let webhook = door.app.webhook_create(&caller, account, &At::body(&body)).await?;
    Ok(Answer::success(Made { id: webhook.id }))
}

type OfWebhook = Ids<AccountId, WebhookId>;

async fn webhook(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfWebhook) -> Answered<WebhookObject> {
    Ok(Answer::success(door.app.webhook_get(&caller, account, id).await?.into()))
}

async fn webhook_update(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfWebhook,
    Json(body): Json,
) -> Answered<Made<WebhookId>> {
    let webhook = door.app.webhook_update(&caller, account, id, &At::body(&body)).await?;
    Ok(Answer::success(Made { id: webhook.id }))
}

async fn webhook_delete(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfWebhook) -> Answered<Made<WebhookId>> {
    door.app.webhook_delete(&caller, account, id).await?;
    Ok(Answer::success(Made { id }))
}

async fn policies(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<PolicyObject>> {
    let all = door.app.notification_policy_list(&caller, account).await?;
    Ok(Answer::success(all.into_iter().map(Into::into).collect()))
}

async fn policy_create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<Made<NotificationPolicyId>> {
    let policy = door.app.notification_policy_write(&caller, account, None, &At::body(&body)).await?;
    Ok(Answer::success(Made { id: policy.id }))
}

type OfPolicy = Ids<AccountId, NotificationPolicyId>;

async fn policy(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfPolicy) -> Answered<PolicyObject> {
    Ok(Answer::success(door.app.notification_policy_get(&caller, account, id).await?.into()))
}

async fn policy_update(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfPolicy,
    Json(body): Json,
) -> Answered<Made<NotificationPolicyId>> {
    let policy = door.app.notification_policy_write(&caller, account, Some(id), &At::body(&body)).await?;
    Ok(Answer::success(Made { id: policy.id }))
}

async fn policy_delete(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfPolicy,
) -> Answered<Made<NotificationPolicyId>> {
    door.app.notification_policy_delete(&caller, account, id).await?;
    Ok(Answer::success(Made { id }))
}
