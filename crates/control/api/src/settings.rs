//! Zone settings (api-v4 §5, §10).

use axum::{Router, extract::State, routing::get};
use poterne_control_wire::setting::{ManagedHeadersObject, SettingObject, read_items, read_value};
use poterne_model::{
    At, ZoneId,
    setting::{DnsSettings, UrlNormalization, find},
};

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    path::{Id, Ids},
};

/// Under `/zones/{zone}`.
pub(crate) fn routes() -> Router<Door> {
    let normalization = get(normalization).put(normalization_put).patch(normalization_put);
    Router::new()
        .route("/zones/{zone}/settings", get(list).patch(edit_many))
        .route("/zones/{zone}/settings/{setting}", get(show).patch(edit))
        .route("/zones/{zone}/dns_settings", get(dns).patch(dns_edit))
        .route("/zones/{zone}/url_normalization", normalization)
        .route("/zones/{zone}/managed_headers", get(managed).patch(managed_edit))
}

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
