//! Certificates that clients bring (api-v4 §11). A key is never shown again.

use std::collections::BTreeMap;

use axum::extract::State;
use poterne_control_app::{CustomDraft, PackShown};
use poterne_control_wire::{WireTime, query::Parameter};
use poterne_model::{At, CertificatePackId, Name, Schema, Timestamp, ZoneId, permission::Subject};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
};

/// Where such a certificate may stand.
const STATUSES: [&str; 5] = ["active", "expired", "deleted", "pending", "initializing"];

/// Most that are given an order at once.
const PRIORITIES_MAX: usize = 100;

/// Under `/zones/{zone}/custom_certificates`.
pub(crate) fn routes() -> Routes {
    let (base, ssl) = ("/zones/{zone}/custom_certificates", Subject::Certificates);
    let (one, prioritize) = (format!("{base}/{{certificate}}"), format!("{base}/prioritize"));
    let status = Parameter::word("status", &STATUSES, "those that stand so");
    let matching = Parameter::word("match", &["any", "all"], "kept for clients that send it: one thing is asked for");
    let priority = Schema::object([
        ("id", Schema::text(36).required().about("the certificate's id")),
        ("priority", Schema::integer(-1_000_000..=1_000_000).required().about("the greater is used first")),
    ]);
    let priorities = Schema::object([("certificates", Schema::items(priority, PRIORITIES_MAX).required())]);
    let first = json!({ "certificates": [{ "id": "3f2a1b0c9d8e4f5a8b7c6d5e4f3a2b1c", "priority": 2 }] });
    let priorities = priorities.named("CustomCertificatePriorities").example(first);
    Routes::of(
        "Custom certificates",
        "Certificates that you bring. They are served before those that are ordered, and never renewed here.",
    )
    .get(base, list, reads(ssl, "List the certificates that were brought").query([status, matching]))
    .post(base, create, edits(ssl, "Bring a certificate").body(CustomDraft::schema(true)))
    .put(&prioritize, self::prioritize, edits(ssl, "Say which is used before which").body(priorities))
    .get(&one, show, reads(ssl, "Show a certificate that was brought"))
    .patch(&one, change, edits(ssl, "Bring another in its place").body(CustomDraft::schema(false)))
    .delete(&one, delete, edits(ssl, "Delete a certificate that was brought"))
}

shown![CustomCertificateObject, CustomCertificateGone];

/// A certificate that was brought.
#[derive(Serialize, ToSchema)]
struct CustomCertificateObject {
    id: String,
    zone_id: ZoneId,
    hosts: Vec<Name>,
    issuer: String,
    signature: String,
    status: &'static str,
    bundle_method: String,
    priority: i32,
    expires_on: WireTime,
    uploaded_on: WireTime,
    modified_on: WireTime,
    // Terraform's provider reads an object or nothing.
    #[schema(value_type = Option<Object>)]
    geo_restrictions: Option<Value>,
    policy_restrictions: Option<String>,
}

/// What is left of one that was deleted.
#[derive(Serialize, ToSchema)]
struct CustomCertificateGone {
    id: String,
}

/// Such an id has 32 digits, without hyphens.
fn id(pack: CertificatePackId) -> String {
    pack.to_string().replace('-', "")
}

fn object(shown: &PackShown) -> Option<CustomCertificateObject> {
    let certificate = shown.certificate.as_ref()?;
    let at = |micros: i64| WireTime(Timestamp::from_micros(micros));
    Some(CustomCertificateObject {
        id: id(shown.pack.id),
        zone_id: shown.pack.zone,
        hosts: certificate.hosts.clone(),
        issuer: certificate.issuer.clone(),
        signature: certificate.signature.clone(),
        status: shown.status,
        bundle_method: shown.pack.bundle_method.clone(),
        priority: shown.pack.priority,
        expires_on: at(certificate.not_after),
        uploaded_on: at(shown.pack.created_at),
        modified_on: at(shown.pack.modified_at.max(certificate.created_at)),
        geo_restrictions: None,
        policy_restrictions: None,
    })
}

fn one(shown: &PackShown) -> Answered<CustomCertificateObject> {
    object(shown).map(Answer::success).ok_or_else(|| poterne_control_app::AppError::NotFound("custom certificate").into())
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Query(query): Query,
) -> Answered<Vec<CustomCertificateObject>> {
    let of_word = |word: &str| STATUSES.into_iter().find(|status| *status == word);
    let status = query.word("status", of_word, &STATUSES)?;
    query.word("match", |word| ["any", "all"].contains(&word).then_some(()), &["any", "all"])?;
    let found = door.app.custom_certificates(&caller, zone).await?;
    let found = found.iter().filter(|shown| status.is_none_or(|status| shown.status == status));
    Ok(Answer::success(found.filter_map(object).collect()))
}

async fn create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<CustomCertificateObject> {
    let draft = CustomDraft::read(&At::body(&body), true)?;
    one(&door.app.custom_certificate_add(&caller, zone, draft).await?)
}

type OfZone = Ids<ZoneId, CertificatePackId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(zone, pack): OfZone) -> Answered<CustomCertificateObject> {
    one(&door.app.custom_certificate(&caller, zone, pack).await?)
}

async fn change(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, pack): OfZone,
    Json(body): Json,
) -> Answered<CustomCertificateObject> {
    let draft = CustomDraft::read(&At::body(&body), false)?;
    one(&door.app.custom_certificate_change(&caller, zone, pack, draft).await?)
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(zone, pack): OfZone) -> Answered<CustomCertificateGone> {
    door.app.custom_certificate_delete(&caller, zone, pack).await?;
    Ok(Answer::success(CustomCertificateGone { id: id(pack) }))
}

async fn prioritize(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<Vec<CustomCertificateObject>> {
    let body = At::body(&body);
    let mut priorities = BTreeMap::new();
    for item in body.required("certificates")?.items(PRIORITIES_MAX)? {
        let named = item.required("id")?;
        let id: CertificatePackId = named.text(36)?.parse().map_err(|error| named.wrong(error))?;
        let priority = item.required("priority")?.integer(-1_000_000..=1_000_000)?;
        priorities.insert(id, i32::try_from(priority).unwrap_or_default());
    }
    let found = door.app.custom_certificates_prioritize(&caller, zone, &priorities).await?;
    Ok(Answer::success(found.iter().filter_map(object).collect()))
}
