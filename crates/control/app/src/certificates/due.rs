//! What the notary asks and tells: which packs are due, and what came of them.

use std::collections::BTreeMap;

use poterne_acme::{Course, Method, Remembered, Trouble, Window, authority::ORDERS_WITHIN_SECS, course::Issued, leaf::Leaf};
use poterne_control_store::{AcmeAccount, CertificatePack, Session, Zone};
use poterne_keys::{Purpose, Secret};
use poterne_model::{CertificatePackId, Name, name::ancestors};
use serde_json::json;

use super::{chance, course, is_ordered_for, set_course, traced};
use crate::{App, AppError};

/// For how long a pack belongs to whoever took it up, in seconds: longer than an order takes.
const LEASE_SECS: i64 = 900;

/// A pack of which something is due.
#[derive(Debug, Clone)]
pub struct DuePack {
    /// It.
    pub pack: CertificatePack,
    /// Its zone.
    pub zone: Zone,
    /// Its life so far.
    pub course: Course,
}

impl DuePack {
    /// How its names are proven, of these ways: as somebody asked for. Of a partial zone by a record only then, since others answer for it
    /// and would have to lead there.
    pub fn methods(&self, all: &[Method]) -> Vec<Method> {
        let asked = self.pack.method.as_deref().and_then(Method::parse);
        match asked {
            Some(method) => vec![method],
            None if self.zone.partial => Method::AT_THE_HOST.to_vec(),
            None => all.to_vec(),
        }
    }
}

/// An account with an authority, opened.
#[derive(Debug)]
pub struct AcmeCredentials {
    /// What the authority calls it.
    pub uri: String,
    /// What CAA records call the authority.
    pub issuers: Vec<String>,
    /// What it is used with.
    pub secret: Secret,
}

/// A certificate that came of an order.
#[derive(Debug)]
pub struct IssuedCertificate {
    /// Its authority's directory.
    pub directory: String,
    /// How its first name was proven; none: nothing had to be.
    pub method: Option<Method>,
    /// PEM, leaf first.
    pub chain: String,
    /// Its key (PKCS#8 DER).
    pub key: Secret,
    /// The key's public part (SubjectPublicKeyInfo, DER).
    pub public_key: Vec<u8>,
    /// Whether the authority says when to renew.
    pub tells_window: bool,
}

impl App {
    /// Takes up packs of which something is due, at most `count`.
    pub async fn certificate_packs_due(&self, count: u32) -> Result<Vec<DuePack>, AppError> {
        let now = self.instant();
        if self.0.store.read().await?.next_certificate_pack_due().await?.is_none_or(|due| due > now.as_micros()) {
            return Ok(Vec::new());
        }
        let mut session = self.0.store.write().await?;
        let again_at = now.plus_secs(LEASE_SECS).as_micros();
        let packs = session.take_certificate_packs_due(now.as_micros(), again_at, count).await?;
        let mut due = Vec::new();
        for mut pack in packs {
            let zone = session.zone(pack.zone).await?.filter(is_ordered_for);
            let mut course = course(&pack);
            // Whoever had taken it up before was not heard of again.
            course.is_ordering = false;
            match zone {
                Some(zone) => due.push(DuePack { pack, zone, course }),
                None => {
                    // Until its zone is here to be ordered for: whoever looks at that then says when it is due.
                    pack.due_at = None;
                    session.put_certificate_pack(&pack).await?;
                }
            }
        }
        session.commit_silently().await?;
        Ok(due)
    }

    /// How this instance stands with authorities it asked before, by their directories: they count its orders though it was restarted.
    pub async fn acme_standings(&self) -> Result<BTreeMap<String, Remembered>, AppError> {
        let mut session = self.0.store.read().await?;
        let mut standings: BTreeMap<String, Remembered> = BTreeMap::new();
        for (directory, given_at) in session.acme_orders().await? {
            standings.entry(directory).or_default().orders.push(given_at);
        }
        for (directory, until, why) in session.acme_rests().await? {
            standings.entry(directory).or_default().rest = Some((until, why));
        }
        Ok(standings)
    }

    /// Keeps until when an authority is left alone, in seconds since the Unix epoch, and why; none: it is not any more.
    pub async fn acme_rest_keep(&self, directory: &str, rest: Option<(i64, &str)>) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        session.put_acme_rest(directory, rest).await?;
        Ok(session.commit_silently().await?)
    }

    /// An authority is given an order for a pack: that is counted before it is asked.
    pub async fn pack_ordering(&self, id: CertificatePackId, directory: &str) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let now = self.now_secs_of_certificates();
        session.insert_acme_order(directory, now, now - ORDERS_WITHIN_SECS).await?;
        let Some(mut pack) = session.certificate_pack(id).await? else { return Ok(session.commit_silently().await?) };
        let mut course = course(&pack);
        course.ordering();
        // When it is due is the lease's.
        pack.course = serde_json::to_string(&course).expect("a course is plain data");
        session.put_certificate_pack(&pack).await?;
        Ok(session.commit_silently().await?)
    }

    /// Nothing is to be done with a pack until then, in seconds since the Unix epoch.
    pub async fn pack_rests(&self, id: CertificatePackId, until: i64) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let Some(mut pack) = session.certificate_pack(id).await? else { return Ok(()) };
        pack.due_at = Some(until.saturating_mul(1_000_000));
        session.put_certificate_pack(&pack).await?;
        Ok(session.commit_silently().await?)
    }

    /// An order came to nothing.
    pub async fn pack_failed(
        &self,
        id: CertificatePackId,
        directory: Option<&str>,
        trouble: Trouble,
        authorities: &poterne_acme::Authorities,
    ) -> Result<(), AppError> {
        let now = self.now_secs_of_certificates();
        let told = trouble.to_string();
        let changed = self.change_course(id, |pack, course| {
            course.failed(directory, trouble, pack.authority.as_deref(), authorities, now, chance());
        });
        if let Some((pack, course)) = changed.await? {
            let hosts = pack.hosts.iter().map(Name::as_str).collect::<Vec<_>>().join(" ");
            tracing::warn!(pack = %pack.id, hosts, directory, failures = course.failures, retry_at = course.retry_at, error = told,
                "a certificate was not issued");
        }
        Ok(())
    }

    /// The authority said when to renew; none: it did not.
    pub async fn pack_window(
        &self,
        id: CertificatePackId,
        window: Option<Window>,
        retry_after_secs: Option<i64>,
    ) -> Result<(), AppError> {
        let now = self.now_secs_of_certificates();
        let changed = self.change_course(id, |_, course| match window {
            Some(window) => course.told_window(window, retry_after_secs, now, chance()),
            None => course.told_no_window(retry_after_secs, now),
        });
        changed.await.map(drop)
    }

    /// An order came to a certificate: it takes the place of the one before, on every node.
    ///
    /// # Errors
    /// It is none for these names and this key, in words; or the store fails.
    pub async fn pack_issued(&self, id: CertificatePackId, issued: IssuedCertificate) -> Result<(), AppError> {
        let invalid = |why: String| AppError::Invalid { what: "certificate", why };
        let leaf = Leaf::parse(&issued.chain).map_err(invalid)?;
        if leaf.public_key != issued.public_key {
            return Err(invalid("it is for another key than was asked for".into()));
        }
        let mut session = self.0.store.write().await?;
        // Whoever took the pack away meanwhile has the last word.
        let Some(mut pack) = session.certificate_pack(id).await? else { return Ok(()) };
        let Some(zone) = session.zone(pack.zone).await? else { return Ok(()) };
        let hosts: Vec<Name> = leaf.names.iter().filter(|name| name.is_within(&zone.apex)).cloned().collect();
        if hosts.is_empty() {
            return Err(invalid(format!("it is for no name of {}", zone.apex)));
        }
        let mut course = course(&pack);
        let now = self.now_secs_of_certificates();
        course.issued(
            Issued {
                directory: issued.directory.clone(),
                method: issued.method,
                not_before: leaf.not_before,
                not_after: leaf.not_after,
                ari: leaf.ari.clone(),
                tells_window: issued.tells_window,
            },
            now,
            chance(),
        );
        // Its names may have changed while it was being ordered.
        if !pack.hosts.iter().all(|host| leaf.names.contains(host)) {
            course.renew(now);
        }
        let certificate = self.kept(id, hosts, &leaf, issued.chain, &issued.key);
        session.put_certificate(&certificate).await?;
        pack.modified_at = self.now();
        set_course(&mut pack, &course);
        session.put_certificate_pack(&pack).await?;
        let method = issued.method.map(Method::as_str);
        let told = json!({
            "type": pack.kind,
            "hosts": certificate.hosts.iter().map(Name::as_str).collect::<Vec<_>>(),
            "issuer": certificate.issuer,
            "directory": issued.directory,
            "method": method,
            "not_after": leaf.not_after,
        });
        self.trace_of_node(&mut session, traced("issue", &zone, &pack, Some(told))).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, pack = %id, issuer = certificate.issuer, directory = issued.directory,
            method, not_after = leaf.not_after, "a certificate was issued, and is served from now on");
        Ok(())
    }

    /// A pack's certificate, as its authority knows it (DER); none: it has none.
    pub async fn certificate_leaf(&self, id: CertificatePackId) -> Result<Option<Vec<u8>>, AppError> {
        let kept = self.0.store.read().await?.certificate_of(id).await?;
        let leaf = kept.map(|certificate| Leaf::parse(&certificate.chain)).transpose();
        let leaf = leaf.map_err(|why| AppError::Invalid { what: "certificate", why })?;
        Ok(leaf.and_then(|leaf| leaf.chain.into_iter().next()))
    }

    /// A pack's certificate was revoked: it is served until the next one is there, which is ordered now.
    pub async fn pack_revoked(&self, id: CertificatePackId) -> Result<(), AppError> {
        let now = self.now_secs_of_certificates();
        if let Some((pack, _)) = self.change_course(id, |_, course| course.revoked(now)).await? {
            tracing::info!(pack = %pack.id, "a certificate was revoked, and another is ordered");
        }
        Ok(())
    }

    /// The account with an authority; none: there is none yet.
    pub async fn acme_account(&self, directory: &str) -> Result<Option<AcmeCredentials>, AppError> {
        let Some(kept) = self.0.store.read().await?.acme_account(directory).await? else { return Ok(None) };
        let secret = self.0.keys.open(Purpose::AcmeAccount, directory.as_bytes(), &kept.sealed)?;
        Ok(Some(AcmeCredentials { uri: kept.uri, issuers: kept.issuers, secret }))
    }

    /// Keeps an account with an authority. Name servers name it in CAA records from then on.
    pub async fn acme_account_keep(&self, directory: &str, account: &AcmeCredentials) -> Result<(), AppError> {
        let sealed = self.0.keys.seal(Purpose::AcmeAccount, directory.as_bytes(), account.secret.expose());
        let kept = AcmeAccount {
            directory: directory.to_owned(),
            uri: account.uri.clone(),
            issuers: account.issuers.clone(),
            sealed,
            created_at: self.now(),
        };
        let mut session = self.0.store.write().await?;
        session.put_acme_account(&kept).await?;
        self.finish(session).await?;
        tracing::info!(directory, uri = account.uri, "an account with a certificate authority is there");
        Ok(())
    }

    /// Forgets the account with an authority, which knows it no more.
    pub async fn acme_account_forget(&self, directory: &str) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        session.delete_acme_account(directory).await?;
        self.finish(session).await
    }

    /// Where the CAA records are that say who may issue for a pack's names: of each name the closest ancestor above the zone, unless the zone
    /// has some of its own, in which this node names its authorities itself.
    pub async fn caa_is_above(&self, due: &DuePack) -> Result<bool, AppError> {
        if due.zone.partial {
            return Ok(true);
        }
        let mut session = self.0.store.read().await?;
        for host in &due.pack.hosts {
            let host = if host.is_wildcard() { host.parent() } else { Some(host.clone()) };
            let Some(host) = host else { continue };
            let mut has_own = false;
            for ancestor in ancestors(host.as_str()).take_while(|name| name.len() >= due.zone.apex.as_str().len()) {
                has_own |= has_caa(&mut session, &due.zone, ancestor).await?;
            }
            if !has_own {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn change_course(
        &self,
        id: CertificatePackId,
        change: impl FnOnce(&CertificatePack, &mut Course),
    ) -> Result<Option<(CertificatePack, Course)>, AppError> {
        let mut session = self.0.store.write().await?;
        let Some(mut pack) = session.certificate_pack(id).await? else { return Ok(None) };
        let mut course = course(&pack);
        change(&pack, &mut course);
        set_course(&mut pack, &course);
        session.put_certificate_pack(&pack).await?;
        session.commit_silently().await?;
        Ok(Some((pack, course)))
    }
}

async fn has_caa(session: &mut Session, zone: &Zone, name: &str) -> Result<bool, AppError> {
    Ok(session.records_at(zone.id, name).await?.iter().any(|record| record.kind.as_str() == "CAA"))
}
