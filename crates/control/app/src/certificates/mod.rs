//! Certificates of zones: which are wanted, where each stands, and those that somebody brings.
//!
//! What is decided is `poterne_acme`'s; it is kept here, as packs: names that have one certificate, and then the next. Whoever asks the
//! authorities is elsewhere (`control/notary`): it takes up the packs of which something is due, and says what came of them ([`due`]).
//!
//! ```text
//! publish ── zones_changed ─→ arrange ─→ packs ── certificate_packs_due ─→ notary ⇄ authority
//!                                          ▲                                 │
//!                  API (packs, custom) ────┴──── pack_issued, pack_failed ───┘
//! ```
//!
//! * [`arrange`]: what a zone's names need, made and taken away as they come and go;
//! * [`due`]: what the notary asks and tells; [`proofs`]: what authorities are to be shown;
//! * [`packs`]: what clients see and ask for; [`custom`]: certificates that clients bring.

mod arrange;
mod custom;
mod due;
mod packs;
mod proofs;

use std::sync::atomic::Ordering;

use poterne_acme::{Authority, Course, Kind, Method};
use poterne_control_store::{Certificate, CertificatePack, Session, Zone};
use poterne_keys::{Purpose, Secret, random_bytes};
use poterne_model::{CertificateId, CertificatePackId, Name, ZoneId, ZoneStatus};
use serde_json::{Value, json};

pub(crate) use arrange::ZonesChanged;
pub use custom::CustomDraft;
pub use due::{AcmeCredentials, DuePack, IssuedCertificate};
pub use packs::{PackDraft, PackShown, Revocation};
pub use proofs::ProofsShown;

use crate::{App, AppError, audit::Traced};

/// The name under which it is kept whether a zone has certificates by itself.
pub(crate) const UNIVERSAL: &str = "universal_ssl";

/// Which authorities there are, and how names are proven to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The authorities, the first before the others; none: nothing is ordered.
    pub authorities: Vec<Authority>,
    /// The ways in which names are proven, the first that can be.
    pub methods: Vec<Method>,
}

impl App {
    /// Which authorities this node orders of.
    pub fn acme_settings(&self) -> AcmeSettings {
        self.settings().acme
    }

    /// Wraps keys of certificates for this node that were wrapped for another; how many. Called by the publisher now and then, until there
    /// are none: whatever this process keeps is wrapped for its node, and looking means to read every certificate.
    pub async fn tend_certificates(&self) -> Result<usize, AppError> {
        if self.0.certificates.are_tended.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let node = self.0.node_key.id();
        if self.0.store.read().await?.certificates_of_other_node(node, 1).await?.is_empty() {
            self.0.certificates.are_tended.store(true, Ordering::Relaxed);
            return Ok(0);
        }
        let mut session = self.0.store.write().await?;
        let others = session.certificates_of_other_node(node, 100).await?;
        let mut tended = 0;
        for certificate in others {
            // Each by itself: one that does not open keeps no other waiting.
            match self.0.keys.open(Purpose::CertificateKey, certificate.id.as_bytes(), &certificate.sealed) {
                Ok(key) => {
                    let wrapped = self.wrap(certificate.pack, &key);
                    session.put_certificate(&Certificate { wrapped, ..certificate }).await?;
                    tended += 1;
                }
                Err(error) => tracing::error!(pack = %certificate.pack, %error, "a certificate's key does not open"),
            }
        }
        session.commit().await?;
        Ok(tended)
    }

    fn wrap(&self, pack: CertificatePackId, key: &Secret) -> Vec<u8> {
        self.0.node_key.seal(Purpose::CertificateKey, pack.as_bytes(), key.expose())
    }

    /// A certificate as it is kept, under a new id.
    fn kept(
        &self,
        pack: CertificatePackId,
        hosts: Vec<Name>,
        leaf: &poterne_acme::leaf::Leaf,
        chain: String,
        key: &Secret,
    ) -> Certificate {
        let id = CertificateId::from_bytes(random_bytes());
        let micros = |secs: i64| secs.saturating_mul(1_000_000);
        Certificate {
            id,
            pack,
            hosts,
            issuer: leaf.issuer.clone(),
            signature: leaf.signature.clone(),
            chain,
            sealed: self.0.keys.seal(Purpose::CertificateKey, id.as_bytes(), key.expose()),
            wrapped: self.wrap(pack, key),
            not_before: micros(leaf.not_before),
            not_after: micros(leaf.not_after),
            created_at: self.now(),
        }
    }

    /// A pack that is new.
    fn new_pack(&self, zone: ZoneId, kind: Kind, hosts: Vec<Name>) -> CertificatePack {
        let now = self.now();
        CertificatePack {
            id: CertificatePackId::from_random_bytes(random_bytes()),
            zone,
            kind: kind.as_str().to_owned(),
            hosts,
            authority: None,
            method: None,
            validity_days: None,
            priority: 0,
            bundle_method: "ubiquitous".to_owned(),
            course: String::from("{}"),
            due_at: None,
            created_at: now,
            modified_at: now,
        }
    }

    fn now_secs_of_certificates(&self) -> i64 {
        self.now().div_euclid(1_000_000)
    }
}

/// Whether certificates are ordered for a zone now: it is this node's to answer for, and visitors come.
fn is_ordered_for(zone: &Zone) -> bool {
    zone.status == ZoneStatus::Active && !zone.paused
}

/// Whether a zone has certificates by itself.
async fn is_universal(session: &mut Session, zone: ZoneId) -> Result<bool, AppError> {
    let value = session.zone_setting(zone, UNIVERSAL).await?;
    Ok(value.is_none_or(|value| value["enabled"] != Value::Bool(false)))
}

/// A pack's life so far; a new one where what was kept is not understood.
fn course(pack: &CertificatePack) -> Course {
    let read = serde_json::from_str(&pack.course);
    read.inspect_err(|error| tracing::warn!(pack = %pack.id, %error, "what is kept of a certificate pack is not understood"))
        .unwrap_or_default()
}

/// Writes a pack's life down, and when something of it is due.
fn set_course(pack: &mut CertificatePack, course: &Course) {
    pack.course = serde_json::to_string(course).expect("a course is plain data");
    let is_ordered = Kind::parse(&pack.kind).is_some_and(Kind::is_ordered);
    pack.due_at = is_ordered.then(|| course.next_at().saturating_mul(1_000_000));
}

/// A moment's chance: which of equal times is taken.
fn chance() -> u64 {
    u64::from_be_bytes(random_bytes())
}

fn traced(action: &'static str, zone: &Zone, pack: &CertificatePack, new: Option<Value>) -> Traced {
    let hosts: Vec<&str> = pack.hosts.iter().map(Name::as_str).collect();
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action,
        kind: "certificate_pack",
        id: pack.id.to_string(),
        old: None,
        new: Some(new.unwrap_or_else(|| json!({ "type": pack.kind, "hosts": hosts }))),
    }
}
