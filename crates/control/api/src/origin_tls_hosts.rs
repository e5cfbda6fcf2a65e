//! What the edge shows origins of single hosts (api-v4 §11).

use axum::extract::State;
use poterne_control_app::{AppError, ClientCertificate, ClientCertificateDraft, OriginPullHost, OriginPullHosts};
use poterne_control_wire::WireTime;
use poterne_model::{At, CertificateId, Name, Timestamp, ZoneId, permission::Subject};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    origin_tls_brought::{self as brought, OfHosts},
    path::{Id, Ids},
    routes::{Routes, edits, reads},
};

/// Under `/zones/{zone}/origin_tls_client_auth/hostnames`.
pub(crate) fn routes() -> Routes {
    let (base, ssl) = ("/zones/{zone}/origin_tls_client_auth/hostnames", Subject::Certificates);
    let (all, host) = (format!("{base}/certificates"), format!("{base}/{{hostname}}"));
    let one = format!("{all}/{{certificate}}");
    Routes::of("Origins' hosts", "Hosts whose origins are shown a certificate of their own, and what was brought for them.")
        .get(base, list, reads(ssl, "List the hosts whose origins are shown a certificate of their own"))
        .put(base, set, edits(ssl, "Say which certificates origins of hosts are shown").body(OriginPullHosts::schema()))
        .get(&host, show, reads(ssl, "Show what origins of a host are shown"))
        .get(&all, brought::list::<OfHosts>, reads(ssl, "List the certificates that were brought for hosts"))
        .post(&all, brought::bring::<OfHosts>, edits(ssl, "Bring a certificate for hosts").body(ClientCertificateDraft::schema()))
        .get(&one, brought::show::<OfHosts>, reads(ssl, "Show a certificate that was brought for hosts"))
        .delete(&one, brought::take_away::<OfHosts>, edits(ssl, "Delete a certificate that was brought for hosts"))
}

shown![OriginClientAuthHost];

/// A host whose origins are shown a certificate of its own.
#[derive(Serialize, ToSchema)]
struct OriginClientAuthHost {
    hostname: Name,
    cert_id: CertificateId,
    enabled: bool,
    status: &'static str,
    created_at: WireTime,
    updated_at: WireTime,
    certificate: String,
    issuer: String,
    signature: String,
    expires_on: WireTime,
    cert_status: &'static str,
    cert_uploaded_on: WireTime,
    cert_updated_at: WireTime,
}

fn object((host, certificate): (OriginPullHost, ClientCertificate), now: Timestamp) -> OriginClientAuthHost {
    let at = |micros: i64| WireTime(Timestamp::from_micros(micros));
    let expires = Timestamp::from_micros(certificate.not_after);
    OriginClientAuthHost {
        hostname: host.host,
        cert_id: host.certificate,
        enabled: host.enabled,
        status: "active",
        created_at: at(host.created_at),
        updated_at: at(host.modified_at),
        certificate: certificate.chain,
        issuer: certificate.issuer,
        signature: certificate.signature,
        expires_on: WireTime(expires),
        cert_status: if expires > now { "active" } else { "expired" },
        cert_uploaded_on: at(certificate.created_at),
        cert_updated_at: at(certificate.created_at),
    }
}

async fn list(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Vec<OriginClientAuthHost>> {
    let (found, now) = (door.app.origin_pull_hosts(&caller, zone).await?, door.app.instant());
    Ok(Answer::success(found.into_iter().map(|one| object(one, now)).collect()))
}

async fn set(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<Vec<OriginClientAuthHost>> {
    let wanted = OriginPullHosts::read(&At::body(&body))?;
    let (said, now) = (door.app.origin_pull_hosts_set(&caller, zone, wanted).await?, door.app.instant());
    Ok(Answer::success(said.into_iter().map(|one| object(one, now)).collect()))
}

async fn show(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, host): Ids<ZoneId, String>,
) -> Answered<OriginClientAuthHost> {
    // Whatever is no name is nobody's host.
    let host = Name::parse(&host).map_err(|_| AppError::NotFound("hostname with a certificate of its own"))?;
    Ok(Answer::success(object(door.app.origin_pull_host(&caller, zone, &host).await?, door.app.instant())))
}
