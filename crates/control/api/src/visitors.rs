//! Certificates of visitors (api-v4 §11): who vouches for them, which hosts ask for one, and what a zone's own authority issues.

use axum::extract::State;
use poterne_control_app::{
    HostAssociations, MtlsCertificate, MtlsCertificateDraft, VisitorCertificateDraft, VisitorCertificateShown,
};
use poterne_control_wire::{
    WireTime,
    query::{
        Parameter,
        page::{Page, PageLimits},
    },
};
use poterne_model::{AccountId, At, CertificateId, Name, Timestamp, ZoneId, permission::Subject};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
};

/// How a visitor's certificate may stand.
const STATUSES: [&str; 4] = ["all", "active", "revoked", "pending_revocation"];

/// Under accounts and zones.
pub(crate) fn routes() -> Routes {
    let (ssl, of_account) = (Subject::Certificates, Subject::AccountCertificates);
    let (all, one) = ("/accounts/{account}/mtls_certificates", "/accounts/{account}/mtls_certificates/{certificate}");
    let uses = format!("{one}/associations");
    let hosts = "/zones/{zone}/certificate_authorities/hostname_associations";
    let (clients, client) = ("/zones/{zone}/client_certificates", "/zones/{zone}/client_certificates/{certificate}");
    let authority = Parameter::text("mtls_certificate_id", "whose hosts; absent: those of the zone's own authority");
    let status = Parameter::word("status", &STATUSES, "those that stand so");
    Routes::of(
        "Visitors' certificates",
        "Authorities that vouch for visitors, hosts that ask visitors for a certificate, and certificates that a zone issues to them.",
    )
    .get(all, brought, reads(of_account, "List the authorities that were brought").pages(PageLimits::OTHERS))
    .post(all, bring, edits(of_account, "Bring an authority").body(MtlsCertificateDraft::schema()))
    .get(one, show, reads(of_account, "Show an authority that was brought"))
    .delete(one, delete, edits(of_account, "Delete an authority that no host names"))
    .get(&uses, associations, reads(of_account, "Tell what an authority is used for"))
    .get(hosts, asking, reads(ssl, "List the hosts that ask visitors for a certificate").query([authority]))
    .put(hosts, ask, edits(ssl, "Say which hosts ask visitors for a certificate").body(HostAssociations::schema()))
    .get(clients, issued, reads(ssl, "List the certificates issued to visitors").pages(PageLimits::OTHERS).query([status]))
    .post(clients, issue, edits(ssl, "Issue a certificate to a visitor").body(VisitorCertificateDraft::schema()))
    .get(client, show_issued, reads(ssl, "Show a certificate issued to a visitor"))
    .patch(client, reactivate, edits(ssl, "Take back that a visitor's certificate was revoked"))
    .delete(client, revoke, edits(ssl, "Revoke a visitor's certificate"))
}

shown![MtlsCertificateObject, MtlsAssociation, HostnameAssociationsObject, ClientCertificateObject];

/// An authority that vouches for visitors.
#[derive(Serialize, ToSchema)]
struct MtlsCertificateObject {
    id: CertificateId,
    ca: bool,
    certificates: String,
    expires_on: WireTime,
    issuer: String,
    name: String,
    serial_number: String,
    signature: String,
    r#type: &'static str,
    uploaded_on: WireTime,
}

/// What it is used for.
#[derive(Serialize, ToSchema)]
struct MtlsAssociation {
    service: &'static str,
    status: &'static str,
    /// Ours: the host.
    hostname: Name,
}

/// Hosts that ask.
#[derive(Serialize, ToSchema)]
struct HostnameAssociationsObject {
    hostnames: Vec<Name>,
}

/// A certificate issued to a visitor.
#[derive(Serialize, ToSchema)]
struct ClientCertificateObject {
    id: CertificateId,
    certificate: String,
    certificate_authority: AuthorityObject,
    common_name: Option<String>,
    country: Option<String>,
    csr: String,
    expires_on: WireTime,
    fingerprint_sha256: String,
    issued_on: WireTime,
    location: Option<String>,
    organization: Option<String>,
    organizational_unit: Option<String>,
    serial_number: String,
    signature: &'static str,
    ski: String,
    state: Option<String>,
    status: &'static str,
    validity_days: u32,
}

/// Who issued it.
#[derive(Serialize, ToSchema)]
struct AuthorityObject {
    id: CertificateId,
    name: String,
}

fn at(micros: i64) -> WireTime {
    WireTime(Timestamp::from_micros(micros))
}

fn object(certificate: MtlsCertificate) -> MtlsCertificateObject {
    let MtlsCertificate { id, name, certificates, issuer, signature, serial, not_after, created_at, .. } = certificate;
    MtlsCertificateObject {
        id,
        ca: true,
        certificates,
        expires_on: at(not_after),
        issuer,
        name,
        serial_number: serial,
        signature,
        r#type: "custom",
        uploaded_on: at(created_at),
    }
}

fn client(shown: VisitorCertificateShown) -> ClientCertificateObject {
    let VisitorCertificateShown { certificate, subject, authority: (id, name) } = shown;
    ClientCertificateObject {
        id: certificate.id,
        certificate: certificate.certificate,
        certificate_authority: AuthorityObject { id, name },
        common_name: subject.common_name,
        country: subject.country,
        csr: certificate.request,
        expires_on: at(certificate.not_after),
        fingerprint_sha256: certificate.fingerprint,
        issued_on: at(certificate.created_at),
        location: subject.location,
        organization: subject.organization,
        organizational_unit: subject.organizational_unit,
        serial_number: u128::from_be_bytes(certificate.serial).to_string(),
        // What zones' authorities sign with.
        signature: "ECDSAWithSHA256",
        ski: certificate.ski,
        state: subject.state,
        status: if certificate.revoked_at.is_some() { "revoked" } else { "active" },
        validity_days: certificate.validity_days,
    }
}

async fn brought(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<Vec<MtlsCertificateObject>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let found = door.app.mtls_certificates(&caller, account).await?;
    let part: Vec<_> = page.of(&found).iter().cloned().map(object).collect();
    let info = page.info(part.len(), found.len() as u64);
    Ok(Answer::part(part, info))
}

async fn bring(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<MtlsCertificateObject> {
    let draft = MtlsCertificateDraft::read(&At::body(&body))?;
    Ok(Answer::success(object(door.app.mtls_certificate_add(&caller, account, draft).await?)))
}

type OfAccount = Ids<AccountId, CertificateId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<MtlsCertificateObject> {
    Ok(Answer::success(object(door.app.mtls_certificate(&caller, account, id).await?.certificate)))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<MtlsCertificateObject> {
    Ok(Answer::success(object(door.app.mtls_certificate_delete(&caller, account, id).await?)))
}

async fn associations(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<Vec<MtlsAssociation>> {
    let hosts = door.app.mtls_certificate(&caller, account, id).await?.hosts.into_iter();
    let association = |host| MtlsAssociation { service: "hostname_associations", status: "active", hostname: host };
    Ok(Answer::success(hosts.map(|known| association(known.host)).collect()))
}

async fn asking(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Query(query): Query,
) -> Answered<HostnameAssociationsObject> {
    let authority = query.parsed("mtls_certificate_id")?;
    Ok(Answer::success(HostnameAssociationsObject { hostnames: door.app.host_associations(&caller, zone, authority).await? }))
}

async fn ask(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<HostnameAssociationsObject> {
    let wanted = HostAssociations::read(&At::body(&body))?;
    Ok(Answer::success(HostnameAssociationsObject { hostnames: door.app.host_associations_set(&caller, zone, wanted).await? }))
}

async fn issued(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Query(query): Query,
) -> Answered<Vec<ClientCertificateObject>> {
    let of_word = |word: &str| STATUSES.into_iter().find(|status| *status == word);
    let status = query.word("status", of_word, &STATUSES)?.filter(|status| *status != "all");
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let found: Vec<_> = door.app.visitor_certificates(&caller, zone).await?.into_iter().collect();
    let stands = |shown: &VisitorCertificateShown| if shown.certificate.revoked_at.is_some() { "revoked" } else { "active" };
    let found: Vec<_> = found.into_iter().filter(|shown| status.is_none_or(|status| stands(shown) == status)).collect();
    let part: Vec<_> = page.of(&found).iter().cloned().map(client).collect();
    let info = page.info(part.len(), found.len() as u64);
    Ok(Answer::part(part, info))
}

async fn issue(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<ClientCertificateObject> {
    let draft = VisitorCertificateDraft::read(&At::body(&body))?;
    Ok(Answer::success(client(door.app.visitor_certificate_issue(&caller, zone, draft).await?)))
}

type OfZone = Ids<ZoneId, CertificateId>;

async fn show_issued(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<ClientCertificateObject> {
    Ok(Answer::success(client(door.app.visitor_certificate(&caller, zone, id).await?)))
}

async fn reactivate(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<ClientCertificateObject> {
    Ok(Answer::success(client(door.app.visitor_certificate_revoke(&caller, zone, id, false).await?)))
}

async fn revoke(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<ClientCertificateObject> {
    Ok(Answer::success(client(door.app.visitor_certificate_revoke(&caller, zone, id, true).await?)))
}
