//! Certificates that clients bring (edge-behaviour §7.6). They are served before any that was ordered, and never renewed here.

use std::collections::BTreeMap;

use poterne_acme::{Course, Kind, leaf::Leaf};
use poterne_control_store::{Certificate, Session, Zone};
use poterne_keys::CertificateKey;
use poterne_model::{At, CertificatePackId, Name, Schema, ShapeError, ZoneId};
use serde_json::json;

use super::{PackShown, packs::PACKS_MAX, set_course, traced};
use crate::{App, AppError, Caller, access::Subject};

/// What may be done about a chain, by the API's word. Here it is served as it was brought.
const BUNDLE_METHODS: [&str; 3] = ["ubiquitous", "optimal", "force"];

/// Longest chain and key taken, in characters.
const CHAIN_MAX: usize = poterne_acme::leaf::CHAIN_BYTES_MAX;
const KEY_MAX: usize = 16 * 1024;

/// A certificate that somebody brings.
#[derive(Debug)]
pub struct CustomDraft {
    /// The chain, and its key; none: those that are there stay.
    pair: Option<(Leaf, String, CertificateKey)>,
    bundle_method: Option<String>,
}

impl CustomDraft {
    /// Its form; `is_new`: the certificate and its key must be there.
    pub fn schema(is_new: bool) -> Schema {
        let must = |schema: Schema| if is_new { schema.required() } else { schema };
        let object = Schema::object([
            ("certificate", must(Schema::text(CHAIN_MAX).about("PEM, leaf first"))),
            ("private_key", must(Schema::text(KEY_MAX).about("PEM, not encrypted; it is never shown again"))),
            ("bundle_method", Schema::one_of(&BUNDLE_METHODS).about("kept; the chain is served as it was brought")),
            ("type", Schema::one_of(&["sni_custom", "legacy_custom"]).about("both are sni_custom here")),
        ]);
        if !is_new {
            return object.named("CustomCertificateChanges").example(json!({ "bundle_method": "ubiquitous" }));
        }
        // A pair made for this alone: who may not bring one is told so before it is looked at, and what is no pair never gets that far.
        let (certificate, key) = (include_str!("example/certificate.pem"), include_str!("example/key.pem"));
        object.named("CustomCertificateDraft").example(json!({ "certificate": certificate, "private_key": key }))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and where. A key is never told.
    pub fn read(body: &At<'_>, is_new: bool) -> Result<Self, ShapeError> {
        body.object()?;
        for other in ["geo_restrictions", "policy", "custom_csr_id", "keyless_server"] {
            if let Some(given) = body.member(other) {
                let why = format!("{} is not offered here: leave it out", given.pointer());
                return Err(ShapeError::new(given.pointer(), why));
            }
        }
        body.member("type").map(|given| given.one_of(&["sni_custom", "legacy_custom"])).transpose()?;
        let bundle_method = body.member("bundle_method").map(|given| given.one_of(&BUNDLE_METHODS)).transpose()?;
        let wrong = |at: &At<'_>, why: String| ShapeError::new(at.pointer(), format!("{}: {why}", at.pointer()));
        // Whatever is wrong, it is told without its content: people mistake one for the other.
        let text = |name: &str, max: usize| {
            let Some(at) = body.member(name) else { return Ok(None) };
            let text = at.value.as_str().filter(|text| text.len() <= max).map(str::to_owned);
            text.map(Some).ok_or_else(|| wrong(&at, format!("write a text of at most {max} characters, in PEM form")))
        };
        let pair = match (text("certificate", CHAIN_MAX)?, text("private_key", KEY_MAX)?) {
            (None, None) if !is_new => None,
            (pem, secret) => {
                let (chain, key) = (body.required("certificate")?, body.required("private_key")?);
                let (pem, secret) = (pem.unwrap_or_default(), secret.unwrap_or_default());
                let leaf = Leaf::parse(&pem).map_err(|why| wrong(&chain, why))?;
                let parsed = CertificateKey::parse(&secret).map_err(|error| wrong(&key, error.to_string()))?;
                if parsed.public_key() != leaf.public_key {
                    return Err(wrong(&key, "it is not the key of this certificate".into()));
                }
                if leaf.must_staple {
                    let why =
                        "it is to be used with a stapled answer of its authority (RFC 7633), which this node does not ask for";
                    return Err(wrong(&chain, why.into()));
                }
                Some((leaf, pem, parsed))
            }
        };
        Ok(Self { pair, bundle_method: bundle_method.map(str::to_owned) })
    }
}

impl App {
    /// The certificates that were brought for a zone, those first that are used first.
    pub async fn custom_certificates(&self, caller: &Caller, zone: ZoneId) -> Result<Vec<PackShown>, AppError> {
        let mut packs = self.certificate_packs(caller, zone, true).await?;
        packs.retain(|shown| shown.pack.kind == Kind::SniCustom.as_str());
        packs.sort_by_key(|shown| -shown.pack.priority);
        Ok(packs)
    }

    /// One of them.
    pub async fn custom_certificate(&self, caller: &Caller, zone: ZoneId, id: CertificatePackId) -> Result<PackShown, AppError> {
        let shown = self.certificate_pack(caller, zone, id).await?;
        if shown.pack.kind == Kind::SniCustom.as_str() { Ok(shown) } else { Err(AppError::NotFound("custom certificate")) }
    }

    /// Takes one in. It is served when this returns, where its zone serves.
    ///
    /// # Errors
    /// It is over, or for no name of the zone; or there are too many.
    pub async fn custom_certificate_add(&self, caller: &Caller, zone: ZoneId, draft: CustomDraft) -> Result<PackShown, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let standing = session.certificate_packs(zone.id).await?;
        let brought = standing.iter().filter(|pack| pack.kind == Kind::SniCustom.as_str());
        if brought.clone().count() >= PACKS_MAX {
            let why = format!("{} has {PACKS_MAX} certificates of its own: delete some first", zone.apex);
            return Err(AppError::Invalid { what: "certificate", why });
        }
        let mut pack = self.new_pack(zone.id, Kind::SniCustom, Vec::new());
        // The last one that came is used first, until somebody says otherwise.
        pack.priority = brought.map(|pack| pack.priority).max().map_or(1, |most| most.saturating_add(1));
        pack.bundle_method = draft.bundle_method.unwrap_or_else(|| "ubiquitous".to_owned());
        let pair = draft.pair.ok_or(AppError::Invalid { what: "certificate", why: "it is missing".into() })?;
        let certificate = self.brought(&mut session, &zone, pack.id, pair).await?;
        pack.hosts.clone_from(&certificate.hosts);
        set_course(&mut pack, &Course::default());
        session.insert_certificate_pack(&pack).await?;
        session.put_certificate(&certificate).await?;
        self.trace(&mut session, caller, traced("create", &zone, &pack, None)).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, pack = %pack.id, "a certificate was brought");
        Ok(self.shown_pack(pack, Some(certificate), &[]))
    }

    /// Puts another in its place, or changes what is said of it.
    ///
    /// # Errors
    /// As [`App::custom_certificate_add`].
    pub async fn custom_certificate_change(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: CertificatePackId,
        draft: CustomDraft,
    ) -> Result<PackShown, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let mut pack = self.custom_pack(&mut session, &zone, id).await?;
        if let Some(bundle_method) = draft.bundle_method {
            pack.bundle_method = bundle_method;
        }
        if let Some(pair) = draft.pair {
            let certificate = self.brought(&mut session, &zone, id, pair).await?;
            pack.hosts.clone_from(&certificate.hosts);
            session.put_certificate(&certificate).await?;
        }
        pack.modified_at = self.now();
        session.put_certificate_pack(&pack).await?;
        let certificate = session.certificate_of(id).await?;
        self.trace(&mut session, caller, traced("update", &zone, &pack, None)).await?;
        self.finish(session).await?;
        Ok(self.shown_pack(pack, certificate, &[]))
    }

    /// Takes one away.
    pub async fn custom_certificate_delete(&self, caller: &Caller, zone: ZoneId, id: CertificatePackId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let pack = self.custom_pack(&mut session, &zone, id).await?;
        session.delete_certificate_pack(id).await?;
        self.trace(&mut session, caller, traced("delete", &zone, &pack, None)).await?;
        self.finish(session).await
    }

    /// Says which of those that were brought is used before which: the greater priority first.
    pub async fn custom_certificates_prioritize(
        &self,
        caller: &Caller,
        zone: ZoneId,
        priorities: &BTreeMap<CertificatePackId, i32>,
    ) -> Result<Vec<PackShown>, AppError> {
        let mut session = self.0.store.write().await?;
        let found = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        for (id, priority) in priorities {
            let mut pack = self.custom_pack(&mut session, &found, *id).await?;
            if pack.priority == *priority {
                continue;
            }
            pack.priority = *priority;
            pack.modified_at = self.now();
            session.put_certificate_pack(&pack).await?;
            // Nodes have the order with the certificate.
            if let Some(certificate) = session.certificate_of(*id).await? {
                session.put_certificate(&certificate).await?;
            }
            let told = Some(json!({ "priority": priority }));
            self.trace(&mut session, caller, traced("prioritize", &found, &pack, told)).await?;
        }
        self.finish(session).await?;
        self.custom_certificates(caller, zone).await
    }

    async fn custom_pack(
        &self,
        session: &mut Session,
        zone: &Zone,
        id: CertificatePackId,
    ) -> Result<poterne_control_store::CertificatePack, AppError> {
        let pack = session.certificate_pack(id).await?.filter(|pack| pack.zone == zone.id);
        pack.filter(|pack| pack.kind == Kind::SniCustom.as_str()).ok_or(AppError::NotFound("custom certificate"))
    }

    /// What was brought, as it is kept: for those of its names that are the zone's.
    async fn brought(
        &self,
        session: &mut Session,
        zone: &Zone,
        pack: CertificatePackId,
        (leaf, chain, key): (Leaf, String, CertificateKey),
    ) -> Result<Certificate, AppError> {
        let invalid = |why: String| AppError::Invalid { what: "certificate", why };
        if leaf.not_after <= self.now_secs_of_certificates() {
            return Err(invalid("it has expired: bring one that is good".into()));
        }
        let mut hosts: Vec<Name> = Vec::new();
        for name in &leaf.names {
            if self.is_of_zone(session, zone, name).await.is_ok() {
                hosts.push(name.clone());
            }
        }
        if hosts.is_empty() {
            let names: Vec<&str> = leaf.names.iter().take(5).map(Name::as_str).collect();
            return Err(invalid(format!("it is for {}, and for no name of {}", names.join(", "), zone.apex)));
        }
        Ok(self.kept(pack, hosts, &leaf, chain, &key.secret()))
    }
}
