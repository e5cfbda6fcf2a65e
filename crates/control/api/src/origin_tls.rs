//! How edge and origins know each other (api-v4 §11): certificates of this node's authority for origins, and what the edge shows them.

use axum::extract::State;
use poterne_control_app::{AppError, ClientCertificateDraft, OriginCertificate, OriginCertificateDraft};
use poterne_control_wire::{
    WireTime,
    query::{
        Parameter,
        page::{Page, PageLimits},
    },
};
use poterne_model::{At, Name, Schema, Timestamp, ZoneId, permission::Subject};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    origin_tls_brought::{self as brought, OfZone},
    path::Id,
    routes::{Routes, edits, known, reads},
};

/// `/certificates`, and under `/zones/{zone}`.
pub(crate) fn routes() -> Routes {
    let ssl = Subject::Certificates;
    let (all, one) = ("/certificates", "/certificates/{certificate}");
    let (base, settings) = ("/zones/{zone}/origin_tls_client_auth", "/zones/{zone}/origin_tls_client_auth/settings");
    let (of_zone, authority) = (format!("{base}/{{certificate}}"), "/zones/{zone}/poterne/origin_pull_authority");
    let changes = Schema::object([("enabled", Schema::boolean().required())]);
    let changes = changes.named("OriginClientAuthChanges").example(json!({ "enabled": true }));
    // The names, or the certificate, tell whose permission is asked for.
    let of = |summary, about| known(summary).about(about);
    let list_op = of("List the certificates for a zone's origins", "Where its certificates may be read.")
        .pages(PageLimits::OTHERS)
        .says([404]);
    let zone = Parameter::text("zone_id", "whose; it must be there");
    let issue_op = of(
        "Issue a certificate for an origin",
        "For names of zones whose certificates may be edited. In mode strict, the edge believes an origin that has it; browsers do not.",
    );
    Routes::of(
        "Origins' certificates",
        "Certificates that this node's own authority issues for origins, and those that the edge shows origins that ask who it is.",
    )
    .get(all, list, list_op.query([zone]))
    .post(all, issue, issue_op.body(OriginCertificateDraft::schema()))
    .get(one, show, of("Show a certificate for an origin", "Where its zone's certificates may be read."))
    .delete(one, revoke, of("Revoke a certificate for an origin", "Where its zone's certificates may be edited."))
    .get(settings, auth, reads(ssl, "Tell whether a zone's origins are shown who the edge is"))
    .put(settings, auth_set, edits(ssl, "Show a zone's origins who the edge is, or not").body(changes))
    .get(authority, pull_authority, reads(ssl, "Show the authority whose certificates the edge shows a zone's origins"))
    .get(base, brought::list::<OfZone>, reads(ssl, "List the certificates that were brought for the edge to show"))
    .post(base, brought::bring::<OfZone>, edits(ssl, "Bring a certificate for the edge to show").body(ClientCertificateDraft::schema()))
    .get(&of_zone, brought::show::<OfZone>, reads(ssl, "Show a certificate that was brought for the edge to show"))
    .delete(&of_zone, brought::take_away::<OfZone>, edits(ssl, "Delete a certificate that was brought for the edge to show"))
}

shown![OriginCertificateObject, OriginCertificateGone, OriginClientAuth, OriginPullAuthority];

/// A certificate for an origin.
#[derive(Serialize, ToSchema)]
struct OriginCertificateObject {
    /// Its serial number in decimal.
    id: String,
    certificate: String,
    csr: String,
    hostnames: Vec<Name>,
    /// As the hosted service writes it: `2034-01-01 05:20:00 +0000 UTC`.
    expires_on: String,
    request_type: String,
    requested_validity: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<WireTime>,
}

/// What is left of one that was revoked.
#[derive(Serialize, ToSchema)]
struct OriginCertificateGone {
    id: String,
    revoked_at: WireTime,
}

/// Whether a zone's origins are shown who the edge is.
#[derive(Serialize, ToSchema)]
struct OriginClientAuth {
    enabled: bool,
}

/// What an origin is to let in.
#[derive(Serialize, ToSchema)]
struct OriginPullAuthority {
    /// PEM.
    certificate: String,
}

fn at(micros: i64) -> WireTime {
    WireTime(Timestamp::from_micros(micros))
}

fn id(serial: [u8; 16]) -> String {
    u128::from_be_bytes(serial).to_string()
}

fn object(certificate: OriginCertificate) -> OriginCertificateObject {
    let OriginCertificate { serial, hostnames, request_type, validity_days, request, certificate, not_after, revoked_at, .. } =
        certificate;
    OriginCertificateObject {
        id: id(serial),
        certificate,
        csr: request,
        hostnames,
        expires_on: in_words(&at(not_after).to_string()),
        request_type,
        requested_validity: validity_days,
        revoked_at: revoked_at.map(at),
    }
}

/// `2034-01-01T05:20:00Z`, with or without parts of seconds, as the hosted service writes it.
fn in_words(time: &str) -> String {
    let (date, rest) = time.split_once('T').unwrap_or((time, "00:00:00"));
    format!("{date} {} +0000 UTC", rest.get(..8).unwrap_or("00:00:00"))
}

/// Whatever is no serial number is nobody's.
fn serial(text: &str) -> Result<[u8; 16], AppError> {
    text.parse::<u128>().map(u128::to_be_bytes).map_err(|_| AppError::NotFound("certificate"))
}

async fn list(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<OriginCertificateObject>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let why = "zone_id is missing: name the zone whose certificates are meant";
    let zone = query.text("zone_id").ok_or_else(|| AppError::Invalid { what: "zone_id", why: why.to_owned() })?;
    let zone: ZoneId = zone.parse().map_err(|_| AppError::NotFound("zone"))?;
    let found = door.app.origin_certificates(&caller, zone).await?;
    let shown: Vec<_> = page.of(&found).iter().cloned().map(object).collect();
    let info = page.info(shown.len(), found.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn issue(State(door): State<Door>, Who(caller): Who, Json(body): Json) -> Answered<OriginCertificateObject> {
    let draft = OriginCertificateDraft::read(&At::body(&body))?;
    Ok(Answer::success(object(door.app.origin_certificate_issue(&caller, draft).await?)))
}

async fn show(State(door): State<Door>, Who(caller): Who, Id(id): Id<String>) -> Answered<OriginCertificateObject> {
    Ok(Answer::success(object(door.app.origin_certificate(&caller, serial(&id)?).await?)))
}

async fn revoke(State(door): State<Door>, Who(caller): Who, Id(id): Id<String>) -> Answered<OriginCertificateGone> {
    let gone = door.app.origin_certificate_revoke(&caller, serial(&id)?).await?;
    let revoked_at = at(gone.revoked_at.unwrap_or_default());
    Ok(Answer::success(OriginCertificateGone { id: self::id(gone.serial), revoked_at }))
}

async fn auth(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<OriginClientAuth> {
    Ok(Answer::success(OriginClientAuth { enabled: door.app.origin_pulls(&caller, zone).await? }))
}

async fn auth_set(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<OriginClientAuth> {
    let enabled = At::body(&body).required("enabled")?.boolean()?;
    Ok(Answer::success(OriginClientAuth { enabled: door.app.origin_pulls_set(&caller, zone, enabled).await? }))
}

async fn pull_authority(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<OriginPullAuthority> {
    Ok(Answer::success(OriginPullAuthority { certificate: door.app.origin_pull_authority(&caller, zone).await? }))
}
