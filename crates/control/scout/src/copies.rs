//! Copies of other servers' zones: asks their primaries when that is due, and tells `control/app` what came.
//!
//! [`COPIES_MAX`] are asked for at once. What a user has written down as a primary is asked only where the guard lets its account reach it,
//! which is looked at each time.

use std::{collections::HashSet, time::Duration};

use poterne_control_app::{
    App, Copied, CopiedRecord, DueCopy,
    copies::{OCTETS_MAX, RECORDS_MAX},
};
use poterne_dns_resolver::{
    Resolver,
    incoming::{Bounds, Came, ZoneRecord},
    primary::{self, Primary},
    tls::PeerTls,
};
use poterne_dns_tsig::{Algorithm, Key};
use poterne_model::{Name, ZoneId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Most zones that are asked for at once.
pub const COPIES_MAX: usize = 8;

/// Between two looks at what is due: however often primaries say that a zone changed, it is asked for once a second at most.
const PAUSE: Duration = Duration::from_secs(1);

/// How long zones are left alone when the store fails.
const STORE_FAILED: Duration = Duration::from_secs(5);

/// Works until told to stop.
pub(crate) async fn run(app: &App, resolver: &Resolver, stop: &CancellationToken) {
    let (mut under_way, mut busy) = (JoinSet::new(), HashSet::new());
    if let Err(error) = app.rewrap_tsig_keys().await {
        tracing::error!(%error, "TSIG keys could not be wrapped for this node: transfers with them are refused");
    }
    loop {
        let room = u32::try_from(COPIES_MAX - busy.len()).unwrap_or(0);
        if room > 0 {
            match app.copies_due(room, &busy).await {
                Ok(due) => {
                    for due in due {
                        busy.insert(due.zone.id);
                        let (app, resolver) = (app.clone(), resolver.clone());
                        under_way.spawn(async move { (due.zone.id, one(&app, &resolver, due).await) });
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "zones that are due to be copied cannot be read; trying on");
                    if stop.run_until_cancelled(tokio::time::sleep(STORE_FAILED)).await.is_none() {
                        return;
                    }
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            Some(done) = under_way.join_next(), if !under_way.is_empty() => ended(done, &mut busy),
            () = app.copies_due_woken(), if busy.len() < COPIES_MAX => {}
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
        while let Some(done) = under_way.try_join_next() {
            ended(done, &mut busy);
        }
    }
}

fn ended(done: Result<(ZoneId, ()), tokio::task::JoinError>, busy: &mut HashSet<ZoneId>) {
    match done {
        Ok((zone, ())) => {
            busy.remove(&zone);
        }
        Err(error) => {
            // Which one is not known: they are due again when their lease is over.
            tracing::error!(%error, "asking for a zone ended early");
            busy.clear();
        }
    }
}

async fn one(app: &App, resolver: &Resolver, due: DueCopy) {
    let (zone, apex) = (due.zone.id, due.zone.apex.clone());
    let copied = ask(app, resolver, &due).await;
    match app.copy_told(zone, copied).await {
        Ok(Some(refresh)) => {
            let serial = refresh.held.as_ref().map(|held| held.serial);
            tracing::debug!(zone = %apex, serial, failures = refresh.failures, "looked after a copied zone");
        }
        Ok(None) => {}
        Err(error) => tracing::error!(zone = %apex, %error, "what came of a zone cannot be kept: it is asked for again"),
    }
}

/// The first primary that gives it.
async fn ask(app: &App, resolver: &Resolver, due: &DueCopy) -> Copied {
    let bounds = Bounds { records: RECORDS_MAX, octets: OCTETS_MAX };
    let clock = app.clone();
    let now = move || u64::try_from(clock.instant().as_micros() / 1_000_000).unwrap_or_default();
    let mut why = Vec::new();
    for given in &due.primaries {
        if let Err(refusal) = resolver.settings().guard.admits_address(Some(due.zone.account), given.at.ip()) {
            why.push(refusal.to_string());
            continue;
        }
        let key = match &given.key {
            Some((name, algorithm, secret)) => match Algorithm::parse(algorithm) {
                Some(algorithm) => Some(Key::new(name.as_str(), algorithm, secret.expose())),
                None => continue,
            },
            None => None,
        };
        let tls = given.tls.as_ref().map(|tls| PeerTls::new(tls.name.as_ref().map(Name::as_str), tls.ca.as_deref(), tls.verify));
        let tls = match tls.transpose() {
            Ok(tls) => tls,
            Err(error) => {
                why.push(format!("{}: {error}", given.at));
                continue;
            }
        };
        let primary = Primary { at: given.at, key, gives_differences: given.gives_differences, tls };
        match primary::ask(&primary, &due.zone.apex, due.serial, due.wants_whole, bounds, &now).await {
            Ok(Came::Current) => return Copied::Same,
            Ok(Came::Whole(authority, records)) => {
                return Copied::Whole(authority, records.into_iter().map(record).collect());
            }
            Ok(Came::Changes(authority, changes)) => {
                return Copied::Steps(authority, changes.into_iter().map(|(comes, one)| (comes, record(one))).collect());
            }
            Err(error) => why.push(format!("{}: {error}", given.at)),
        }
    }
    Copied::Failed(if why.is_empty() { "it has no primaries".to_owned() } else { why.join("; ") })
}

fn record(of: ZoneRecord) -> CopiedRecord {
    CopiedRecord { name: of.owner, rdata: of.rdata, ttl_secs: of.ttl_secs }
}
