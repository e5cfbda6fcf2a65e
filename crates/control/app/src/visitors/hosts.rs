//! Which hosts of a zone ask visitors for a certificate (`hostname_associations`, api-v4 §11).

use poterne_model::{At, CertificateId, Name, Schema, ShapeError, ZoneId};
use serde_json::json;

use crate::{App, AppError, Caller, access::Subject, audit::Traced};

/// Most hosts of a zone that name one authority.
const HOSTS_MAX: usize = 100;

/// Most authorities that one zone's hosts name together.
const AUTHORITIES_MAX: usize = 10;

/// What somebody asks for: all hosts of one authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAssociations {
    hosts: Vec<Name>,
    /// None: the zone's own authority.
    authority: Option<CertificateId>,
}

impl HostAssociations {
    /// Its form.
    pub fn schema() -> Schema {
        Schema::object([
            (
                "hostnames",
                Schema::items(Schema::text(254), HOSTS_MAX)
                    .required()
                    .about("hosts of the zone, or wildcards, each for one label; empty: none is asked any more"),
            ),
            ("mtls_certificate_id", Schema::text(36).about("who vouches; absent: the zone's own authority")),
        ])
        .named("HostnameAssociations")
        .example(json!({ "hostnames": ["api.example.com"] }))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let mut hosts = Vec::new();
        for item in body.required("hostnames")?.items(HOSTS_MAX)? {
            let host = Name::parse(item.text(254)?).map_err(|error| ShapeError::new(item.pointer(), error.to_string()))?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let authority = match body.member("mtls_certificate_id") {
            Some(at) if at.value.as_str() != Some("") => {
                Some(at.text(36)?.parse().map_err(|_| at.wrong("write the id of an mTLS certificate"))?)
            }
            _ => None,
        };
        Ok(Self { hosts, authority })
    }
}

impl App {
    /// The hosts of a zone that name an authority; none: the zone's own.
    pub async fn host_associations(
        &self,
        caller: &Caller,
        zone: ZoneId,
        authority: Option<CertificateId>,
    ) -> Result<Vec<Name>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        let own = session.client_authorities(Some(zone)).await?.first().map(|own| own.id);
        let Some(authority) = authority.or(own) else { return Ok(Vec::new()) };
        let all = session.visitor_hosts(Some(zone)).await?;
        Ok(all.into_iter().filter(|known| known.authority == authority).map(|known| known.host).collect())
    }

    /// Has these hosts, and no others, ask for certificates that an authority vouches for. That is in force when this returns, for the next
    /// connections; those that are there are not used for these hosts any more.
    ///
    /// # Errors
    /// A host is not the zone's, the authority is not its account's, or there are too many.
    pub async fn host_associations_set(
        &self,
        caller: &Caller,
        zone: ZoneId,
        wanted: HostAssociations,
    ) -> Result<Vec<Name>, AppError> {
        let HostAssociations { hosts, authority } = wanted;
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        if let Some(stray) = hosts.iter().find(|host| !host.is_within(&zone.apex)) {
            let why = format!("{stray} is not in {}: name hosts of this zone", zone.apex);
            return Err(AppError::Invalid { what: "hostnames", why });
        }
        let authority = match authority {
            Some(id) => {
                let known = session.mtls_certificates(Some(zone.account)).await?.iter().any(|known| known.id == id);
                if !known {
                    return Err(AppError::NotFound("mTLS certificate"));
                }
                id
            }
            None => self.client_authority_of(&mut session, &zone).await?.id,
        };
        let before = session.visitor_hosts(Some(zone.id)).await?;
        let mut named: Vec<CertificateId> = before.iter().map(|known| known.authority).filter(|id| *id != authority).collect();
        named.sort_unstable();
        named.dedup();
        if !hosts.is_empty() && named.len() >= AUTHORITIES_MAX {
            let why = format!("hosts of {} name {AUTHORITIES_MAX} authorities already: take one from its hosts first", zone.apex);
            return Err(AppError::Invalid { what: "mtls_certificate_id", why });
        }
        session.put_visitor_hosts(zone.id, authority, &hosts).await?;
        let texts: Vec<&str> = hosts.iter().map(Name::as_str).collect();
        let traced = Traced {
            account: Some(zone.account),
            zone: Some((zone.id, zone.apex.to_string())),
            action: "set",
            kind: "hostname_associations",
            id: authority.to_string(),
            new: Some(json!({ "hostnames": texts })),
            ..Traced::default()
        };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await?;
        Ok(hosts)
    }
}
