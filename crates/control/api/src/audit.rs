//! Audit logs, both versions (api-v4 §14).

use axum::{Router, extract::State, http::StatusCode, routing::get};
use poterne_control_app::{Account, AuditEvent, AuditFilter};
use poterne_control_wire::{
    WireTime, codes,
    query::{
        self, QueryError,
        page::{CursorPage, Page, PageInfo, PageLimits},
    },
};
use poterne_model::{AccountId, AuditId, Name, ShapeError, Timestamp};
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Answered},
    body::Query,
    door::{Door, Who},
    path::Id,
};

/// How many events the second version gives at once.
const EVENTS: PageLimits = PageLimits { default: 100, max: 1000 };

/// `/user/audit_logs`, and both under `/accounts/{account}`.
pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/user/audit_logs", get(of_user))
        .route("/accounts/{account}/audit_logs", get(of_account))
        .route("/accounts/{account}/logs/audit", get(second))
}

fn ascending(query: &query::Query) -> Result<bool, QueryError> {
    let of_word = |word: &str| match word {
        "asc" => Some(true),
        "desc" => Some(false),
        _ => None,
    };
    Ok(query.word("direction", of_word, &["asc", "desc"])?.unwrap_or(false))
}

fn filter(query: &query::Query) -> Result<AuditFilter, QueryError> {
    let text = |name| query.text(name).map(str::to_owned);
    Ok(AuditFilter {
        since: query.instant("since")?.map(Timestamp::as_micros),
        before: query.instant("before")?.map(Timestamp::as_micros),
        id: query.parsed("id")?,
        action: text("action.type"),
        actor_email: text("actor.email").map(|email| email.to_ascii_lowercase()),
        actor_ip: query.parsed::<std::net::IpAddr>("actor.ip")?.map(|ip| ip.to_string()),
        zone_name: query.parsed::<Name>("zone.name")?.map(|name| name.to_string()),
        in_accounts: query.boolean("hide_user_logs")?.unwrap_or(false),
        ascending: ascending(query)?,
        ..AuditFilter::default()
    })
}

fn json_of(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

fn object(event: &AuditEvent) -> Value {
    let actor = &event.actor;
    let (token, name) = actor.token.clone().unzip();
    let id = actor.person.map(|id| id.to_string()).or_else(|| token.map(|id| id.to_string()));
    // The words that clients know: whoever is no user is the node itself, or its operator.
    let kind = if actor.kind == "system" { "Cloudflare" } else { "user" };
    json!({
        "id": event.id,
        "action": { "type": event.action, "result": true },
        "actor": { "id": id, "email": actor.email, "ip": actor.ip, "type": kind },
        "interface": event.door,
        "metadata": { "zone_name": event.zone.as_ref().map(|(_, name)| name), "token_id": token, "token_name": name, "ray": event.ray },
        "newValue": event.new_value.as_deref().unwrap_or_default(),
        "oldValue": event.old_value.as_deref().unwrap_or_default(),
        "newValueJson": json_of(event.new_value.as_deref()),
        "oldValueJson": json_of(event.old_value.as_deref()),
        "owner": { "id": event.account },
        "resource": { "id": event.resource, "type": event.resource_kind },
        "when": WireTime(Timestamp::from_micros(event.at)),
    })
}

fn part(page: Page, (events, total): (Vec<AuditEvent>, u64)) -> Answer<Vec<Value>> {
    let shown: Vec<_> = events.iter().map(object).collect();
    let info: PageInfo = page.info(shown.len(), total);
    Answer::part(shown, info)
}

async fn of_account(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<Value>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let found = door.app.audit_of_account(&caller, account, filter(&query)?, page.offset(), page.per_page).await?;
    Ok(part(page, found))
}

async fn of_user(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<Value>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let none = || Answer::error(StatusCode::FORBIDDEN, codes::FORBIDDEN, "an account's own token has no user");
    let person = caller.person().ok_or_else(none)?.id;
    let found = door.app.audit_of_person(&caller, person, filter(&query)?, page.offset(), page.per_page).await?;
    Ok(part(page, found))
}

/// In which words the second version tells an event; each can be filtered by, and by its contrary with `.not`.
const FILTERED: [(&str, &str); 16] = [
    ("id", "/id"),
    ("audit_log_id", "/id"),
    ("account_name", "/account/name"),
    ("action_result", "/action/result"),
    ("action_type", "/action/type"),
    ("actor_context", "/actor/context"),
    ("actor_email", "/actor/email"),
    ("actor_id", "/actor/id"),
    ("actor_ip_address", "/actor/ip_address"),
    ("actor_token_id", "/actor/token_id"),
    ("actor_token_name", "/actor/token_name"),
    ("actor_type", "/actor/type"),
    ("raw_cf_ray_id", "/raw/cf_ray_id"),
    ("resource_id", "/resource/id"),
    ("resource_type", "/resource/type"),
    ("zone_name", "/zone/name"),
];

/// What is done, in the four words of the second version.
fn action(word: &str) -> &'static str {
    match word {
        "add" | "create" | "rec_add" | "invite" => "create",
        "delete" | "rec_del" | "delete_version" => "delete",
        _ => "update",
    }
}

fn second_object(event: &AuditEvent, account: &Account) -> Value {
    let actor = &event.actor;
    let (token, name) = actor.token.clone().unzip();
    let context = match (actor.kind.as_str(), &token) {
        ("system", _) => "api",
        (_, Some(_)) => "api_token",
        (_, None) => "api_key",
    };
    let mut out = json!({
        "id": event.id,
        "account": { "id": account.id, "name": account.name },
        "action": {
            "type": action(&event.action), "result": "success", "time": WireTime(Timestamp::from_micros(event.at)),
            "description": format!("{} {}", event.action, event.resource_kind),
        },
        "actor": {
            "id": actor.person, "email": actor.email, "ip_address": actor.ip, "type": actor.kind, "context": context,
            "token_id": token, "token_name": name,
        },
        "raw": { "cf_ray_id": event.ray },
        "resource": {
            "id": event.resource, "product": event.resource_kind, "type": event.resource_kind,
            "scope": if event.zone.is_some() { "zones" } else { "accounts" },
            "request": json_of(event.old_value.as_deref()), "response": json_of(event.new_value.as_deref()),
        },
    });
    if let Some((id, name)) = &event.zone {
        out["zone"] = json!({ "id": id, "name": name });
    }
    out
}

/// A condition on an event, as it is told: a place, the words, and whether one of them must stand there or must not.
type Condition = (&'static str, Vec<String>, bool);

fn conditions(query: &query::Query) -> Result<Vec<Condition>, QueryError> {
    let mut out = Vec::new();
    for (name, place) in FILTERED.into_iter().chain([("zone_id", "/zone/id"), ("resource_product", "/resource/product")]) {
        for (key, wanted) in [(name.to_owned(), true), (format!("{name}.not"), false)] {
            let words: Vec<String> = query.list(&key)?.into_iter().map(str::to_owned).collect();
            if !words.is_empty() {
                out.push((place, words, wanted));
            }
        }
    }
    Ok(out)
}

fn read_cursor(text: &str) -> Option<(i64, AuditId)> {
    let (at, id) = text.split_once('/')?;
    Some((at.parse().ok()?, id.parse().ok()?))
}

async fn second(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<Value>> {
    let page = CursorPage::read(&query, EVENTS)?;
    let missing = |name: &str| ShapeError::new("", format!("the query parameter {name} is missing: write an instant or a day"));
    let since = query.instant("since")?.ok_or_else(|| missing("since"))?;
    let before = query.instant("before")?.ok_or_else(|| missing("before"))?;
    let after = page.after.as_deref().map(|cursor| {
        let wrong = || ShapeError::new("", "the cursor is none of ours: pass on one as an answer gave it, or leave it out");
        read_cursor(cursor).ok_or_else(wrong)
    });
    let filter = AuditFilter {
        since: Some(since.as_micros()),
        before: Some(before.as_micros()),
        after: after.transpose()?,
        ascending: ascending(&query)?,
        ..AuditFilter::default()
    };
    let conditions = conditions(&query)?;
    let named = door.app.account_get(&caller, account).await?;
    let wanted = |event: &AuditEvent| {
        let told = second_object(event, &named);
        let holds = |place: &str, words: &[String]| {
            told.pointer(place)
                .and_then(Value::as_str)
                .is_some_and(|value| words.iter().any(|word| word.eq_ignore_ascii_case(value)))
        };
        conditions.iter().all(|(place, words, wanted)| holds(place, words) == *wanted)
    };
    let (events, next) = door.app.audit_examined(&caller, account, filter, page.per_page as usize, wanted).await?;
    let next = next.map(|(at, id)| format!("{at}/{id}"));
    let shown: Vec<_> = events.iter().map(|event| second_object(event, &named)).collect();
    let info = page.info(shown.len(), next.as_deref());
    Ok(Answer::part(shown, info))
}
