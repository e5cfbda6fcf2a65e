//! Walking a CNAME chain over the store.
//!
//! The walk itself is pure and lives in `model`; it cannot wait for a database. So it runs over what has been read, says which name
//! it misses, and runs again: at most once a link.

use std::{cell::RefCell, collections::HashMap};

use poterne_control_store::{Record, Session, Zone};
use poterne_model::{
    AccountId, Name, RecordData, RecordSet, RecordType, TunnelId,
    chain::{self, ChainError, Destination, Records},
};

use crate::{AppError, Settings};

/// The node's domains below which a name means something by itself.
#[derive(Clone, Copy)]
pub(crate) struct Domains<'a> {
    /// A tunnel's id.
    tunnel: Option<&'a Name>,
    /// The name in a partial zone that stands before it.
    suffix: Option<&'a Name>,
}

impl<'a> Domains<'a> {
    pub(crate) fn of(settings: &'a Settings) -> Self {
        Self { tunnel: settings.tunnel_domain.as_ref(), suffix: settings.cname_suffix.as_ref() }
    }

    fn before_suffix(self, name: &Name) -> Option<Name> {
        Name::parse(name.as_str().strip_suffix(self.suffix?.as_str())?.strip_suffix('.')?).ok()
    }
}

/// What has been read so far, and what the last walk missed.
struct Known<'a> {
    sets: HashMap<Name, Vec<RecordSet>>,
    tunnels: HashMap<TunnelId, Option<AccountId>>,
    tunnel_domain: Option<&'a Name>,
    missed: RefCell<Option<Missed>>,
}

enum Missed {
    Name(Name),
    Tunnel(TunnelId),
}

impl Records for Known<'_> {
    fn record_sets(&self, name: &Name) -> Vec<RecordSet> {
        self.sets.get(name).cloned().unwrap_or_else(|| {
            *self.missed.borrow_mut() = Some(Missed::Name(name.clone()));
            Vec::new()
        })
    }

    fn tunnel_account(&self, tunnel: TunnelId) -> Option<AccountId> {
        self.tunnels.get(&tunnel).copied().unwrap_or_else(|| {
            *self.missed.borrow_mut() = Some(Missed::Tunnel(tunnel));
            None
        })
    }

    fn tunnel_domain(&self) -> Option<&Name> {
        self.tunnel_domain
    }
}

/// Where the walk's questions are answered.
pub(crate) trait Source {
    /// The records that answer for a name; see [`Records::record_sets`].
    async fn answering(&mut self, name: &Name) -> Result<Vec<RecordSet>, AppError>;

    /// Who owns a tunnel that lives.
    async fn tunnel_account(&mut self, tunnel: TunnelId) -> Result<Option<AccountId>, AppError>;
}

/// The store, the session's own writes included.
struct Stored<'s> {
    session: &'s mut Session,
    account: AccountId,
}

impl Source for Stored<'_> {
    async fn answering(&mut self, name: &Name) -> Result<Vec<RecordSet>, AppError> {
        match zone_answering(self.session, self.account, name).await? {
            Some(zone) => Ok(Record::sets(&self.session.records_answering(&zone, name).await?)?),
            None => Ok(Vec::new()),
        }
    }

    async fn tunnel_account(&mut self, tunnel: TunnelId) -> Result<Option<AccountId>, AppError> {
        tunnel_account(self.session, tunnel).await
    }
}

/// Where `start` leads as the session sees it, its own writes included.
pub(crate) async fn walk(
    session: &mut Session,
    account: AccountId,
    start: &Name,
    domains: Domains<'_>,
) -> Result<Destination, AppError> {
    walk_over(&mut Stored { session, account }, account, start, domains).await
}

/// Where `start` leads as the source says.
pub(crate) async fn walk_over(
    source: &mut impl Source,
    account: AccountId,
    start: &Name,
    domains: Domains<'_>,
) -> Result<Destination, AppError> {
    let mut known =
        Known { sets: HashMap::new(), tunnels: HashMap::new(), tunnel_domain: domains.tunnel, missed: RefCell::new(None) };
    let mut passes_suffix = false;
    loop {
        let walked = chain::walk(&known, account, start);
        match known.missed.take() {
            // What another account's partial zone leads to is that account's.
            None if passes_suffix && matches!(walked, Err(ChainError::UnknownTunnel { .. })) => {
                return Ok(Destination::External(start.clone()));
            }
            None => return Ok(walked?),
            Some(Missed::Name(name)) => {
                let sets = match domains.before_suffix(&name) {
                    Some(before) => {
                        passes_suffix = true;
                        let records = vec![RecordData::Cname(before)];
                        vec![RecordSet { name: name.clone(), kind: RecordType::Cname, ttl_secs: 1, proxied: false, records }]
                    }
                    None => source.answering(&name).await?,
                };
                known.sets.insert(name, sets);
            }
            Some(Missed::Tunnel(id)) => {
                let account = source.tunnel_account(id).await?;
                known.tunnels.insert(id, account);
            }
        }
    }
}

pub(crate) async fn tunnel_account(session: &mut Session, tunnel: TunnelId) -> Result<Option<AccountId>, AppError> {
    let tunnel = session.tunnel(tunnel).await?.filter(|tunnel| tunnel.deleted_at.is_none());
    Ok(tunnel.map(|tunnel| tunnel.account))
}

/// The zone that answers for a name. The account's own zone over it comes first, pending or not: a record is checked as it will be once
/// the zone serves.
pub(crate) async fn zone_answering(session: &mut Session, account: AccountId, name: &Name) -> Result<Option<Zone>, AppError> {
    let zones = session.zones_for(account, name).await?;
    let own = zones.iter().find(|zone| zone.account == account);
    let serving = zones.iter().find(|zone| zone.status.serves());
    let zone = match (own, serving) {
        (Some(own), Some(serving)) if serving.apex.as_str().len() > own.apex.as_str().len() => Some(serving),
        (own, serving) => own.or(serving),
    };
    Ok(zone.cloned())
}
