//! Certificates of a zone: packs, whether it has some by itself, and how their names are proven (api-v4 §11).

use axum::extract::State;
use poterne_control_app::{Certificate, Challenge, PackDraft, PackShown, Revocation};
use poterne_control_wire::{WireTime, query::Parameter};
use poterne_model::{At, CertificatePackId, Name, Schema, Timestamp, ZoneId, permission::Subject};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
    tokens::Gone,
};

/// What a host's certificate may stand at, as a client asks of packs.
const STATUSES: [&str; 1] = ["all"];

/// Under `/zones/{zone}`.
pub(crate) fn routes() -> Routes {
    let (packs, ssl) = ("/zones/{zone}/ssl/certificate_packs", Subject::Certificates);
    let path = |rest: &str| format!("{packs}{rest}");
    let (one, order) = (path("/{pack}"), path("/order"));
    let (universal, verification) = ("/zones/{zone}/ssl/universal/settings", "/zones/{zone}/ssl/verification");
    let status = Parameter::word("status", &STATUSES, "all: those too that have no certificate which is good");
    let retry = Parameter::boolean("retry", "kept for clients that send it");
    let changes =
        Schema::object([("enabled", Schema::boolean().required().about("whether the zone has certificates by itself"))]);
    let changes = changes.named("UniversalSslChanges").example(json!({ "enabled": true }));
    let method = Schema::object([(
        "validation_method",
        Schema::one_of(&["txt", "http"]).about("kept as it is: how names are proven is said when a pack is ordered"),
    )]);
    let reason = Schema::object([("reason", Schema::one_of(&Revocation::WORDS).required().about("why"))]);
    let about = "A pack is names that have one certificate, and then the next: it is renewed by itself. Where an order failed, validation_errors \
                 says why, and it is tried again.";
    Routes::of("Certificates", about)
        .get(packs, list, reads(ssl, "List a zone's certificate packs").query([status]))
        .post(&order, self::order, edits(ssl, "Order a certificate pack").body(PackDraft::schema()))
        .get(&one, show, reads(ssl, "Show a certificate pack"))
        .patch(&one, restart, edits(ssl, "Try a certificate pack again now"))
        .delete(&one, delete, edits(ssl, "Delete a certificate pack").about("Those that the zone has by itself stay."))
        .post(
            "/zones/{zone}/poterne/certificate_packs/{pack}/revoke",
            revoke,
            edits(ssl, "Revoke a pack's certificate")
                .about("Another is ordered at once, with another key; until it is there, the revoked one is served.")
                .body(reason.named("CertificateRevocation").example(json!({ "reason": "key_compromise" }))),
        )
        .get(verification, verifications, reads(ssl, "Tell how certificates' names are proven").query([retry]))
        .patch(
            &format!("{verification}/{{pack}}"),
            reverify,
            edits(ssl, "Try to prove a pack's names again now")
                .body(method.named("VerificationChanges").example(json!({ "validation_method": "txt" }))),
        )
        .get(universal, show_universal, reads(ssl, "Tell whether a zone has certificates by itself"))
        .patch(universal, set_universal, edits(ssl, "Let a zone have certificates by itself, or not").body(changes))
}

shown![PackObject, VerificationObject, UniversalObject];

/// A certificate pack.
#[derive(Serialize, ToSchema)]
struct PackObject {
    id: CertificatePackId,
    r#type: String,
    hosts: Vec<Name>,
    status: &'static str,
    certificates: Vec<CertificateObject>,
    primary_certificate: Option<String>,
    certificate_authority: Option<String>,
    validation_method: &'static str,
    validity_days: Option<u32>,
    validation_records: Vec<ValidationObject>,
    validation_errors: Vec<ErrorObject>,
    dcv_delegation_records: Vec<ValidationObject>,
    cloudflare_branding: bool,
    /// When it is ordered, renewed or tried next; ours.
    next_attempt_on: Option<WireTime>,
    /// How many rounds of orders have failed since the last certificate; ours.
    failures: u32,
}

/// The certificate of a pack.
#[derive(Serialize, ToSchema)]
struct CertificateObject {
    id: String,
    hosts: Vec<Name>,
    issuer: String,
    signature: String,
    status: &'static str,
    bundle_method: String,
    expires_on: WireTime,
    uploaded_on: WireTime,
    modified_on: WireTime,
    priority: i32,
    zone_id: ZoneId,
}

/// What an authority is being shown for a name.
#[derive(Default, Serialize, ToSchema)]
struct ValidationObject {
    status: &'static str,
    txt_name: Option<String>,
    txt_value: Option<String>,
    http_url: Option<String>,
    http_body: Option<String>,
    cname: Option<String>,
    cname_target: Option<String>,
    emails: Vec<String>,
}

/// Why an order failed.
#[derive(Serialize, ToSchema)]
struct ErrorObject {
    message: String,
}

/// How the names of a host's certificate are proven.
#[derive(Serialize, ToSchema)]
struct VerificationObject {
    certificate_status: &'static str,
    cert_pack_uuid: CertificatePackId,
    hostname: Name,
    validation_method: &'static str,
    validation_type: &'static str,
    verification_status: bool,
    verification_type: Option<&'static str>,
    verification_info: Option<InfoObject>,
    brand_check: bool,
    signature: Option<String>,
}

/// What proves a name at this moment.
#[derive(Serialize, ToSchema)]
struct InfoObject {
    record_name: String,
    record_target: String,
}

/// Whether a zone has certificates by itself, and of whom.
#[derive(Serialize, ToSchema)]
struct UniversalObject {
    enabled: bool,
    certificate_authority: Option<String>,
}

impl From<(bool, Option<String>)> for UniversalObject {
    fn from((enabled, certificate_authority): (bool, Option<String>)) -> Self {
        Self { enabled, certificate_authority }
    }
}

fn instant(micros: i64) -> WireTime {
    WireTime(Timestamp::from_micros(micros))
}

/// As clients know the ways.
fn method(shown: &PackShown) -> &'static str {
    match shown.method.as_str() {
        "http-01" => "http",
        "tls-alpn-01" => "tls-alpn",
        _ => "txt",
    }
}

fn certificate(shown: &PackShown, certificate: &Certificate) -> CertificateObject {
    let pack = &shown.pack;
    CertificateObject {
        id: certificate.id.to_string(),
        hosts: certificate.hosts.clone(),
        issuer: certificate.issuer.clone(),
        signature: certificate.signature.clone(),
        status: shown.status,
        bundle_method: pack.bundle_method.clone(),
        expires_on: instant(certificate.not_after),
        uploaded_on: instant(certificate.created_at),
        modified_on: instant(pack.modified_at.max(certificate.created_at)),
        priority: pack.priority,
        zone_id: pack.zone,
    }
}

fn validation(challenge: &Challenge) -> ValidationObject {
    let begun = ValidationObject { status: "pending", ..ValidationObject::default() };
    match challenge.kind.as_str() {
        "http-01" => ValidationObject {
            http_url: Some(format!("http://{}/.well-known/acme-challenge/{}", challenge.owner, challenge.token)),
            http_body: Some(challenge.text.clone()),
            ..begun
        },
        "tls-alpn-01" => begun,
        _ => ValidationObject { txt_name: Some(challenge.owner.to_string()), txt_value: Some(challenge.text.clone()), ..begun },
    }
}

impl From<&PackShown> for PackObject {
    fn from(shown: &PackShown) -> Self {
        let PackShown { pack, course, challenges, .. } = shown;
        let errors = course.failure.iter().map(|failure| {
            let by = failure.directory.as_deref().map(|directory| format!("{}: ", poterne_acme::authority::word(directory)));
            ErrorObject { message: format!("{}{}", by.unwrap_or_default(), failure.trouble) }
        });
        Self {
            id: pack.id,
            r#type: pack.kind.clone(),
            hosts: pack.hosts.clone(),
            status: shown.status,
            certificates: shown.certificate.iter().map(|one| certificate(shown, one)).collect(),
            primary_certificate: shown.certificate.as_ref().map(|one| one.id.to_string()),
            certificate_authority: shown.authority.clone(),
            validation_method: method(shown),
            validity_days: shown.certificate.as_ref().map(days).or(pack.validity_days),
            validation_records: challenges.iter().map(validation).collect(),
            validation_errors: errors.collect(),
            dcv_delegation_records: Vec::new(),
            cloudflare_branding: false,
            next_attempt_on: pack.due_at.map(instant),
            failures: course.failures,
        }
    }
}

/// How long a certificate is good, in whole days.
fn days(certificate: &Certificate) -> u32 {
    const DAY: i64 = 86_400_000_000;
    u32::try_from((certificate.not_after - certificate.not_before + DAY / 2).max(0) / DAY).unwrap_or(u32::MAX)
}

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Query(query): Query,
) -> Answered<Vec<PackObject>> {
    let all = query.word("status", |word| (word == "all").then_some(true), &STATUSES)?.unwrap_or(false);
    let packs = door.app.certificate_packs(&caller, zone, all).await?;
    Ok(Answer::success(packs.iter().map(PackObject::from).collect()))
}

async fn order(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, Json(body): Json) -> Answered<PackObject> {
    let draft = PackDraft::read(&At::body(&body))?;
    Ok(Answer::success(PackObject::from(&door.app.certificate_pack_order(&caller, zone, draft).await?)))
}

type OfZone = Ids<ZoneId, CertificatePackId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(zone, pack): OfZone) -> Answered<PackObject> {
    Ok(Answer::success(PackObject::from(&door.app.certificate_pack(&caller, zone, pack).await?)))
}

async fn restart(State(door): State<Door>, Who(caller): Who, Ids(zone, pack): OfZone) -> Answered<PackObject> {
    Ok(Answer::success(PackObject::from(&door.app.certificate_pack_restart(&caller, zone, pack).await?)))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<Gone<CertificatePackId>> {
    door.app.certificate_pack_delete(&caller, zone, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn revoke(State(door): State<Door>, Who(caller): Who, Ids(zone, pack): OfZone, Json(body): Json) -> Answered<PackObject> {
    let body = At::body(&body);
    let given = body.required("reason")?;
    let reason = Revocation::parse(given.one_of(&Revocation::WORDS)?).unwrap_or(Revocation::Unspecified);
    Ok(Answer::success(PackObject::from(&door.app.certificate_pack_revoke(&caller, zone, pack, reason).await?)))
}

fn verifications_of(shown: &PackShown) -> Vec<VerificationObject> {
    let of = |host: &Name| {
        let proven = host.as_str().strip_prefix("*.").unwrap_or(host.as_str());
        let owner = format!("_acme-challenge.{proven}");
        let record = shown.challenges.iter().find(|one| one.kind == "dns-01" && one.owner.as_str() == owner);
        VerificationObject {
            certificate_status: shown.status,
            cert_pack_uuid: shown.pack.id,
            hostname: host.clone(),
            validation_method: method(shown),
            validation_type: "dv",
            verification_status: shown.status == "active",
            verification_type: (method(shown) == "txt").then_some("txt"),
            verification_info: record
                .map(|record| InfoObject { record_name: record.owner.to_string(), record_target: record.text.clone() }),
            brand_check: false,
            signature: shown.certificate.as_ref().map(|certificate| certificate.signature.clone()),
        }
    };
    shown.pack.hosts.iter().map(of).collect()
}

async fn verifications(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Query(query): Query,
) -> Answered<Vec<VerificationObject>> {
    query.boolean("retry")?;
    let packs = door.app.certificate_packs(&caller, zone, true).await?;
    let ordered = packs.iter().filter(|shown| shown.pack.kind != "sni_custom");
    Ok(Answer::success(ordered.flat_map(verifications_of).collect()))
}

async fn reverify(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, pack): OfZone,
    Json(body): Json,
) -> Answered<Vec<VerificationObject>> {
    if !body.is_null() {
        let body = At::body(&body);
        body.object()?;
        body.member("validation_method").map(|given| given.one_of(&["txt", "http"])).transpose()?;
    }
    Ok(Answer::success(verifications_of(&door.app.certificate_pack_restart(&caller, zone, pack).await?)))
}

async fn show_universal(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<UniversalObject> {
    Ok(Answer::success(door.app.universal_ssl(&caller, zone).await?.into()))
}

async fn set_universal(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<UniversalObject> {
    let enabled = At::body(&body).required("enabled")?.boolean()?;
    Ok(Answer::success(door.app.universal_ssl_set(&caller, zone, enabled).await?.into()))
}
