//! What the edge shows a zone's origins, where they ask who it is (authenticated origin pulls).

use poterne_acme::leaf::Leaf;
use poterne_control_store::{ClientCertificate, Session, Zone};
use poterne_keys::{CertificateKey, Purpose, random_bytes};
use poterne_model::{At, CertificateId, Schema, ShapeError, ZoneId, setting::origin::ORIGIN_TLS_CLIENT_AUTH};
use serde_json::{Value, json};

use crate::{App, AppError, Caller, access::Subject, audit::Traced};

/// Most that a zone has at once: the one that is shown, and others that wait or were shown before.
const CERTIFICATES_MAX: usize = 20;

/// Longest chain and key taken, in characters.
const CHAIN_MAX: usize = poterne_acme::leaf::CHAIN_BYTES_MAX;
const KEY_MAX: usize = 16 * 1024;

/// A certificate that somebody brings.
#[derive(Debug)]
pub struct ClientCertificateDraft {
    leaf: Leaf,
    chain: String,
    key: CertificateKey,
}

impl ClientCertificateDraft {
    /// Its form.
    pub fn schema() -> Schema {
        let (certificate, key) =
            (include_str!("../certificates/example/certificate.pem"), include_str!("../certificates/example/key.pem"));
        Schema::object([
            ("certificate", Schema::text(CHAIN_MAX).required().about("PEM, leaf first")),
            ("private_key", Schema::text(KEY_MAX).required().about("PEM, not encrypted; it is never shown again")),
        ])
        .named("OriginClientCertificateDraft")
        .example(json!({ "certificate": certificate, "private_key": key }))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and where. A key is never told.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let (at_chain, at_key) = (body.required("certificate")?, body.required("private_key")?);
        let wrong = |at: &At<'_>, why: String| ShapeError::new(at.pointer(), format!("{}: {why}", at.pointer()));
        // Whatever is wrong, it is told without its content: people mistake one for the other.
        let text = |at: &At<'_>, max: usize| {
            let text = at.value.as_str().filter(|text| text.len() <= max).map(str::to_owned);
            text.ok_or_else(|| wrong(at, format!("write a text of at most {max} characters, in PEM form")))
        };
        let (chain, secret) = (text(&at_chain, CHAIN_MAX)?, text(&at_key, KEY_MAX)?);
        let leaf = Leaf::parse_any(&chain).map_err(|why| wrong(&at_chain, why))?;
        let key = CertificateKey::parse(&secret).map_err(|error| wrong(&at_key, error.to_string()))?;
        if key.public_key() != leaf.public_key {
            return Err(wrong(&at_key, "it is not the key of this certificate".into()));
        }
        Ok(Self { leaf, chain, key })
    }
}

impl App {
    /// Whether a zone's origins are shown who the edge is; by the zone's setting for that alone.
    pub async fn origin_pulls(&self, caller: &Caller, zone: ZoneId) -> Result<bool, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        Ok(is_enabled(session.zone_setting(zone, ORIGIN_TLS_CLIENT_AUTH).await?))
    }

    /// Says so.
    pub async fn origin_pulls_set(&self, caller: &Caller, zone: ZoneId, enabled: bool) -> Result<bool, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        if is_enabled(session.zone_setting(zone.id, ORIGIN_TLS_CLIENT_AUTH).await?) != enabled {
            let value = json!({ "enabled": enabled });
            session.put_zone_setting(zone.id, ORIGIN_TLS_CLIENT_AUTH, &value, self.now()).await?;
            let traced = Traced {
                account: Some(zone.account),
                zone: Some((zone.id, zone.apex.to_string())),
                action: "set",
                kind: "zone_setting",
                id: ORIGIN_TLS_CLIENT_AUTH.to_owned(),
                old: Some(json!({ "enabled": !enabled })),
                new: Some(value),
            };
            self.trace(&mut session, caller, traced).await?;
            self.finish(session).await?;
        }
        Ok(enabled)
    }

    /// What an origin is to let in: the certificate of the authority that the edge's are issued by, as PEM.
    pub async fn origin_pull_authority(&self, caller: &Caller, zone: ZoneId) -> Result<String, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        Ok(self.origin_authorities()?.pulls.certificate_pem().to_owned())
    }

    /// The certificates that were brought for all origins of a zone, the one that is shown first; or those for single hosts, the newest first.
    pub async fn client_certificates(
        &self,
        caller: &Caller,
        zone: ZoneId,
        for_hosts: bool,
    ) -> Result<Vec<ClientCertificate>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        let mut found = session.client_certificates(Some(zone)).await?;
        found.retain(|one| one.for_hosts == for_hosts);
        found.reverse();
        Ok(found)
    }

    /// One of them.
    pub async fn client_certificate(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: CertificateId,
        for_hosts: bool,
    ) -> Result<ClientCertificate, AppError> {
        let found = self.client_certificates(caller, zone, for_hosts).await?;
        found.into_iter().find(|one| one.id == id).ok_or(AppError::NotFound("client certificate"))
    }

    /// Takes one in. It is the one that is shown when this returns; `for_hosts`: where a host is said to show it.
    ///
    /// # Errors
    /// It is over, or there are too many.
    pub async fn client_certificate_add(
        &self,
        caller: &Caller,
        zone: ZoneId,
        draft: ClientCertificateDraft,
        for_hosts: bool,
    ) -> Result<ClientCertificate, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let ClientCertificateDraft { leaf, chain, key } = draft;
        let invalid = |why: String| Err(AppError::Invalid { what: "certificate", why });
        if leaf.not_after <= self.now().div_euclid(1_000_000) {
            return invalid("it has expired: bring one that is good".into());
        }
        let all = session.client_certificates(Some(zone.id)).await?;
        if all.iter().filter(|one| one.for_hosts == for_hosts).count() >= CERTIFICATES_MAX {
            return invalid(format!("{} has {CERTIFICATES_MAX} certificates for its origins: delete some first", zone.apex));
        }
        let id = CertificateId::from_bytes(random_bytes());
        let secret = key.secret();
        let certificate = ClientCertificate {
            id,
            zone: zone.id,
            for_hosts,
            issuer: leaf.issuer,
            signature: leaf.signature,
            chain,
            sealed: self.0.keys.seal(Purpose::CertificateKey, id.as_bytes(), secret.expose()),
            wrapped: self.0.node_key.seal(Purpose::CertificateKey, id.as_bytes(), secret.expose()),
            not_after: leaf.not_after.saturating_mul(1_000_000),
            created_at: self.now(),
        };
        session.put_client_certificate(&certificate).await?;
        self.trace(&mut session, caller, traced("create", &zone, id)).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, %id, "a certificate for its origins was brought");
        Ok(certificate)
    }

    /// Takes one away: what was brought before it is shown then, or what the node issues.
    pub async fn client_certificate_delete(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: CertificateId,
        for_hosts: bool,
    ) -> Result<ClientCertificate, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let mut all = session.client_certificates(Some(zone.id)).await?.into_iter();
        let found = all.find(|one| one.id == id && one.for_hosts == for_hosts);
        let found = found.ok_or(AppError::NotFound("client certificate"))?;
        let hosts = session.origin_pull_hosts(Some(zone.id)).await?;
        if let Some(host) = hosts.iter().find(|host| host.certificate == id) {
            let why = format!("origins of {} are shown it: say otherwise of that host first", host.host);
            return Err(AppError::Invalid { what: "client certificate", why });
        }
        session.delete_client_certificate(zone.id, id).await?;
        self.trace(&mut session, caller, traced("delete", &zone, id)).await?;
        self.finish(session).await?;
        Ok(found)
    }

    /// Wraps keys for this node that were wrapped for another.
    pub(super) async fn tend_client_certificates(&self, session: &mut Session) -> Result<usize, AppError> {
        let mut tended = 0;
        for certificate in session.client_certificates_of_other_node(self.0.node_key.id(), 100).await? {
            // Each by itself: one that does not open keeps no other waiting.
            match self.0.keys.open(Purpose::CertificateKey, certificate.id.as_bytes(), &certificate.sealed) {
                Ok(key) => {
                    let wrapped = self.0.node_key.seal(Purpose::CertificateKey, certificate.id.as_bytes(), key.expose());
                    session.put_client_certificate(&ClientCertificate { wrapped, ..certificate }).await?;
                    tended += 1;
                }
                Err(error) => tracing::error!(id = %certificate.id, %error, "a client certificate's key does not open"),
            }
        }
        Ok(tended)
    }
}

fn is_enabled(value: Option<Value>) -> bool {
    value.is_some_and(|value| value["enabled"] == Value::Bool(true))
}

fn traced(action: &'static str, zone: &Zone, id: CertificateId) -> Traced {
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action,
        kind: "client_certificate",
        id: id.to_string(),
        ..Traced::default()
    }
}
