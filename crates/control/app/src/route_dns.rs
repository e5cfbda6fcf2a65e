//! Leading a name to a tunnel by its record alone: the agent, or whoever configures it, knows what to do with the name.

use poterne_control_store::{Record, Zone};
use poterne_model::{Name, RecordId, TunnelId, ZoneId};
use serde_json::json;

use crate::{
    App, AppError, Caller, RecordOutcome,
    access::{Subject, Target},
    audit::Traced,
    chain,
    route::{MANAGED_BY_TUNNEL, leading, leads, web_records},
};

/// A name that leads to a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameRouted {
    /// The name.
    pub name: Name,
    /// Its record.
    pub record: RecordId,
    /// What became of it.
    pub outcome: RecordOutcome,
}

impl App {
    /// Makes `hostname` a proxied CNAME to the tunnel. A name outside the zone gets the zone's name appended, as the hosted service
    /// does it. Records that stand there are replaced only with `overwrite`.
    pub async fn route_dns(
        &self,
        caller: &Caller,
        zone: ZoneId,
        tunnel: TunnelId,
        hostname: &str,
        overwrite: bool,
    ) -> Result<NameRouted, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        caller.needs(Subject::Tunnels.to_read(), Target::Account(zone.account))?;
        let tunnel = session.tunnel(tunnel).await?.filter(|tunnel| tunnel.account == zone.account && tunnel.deleted_at.is_none());
        let tunnel = tunnel.ok_or(AppError::NotFound("tunnel"))?;
        let name = inside(hostname, &zone)?;
        self.check_hostname(&name)?;
        let standing = web_records(&mut session, &zone, &name).await?;
        if let [one] = standing.as_slice()
            && leads(one, tunnel.id)
        {
            return Ok(NameRouted { name, record: one.id, outcome: RecordOutcome::Unchanged });
        }
        if !standing.is_empty() && !overwrite {
            return Err(AppError::HostExists(name));
        }
        for record in &standing {
            session.delete_record(record.id).await?;
        }
        let record = leading(&zone, &name, tunnel.id, MANAGED_BY_TUNNEL, self.now());
        session.insert_record(&record).await?;
        let settings = self.settings();
        chain::walk(&mut session, zone.account, &name, chain::Domains::of(&settings)).await?;
        let shown = |record: &Record| json!({ "name": record.name, "type": record.kind.as_str(), "content": record.content });
        let traced = Traced {
            account: Some(zone.account),
            zone: Some((zone.id, zone.apex.to_string())),
            action: "rec_set",
            kind: "dns_record",
            id: record.id.to_string(),
            old: (!standing.is_empty()).then(|| standing.iter().map(shown).collect()),
            new: Some(shown(&record)),
        };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await?;
        let outcome = if standing.is_empty() { RecordOutcome::New } else { RecordOutcome::Updated };
        Ok(NameRouted { name, record: record.id, outcome })
    }
}

fn inside(hostname: &str, zone: &Zone) -> Result<Name, AppError> {
    let name = Name::parse(hostname)?;
    if name.is_within(&zone.apex) { Ok(name) } else { Ok(Name::parse(&format!("{name}.{}", zone.apex))?) }
}
