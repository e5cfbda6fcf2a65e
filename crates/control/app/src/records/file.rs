//! A zone's records as a file, in and out (api-v4 §4.4).
//!
//! A file is read and compared with the zone before anybody's turn to write is taken ([`plan`]); what it brings is then written by the
//! hundred, in the order of names, in which every index grows at one place, and made ready on one thread while another writes. Who
//! publishes is handed it then, too ([`Brought`]).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use poterne_control_store::{NAMES_TOUCHED_MAX, RecordBatches, Session, Zone};
use poterne_control_zonefile::{Soa, export};
use poterne_keys::{random_bytes, sha256};
use poterne_model::{Name, RecordId, ZoneId};
use tokio::sync::{mpsc, oneshot};

use super::{
    EDIT, READ,
    brought::{Brought, BroughtRecords},
    lines::Lines,
    plan::{self, Plan, conflict_zone},
    traced,
};
use crate::{App, AppError, Caller, audit::Traced};

/// Records added by one file that are traced one by one; more are traced as one file.
const TRACED_MAX: usize = 1000;

/// Records from which on what is written at once is much for the database.
pub(crate) const MUCH: usize = 20_000;

/// How long an import waits until what it brought is obeyed.
const LIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// Batches that wait to be written.
const BATCHES_AHEAD: usize = 4;

/// What a file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Records that were added.
    pub added: usize,
    /// Records that the file holds.
    pub parsed: usize,
}

impl App {
    /// Takes in a zone file; what is there already is passed over. All of it, or nothing. Files are taken in one after the other.
    pub async fn record_import(&self, caller: &Caller, zone: ZoneId, file: Bytes, proxied: bool) -> Result<Imported, AppError> {
        let _turn = self.0.import.lock().await;
        let zone = self.seen_zone(&mut self.0.store.read().await?, caller, zone, EDIT).await?;
        let (places, apex) = (self.places(&zone), zone.clone());
        let read = tokio::task::spawn_blocking(move || {
            let digest = sha256(&file);
            Lines::read(&file, &places, proxied, &conflict_zone(&apex)).map(|(lines, parsed)| (lines, parsed, digest))
        });
        let (lines, parsed, digest) = read.await.expect("reading a file does not panic")?;
        let (lines, settings) = (Arc::new(lines), self.settings());
        // Found out beside whoever writes, and again in their midst only if something changed meanwhile.
        let (mut plan, seen) = {
            let mut session = self.0.store.read().await?;
            let seen = session.change().await?;
            (plan::planned(&mut session, &zone, &lines, crate::chain::Domains::of(&settings)).await?, seen)
        };
        let mut ids = rising_ids(plan.accepted.len());
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone.id, EDIT).await?;
        if session.follows() != seen {
            plan = plan::planned(&mut session, &zone, &lines, crate::chain::Domains::of(&settings)).await?;
            if ids.len() != plan.accepted.len() {
                ids = rising_ids(plan.accepted.len());
            }
        }
        if let Some(first) = plan.accepted.first() {
            self.check_own(&mut session, &zone, None, Some(&lines.entry(*first)?)).await?;
        }
        let added = plan.accepted.len();
        if added > MUCH {
            session.expect_much();
        }
        if added > TRACED_MAX {
            let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
            let brought = serde_json::json!({ "records_added": added, "records_parsed": parsed, "file_sha256": digest });
            let traced = Traced {
                account: Some(zone.account),
                zone: Some((zone.id, zone.apex.to_string())),
                action: "rec_import",
                kind: "zone",
                id: zone.id.to_string(),
                old: None,
                new: Some(brought),
            };
            self.trace(&mut session, caller, traced).await?;
        } else {
            for (at, id) in plan.accepted.iter().zip(&ids) {
                self.trace(&mut session, caller, traced("rec_add", &zone, *id, None, Some(&lines.entry(*at)?))).await?;
            }
        }
        let kept = self.insert_lines(&mut session, &zone, lines, plan, ids).await?;
        let change = session.commit().await?;
        if let Some(kept) = kept {
            // Who does not wait for it any more reads the store.
            let _ = kept.send(());
        }
        self.obeyed_within(LIVE_TIMEOUT, change).await;
        Ok(Imported { added, parsed })
    }

    /// Writes the lines, and tells that their names changed. Whoever is told of files beforehand is to be told that this one was kept.
    async fn insert_lines(
        &self,
        session: &mut Session,
        zone: &Zone,
        lines: Arc<Lines>,
        Plan { accepted, standing }: Plan,
        ids: Vec<RecordId>,
    ) -> Result<Option<oneshot::Sender<()>>, AppError> {
        let (now, accepted): (_, Arc<[u32]>) = (self.now(), accepted.into());
        let mut names: Vec<u32> = accepted.to_vec();
        names.dedup_by(|one, other| lines.path(*one) == lines.path(*other));
        let named = |of: &[u32]| of.iter().map(|at| lines.name(*at)).collect::<Result<Vec<_>, _>>();
        let mut kept = None;
        if names.len() > NAMES_TOUCHED_MAX {
            if let Some(told) = self.0.files.get().filter(|_| standing.len() <= NAMES_TOUCHED_MAX) {
                // Those are read again, the others need not be.
                session.touch_names(zone.id, named(&standing)?).await?;
                let (sender, receiver) = oneshot::channel();
                kept = Some(sender);
                told(Brought {
                    zone: zone.id,
                    apex: zone.apex.clone(),
                    proxies: zone.status.serves() && !zone.paused,
                    change: session.follows() + 1,
                    before: session.all_names_touched_at(zone.id).await?,
                    records: BroughtRecords { zone: zone.id, lines: lines.clone(), accepted: accepted.clone(), standing },
                    kept: receiver,
                });
            }
            session.touch_all_names(zone.id).await?;
        } else {
            session.touch_names(zone.id, named(&names)?).await?;
        }
        drop(names);
        let (batches, mut ready) = mpsc::channel(BATCHES_AHEAD);
        let maker = session.record_batches(zone.id);
        let making = tokio::task::spawn_blocking(move || {
            for (accepted, ids) in accepted.chunks(RecordBatches::RECORDS).zip(ids.chunks(RecordBatches::RECORDS)) {
                let kinds: Vec<_> = accepted.iter().map(|at| lines.kind(*at)).collect();
                let records: Vec<_> =
                    accepted.iter().zip(ids).zip(&kinds).map(|((at, id), kind)| lines.record(*at, *id, kind, now)).collect();
                // Nobody takes them once a statement failed, which is told below.
                if batches.blocking_send(maker.of(&records)).is_err() {
                    break;
                }
            }
        });
        while let Some(batch) = ready.recv().await {
            session.insert_records(batch).await?;
        }
        making.await.expect("making rows of lines does not panic");
        Ok(kept)
    }

    /// A zone as a file; `at` is how the file says when it was made.
    pub async fn record_export(&self, caller: &Caller, zone: ZoneId, at: &str) -> Result<String, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, READ).await?;
        let places = self.places(&zone);
        let mut entries = Vec::new();
        for record in session.records(Some(zone.id)).await? {
            entries.push(places.keep(record)?.entry);
        }
        let change = session.change().await?;
        let settings = self.settings();
        let host = |label: &str| Name::parse(&format!("{label}.{}", zone.apex));
        let first = zone.name_servers.first().or(settings.nameservers.first()).cloned();
        let mname = match first {
            Some(name) => name,
            None => host("ns1")?,
        };
        // What the reference gives as defaults (edge-behaviour §1.2).
        let soa = Soa {
            mname,
            rname: host("dns")?,
            serial: u32::try_from(change % u64::from(u32::MAX)).unwrap_or(1),
            refresh_secs: 10_000,
            retry_secs: 2_400,
            expire_secs: 604_800,
            minimum_secs: 1_800,
            ttl_secs: 3_600,
        };
        Ok(export(&zone.apex, at, &soa, (&zone.name_servers, 86_400), &entries))
    }
}

/// So many ids, each as random as any and greater than the one before: the index of ids then grows along with the rows.
fn rising_ids(count: usize) -> Vec<RecordId> {
    let mut ids: Vec<[u8; 16]> = Vec::with_capacity(count);
    while ids.len() < count {
        let some: [u8; 4096] = random_bytes();
        ids.extend(some.as_chunks::<16>().0.iter().take(count - ids.len()));
    }
    ids.sort_unstable();
    ids.into_iter().map(RecordId::from_bytes).collect()
}
