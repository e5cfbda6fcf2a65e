//! Walking a CNAME chain over the store.
//!
//! The walk itself is pure and lives in `model`; it cannot wait for a database. So it runs over what has been read, says which name
//! it misses, and runs again: at most once a link.

use std::{cell::RefCell, collections::HashMap};

use poterne_control_store::{Record, Session};
use poterne_model::{
    AccountId, Name, RecordSet, TunnelId,
    chain::{self, Destination, Records},
};

use crate::AppError;

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

/// Where `start` leads as the session sees it, its own writes included.
pub(crate) async fn walk(
    session: &mut Session,
    account: AccountId,
    start: &Name,
    tunnel_domain: Option<&Name>,
) -> Result<Destination, AppError> {
    let mut known = Known { sets: HashMap::new(), tunnels: HashMap::new(), tunnel_domain, missed: RefCell::new(None) };
    loop {
        let walked = chain::walk(&known, account, start);
        match known.missed.take() {
            None => return Ok(walked?),
            Some(Missed::Name(name)) => {
                let records = answering(session, account, &name).await?;
                known.sets.insert(name, Record::sets(&records)?);
            }
            Some(Missed::Tunnel(id)) => {
                let tunnel = session.tunnel(id).await?.filter(|tunnel| tunnel.deleted_at.is_none());
                known.tunnels.insert(id, tunnel.map(|tunnel| tunnel.account));
            }
        }
    }
}

/// The account's own zone over the name comes first, pending or not: the record is checked as it will be once the zone serves.
async fn answering(session: &mut Session, account: AccountId, name: &Name) -> Result<Vec<Record>, AppError> {
    let zones = session.zones_for(account, name).await?;
    let own = zones.iter().find(|zone| zone.account == account);
    let serving = zones.iter().find(|zone| zone.status.serves());
    let zone = match (own, serving) {
        (Some(own), Some(serving)) if serving.apex.as_str().len() > own.apex.as_str().len() => Some(serving),
        (own, serving) => own.or(serving),
    };
    match zone {
        Some(zone) => Ok(session.records_answering(zone, name).await?),
        None => Ok(Vec::new()),
    }
}
