//! Publishing a hostname: the proxied CNAME and the ingress rule, in one transaction.

use poterne_control_store::{ConfigSource, Configuration, Micros, Record, Session, Tunnel, Zone};
use poterne_keys::random_bytes;
use poterne_model::{
    Name, RecordId, RecordType, TunnelId,
    chain::{Destination, TUNNEL_SUFFIX},
};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    chain, ingress,
    service::Service,
};

/// The mark on records that a tunnel's verbs made, and may take away.
pub(crate) const MANAGED_BY_TUNNEL: &str = "tunnel";

/// What publishing a hostname did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routed {
    /// The hostname.
    pub hostname: Name,
    /// Its zone. While it does not serve, nor does the hostname.
    pub zone: Zone,
    /// The tunnel.
    pub tunnel: Tunnel,
    /// What became of the record.
    pub record: RecordOutcome,
    /// The configuration's version now; none for a tunnel whose agent brings its own rules.
    pub config_version: Option<i32>,
}

/// Where a hostname leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leads {
    /// The tunnel.
    pub tunnel: TunnelId,
    /// The service of the hostname's own rule; none if another rule, or the agent, decides.
    pub service: Option<String>,
}

/// What became of a record, by `tunnel route dns`'s words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOutcome {
    /// Made.
    New,
    /// Led elsewhere before.
    Updated,
    /// Was so already.
    Unchanged,
}

impl App {
    /// Leads a hostname, a wildcard or a zone's apex to `service` through a tunnel (a name or an id).
    pub async fn tunnel_route(
        &self,
        caller: &Caller,
        hostname: &str,
        tunnel: &str,
        service: impl Into<Service>,
    ) -> Result<Routed, AppError> {
        let service = service.into();
        caller.needs(Subject::Tunnels.to_edit(), Target::Account(self.account()))?;
        let hostname = Name::parse(hostname)?;
        self.check_hostname(&hostname)?;
        let now = self.now();
        let mut session = self.0.store.write().await?;
        let tunnel = self.find_tunnel(&mut session, tunnel).await?;
        let Some(zone) = session.zone_of_account_over(self.account(), &hostname).await? else {
            let labels: Vec<&str> = hostname.as_str().rsplitn(3, '.').take(2).collect();
            let suggestion = labels.into_iter().rev().collect::<Vec<_>>().join(".");
            return Err(AppError::NoZone { hostname, suggestion });
        };
        caller.needs(Subject::DnsRecords.to_edit(), Target::Zone(zone.account, zone.id))?;
        let record = self.put_cname(&mut session, &zone, &hostname, tunnel.id, MANAGED_BY_TUNNEL).await?;
        let config_version = match tunnel.config_source {
            ConfigSource::Local => None,
            ConfigSource::Remote => {
                let current = session.configuration(tunnel.id).await?;
                let json = ingress::with_rule(current.as_ref().map(|config| config.json.as_str()), &hostname, &service)?;
                let version = current.as_ref().map_or(0, |config| config.version);
                match json {
                    None => Some(version),
                    Some(json) => {
                        let next = Configuration { version: version + 1, json, created_at: now };
                        session.insert_configuration(tunnel.id, &next).await?;
                        Some(next.version)
                    }
                }
            }
        };
        self.finish(session).await?;
        self.agents_configured(tunnel.id).await;
        tracing::info!(%hostname, tunnel = %tunnel.id, account = %tunnel.account, ?record, "hostname routed");
        Ok(Routed { hostname, zone, tunnel, record, config_version })
    }

    /// Where a hostname leads that is routed through a tunnel; none if it is not.
    pub async fn tunnel_route_of(&self, caller: &Caller, hostname: &str) -> Result<Option<Leads>, AppError> {
        caller.needs(Subject::Tunnels.to_read(), Target::Account(self.account()))?;
        let hostname = Name::parse(hostname)?;
        let mut session = self.0.store.read().await?;
        let settings = self.settings();
        let Ok(Destination::Tunnel(tunnel)) =
            chain::walk(&mut session, self.account(), &hostname, chain::Domains::of(&settings)).await
        else {
            return Ok(None);
        };
        let service = session.configuration(tunnel).await?.and_then(|config| ingress::service_of(&config.json, &hostname));
        Ok(Some(Leads { tunnel, service }))
    }

    /// Makes `name` a proxied CNAME to the tunnel. Takes the place of a record with the same mark, and of no other.
    pub(crate) async fn put_cname(
        &self,
        session: &mut Session,
        zone: &Zone,
        name: &Name,
        tunnel: TunnelId,
        managed_by: &str,
    ) -> Result<RecordOutcome, AppError> {
        let standing = web_records(session, zone, name).await?;
        let outcome = match standing.as_slice() {
            [] => RecordOutcome::New,
            [one] if leads(one, tunnel) => RecordOutcome::Unchanged,
            [one] if one.managed_by.as_deref() == Some(managed_by) => {
                session.delete_record(one.id).await?;
                RecordOutcome::Updated
            }
            _ => return Err(AppError::RecordExists { hostname: name.clone() }),
        };
        if outcome != RecordOutcome::Unchanged {
            session.insert_record(&leading(zone, name, tunnel, managed_by, self.now())).await?;
        }
        let settings = self.settings();
        let destination = chain::walk(session, zone.account, name, chain::Domains::of(&settings)).await?;
        debug_assert_eq!(destination, Destination::Tunnel(tunnel));
        Ok(outcome)
    }

    pub(crate) fn check_hostname(&self, hostname: &Name) -> Result<(), AppError> {
        let wrong = |why| Err(AppError::Hostname { hostname: hostname.clone(), why });
        let settings = self.settings();
        if settings.node_names.contains(hostname) {
            return wrong("it is one of the node's own names; choose another");
        }
        let labels = hostname.as_str().strip_prefix("*.").unwrap_or(hostname.as_str());
        if labels.starts_with('_') {
            return wrong("names that begin with an underscore serve verification, not web traffic");
        }
        Ok(())
    }
}

/// The records at a name that say where its visitors go.
pub(crate) async fn web_records(session: &mut Session, zone: &Zone, name: &Name) -> Result<Vec<Record>, AppError> {
    let all = session.records_at(zone.id, name.as_str()).await?;
    Ok(all.into_iter().filter(|record| !matches!(record.kind, RecordType::Other(_))).collect())
}

/// Whether a record leads straight to the tunnel, through the edge.
pub(crate) fn leads(record: &Record, tunnel: TunnelId) -> bool {
    record.kind == RecordType::Cname && record.content == tunnel_name(tunnel).as_str() && record.proxied
}

/// The proxied CNAME that leads a name to the tunnel.
pub(crate) fn leading(zone: &Zone, name: &Name, tunnel: TunnelId, managed_by: &str, now: Micros) -> Record {
    Record {
        id: RecordId::from_bytes(random_bytes()),
        zone: zone.id,
        name: name.clone(),
        kind: RecordType::Cname,
        content: tunnel_name(tunnel).to_string(),
        priority: None,
        settings: "{}".into(),
        ttl_secs: 1,
        proxied: true,
        comment: None,
        tags: Vec::new(),
        managed_by: Some(managed_by.to_owned()),
        created_at: now,
        modified_at: now,
        comment_modified_at: None,
        tags_modified_at: None,
    }
}

/// The name that means a tunnel on every instance.
pub(crate) fn tunnel_name(tunnel: TunnelId) -> Name {
    Name::parse(&format!("{tunnel}.{TUNNEL_SUFFIX}")).expect("a UUID and a domain make a name")
}
