//! Certificates that somebody brought for the edge to show origins (api-v4 §11): for all of a zone's, or for those of single hosts. Each has a list of its
//! own, and nothing else differs.

use axum::extract::State;
use poterne_control_app::{ClientCertificate, ClientCertificateDraft};
use poterne_control_wire::WireTime;
use poterne_model::{At, CertificateId, Timestamp, ZoneId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
};

/// Whose origins are shown what is in a list.
pub(crate) trait List: 'static {
    const IS_FOR_HOSTS: bool;
}

/// All of the zone's.
pub(crate) struct OfZone;

impl List for OfZone {
    const IS_FOR_HOSTS: bool = false;
}

/// Those of the hosts that name it.
pub(crate) struct OfHosts;

impl List for OfHosts {
    const IS_FOR_HOSTS: bool = true;
}

shown![OriginClientCertificateObject];

/// A certificate that was brought for the edge to show.
#[derive(Serialize, ToSchema)]
pub(crate) struct OriginClientCertificateObject {
    id: CertificateId,
    certificate: String,
    issuer: String,
    signature: String,
    status: &'static str,
    expires_on: WireTime,
    uploaded_on: WireTime,
}

fn object(certificate: ClientCertificate, now: Timestamp) -> OriginClientCertificateObject {
    let expires = Timestamp::from_micros(certificate.not_after);
    OriginClientCertificateObject {
        id: certificate.id,
        certificate: certificate.chain,
        issuer: certificate.issuer,
        signature: certificate.signature,
        status: if expires > now { "active" } else { "expired" },
        expires_on: WireTime(expires),
        uploaded_on: WireTime(Timestamp::from_micros(certificate.created_at)),
    }
}

pub(crate) async fn list<L: List>(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
) -> Answered<Vec<OriginClientCertificateObject>> {
    let (found, now) = (door.app.client_certificates(&caller, zone, L::IS_FOR_HOSTS).await?, door.app.instant());
    Ok(Answer::success(found.into_iter().map(|one| object(one, now)).collect()))
}

pub(crate) async fn bring<L: List>(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<OriginClientCertificateObject> {
    let draft = ClientCertificateDraft::read(&At::body(&body))?;
    let added = door.app.client_certificate_add(&caller, zone, draft, L::IS_FOR_HOSTS).await?;
    Ok(Answer::success(object(added, door.app.instant())))
}

pub(crate) async fn show<L: List>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, id): Ids<ZoneId, CertificateId>,
) -> Answered<OriginClientCertificateObject> {
    let found = door.app.client_certificate(&caller, zone, id, L::IS_FOR_HOSTS).await?;
    Ok(Answer::success(object(found, door.app.instant())))
}

pub(crate) async fn take_away<L: List>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, id): Ids<ZoneId, CertificateId>,
) -> Answered<OriginClientCertificateObject> {
    let gone = door.app.client_certificate_delete(&caller, zone, id, L::IS_FOR_HOSTS).await?;
    Ok(Answer::success(object(gone, door.app.instant())))
}
