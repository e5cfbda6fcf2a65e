//! Scans: what a zone has at its present name servers, proposed for review (edge-behaviour §1.3, api-v4 §4.6).
//!
//! ```text
//! scan/trigger ──→ waiting ── taken up by control/scout ──→ proposals ── review: accepted become records, rejected go
//! ```
//!
//! Whoever asks other servers is elsewhere; here is what was asked for, what it came to, and what a person made of it. A scan whose node
//! was killed is taken up again.

use std::{collections::BTreeMap, time::Duration};

use poterne_control_store::{Record, StoreError, Zone, ZoneScan};
use poterne_keys::random_bytes;
use poterne_model::{Draft, Entry, Name, Rdata, RecordId, RecordType, ZoneId, entry, permission::Subject};
use serde::{Deserialize, Serialize};

use crate::{
    App, AppError, Caller, DueZone, KeptRecord,
    access::Permission,
    records::{Places, in_list},
};

/// For how long a scan belongs to whoever took it up, in seconds; it takes less.
const LEASE_SECS: i64 = 300;

/// How long scans are left alone when nobody in this process has asked for one: other processes may.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long after one scan another may be asked for, in seconds.
const AGAIN_SECS: i64 = 60;

/// How long whoever asks for a scan and its result at once is kept waiting.
const WAIT_MAX: Duration = Duration::from_secs(30);

const READ: Permission = Subject::DnsRecords.to_read();
const EDIT: Permission = Subject::DnsRecords.to_edit();

/// A record that a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its owner.
    pub name: Name,
    /// Its data.
    pub rdata: Rdata,
    /// In seconds, within the bounds of a record's.
    pub ttl_secs: u32,
    /// The edge may well stand before it.
    pub wants_proxy: bool,
}

/// A record that a scan met and does not propose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOver {
    /// Its owner.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub rtype: String,
    /// Why.
    pub why: String,
}

/// What a scan came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanDone {
    /// What is proposed.
    pub found: Vec<Found>,
    /// What is not.
    pub passed_over: Vec<PassedOver>,
    /// What is to be known before the name servers are changed.
    pub warnings: Vec<String>,
    /// The name servers that were asked.
    pub name_servers: Vec<Name>,
    /// They gave the zone whole.
    pub whole: bool,
}

/// How a zone's last scan stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanState {
    /// When it was asked for, in microseconds since the Unix epoch.
    pub requested_at: i64,
    /// When it ended; none: it goes on.
    pub ended_at: Option<i64>,
    /// How many records wait for a decision.
    pub proposed: usize,
    /// What is not proposed.
    pub passed_over: Vec<PassedOver>,
    /// What is to be known before the name servers are changed.
    pub warnings: Vec<String>,
    /// The name servers that were asked.
    pub name_servers: Vec<Name>,
    /// They gave the zone whole.
    pub whole: bool,
}

/// What was decided.
#[derive(Debug, Clone, Default)]
pub struct Reviewed {
    /// Records that came.
    pub accepted: Vec<KeptRecord>,
    /// Proposals that went.
    pub rejected: Vec<RecordId>,
}

/// What is kept of it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Report {
    proposals: Vec<Proposal>,
    passed_over: Vec<PassedOver>,
    warnings: Vec<String>,
    name_servers: Vec<Name>,
    whole: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Proposal {
    id: String,
    name: Name,
    rtype: String,
    content: String,
    priority: Option<u16>,
    ttl_secs: u32,
    proxied: bool,
}

impl App {
    /// Asks for a scan of what the zone has at its present name servers. One that waits or goes on is not begun again.
    pub async fn scan_trigger(&self, caller: &Caller, id: ZoneId) -> Result<Zone, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, id, EDIT).await?;
        let (now, last) = (self.instant(), session.zone_scan(id).await?);
        let wait = last
            .as_ref()
            .and_then(|scan| scan.ended_at)
            .map_or(0, |ended| (AGAIN_SECS - now.secs_since(poterne_model::Timestamp::from_micros(ended))).clamp(0, AGAIN_SECS));
        if wait > 0 {
            return Err(AppError::ScansLimited { zone: zone.apex, retry_secs: wait.unsigned_abs() });
        }
        if last.as_ref().is_none_or(|scan| scan.ended_at.is_some()) {
            // What nobody decided about yet stays to be reviewed until the new one ends.
            let report = last.map_or_else(|| written(&Report::default()), |scan| scan.report);
            let micros = now.as_micros();
            session.put_zone_scan(id, &ZoneScan { requested_at: micros, due_at: Some(micros), ended_at: None, report }).await?;
            session.commit_silently().await?;
        }
        self.0.scans_due.notify_one();
        Ok(zone)
    }

    /// Takes up scans that are due, at most `count`.
    pub async fn scans_due(&self, count: u32) -> Result<Vec<DueZone>, AppError> {
        let mut session = self.0.store.write().await?;
        let again_at = self.instant().plus_secs(LEASE_SECS).as_micros();
        let zones = session.take_scans_due(self.now(), again_at, count).await?;
        if zones.is_empty() {
            return Ok(Vec::new());
        }
        session.commit_silently().await?;
        Ok(zones.into_iter().map(|zone| DueZone { assigned: self.assigned_name_servers(&zone), zone }).collect())
    }

    /// Waits until a scan may be due.
    pub async fn scans_due_woken(&self) {
        let _ = tokio::time::timeout(LOOK_EVERY, self.0.scans_due.notified()).await;
    }

    /// Keeps what a scan came to, in place of what the one before left undecided. What the zone has already is not proposed.
    pub async fn scan_done(&self, id: ZoneId, done: ScanDone) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let (Some(zone), Some(mut scan)) = (session.zone(id).await?, session.zone_scan(id).await?) else { return Ok(()) };
        let places = self.places(&zone);
        let mut report = Report {
            warnings: done.warnings,
            passed_over: done.passed_over,
            name_servers: done.name_servers,
            whole: done.whole,
            ..Report::default()
        };
        for found in done.found {
            let (name, rtype) = (found.name.to_string(), found.rdata.rtype().to_string());
            let mut pass = |why: String| report.passed_over.push(PassedOver { name: name.clone(), rtype: rtype.clone(), why });
            let entry = match proposed(&places, found) {
                Ok(entry) => entry,
                Err(error) => {
                    pass(error.to_string());
                    continue;
                }
            };
            match self.check(&mut session, &zone, &entry, None).await {
                Ok(()) => report.proposals.push(Proposal::of(&entry)),
                Err(AppError::Conflict(conflict)) if matches!(conflict.code(), 81057 | 81058) => {}
                Err(error @ (AppError::Conflict(_) | AppError::Entry(_))) => pass(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let count = report.proposals.len();
        (scan.due_at, scan.ended_at, scan.report) = (None, Some(self.now()), written(&report));
        session.put_zone_scan(id, &scan).await?;
        session.commit_silently().await?;
        self.0.scans_ended.send_modify(|ended| *ended += 1);
        tracing::info!(zone = %zone.apex, account = %zone.account, proposed = count, whole = report.whole, "zone scanned");
        Ok(())
    }

    /// How a zone's last scan stands; none: there was none.
    pub async fn scan_state(&self, caller: &Caller, id: ZoneId) -> Result<Option<ScanState>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, id, READ).await?;
        let Some(scan) = session.zone_scan(id).await? else { return Ok(None) };
        let Report { proposals, passed_over, warnings, name_servers, whole } = read(&scan)?;
        let (requested_at, ended_at) = (scan.requested_at, scan.ended_at);
        Ok(Some(ScanState { requested_at, ended_at, proposed: proposals.len(), passed_over, warnings, name_servers, whole }))
    }

    /// The records that wait for a decision, by name.
    pub async fn scan_review(&self, caller: &Caller, id: ZoneId) -> Result<Vec<KeptRecord>, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, id, READ).await?;
        let Some(scan) = session.zone_scan(id).await? else { return Ok(Vec::new()) };
        let (places, at) = (self.places(&zone), scan.ended_at.unwrap_or(scan.requested_at));
        read(&scan)?.proposals.iter().map(|proposal| places.keep(proposal.record(id, at)?)).collect()
    }

    /// Makes records of what is accepted, each as it was proposed unless its draft says otherwise, and forgets what is rejected; all of it,
    /// or nothing.
    pub async fn scan_decide(
        &self,
        caller: &Caller,
        id: ZoneId,
        accepts: Vec<(Option<RecordId>, Draft)>,
        rejects: &[RecordId],
    ) -> Result<Reviewed, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, id, EDIT).await?;
        let scan = session.zone_scan(id).await?;
        let mut report = scan.as_ref().map(read).transpose()?.unwrap_or_default();
        let places = self.places(&zone);
        let mut reviewed = Reviewed::default();
        for (n, (wanted, draft)) in accepts.into_iter().enumerate() {
            let accepted = async {
                let named = wanted.map(|id| id.to_string());
                let proposal = report.proposals.iter().find(|proposal| Some(&proposal.id) == named.as_ref());
                let entry = match proposal {
                    Some(proposal) => {
                        let standing = places.keep(proposal.record(zone.id, self.now())?)?.entry;
                        places.place(|place| draft.over(&standing, place))?
                    }
                    None => places.place(|place| draft.complete(place))?,
                };
                self.insert_in(&mut session, caller, &zone, entry).await
            };
            let kept = accepted.await.map_err(in_list("accepts", n))?;
            let is_it = |proposal: &Proposal| {
                wanted.is_some_and(|id| proposal.id == id.to_string())
                    || (&proposal.name, proposal.content.as_str()) == (&kept.entry.name, kept.entry.rdata.content().as_str())
                        && proposal.rtype == kept.entry.rdata.rtype().to_string()
            };
            report.proposals.retain(|proposal| !is_it(proposal));
            reviewed.accepted.push(kept);
        }
        for (n, reject) in rejects.iter().enumerate() {
            let before = report.proposals.len();
            report.proposals.retain(|proposal| proposal.id != reject.to_string());
            if report.proposals.len() == before {
                return Err(in_list("rejects", n)(AppError::NotFound("proposed record")));
            }
            reviewed.rejected.push(*reject);
        }
        if let Some(scan) = scan {
            session.put_zone_scan(id, &ZoneScan { report: written(&report), ..scan }).await?;
        }
        self.finish(session).await?;
        Ok(reviewed)
    }

    /// Scans and accepts everything, as older clients expect; how many of each type came, and how many were found.
    pub async fn scan_and_accept(&self, caller: &Caller, id: ZoneId) -> Result<(BTreeMap<String, usize>, usize), AppError> {
        let mut ended = self.0.scans_ended.subscribe();
        let begun = self.now();
        self.scan_trigger(caller, id).await?;
        let waited = tokio::time::timeout(WAIT_MAX, async {
            loop {
                let state = self.scan_state(caller, id).await?;
                if state.is_some_and(|state| state.ended_at.is_some_and(|at| at >= begun)) {
                    return Ok::<(), AppError>(());
                }
                // The sender lives as long as the application.
                let _ = tokio::time::timeout(LOOK_EVERY, ended.changed()).await;
            }
        });
        waited.await.map_err(|_| AppError::ScanGoesOn)??;
        let found = self.scan_review(caller, id).await?;
        let accepts = found.iter().map(|kept| (Some(kept.id), Draft::default())).collect();
        let reviewed = self.scan_decide(caller, id, accepts, &[]).await?;
        let mut by_type = BTreeMap::new();
        for kept in &reviewed.accepted {
            *by_type.entry(kept.entry.rdata.rtype().to_string()).or_default() += 1;
        }
        Ok((by_type, found.len()))
    }
}

/// A found record as it could stand by itself: behind the edge where that is wanted and can be.
fn proposed(places: &Places, found: Found) -> Result<Entry, entry::EntryError> {
    let Found { name, rdata, ttl_secs, wants_proxy } = found;
    let mut entry =
        Entry { name, rdata, ttl_secs, proxied: false, settings: entry::Settings::default(), comment: None, tags: Vec::new() };
    places.place(|place| {
        entry.proxied = wants_proxy && place.is_proxiable(&entry);
        entry.checked(place)
    })
}

impl Proposal {
    fn of(entry: &Entry) -> Self {
        Self {
            id: RecordId::from_bytes(random_bytes()).to_string(),
            name: entry.name.clone(),
            rtype: entry.rdata.rtype().to_string(),
            content: entry.rdata.content(),
            priority: entry.rdata.priority(),
            ttl_secs: entry.ttl_secs,
            proxied: entry.proxied,
        }
    }

    /// As a row of records would have it.
    fn record(&self, zone: ZoneId, at: i64) -> Result<Record, AppError> {
        let damaged = |error: poterne_model::IdError| damaged(&error.to_string());
        Ok(Record {
            id: self.id.parse().map_err(damaged)?,
            zone,
            name: self.name.clone(),
            kind: RecordType::from(self.rtype.clone()),
            content: self.content.clone(),
            priority: self.priority,
            ttl_secs: self.ttl_secs,
            proxied: self.proxied,
            settings: "{}".to_owned(),
            comment: None,
            tags: Vec::new(),
            managed_by: None,
            created_at: at,
            modified_at: at,
            comment_modified_at: None,
            tags_modified_at: None,
        })
    }
}

fn read(scan: &ZoneScan) -> Result<Report, AppError> {
    serde_json::from_str(&scan.report).map_err(|error| damaged(&error.to_string()))
}

fn written(report: &Report) -> String {
    serde_json::to_string(report).expect("a report is always JSON")
}

fn damaged(why: &str) -> AppError {
    AppError::Store(StoreError::Damaged { what: "scan", why: why.to_owned() })
}
