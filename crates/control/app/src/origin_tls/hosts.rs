//! What the edge shows origins of single hosts (`origin_tls_client_auth/hostnames`, api-v4 §11): one of the certificates that were brought for
//! hosts, in the place of what the zone shows.

use poterne_control_store::{ClientCertificate, OriginPullHost};
use poterne_model::{At, CertificateId, Name, Schema, ShapeError, ZoneId};
use serde_json::json;

use crate::{App, AppError, Caller, access::Subject, audit::Traced};

/// Most hosts of a zone that have one, and most that one request names.
const HOSTS_MAX: usize = 100;

/// What is said of hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPullHosts(Vec<(Name, Option<(CertificateId, bool)>)>);

impl OriginPullHosts {
    /// Its form.
    pub fn schema() -> Schema {
        let one = Schema::object([
            ("hostname", Schema::text(254).required().about("a host of the zone")),
            (
                "cert_id",
                Schema::text(36).about("a certificate that was brought for hosts; absent: nothing is said of the host any more"),
            ),
            ("enabled", Schema::boolean().about("whether it is shown; absent: nothing is said of the host any more")),
        ]);
        Schema::object([("config", Schema::items(one, HOSTS_MAX).required())]).named("OriginClientAuthHosts").example(
            json!({ "config": [{ "hostname": "app.example.com", "cert_id": "3f2a1b0c9d8e4f5a8b7c6d5e4f3a2b1c", "enabled": true }] }),
        )
    }

    /// Reads them.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let mut hosts: Vec<(Name, Option<(CertificateId, bool)>)> = Vec::new();
        for item in body.required("config")?.items(HOSTS_MAX)? {
            let at = item.required("hostname")?;
            let host = Name::parse(at.text(254)?).map_err(|error| ShapeError::new(at.pointer(), error.to_string()))?;
            if host.is_wildcard() {
                return Err(at.wrong("name each host"));
            }
            let certificate = match item.member("cert_id").filter(|at| at.value.as_str() != Some("")) {
                Some(at) => Some(at.text(36)?.parse().map_err(|_| at.wrong("write the id of a certificate for hosts"))?),
                None => None,
            };
            let enabled = item.member("enabled").map(|enabled| enabled.boolean()).transpose()?;
            hosts.retain(|(known, _)| *known != host);
            hosts.push((host, certificate.zip(enabled)));
        }
        Ok(Self(hosts))
    }
}

impl App {
    /// What is said of the hosts of a zone, each with its certificate.
    pub async fn origin_pull_hosts(
        &self,
        caller: &Caller,
        zone: ZoneId,
    ) -> Result<Vec<(OriginPullHost, ClientCertificate)>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_read()).await?;
        let brought = session.client_certificates(Some(zone)).await?;
        let with = |host: OriginPullHost| {
            let certificate = brought.iter().find(|one| one.id == host.certificate)?.clone();
            Some((host, certificate))
        };
        Ok(session.origin_pull_hosts(Some(zone)).await?.into_iter().filter_map(with).collect())
    }

    /// What is said of one.
    pub async fn origin_pull_host(
        &self,
        caller: &Caller,
        zone: ZoneId,
        host: &Name,
    ) -> Result<(OriginPullHost, ClientCertificate), AppError> {
        let all = self.origin_pull_hosts(caller, zone).await?;
        all.into_iter().find(|(known, _)| known.host == *host).ok_or(AppError::NotFound("hostname with a certificate of its own"))
    }

    /// Says something of hosts; those that are not named stay as they are. It is in force when this returns.
    ///
    /// # Errors
    /// A host is not the zone's, a certificate is none that was brought for its hosts, or there are too many.
    pub async fn origin_pull_hosts_set(
        &self,
        caller: &Caller,
        zone: ZoneId,
        OriginPullHosts(wanted): OriginPullHosts,
    ) -> Result<Vec<(OriginPullHost, ClientCertificate)>, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::Certificates.to_edit()).await?;
        let mut hosts = session.origin_pull_hosts(Some(zone.id)).await?;
        let brought = session.client_certificates(Some(zone.id)).await?;
        let now = self.now();
        for (host, said) in &wanted {
            let invalid = |what, why: String| Err(AppError::Invalid { what, why });
            if !host.is_within(&zone.apex) {
                return invalid("hostname", format!("{host} is not in {}: name hosts of this zone", zone.apex));
            }
            let before = hosts.iter().position(|known| known.host == *host).map(|at| hosts.remove(at));
            let Some((certificate, enabled)) = *said else {
                session.delete_origin_pull_host(zone.id, host).await?;
                continue;
            };
            if !brought.iter().any(|one| one.id == certificate && one.for_hosts) {
                return invalid(
                    "cert_id",
                    format!("{certificate} is no certificate that was brought for hosts of {}", zone.apex),
                );
            }
            let created_at = before.map_or(now, |before| before.created_at);
            let said = OriginPullHost { zone: zone.id, host: host.clone(), certificate, enabled, created_at, modified_at: now };
            session.put_origin_pull_host(&said).await?;
            hosts.push(said);
        }
        if hosts.len() > HOSTS_MAX {
            let why = format!("{} has {HOSTS_MAX} hosts with a certificate of their own: take some away first", zone.apex);
            return Err(AppError::Invalid { what: "config", why });
        }
        let texts: Vec<&str> = wanted.iter().map(|(host, _)| host.as_str()).collect();
        let traced = Traced {
            account: Some(zone.account),
            zone: Some((zone.id, zone.apex.to_string())),
            action: "set",
            kind: "origin_pull_hosts",
            id: zone.id.to_string(),
            new: Some(json!({ "hostnames": texts })),
            ..Traced::default()
        };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await?;
        let all = self.origin_pull_hosts(caller, zone.id).await?;
        Ok(all.into_iter().filter(|(known, _)| wanted.iter().any(|(host, _)| known.host == *host)).collect())
    }
}
