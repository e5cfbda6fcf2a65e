//! A zone's own authority for visitors, and what it issues (`client_certificates`, api-v4 §11). Its key never leaves control, and is sealed there;
//! it is made when somebody first wants it.

use std::time::Duration;

use poterne_control_store::{ClientAuthority, Session, VisitorCertificate, Zone};
use poterne_keys::{CaSpec, LocalCa, Purpose, Request, RequestSubject, random_bytes};
use poterne_model::{At, CertificateId, Schema, ShapeError, ZoneId};
use serde_json::json;

use crate::{App, AppError, Caller, access::Subject, audit::Traced};

/// Longest request read, in characters.
const REQUEST_MAX: usize = 16 * 1024;

/// For how many days one may be good, at most.
const VALIDITY_DAYS_MAX: i64 = 5475;

/// Most that a zone has that are not over, revoked ones too: nodes know those.
const CERTIFICATES_MAX: u64 = 10_000;

/// How long such an authority is good: longer than what it issues.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);

/// Those that are over and forgotten at a time.
const FORGOTTEN: u32 = 100;

/// What somebody asks for.
#[derive(Debug)]
pub struct VisitorCertificateDraft {
    request: Request,
    text: String,
    validity_days: u32,
}

/// One, with whom it names and who issued it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorCertificateShown {
    /// It.
    pub certificate: VisitorCertificate,
    /// Whom it names.
    pub subject: RequestSubject,
    /// Its authority's id and name.
    pub authority: (CertificateId, String),
}

impl VisitorCertificateDraft {
    /// Its form.
    pub fn schema() -> Schema {
        Schema::object([
            (
                "csr",
                Schema::text(REQUEST_MAX).required().about("PKCS#10 in PEM form; its key, and whom it names, are taken from it"),
            ),
            ("validity_days", Schema::integer(1..=VALIDITY_DAYS_MAX).required().about("how long it is good")),
        ])
        .named("ClientCertificateDraft")
        .example(json!({ "csr": include_str!("../origin_tls/example.csr"), "validity_days": 365 }))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let at_csr = body.required("csr")?;
        let text = at_csr.text(REQUEST_MAX)?.to_owned();
        let request = Request::parse(&text).map_err(|error| ShapeError::new(at_csr.pointer(), format!("/csr: {error}")))?;
        let days = body.required("validity_days")?.integer(1..=VALIDITY_DAYS_MAX)?;
        Ok(Self { request, text, validity_days: u32::try_from(days).unwrap_or_default() })
    }
}

impl App {
    /// Those of a zone that are not over, the newest first.
    pub async fn visitor_certificates(&self, caller: &Caller, zone: ZoneId) -> Result<Vec<VisitorCertificateShown>, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        let now = self.now();
        let all = session.visitor_certificates(zone.id).await?.into_iter().filter(|one| one.not_after > now);
        let all: Vec<VisitorCertificate> = all.collect();
        let own = session.client_authorities(Some(zone.id)).await?.into_iter().next();
        Ok(own.map(|own| all.into_iter().map(|one| shown(one, &own, &zone)).collect()).unwrap_or_default())
    }

    /// One of them.
    pub async fn visitor_certificate(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: CertificateId,
    ) -> Result<VisitorCertificateShown, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        self.shown_visitor_certificate(&mut session, &zone, id).await
    }

    async fn shown_visitor_certificate(
        &self,
        session: &mut Session,
        zone: &Zone,
        id: CertificateId,
    ) -> Result<VisitorCertificateShown, AppError> {
        let none = || AppError::NotFound("client certificate");
        let found = session.visitor_certificate(zone.id, id).await?.ok_or_else(none)?;
        let own = session.client_authorities(Some(zone.id)).await?.into_iter().next().ok_or_else(none)?;
        Ok(shown(found, &own, zone))
    }

    /// Issues one.
    ///
    /// # Errors
    /// There are too many.
    pub async fn visitor_certificate_issue(
        &self,
        caller: &Caller,
        zone: ZoneId,
        draft: VisitorCertificateDraft,
    ) -> Result<VisitorCertificateShown, AppError> {
        let VisitorCertificateDraft { request, text, validity_days } = draft;
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        if session.visitor_certificates_count(zone.id).await? >= CERTIFICATES_MAX {
            let why = format!("{} has {CERTIFICATES_MAX} certificates of visitors: wait until some have ended", zone.apex);
            return Err(AppError::Invalid { what: "client certificate", why });
        }
        let own = self.client_authority_of(&mut session, &zone).await?;
        let key = self.0.keys.open(Purpose::CaKey, own.id.as_bytes(), &own.sealed)?;
        let invalid = |error: poterne_keys::CaError| AppError::Invalid { what: "csr", why: error.to_string() };
        let ca = LocalCa::restore(&spec(&zone), &own.certificate, &key).map_err(invalid)?;
        let life = Duration::from_secs(u64::from(validity_days) * 86_400);
        let made = ca.sign_client(&request, (self.0.clock)(), life).map_err(invalid)?;
        let certificate = VisitorCertificate {
            id: CertificateId::from_bytes(random_bytes()),
            zone: zone.id,
            serial: made.signed.serial,
            subject: serde_json::to_string(request.subject()).unwrap_or_default(),
            request: text,
            certificate: made.signed.pem,
            ski: digits(&made.ski),
            fingerprint: digits(&made.fingerprint),
            validity_days,
            not_after: crate::open::micros(made.signed.not_after),
            created_at: self.now(),
            revoked_at: None,
        };
        session.insert_visitor_certificate(&certificate).await?;
        self.trace(&mut session, caller, traced("create", &zone, &certificate)).await?;
        session.commit().await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, id = %certificate.id, "a visitor's certificate was issued");
        Ok(shown(certificate, &own, &zone))
    }

    /// Revokes one, or takes that back: in force when this returns, for requests on connections that are there too.
    pub async fn visitor_certificate_revoke(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: CertificateId,
        revoked: bool,
    ) -> Result<VisitorCertificateShown, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let mut found = self.shown_visitor_certificate(&mut session, &zone, id).await?;
        if found.certificate.revoked_at.is_some() != revoked {
            found.certificate.revoked_at = revoked.then(|| self.now());
            session.set_visitor_certificate_revoked(zone.id, id, found.certificate.revoked_at).await?;
            let action = if revoked { "revoke" } else { "reactivate" };
            self.trace(&mut session, caller, traced(action, &zone, &found.certificate)).await?;
            self.finish(session).await?;
        }
        Ok(found)
    }

    /// A zone's own authority, made where there is none yet.
    pub(super) async fn client_authority_of(&self, session: &mut Session, zone: &Zone) -> Result<ClientAuthority, AppError> {
        if let Some(own) = session.client_authorities(Some(zone.id)).await?.into_iter().next() {
            return Ok(own);
        }
        let invalid = |error: poterne_keys::CaError| AppError::Invalid { what: "client certificate", why: error.to_string() };
        let ca = LocalCa::generate_for(&spec(zone), (self.0.clock)(), AUTHORITY_LIFE).map_err(invalid)?;
        let id = CertificateId::from_bytes(random_bytes());
        let authority = ClientAuthority {
            zone: zone.id,
            id,
            certificate: ca.certificate_pem().to_owned(),
            sealed: self.0.keys.seal(Purpose::CaKey, id.as_bytes(), ca.secret().expose()),
            created_at: self.now(),
        };
        session.insert_client_authority(&authority).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, "an authority for its visitors was made");
        Ok(authority)
    }

    /// Forgets what is over. Called by the publisher now and then.
    pub async fn tend_visitor_certificates(&self) -> Result<(), AppError> {
        let now = self.now();
        if self.0.store.read().await?.visitor_certificates_over(now, 1).await?.is_empty() {
            return Ok(());
        }
        let mut session = self.0.store.write().await?;
        for over in session.visitor_certificates_over(now, FORGOTTEN).await? {
            session.delete_visitor_certificate(&over).await?;
        }
        session.commit().await?;
        Ok(())
    }
}

/// What the authority of a zone's visitors is called.
fn spec(zone: &Zone) -> CaSpec {
    // A common name has at most 64 characters (RFC 5280 appendix A.1).
    CaSpec { name: format!("Visitors of {}", zone.apex).chars().take(64).collect(), permitted: Vec::new() }
}

fn shown(certificate: VisitorCertificate, own: &ClientAuthority, zone: &Zone) -> VisitorCertificateShown {
    let subject = serde_json::from_str(&certificate.subject).unwrap_or_default();
    VisitorCertificateShown { certificate, subject, authority: (own.id, spec(zone).name) }
}

fn digits(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn traced(action: &'static str, zone: &Zone, certificate: &VisitorCertificate) -> Traced {
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action,
        kind: "visitor_certificate",
        id: certificate.id.to_string(),
        new: Some(json!({ "validity_days": certificate.validity_days, "fingerprint_sha256": certificate.fingerprint })),
        ..Traced::default()
    }
}
