//! Audit logs, both versions (api-v4 §14).

use axum::{extract::State, http::StatusCode};
use poterne_control_app::{Account, AuditEvent, AuditFilter};
use poterne_control_wire::{
    WireTime, codes,
    query::{
        self, Parameter, QueryError,
        page::{CursorPage, Page, PageInfo, PageLimits},
    },
};
use poterne_model::{AccountId, AuditId, Name, Schema, ShapeError, Timestamp, permission::Subject};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Query,
    door::{Door, Who},
    openapi::components::{Like, shown},
    path::Id,
    routes::{Routes, reads},
};

/// How many events the second version gives at once.
const EVENTS: PageLimits = PageLimits { default: 100, max: 1000 };

/// `/user/audit_logs`, and both under `/accounts/{account}`.
pub(crate) fn routes() -> Routes {
    let of_account =
        reads(Subject::AuditLogs, "List what was changed in an account").pages(PageLimits::OTHERS).query(parameters());
    let of_user = reads(Subject::UserDetails, "List what the user changed").pages(PageLimits::OTHERS).query(parameters());
    let second = reads(Subject::AuditLogs, "List what was changed, in the second version's words").cursors(EVENTS);
    Routes::of("Audit logs", "Who changed what, when, from where, before and after.")
        .get("/user/audit_logs", self::of_user, of_user)
        .get("/accounts/{account}/audit_logs", self::of_account, of_account)
        .get("/accounts/{account}/logs/audit", self::second, second.query(second_parameters()))
}

fn ascending(query: &query::Query) -> Result<bool, QueryError> {
    let of_word = |word: &str| match word {
        "asc" => Some(true),
        "desc" => Some(false),
        _ => None,
    };
    Ok(query.word("direction", of_word, &["asc", "desc"])?.unwrap_or(false))
}

/// What [`filter`] reads.
fn parameters() -> [Parameter; 9] {
    [
        Parameter::instant("since", "from then on"),
        Parameter::instant("before", "until then"),
        Parameter::new("id", Schema::hex("an event"), "that event alone"),
        Parameter::text("action.type", "what was done"),
        Parameter::text("actor.email", "by whom"),
        Parameter::new(
            "actor.ip",
            Schema::of(json!({ "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }] })),
            "from where",
        ),
        Parameter::new("zone.name", Schema::name(), "in which zone"),
        Parameter::boolean("hide_user_logs", "without what a user did to itself"),
        direction(),
    ]
}

fn direction() -> Parameter {
    Parameter::new("direction", Schema::one_of(&["asc", "desc"]).by_default("desc"), "which end comes first")
}

/// What [`second`] reads beside its page.
fn second_parameters() -> impl Iterator<Item = Parameter> {
    let words = |name: &str| {
        let of = || Schema::text(4096);
        [Parameter::list(name, of(), "one of these"), Parameter::list(format!("{name}.not"), of(), "none of these")]
    };
    let instants =
        [Parameter::instant("since", "from then on").required(), Parameter::instant("before", "until then").required()];
    let conditions: Vec<Parameter> = FILTERED.into_iter().flat_map(|(name, _)| words(name)).collect();
    instants.into_iter().chain([direction()]).chain(conditions)
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

shown![EventObject, SecondObject];

/// An event as [`object`] tells it, for the description of the API.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, reason = "it is described, and written by hand")]
struct EventObject {
    id: AuditId,
    #[schema(value_type = Object)]
    action: Value,
    #[schema(value_type = Object)]
    actor: Value,
    interface: String,
    #[schema(value_type = Object)]
    metadata: Value,
    new_value: String,
    old_value: String,
    new_value_json: Value,
    old_value_json: Value,
    #[schema(value_type = Object)]
    owner: Value,
    #[schema(value_type = Object)]
    resource: Value,
    when: WireTime,
}

/// An event as [`second_object`] tells it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, and written by hand")]
struct SecondObject {
    id: AuditId,
    #[schema(value_type = Object)]
    account: Value,
    #[schema(value_type = Object)]
    action: Value,
    #[schema(value_type = Object)]
    actor: Value,
    #[schema(value_type = Object)]
    raw: Value,
    #[schema(value_type = Object)]
    resource: Value,
    #[schema(value_type = Option<Object>)]
    zone: Option<Value>,
}

fn object(event: &AuditEvent) -> Value {
    let actor = &event.actor;
    let (token, name) = actor.token.clone().unzip();
    let id = actor.person.map(|id| id.to_string()).or_else(|| token.map(|id| id.to_string()));
    // The words that clients know: whoever is no user is the node itself, or its operator.
    let kind = if actor.kind == "system" { "Cloudflare" } else { "user" };
    json!({
        "id": event.id,
        "action": { "type": event.action, "result": !event.action.ends_with("_failed") },
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

fn part(page: Page, (events, total): (Vec<AuditEvent>, u64)) -> Answer<Vec<Like<EventObject>>> {
    let shown: Vec<_> = events.iter().map(|event| Like::new(object(event))).collect();
    let info: PageInfo = page.info(shown.len(), total);
    Answer::part(shown, info)
}

async fn of_account(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<Like<EventObject>>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let found = door.app.audit_of_account(&caller, account, filter(&query)?, page.offset(), page.per_page).await?;
    Ok(part(page, found))
}

async fn of_user(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<Like<EventObject>>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let none = || Answer::error(StatusCode::FORBIDDEN, codes::FORBIDDEN, "an account's own token has no user");
    let person = caller.person().ok_or_else(none)?.id;
    let found = door.app.audit_of_person(&caller, person, filter(&query)?, page.offset(), page.per_page).await?;
    Ok(part(page, found))
}

/// In which words the second version tells an event; each can be filtered by, and by its contrary with `.not`.
const FILTERED: [(&str, &str); 18] = [
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
    ("resource_product", "/resource/product"),
    ("resource_type", "/resource/type"),
    ("zone_id", "/zone/id"),
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
        _ if event.door == "UI" => "dash",
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
    for (name, place) in FILTERED {
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
) -> Answered<Vec<Like<SecondObject>>> {
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
    let shown: Vec<_> = events.iter().map(|event| Like::new(second_object(event, &named))).collect();
    let info = page.info(shown.len(), next.as_deref());
    Ok(Answer::part(shown, info))
}
