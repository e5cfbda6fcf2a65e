//! Zone settings (api-v4 §5, §10).

use axum::extract::State;
use poterne_control_wire::setting::{ManagedHeadersObject, SettingObject, items_schema, read_items, read_value, value_schema};
use poterne_model::{
    AccountId, At, Schema, ZoneId,
    permission::Subject,
    setting::{DnsSettings, ManagedHeaders, UrlNormalization, find},
};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
};

/// Under `/zones/{zone}`, and what an account's zones begin with.
pub(crate) fn routes() -> Routes {
    let (all, one, dns_at) = ("/zones/{zone}/settings", "/zones/{zone}/settings/{setting}", "/zones/{zone}/dns_settings");
    let (url, managed_at) = ("/zones/{zone}/url_normalization", "/zones/{zone}/managed_headers");
    let (settings, fields) = (Subject::ZoneSettings, Subject::TransformRules);
    let (of_account, of_all) = ("/accounts/{account}/dns_settings", Subject::DnsRecords);
    let url_op = || edits(settings, "Set what is done to URLs").body(UrlNormalization::body());
    Routes::of("Zone settings", "What is stored is told back; which settings are in force, …/poterne/features tells.")
        .get(all, list, reads(settings, "List all settings"))
        .patch(all, edit_many, edits(settings, "Change several settings").about("All, or none.").body(items_schema()))
        .get(one, show, reads(settings, "Show a setting"))
        .patch(one, edit, edits(settings, "Change a setting").body(value_schema()))
        .get(dns_at, dns, reads(Subject::DnsRecords, "Show the settings of a zone's DNS"))
        .patch(dns_at, dns_edit, edits(Subject::DnsRecords, "Change the settings of a zone's DNS").body(DnsSettings::changes()))
        .get(url, normalization, reads(settings, "Show what is done to URLs"))
        .put(url, normalization_put, url_op())
        .patch(url, normalization_put, url_op())
        .get(managed_at, managed, reads(fields, "Show which fields are added and removed by name"))
        .delete(url, normalization_reset, edits(settings, "Do to URLs what is done at first"))
        .patch(managed_at, managed_edit, edits(fields, "Change them").body(ManagedHeaders::changes()))
        .delete(managed_at, managed_reset, edits(fields, "Add and remove none"))
        .get(of_account, dns_of_account, reads(of_all, "Show the DNS settings that an account's zones begin with"))
        .patch(of_account, dns_of_account_edit, edits(of_all, "Change those that begin from now on").body(account_dns_schema()))
}

fn account_dns_schema() -> Schema {
    let members = [
        ("enforce_dns_only", Schema::of(json!({ "type": "boolean", "const": false }))),
        ("zone_defaults", DnsSettings::changes()),
    ];
    Schema::object(members).named("AccountDnsChanges").example(json!({ "zone_defaults": { "flatten_all_cnames": true } }))
}

shown![SettingObject, DnsSettings, UrlNormalization, ManagedHeadersObject, AccountDns];

async fn list(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Vec<SettingObject>> {
    let settings = door.app.zone_settings(&caller, zone).await?;
    Ok(Answer::success(settings.all(door.app.instant()).map(SettingObject::from).collect()))
}

async fn edit_many(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<Vec<SettingObject>> {
    let items = read_items(&At::body(&body))?;
    let settings = door.app.zone_settings_set(&caller, zone, items).await?;
    Ok(Answer::success(settings.all(door.app.instant()).map(SettingObject::from).collect()))
}

async fn show(State(door): State<Door>, Who(caller): Who, Ids(zone, id): Ids<ZoneId, String>) -> Answered<SettingObject> {
    let settings = door.app.zone_settings(&caller, zone).await?;
    Ok(Answer::success(settings.get(find(&id)?, door.app.instant()).into()))
}

async fn edit(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, id): Ids<ZoneId, String>,
    Json(body): Json,
) -> Answered<SettingObject> {
    let body = At::body(&body);
    // An id that is none says so before the body does.
    let setting = find(&id)?;
    let settings = door.app.zone_settings_set(&caller, zone, vec![(id.as_str(), read_value(&id, &body)?)]).await?;
    Ok(Answer::success(settings.get(setting, door.app.instant()).into()))
}

async fn dns(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<DnsSettings> {
    Ok(Answer::success(door.app.dns_settings(&caller, zone).await?))
}

async fn dns_edit(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, Json(body): Json) -> Answered<DnsSettings> {
    Ok(Answer::success(door.app.dns_settings_patch(&caller, zone, &At::body(&body)).await?))
}

/// What zones that are added begin with.
#[derive(Serialize, ToSchema)]
struct AccountDns {
    zone_defaults: DnsSettings,
}

async fn dns_of_account(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<AccountDns> {
    Ok(Answer::success(AccountDns { zone_defaults: door.app.account_dns_settings(&caller, account).await? }))
}

async fn dns_of_account_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<AccountDns> {
    let body = At::body(&body);
    body.object()?;
    if let Some(given) = body.member("enforce_dns_only").filter(|given| given.value != false) {
        return Err(given.wrong("not proxying a whole account is not offered: pause its zones, or leave it out").into());
    }
    let zone_defaults = match body.member("zone_defaults") {
        Some(given) => door.app.account_dns_settings_patch(&caller, account, &given).await?,
        None => door.app.account_dns_settings(&caller, account).await?,
    };
    Ok(Answer::success(AccountDns { zone_defaults }))
}

async fn normalization_reset(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<UrlNormalization> {
    Ok(Answer::success(door.app.url_normalization_reset(&caller, zone).await?))
}

async fn managed_reset(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<ManagedHeadersObject> {
    Ok(Answer::success((&door.app.managed_headers_reset(&caller, zone).await?).into()))
}

async fn normalization(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<UrlNormalization> {
    Ok(Answer::success(door.app.url_normalization(&caller, zone).await?))
}

async fn normalization_put(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<UrlNormalization> {
    Ok(Answer::success(door.app.url_normalization_put(&caller, zone, &At::body(&body)).await?))
}

async fn managed(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<ManagedHeadersObject> {
    Ok(Answer::success((&door.app.managed_headers(&caller, zone).await?).into()))
}

async fn managed_edit(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<ManagedHeadersObject> {
    Ok(Answer::success((&door.app.managed_headers_patch(&caller, zone, &At::body(&body)).await?).into()))
}
