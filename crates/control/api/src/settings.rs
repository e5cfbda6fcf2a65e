//! Zone settings (api-v4 §5, §10).

use axum::extract::State;
use poterne_control_wire::setting::{ManagedHeadersObject, SettingObject, items_schema, read_items, read_value, value_schema};
use poterne_model::{
    At, ZoneId,
    permission::Subject,
    setting::{DnsSettings, ManagedHeaders, UrlNormalization, find},
};

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
};

/// Under `/zones/{zone}`.
pub(crate) fn routes() -> Routes {
    let (all, one, dns_at) = ("/zones/{zone}/settings", "/zones/{zone}/settings/{setting}", "/zones/{zone}/dns_settings");
    let (url, managed_at) = ("/zones/{zone}/url_normalization", "/zones/{zone}/managed_headers");
    let (settings, fields) = (Subject::ZoneSettings, Subject::TransformRules);
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
        .patch(managed_at, managed_edit, edits(fields, "Change them").body(ManagedHeaders::changes()))
}

shown![SettingObject, DnsSettings, UrlNormalization, ManagedHeadersObject];

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
