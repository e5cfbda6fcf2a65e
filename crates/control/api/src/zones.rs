//! Zones (api-v4 §3).

use axum::extract::State;
use poterne_control_app::{
    Account, AppError, Caller, DeletedZone, TextMatch, ZONE_KEPT_SECS, Zone, ZoneListed, ZoneOrder, ZoneWanted, access,
};
use poterne_control_wire::{
    WireTime,
    query::{
        Parameter,
        filter::{Match, Order, TextFilter, TextOperator},
        page::{Page, PageLimits},
    },
};
use poterne_model::{AccountId, At, Name, Schema, Timestamp, ZoneId, ZoneKind, ZoneStatus, permission::Subject};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    plans::{PlanObject, free_plan},
    routes::{Routes, edits, known, reads},
    tokens::Gone,
};

/// Longest name of a zone that is looked at.
const NAME_MAX: usize = 255;

/// `/zones` and one zone.
pub(crate) fn routes() -> Routes {
    let (one, zones) = ("/zones/{zone}", Subject::Zones);
    let operators = "or after starts_with:, ends_with: or contains:";
    let parameters = [
        Parameter::text("name", format!("of that name; {operators}")),
        Parameter::text("account.name", format!("of the account of that name; {operators}")),
        Parameter::new("account.id", Schema::hex("an account"), "of that account"),
        Parameter::list(
            "status",
            Schema::one_of(&["initializing", "pending", "active", "moved", DELETED]),
            "that are so; deleted alone, and none of those otherwise",
        ),
        Parameter::list("type", Schema::one_of(TYPES), "of these types; there are full, partial and secondary"),
        Parameter::matching("match"),
    ];
    let list_op = known("List zones").about("Those whose zone may be read.").pages(PageLimits::ZONES);
    Routes::of("Zones", "Domains whose names this node answers for.")
        .get("/zones", list, list_op.query(Parameter::order(&ORDERED_BY)).query(parameters))
        .post("/zones", create, edits(zones, "Add a zone").body(zone_schema()).says([404]))
        .get(one, show, reads(zones, "Show a zone"))
        .patch(one, edit, edits(zones, "Pause a zone, or go on with it").body(changes_schema()))
        .delete(
            one,
            delete,
            edits(zones, "Delete a zone, with all its records")
                .about("Refused while the zone above shows a DS record of it. It may be taken back for seven days.")
                .query([
                    Parameter::boolean("force", "although the zone above shows a DS record of it"),
                    Parameter::boolean("purge", "for good, or a deleted one for good"),
                ]),
        )
        .put(
            "/zones/{zone}/activation_check",
            activation_check,
            edits(zones, "Look at a zone's delegation now").about("Every five minutes at most.").says([429]),
        )
        .post(
            "/zones/{zone}/poterne/restore",
            restore,
            edits(zones, "Take a deleted zone back").about("As it was, for seven days after it was deleted."),
        )
        .get(
            "/zones/{zone}/pagerules",
            page_rules,
            reads(zones, "List page rules").about("There are none: rulesets took their place."),
        )
}

fn zone_schema() -> Schema {
    let members = [
        ("name", Schema::text(NAME_MAX).required().about("the name of a domain")),
        ("account", Schema::object([("id", Schema::hex("an account"))]).about("absent: the only one within reach")),
        (
            "type",
            Schema::one_of(&["full", "partial", "secondary"]).about(
                "partial: its own name servers stay, and lead here by CNAMEs; secondary: it is another server's, and comes from there",
            ),
        ),
        ("jump_start", Schema::boolean().about("look for the records it has elsewhere")),
    ];
    Schema::object(members).named("NewZone").example(json!({ "name": "example.com", "type": "full" }))
}

fn changes_schema() -> Schema {
    let members = [("paused", Schema::boolean().about("its names are answered, and nothing stands before their origins"))];
    Schema::object(members).named("ZoneChanges").example(json!({ "paused": true }))
}

/// By what zones may be ordered.
const ORDERED_BY: [&str; 5] = ["name", "status", "account.id", "account.name", "plan.id"];

/// What the status of a zone is that was deleted.
const DELETED: &str = "deleted";

/// The types of zones that clients know.
const TYPES: &[&str] = &["full", "partial", "secondary", "internal"];

shown![ZoneObject];

/// A zone. What the hosted service sells is there in its free form, since clients require the members.
#[derive(Serialize, ToSchema)]
struct ZoneObject {
    id: ZoneId,
    name: Name,
    status: &'static str,
    paused: bool,
    r#type: &'static str,
    development_mode: i64,
    name_servers: Vec<Name>,
    original_name_servers: Option<Vec<Name>>,
    original_registrar: Option<String>,
    original_dnshost: Option<String>,
    created_on: WireTime,
    modified_on: WireTime,
    activated_on: Option<WireTime>,
    #[schema(value_type = Object)]
    meta: Value,
    #[schema(value_type = Object)]
    owner: Value,
    #[schema(value_type = Object)]
    account: Value,
    #[schema(value_type = Object)]
    tenant: Value,
    #[schema(value_type = Object)]
    tenant_unit: Value,
    permissions: Vec<String>,
    plan: PlanObject,
    /// Of a partial zone: below what its names lead here,
    #[serde(skip_serializing_if = "Option::is_none")]
    cname_suffix: Option<Name>,
    /// and what the TXT record `cloudflare-verify.` and its name must say.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_key: Option<String>,
    /// Of a deleted zone: when that was,
    #[serde(skip_serializing_if = "Option::is_none")]
    poterne_deleted_on: Option<WireTime>,
    /// and until when it may be taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    poterne_kept_until: Option<WireTime>,
}

/// What zones' own answers list of permissions; the rest would not fit the buffers of small clients (api-v4 §0.14).
const LISTED: [Subject; 6] = [
    Subject::Zones,
    Subject::DnsRecords,
    Subject::ZoneSettings,
    Subject::Certificates,
    Subject::CachePurge,
    Subject::ZoneRulesets,
];

fn object(caller: &Caller, listed: ZoneListed, suffix: Option<Name>) -> ZoneObject {
    let ZoneListed { zone, account, development_mode, original_name_servers, kind, proof } = listed;
    let target = access::Target::Zone(zone.account, zone.id);
    let permissions = LISTED.iter().flat_map(|subject| [subject.to_read(), subject.to_edit()]);
    let time = |micros| WireTime(Timestamp::from_micros(micros));
    ZoneObject {
        id: zone.id,
        name: zone.apex,
        status: zone.status.as_str(),
        paused: zone.paused,
        r#type: kind.as_str(),
        development_mode,
        name_servers: zone.name_servers,
        original_name_servers,
        original_registrar: None,
        original_dnshost: None,
        created_on: time(zone.created_at),
        modified_on: time(zone.modified_at),
        activated_on: zone.activated_at.map(time),
        meta: json!({
            "step": 2, "custom_certificate_quota": 100, "page_rule_quota": 0, "phishing_detected": false,
            "cdn_only": false, "dns_only": false, "foundation_dns": false,
        }),
        owner: json!({ "id": null, "type": "user", "email": null }),
        account: json!({ "id": account.id, "name": account.name }),
        tenant: json!({ "id": null, "name": null }),
        tenant_unit: json!({ "id": null }),
        permissions: permissions
            .filter(|permission| caller.may(*permission, target))
            .map(|permission| permission.to_string())
            .collect(),
        plan: free_plan(),
        cname_suffix: proof.as_ref().and(suffix),
        verification_key: proof.map(|proof| proof.text),
        poterne_deleted_on: None,
        poterne_kept_until: None,
    }
}

async fn described(door: &Door, caller: &Caller, zone: (Zone, Account)) -> Result<ZoneObject, AppError> {
    Ok(object(caller, door.app.zone_listed(zone).await?, door.app.cname_suffix()))
}

/// A zone that was deleted.
async fn deleted_object(
    door: &Door,
    caller: &Caller,
    (deleted, account): (DeletedZone, Account),
) -> Result<ZoneObject, AppError> {
    let time = |micros| Timestamp::from_micros(micros);
    let deleted_at = time(deleted.deleted_at);
    let shown = described(door, caller, (deleted.zone, account)).await?;
    Ok(ZoneObject {
        status: DELETED,
        poterne_deleted_on: Some(WireTime(deleted_at)),
        poterne_kept_until: Some(WireTime(deleted_at.plus_secs(ZONE_KEPT_SECS))),
        ..shown
    })
}

/// The zones that were deleted: few, so that they are told apart here.
async fn list_deleted(
    door: &Door,
    caller: &Caller,
    query: &poterne_control_wire::query::Query,
    page: Page,
) -> Answered<Vec<ZoneObject>> {
    let name = query.text("name").map(TextFilter::with_operator);
    let deleted = door.app.zones_deleted(caller, query.parsed("account.id")?).await?;
    let passes = |(one, _): &(DeletedZone, Account)| name.as_ref().is_none_or(|name| name.matches(one.zone.apex.as_str()));
    let passing: Vec<_> = deleted.into_iter().filter(passes).collect();
    let total = passing.len() as u64;
    let (offset, count) = (usize::try_from(page.offset()).unwrap_or(usize::MAX), page.per_page as usize);
    let mut shown = Vec::new();
    for one in passing.into_iter().skip(offset).take(count) {
        shown.push(deleted_object(door, caller, one).await?);
    }
    let info = page.info(shown.len(), total);
    Ok(Answer::part(shown, info))
}

async fn list(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<ZoneObject>> {
    let page = Page::read(&query, PageLimits::ZONES)?;
    let order = Order::read(&query, &ORDERED_BY)?;
    let matching = Match::read(&query, "match")?;
    let name = query.text("name").map(TextFilter::with_operator);
    let account_name = query.text("account.name").map(TextFilter::with_operator);
    let account_named = account_name.as_ref().map(|filter| move |name: &str| filter.matches(name));
    let (statuses, types) = (query.list("status")?, query.list("type")?);
    if statuses.contains(&DELETED) {
        return list_deleted(&door, &caller, &query, page).await;
    }
    let known = |word: &&str| ZoneStatus::ALL.into_iter().find(|status| status.as_str() == *word);
    let wanted = ZoneWanted {
        any: matching == Match::Any,
        name: name.map(text_match),
        account_named: account_named.as_ref().map(|named| named as &(dyn Fn(&str) -> bool + Sync)),
        account: query.parsed("account.id")?,
        statuses: (!statuses.is_empty()).then(|| statuses.iter().filter_map(known).collect()),
        kinds: (!types.is_empty()).then(|| types.iter().filter_map(|word| kind_named(word)).collect()),
    };
    let by = match order.field {
        Some("status") => ZoneOrder::Status,
        Some("account.id") => ZoneOrder::Account,
        Some("account.name") => ZoneOrder::AccountName,
        _ => ZoneOrder::Name,
    };
    let (zones, total) = door.app.zone_page(&caller, wanted, (by, order.descending), page.offset(), page.per_page).await?;
    let suffix = door.app.cname_suffix();
    let shown: Vec<_> = zones.into_iter().map(|listed| object(&caller, listed, suffix.clone())).collect();
    let info = page.info(shown.len(), total);
    Ok(Answer::part(shown, info))
}

fn kind_named(word: &str) -> Option<ZoneKind> {
    ZoneKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

/// A filter, as the store knows it.
fn text_match(filter: TextFilter) -> TextMatch {
    let value = filter.value().to_owned();
    match filter.operator {
        TextOperator::Equal => TextMatch::Equal(value),
        TextOperator::NotEqual => TextMatch::NotEqual(value),
        TextOperator::StartsWith => TextMatch::StartsWith(value),
        TextOperator::EndsWith => TextMatch::EndsWith(value),
        TextOperator::Contains => TextMatch::Contains(value),
    }
}

async fn create(State(door): State<Door>, Who(caller): Who, Json(body): Json) -> Answered<ZoneObject> {
    let body = At::body(&body);
    let name = body.required("name")?;
    let kind = match body.member("type").map(|kind| kind.one_of(TYPES)).transpose()? {
        None => ZoneKind::Full,
        Some(word) => kind_named(word).ok_or_else(|| {
            let why = format!(
                "zones of type {word} are not offered: leave `type` out, or write \"full\", \"partial\" or \"secondary\""
            );
            poterne_model::ShapeError::new("/type", why)
        })?,
    };
    let jump_start = body.member("jump_start").map(|jump| jump.boolean()).transpose()?.unwrap_or(false);
    let account = body.member("account").map(|account| account.object().map(|_| account)).transpose()?;
    let account = match account.and_then(|account| account.member("id")) {
        Some(id) => id.text(64)?.parse::<AccountId>().map_err(|error| id.wrong(error))?,
        None => only_account(&door, &caller).await?,
    };
    let zone = door.app.zone_create_of(&caller, account, name.text(NAME_MAX)?, kind).await?;
    if jump_start && kind != ZoneKind::Secondary {
        // Whoever may add zones and not change records has the zone, and no scan.
        match door.app.scan_trigger(&caller, zone.id).await {
            Ok(_) | Err(AppError::Forbidden { .. }) => {}
            Err(error) => return Err(error.once_kept().into()),
        }
    }
    let shown = door.app.zone_get(&caller, zone.id).await.map_err(AppError::once_kept)?;
    Ok(Answer::success(described(&door, &caller, shown).await.map_err(AppError::once_kept)?))
}

async fn only_account(door: &Door, caller: &Caller) -> Result<AccountId, Answer<()>> {
    match door.app.account_list(caller).await?.as_slice() {
        [one] => Ok(one.id),
        several => {
            let why = format!("/account/id is missing, and {} accounts are within reach: name one", several.len());
            Err(poterne_model::ShapeError::new("/account/id", why).into())
        }
    }
}

async fn show(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>) -> Answered<ZoneObject> {
    let zone = door.app.zone_get(&caller, id).await?;
    Ok(Answer::success(described(&door, &caller, zone).await?))
}

async fn edit(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>, Json(body): Json) -> Answered<ZoneObject> {
    let body = At::body(&body);
    body.object()?;
    // A plan says nothing here, and some clients set one; names of one's own for the name servers come with the name server.
    if let Some(given) = body.member("type") {
        let zone = door.app.zone_get(&caller, id).await?;
        if given.value != door.app.zone_listed(zone).await?.kind.as_str() {
            return Err(given.wrong("a zone's type cannot be changed: delete the zone and add it anew").into());
        }
    }
    if let Some(given) = body.member("vanity_name_servers")
        && !given.items(10)?.collect::<Vec<_>>().is_empty()
    {
        return Err(given.wrong("name servers under names of one's own are not offered yet").into());
    }
    let zone = match body.member("paused") {
        Some(paused) => door.app.zone_pause(&caller, id, paused.boolean()?).await?,
        None => door.app.zone_get(&caller, id).await?,
    };
    let kept = |error: AppError| if body.member("paused").is_some() { error.once_kept() } else { error };
    Ok(Answer::success(described(&door, &caller, zone).await.map_err(kept)?))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>, Query(query): Query) -> Answered<Gone<ZoneId>> {
    let (force, purge) = (query.boolean("force")?.unwrap_or(false), query.boolean("purge")?.unwrap_or(false));
    let deleted = match force {
        true => door.app.zone_delete_despite_ds(&caller, id).await,
        false => door.app.zone_delete(&caller, id).await,
    };
    match deleted {
        // It may be deleted already.
        Ok(_) | Err(AppError::NotFound(_)) if purge => drop(door.app.zone_purge(&caller, id).await?),
        deleted => drop(deleted?),
    }
    Ok(Answer::success(Gone { id }))
}

async fn restore(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>) -> Answered<ZoneObject> {
    door.app.zone_restore(&caller, id).await?;
    let zone = door.app.zone_get(&caller, id).await.map_err(AppError::once_kept)?;
    Ok(Answer::success(described(&door, &caller, zone).await.map_err(AppError::once_kept)?))
}

async fn activation_check(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>) -> Answered<Gone<ZoneId>> {
    let zone = door.app.activation_check(&caller, id).await?;
    Ok(Answer::success(Gone { id: zone.id }))
}

/// There are none, and none can be made; octodns asks before every run.
async fn page_rules(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>) -> Answered<[Value; 0]> {
    door.app.zone_get(&caller, id).await?;
    Ok(Answer::success([]))
}
