//! Certificates of this instance's authority for origins (Origin CA): whoever has one is believed in mode `strict`, and by no browser.

use std::time::Duration;

use poterne_control_store::{OriginCertificate, Zone};
use poterne_keys::Request;
use poterne_model::{At, Name, Schema, ShapeError, ZoneId};
use serde_json::json;

use crate::{App, AppError, Caller, access::Subject, audit::Traced};

/// What a request's key may be, by the API's word.
const REQUEST_TYPES: [&str; 2] = ["origin-rsa", "origin-ecc"];

/// For how many days one may be good; the last where nothing is said.
const VALIDITIES: [i64; 7] = [7, 30, 90, 365, 730, 1095, 5475];

/// Most names in one, and longest request read, in characters.
const HOSTNAMES_MAX: usize = 100;
const REQUEST_MAX: usize = 16 * 1024;

/// Most certificates in force that a zone has.
const CERTIFICATES_MAX: usize = 1000;

/// Revoked ones that nodes know; each is forgotten when it would have ended.
const REVOKED_MAX: usize = 100_000;

/// What somebody asks for.
#[derive(Debug)]
pub struct OriginCertificateDraft {
    request: Request,
    text: String,
    hostnames: Vec<Name>,
    request_type: &'static str,
    validity_days: u32,
}

impl OriginCertificateDraft {
    /// Its form.
    pub fn schema() -> Schema {
        Schema::object([
            ("csr", Schema::text(REQUEST_MAX).required().about("PKCS#10 in PEM form; its key alone is taken from it")),
            ("hostnames", Schema::items(Schema::text(254), HOSTNAMES_MAX).required().about("names, or wildcards, of your zones")),
            ("request_type", Schema::one_of(&REQUEST_TYPES).required().about("what kind of key the request has")),
            ("requested_validity", Schema::integer(7..=5475).about("days: 7, 30, 90, 365, 730, 1095 or 5475, the default")),
        ])
        .named("OriginCertificateDraft")
        .example(json!({
            "csr": include_str!("example.csr"), "hostnames": ["example.com", "*.example.com"], "request_type": "origin-ecc",
            "requested_validity": 365,
        }))
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
        let at_type = body.required("request_type")?;
        let request_type = at_type.one_of(&REQUEST_TYPES)?;
        if (request_type == "origin-rsa") != request.is_rsa() {
            let key = if request.is_rsa() { "RSA: write origin-rsa" } else { "on an elliptic curve: write origin-ecc" };
            return Err(ShapeError::new(
                at_type.pointer(),
                format!("/request_type is {request_type:?}, and the request's key is {key}"),
            ));
        }
        let at_names = body.required("hostnames")?;
        let mut hostnames = Vec::new();
        for item in at_names.items(HOSTNAMES_MAX)? {
            let parsed = Name::parse(item.text(254)?).map_err(|error| ShapeError::new(item.pointer(), error.to_string()))?;
            if !hostnames.contains(&parsed) {
                hostnames.push(parsed);
            }
        }
        if hostnames.is_empty() {
            return Err(ShapeError::new(at_names.pointer(), "/hostnames is empty: name at least one host"));
        }
        let validity = match body.member("requested_validity") {
            None => VALIDITIES[6],
            Some(given) => {
                let days = given.integer(i64::MIN..=i64::MAX)?;
                if !VALIDITIES.contains(&days) {
                    return Err(given.wrong("write one of 7, 30, 90, 365, 730, 1095, 5475"));
                }
                days
            }
        };
        Ok(Self { request, text, hostnames, request_type, validity_days: u32::try_from(validity).unwrap_or_default() })
    }
}

impl App {
    /// Those of a zone that are in force, the newest first.
    pub async fn origin_certificates(&self, caller: &Caller, zone: ZoneId) -> Result<Vec<OriginCertificate>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        let now = self.now();
        let mut found = session.origin_certificates(zone).await?;
        found.retain(|one| one.not_after > now);
        Ok(found)
    }

    /// One of any zone that the caller may look at.
    pub async fn origin_certificate(&self, caller: &Caller, serial: [u8; 16]) -> Result<OriginCertificate, AppError> {
        let mut session = self.0.store.read().await?;
        let none = || AppError::NotFound("certificate");
        let found = session.origin_certificate(serial).await?.ok_or_else(none)?;
        let seen = self.seen_zone(&mut session, caller, found.zone, Subject::Certificates.to_read()).await;
        seen.map_err(|error| if matches!(error, AppError::NotFound(_)) { none() } else { error })?;
        Ok(found)
    }

    /// Issues one, for names of zones that the caller may edit the certificates of, all of one account.
    ///
    /// # Errors
    /// A name is in no such zone, or there are too many.
    pub async fn origin_certificate_issue(
        &self,
        caller: &Caller,
        draft: OriginCertificateDraft,
    ) -> Result<OriginCertificate, AppError> {
        let OriginCertificateDraft { request, text, hostnames, request_type, validity_days } = draft;
        let authority = &self.origin_authorities()?.origins;
        let mut session = self.0.store.write().await?;
        let mut first: Option<Zone> = None;
        for hostname in &hostnames {
            let under = if hostname.is_wildcard() { hostname.parent() } else { None };
            let under = under.as_ref().unwrap_or(hostname);
            let why = || format!("{hostname} is in no zone of yours that is active: name hosts of your zones");
            let nowhere = || AppError::Invalid { what: "hostnames", why: why() };
            let zone = session.serving_zone_over(under).await?.ok_or_else(nowhere)?;
            // Whether it is somebody else's is nobody's business.
            let zone = match self.seen_zone(&mut session, caller, zone.id, Subject::Certificates.to_edit()).await {
                Err(AppError::NotFound(_)) => return Err(nowhere()),
                seen => seen?,
            };
            match &first {
                None => first = Some(zone),
                Some(first) if first.account != zone.account => {
                    let why = format!("{} and {} are zones of two accounts: ask for two certificates", first.apex, zone.apex);
                    return Err(AppError::Invalid { what: "hostnames", why });
                }
                Some(_) => {}
            }
        }
        let Some(zone) = first else { return Err(AppError::NotFound("zone")) };
        if session.origin_certificates(zone.id).await?.len() >= CERTIFICATES_MAX {
            let why = format!("{} has {CERTIFICATES_MAX} certificates for origins: revoke some first", zone.apex);
            return Err(AppError::Invalid { what: "certificate", why });
        }
        let names: Vec<String> = hostnames.iter().map(Name::to_string).collect();
        let life = Duration::from_secs(u64::from(validity_days) * 86_400);
        let signed = authority.sign(&request, &names, (self.0.clock)(), life);
        let signed = signed.map_err(|error| AppError::Invalid { what: "csr", why: error.to_string() })?;
        let certificate = OriginCertificate {
            serial: signed.serial,
            zone: zone.id,
            hostnames,
            request_type: request_type.to_owned(),
            validity_days,
            request: text,
            certificate: signed.pem,
            not_after: crate::open::micros(signed.not_after),
            created_at: self.now(),
            revoked_at: None,
        };
        session.insert_origin_certificate(&certificate).await?;
        self.trace(&mut session, caller, traced("create", &zone, &certificate)).await?;
        session.commit().await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, "a certificate for an origin was issued");
        Ok(certificate)
    }

    /// Revokes one: the edge believes whoever has it no more when this returns.
    pub async fn origin_certificate_revoke(&self, caller: &Caller, serial: [u8; 16]) -> Result<OriginCertificate, AppError> {
        let mut session = self.0.store.write().await?;
        let none = || AppError::NotFound("certificate");
        let mut found = session.origin_certificate(serial).await?.ok_or_else(none)?;
        let seen = self.seen_zone(&mut session, caller, found.zone, Subject::Certificates.to_edit()).await;
        let zone = seen.map_err(|error| if matches!(error, AppError::NotFound(_)) { none() } else { error })?;
        if found.revoked_at.is_none() {
            if session.revoked_origin_certificates().await?.len() >= REVOKED_MAX {
                let why =
                    format!("{REVOKED_MAX} certificates for origins are revoked and not over yet: tell the node's operator");
                return Err(AppError::Invalid { what: "certificate", why });
            }
            found.revoked_at = Some(self.now());
            session.revoke_origin_certificate(serial, self.now()).await?;
            self.trace(&mut session, caller, traced("revoke", &zone, &found)).await?;
            self.finish(session).await?;
        }
        Ok(found)
    }

    /// Wraps keys for this node, and forgets what is over. Called by the publisher now and then.
    pub async fn tend_origin_certificates(&self) -> Result<(), AppError> {
        let now = self.now();
        let mut session = self.0.store.read().await?;
        let others = !session.client_certificates_of_other_node(self.0.node_key.id(), 1).await?.is_empty();
        if !others && !session.has_origin_certificates_over(now).await? {
            return Ok(());
        }
        drop(session);
        let mut session = self.0.store.write().await?;
        self.tend_client_certificates(&mut session).await?;
        session.forget_origin_certificates(now).await?;
        session.commit().await?;
        Ok(())
    }
}

fn traced(action: &'static str, zone: &Zone, certificate: &OriginCertificate) -> Traced {
    let hostnames: Vec<&str> = certificate.hostnames.iter().map(Name::as_str).collect();
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action,
        kind: "origin_certificate",
        id: u128::from_be_bytes(certificate.serial).to_string(),
        new: Some(json!({ "hostnames": hostnames, "requested_validity": certificate.validity_days })),
        ..Traced::default()
    }
}
