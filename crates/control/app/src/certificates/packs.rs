//! What clients see of packs, and ask for (api-v4 §11).

use poterne_acme::{Course, Kind, Method, names::NAMES_MAX};
use poterne_control_store::{Certificate, CertificatePack, Challenge, Session, Zone};
use poterne_model::{At, CertificatePackId, Name, Schema, ShapeError, ZoneId};
use serde_json::json;

use super::{UNIVERSAL, course, is_universal, set_course, traced};
use crate::{App, AppError, Caller, access::Subject};

/// Most packs of a zone that clients ask for or bring.
pub(super) const PACKS_MAX: usize = 100;

/// How long a certificate may be asked to last, in days. It is the authority's to say in the end.
const VALIDITY_DAYS: [i64; 4] = [14, 30, 90, 365];

/// Why a certificate is revoked (RFC 5280 §5.3.1): those reasons that its owner may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Revocation {
    Unspecified = 0,
    KeyCompromise = 1,
    AffiliationChanged = 3,
    Superseded = 4,
    CessationOfOperation = 5,
}

impl Revocation {
    /// Their words.
    pub const WORDS: [&str; 5] = ["unspecified", "key_compromise", "affiliation_changed", "superseded", "cessation_of_operation"];

    /// Reads one of [`Revocation::WORDS`].
    pub fn parse(word: &str) -> Option<Self> {
        let all =
            [Self::Unspecified, Self::KeyCompromise, Self::AffiliationChanged, Self::Superseded, Self::CessationOfOperation];
        all.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key_compromise",
            Self::AffiliationChanged => "affiliation_changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation_of_operation",
        }
    }
}

/// A pack, with all that is told of it.
#[derive(Debug, Clone)]
pub struct PackShown {
    /// It.
    pub pack: CertificatePack,
    /// Its life so far.
    pub course: Course,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// What authorities are being shown for its names.
    pub challenges: Vec<Challenge>,
    /// Where it stands, by the API's word.
    pub status: &'static str,
    /// The authority of its certificate, or else the one that was asked last or will be first, by the API's word.
    pub authority: Option<String>,
    /// How its names are proven.
    pub method: Method,
}

/// A pack that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackDraft {
    hosts: Vec<Name>,
    authority: Option<String>,
    method: Option<Method>,
    validity_days: Option<u32>,
}

impl PackDraft {
    /// Its form.
    pub fn schema() -> Schema {
        let object = Schema::object([
            ("type", Schema::one_of(&["advanced"]).required()),
            (
                "hosts",
                Schema::items(Schema::name(), NAMES_MAX)
                    .not_empty()
                    .required()
                    .about("names of the zone; `*.` stands for one label"),
            ),
            (
                "certificate_authority",
                Schema::text(253).about("one of those that this node orders of; absent: whichever gives it"),
            ),
            ("validation_method", Schema::one_of(&["txt", "http"]).about("how its names are proven; a wildcard is by txt")),
            ("validity_days", Schema::integer(14..=365).about("14, 30, 90 or 365; the authority has the last word")),
            ("cloudflare_branding", Schema::boolean().about("not offered here: false")),
        ]);
        object.named("CertificatePackDraft").example(json!({ "type": "advanced", "hosts": ["example.com", "a.b.example.com"] }))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.required("type")?.one_of(&["advanced"])?;
        let listed = body.required("hosts")?;
        let mut hosts = Vec::new();
        for host in listed.items(NAMES_MAX)? {
            let name = Name::parse(host.text(253)?).map_err(|error| host.wrong(error))?;
            if name.as_str().contains('_') {
                return Err(host.wrong("no authority gives a certificate for a name with an underscore"));
            }
            hosts.push(name);
        }
        hosts.sort();
        hosts.dedup();
        if hosts.is_empty() {
            return Err(listed.wrong("name at least one host"));
        }
        let asked = body.member("validation_method");
        let method = asked.as_ref().map(|given| given.one_of(&["txt", "http"])).transpose()?;
        let method = method.map(|word| if word == "http" { Method::Http01 } else { Method::Dns01 });
        if let (Some(Method::Http01), Some(given)) = (method, asked)
            && hosts.iter().any(Name::is_wildcard)
        {
            return Err(given.wrong("a wildcard is proven by txt alone"));
        }
        let days = body.member("validity_days");
        let validity_days = days.as_ref().map(|given| given.integer(14..=365)).transpose()?;
        if let (Some(number), Some(given)) = (validity_days, days)
            && !VALIDITY_DAYS.contains(&number)
        {
            return Err(given.wrong("write 14, 30, 90 or 365"));
        }
        if let Some(given) = body.member("cloudflare_branding")
            && given.boolean()?
        {
            return Err(given.wrong("there is no such name here: leave it out"));
        }
        let authority = body.member("certificate_authority").map(|given| given.text(253)).transpose()?;
        Ok(Self {
            hosts,
            authority: authority.map(str::to_owned),
            method,
            validity_days: validity_days.and_then(|days| u32::try_from(days).ok()),
        })
    }
}

impl App {
    /// A zone's packs; unless `all`, those that have a certificate which is good.
    pub async fn certificate_packs(&self, caller: &Caller, zone: ZoneId, all: bool) -> Result<Vec<PackShown>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        let mut packs = self.shown_packs(&mut session, zone).await?;
        packs.retain(|pack| all || pack.status == "active");
        Ok(packs)
    }

    /// The packs of the node's own account's zone of that name, or of whichever serves.
    pub async fn certificate_packs_named(&self, caller: &Caller, name: &str) -> Result<(Zone, Vec<PackShown>), AppError> {
        caller.needs_operator()?;
        let apex = Name::parse(name)?;
        let mut session = self.0.store.read().await?;
        let serving = session.serving_zone_over(&apex).await?.filter(|zone| zone.apex == apex);
        let zone = match serving {
            Some(zone) => zone,
            None => session.zone_named(self.account(), &apex).await?.ok_or(AppError::ZoneNotFound(apex))?,
        };
        let packs = self.shown_packs(&mut session, zone.id).await?;
        Ok((zone, packs))
    }

    /// One of a zone's packs.
    pub async fn certificate_pack(&self, caller: &Caller, zone: ZoneId, id: CertificatePackId) -> Result<PackShown, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        let packs = self.shown_packs(&mut session, zone).await?;
        packs.into_iter().find(|shown| shown.pack.id == id).ok_or(AppError::NotFound("certificate pack"))
    }

    /// Asks for a certificate for these names.
    ///
    /// # Errors
    /// This node orders none, or not of that authority; or a name is not this zone's.
    pub async fn certificate_pack_order(&self, caller: &Caller, zone: ZoneId, draft: PackDraft) -> Result<PackShown, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        self.may_be_ordered(&draft)?;
        let invalid = |what, why: String| Err(AppError::Invalid { what, why });
        for host in &draft.hosts {
            self.is_of_zone(&mut session, &zone, host).await?;
        }
        let standing = session.certificate_packs(zone.id).await?;
        let of_clients = |pack: &&CertificatePack| matches!(Kind::parse(&pack.kind), Some(Kind::Advanced | Kind::SniCustom));
        if standing.iter().filter(of_clients).count() >= PACKS_MAX {
            return invalid("hosts", format!("{} has {PACKS_MAX} certificates of its own: delete some first", zone.apex));
        }
        if standing.iter().any(|pack| pack.kind == Kind::Advanced.as_str() && pack.hosts == draft.hosts) {
            return Err(AppError::Exists(format!("{} has a certificate pack for exactly these names", zone.apex)));
        }
        let mut pack = self.new_pack(zone.id, Kind::Advanced, draft.hosts);
        pack.authority = draft.authority;
        pack.method = draft.method.map(|method| method.as_str().to_owned());
        pack.validity_days = draft.validity_days;
        pack.due_at = Some(self.now());
        session.insert_certificate_pack(&pack).await?;
        self.trace(&mut session, caller, traced("create", &zone, &pack, None)).await?;
        self.finish(session).await?;
        self.certificates_wake();
        tracing::info!(zone = %zone.apex, account = %zone.account, pack = %pack.id, "a certificate pack was asked for");
        Ok(self.shown_pack(pack, None, &[]))
    }

    /// Tries a pack now that waits to be tried again.
    pub async fn certificate_pack_restart(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: CertificatePackId,
    ) -> Result<PackShown, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let mut pack = self.pack_of(&mut session, &zone, id).await?;
        let mut course = course(&pack);
        if Kind::parse(&pack.kind).is_some_and(Kind::is_ordered) && course.held.is_none() && !course.is_ordering {
            course.restart(self.now_secs_of_certificates());
            set_course(&mut pack, &course);
            session.put_certificate_pack(&pack).await?;
            self.trace(&mut session, caller, traced("restart", &zone, &pack, None)).await?;
            session.commit().await?;
            self.certificates_wake();
        } else {
            drop(session);
        }
        let mut session = self.0.store.read().await?;
        let packs = self.shown_packs(&mut session, zone.id).await?;
        packs.into_iter().find(|shown| shown.pack.id == id).ok_or(AppError::NotFound("certificate pack"))
    }

    /// Has a pack's certificate revoked, and another ordered with another key.
    ///
    /// # Errors
    /// It has none that was ordered here.
    pub async fn certificate_pack_revoke(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: CertificatePackId,
        reason: Revocation,
    ) -> Result<PackShown, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let mut pack = self.pack_of(&mut session, &zone, id).await?;
        let mut course = course(&pack);
        if course.held.is_none() {
            let why = format!(
                "the pack has no certificate that was ordered here: it is {}",
                course.status(self.now_secs_of_certificates())
            );
            return Err(AppError::Invalid { what: "certificate pack", why });
        }
        course.revoke(reason as u8, self.now_secs_of_certificates());
        set_course(&mut pack, &course);
        session.put_certificate_pack(&pack).await?;
        self.trace(&mut session, caller, traced("revoke", &zone, &pack, Some(json!({ "reason": reason.as_str() })))).await?;
        session.commit().await?;
        self.certificates_wake();
        let certificate = self.0.store.read().await?.certificate_of(id).await?;
        Ok(self.shown_pack(pack, certificate, &[]))
    }

    /// Takes a pack away, with its certificate and its key.
    ///
    /// # Errors
    /// It is one that the zone has by itself.
    pub async fn certificate_pack_delete(&self, caller: &Caller, zone: ZoneId, id: CertificatePackId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let pack = self.pack_of(&mut session, &zone, id).await?;
        if matches!(Kind::parse(&pack.kind), Some(Kind::Universal | Kind::TotalTls)) {
            return Err(AppError::InUse {
                what: "certificate pack",
                name: id.to_string(),
                why: "a zone has it by itself; turn that off with PATCH …/ssl/universal/settings".into(),
            });
        }
        session.delete_certificate_pack(id).await?;
        self.trace(&mut session, caller, traced("delete", &zone, &pack, None)).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, pack = %id, "a certificate pack was deleted");
        Ok(())
    }

    /// Whether a zone has certificates by itself, and of whom.
    pub async fn universal_ssl(&self, caller: &Caller, zone: ZoneId) -> Result<(bool, Option<String>), AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        Ok((is_universal(&mut session, zone).await?, self.first_authority()))
    }

    /// Lets a zone have certificates by itself, or no more: those that it had are taken away then.
    pub async fn universal_ssl_set(
        &self,
        caller: &Caller,
        zone: ZoneId,
        enabled: bool,
    ) -> Result<(bool, Option<String>), AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        if is_universal(&mut session, zone.id).await? != enabled {
            let value = json!({ "enabled": enabled });
            session.put_zone_setting(zone.id, UNIVERSAL, &value, self.now()).await?;
            let traced = crate::audit::Traced {
                account: Some(zone.account),
                zone: Some((zone.id, zone.apex.to_string())),
                action: "set",
                kind: "zone_setting",
                id: UNIVERSAL.to_owned(),
                old: Some(json!({ "enabled": !enabled })),
                new: Some(value),
            };
            self.trace(&mut session, caller, traced).await?;
            if !enabled {
                for pack in session.certificate_packs(zone.id).await? {
                    if matches!(Kind::parse(&pack.kind), Some(Kind::Universal | Kind::TotalTls)) {
                        session.delete_certificate_pack(pack.id).await?;
                    }
                }
            }
            self.finish(session).await?;
        }
        Ok((enabled, self.first_authority()))
    }

    /// Whoever waits for certificates that are due looks again.
    pub fn certificates_wake(&self) {
        self.0.certificates.wake();
    }

    pub(super) async fn pack_of(
        &self,
        session: &mut Session,
        zone: &Zone,
        id: CertificatePackId,
    ) -> Result<CertificatePack, AppError> {
        let pack = session.certificate_pack(id).await?.filter(|pack| pack.zone == zone.id);
        pack.ok_or(AppError::NotFound("certificate pack"))
    }

    /// Whether a name is one that this zone answers for, and no zone below it.
    pub(super) async fn is_of_zone(&self, session: &mut Session, zone: &Zone, host: &Name) -> Result<(), AppError> {
        let invalid = |why: String| Err(AppError::Invalid { what: "hosts", why });
        let under = if host.is_wildcard() { host.parent() } else { None };
        let under = under.as_ref().unwrap_or(host);
        if !under.is_within(&zone.apex) {
            return invalid(format!("{host} is not in the zone {}", zone.apex));
        }
        match session.serving_zone_over(under).await? {
            Some(other) if other.id != zone.id && other.apex != zone.apex => {
                invalid(format!("{host} is in the zone {}, which is another", other.apex))
            }
            _ => Ok(()),
        }
    }

    fn may_be_ordered(&self, draft: &PackDraft) -> Result<(), AppError> {
        let acme = self.settings().acme;
        let words: Vec<String> = acme.authorities.iter().map(poterne_acme::Authority::word).collect();
        let refused = |why: String| Err(AppError::Invalid { what: "certificate_authority", why });
        if words.is_empty() {
            return refused(
                "this node orders no certificates: its operator can set `directory` under [acme] in poterne.toml".into(),
            );
        }
        match &draft.authority {
            Some(word) if !words.contains(word) => {
                refused(format!("{word:?} is none that this node orders of: write {}, or leave it out", words.join(" or ")))
            }
            _ => Ok(()),
        }
    }

    fn first_authority(&self) -> Option<String> {
        self.settings().acme.authorities.first().map(poterne_acme::Authority::word)
    }

    async fn shown_packs(&self, session: &mut Session, zone: ZoneId) -> Result<Vec<PackShown>, AppError> {
        let packs = session.certificate_packs(zone).await?;
        let mut certificates = session.certificates_of_zone(zone).await?;
        let challenges = session.challenges(Some(zone)).await?;
        let shown = packs.into_iter().map(|pack| {
            let certificate = certificates.iter().position(|one| one.pack == pack.id).map(|at| certificates.swap_remove(at));
            self.shown_pack(pack, certificate, &challenges)
        });
        Ok(shown.collect())
    }

    pub(super) fn shown_pack(
        &self,
        pack: CertificatePack,
        certificate: Option<Certificate>,
        challenges: &[Challenge],
    ) -> PackShown {
        let (now, course, acme) = (self.now_secs_of_certificates(), course(&pack), self.settings().acme);
        let kind = Kind::parse(&pack.kind);
        let status = match (&certificate, kind) {
            (Some(certificate), Some(Kind::SniCustom)) if certificate.not_after > self.now() => "active",
            (_, Some(Kind::SniCustom)) => "expired",
            _ => course.status(now),
        };
        let held = course.held.as_ref().map(|held| held.directory.clone());
        let failed = || course.failure.as_ref().and_then(|failure| failure.directory.clone());
        let directory = held.or_else(failed).map(|directory| poterne_acme::authority::word(&directory));
        let first = || acme.authorities.first().map(poterne_acme::Authority::word);
        let authority =
            directory.or_else(|| pack.authority.clone()).or_else(first).filter(|_| kind.is_some_and(Kind::is_ordered));
        let asked = pack.method.as_deref().and_then(Method::parse);
        let proven = course.held.as_ref().and_then(|held| held.method);
        let method = proven.or(asked).unwrap_or_else(|| Method::planned(&acme.methods, pack.hosts.iter().any(Name::is_wildcard)));
        let is_of_pack = |challenge: &&Challenge| {
            let name = challenge.owner.as_str();
            let name = name.strip_prefix("_acme-challenge.").unwrap_or(name);
            pack.hosts.iter().any(|host| host.as_str().strip_prefix("*.").unwrap_or(host.as_str()) == name)
        };
        let challenges = challenges.iter().filter(|one| one.expires_at > self.now()).filter(is_of_pack).cloned().collect();
        PackShown { pack, course, certificate, challenges, status, authority, method }
    }
}
