//! Zones that are other servers': where they come from, when that is looked at, and what becomes of what came.
//!
//! Whoever asks the primaries is elsewhere (`control/scout`): it takes what is due, asks, and says what came of it. A zone that came is
//! compared with what is kept, and what differs is written in one transaction: nobody ever sees half of it. What a user put on top of it
//! (names that are proxied) stays with the name.

mod difference;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use poterne_control_store::{NAMES_TOUCHED_MAX, Record, RecordBatches, Session, Zone, ZoneIncoming};
use poterne_keys::Secret;
use poterne_model::{
    At, Entry, Name, Rdata, Rtype, ZoneId, name,
    secondary::{Held, IncomingDraft, News, Outcome, PeerTls, Refresh},
    setting::DnsSettings,
};
use serde_json::json;
use tokio::sync::Notify;

use self::difference::Difference;
use crate::{App, AppError, Caller, access::Subject, audit::Traced, notice::Notice, records::MUCH, transfers::check_first};

/// Most records of a zone that is another server's, and most octets of its transfer.
pub const RECORDS_MAX: usize = 100_000;
/// See [`RECORDS_MAX`].
pub const OCTETS_MAX: usize = 64 * 1024 * 1024;

/// For how long a copy belongs to whoever took it up, in seconds; a transfer takes less.
const LEASE_SECS: i64 = 1800;

/// How long copies are left alone when nothing in this process asks for one.
const LOOK_EVERY: Duration = Duration::from_secs(30);

const MICROS: i64 = 1_000_000;

/// Which copies somebody waits for.
#[derive(Default)]
pub(crate) struct Copies {
    /// Primaries said that these changed.
    notified: Mutex<HashSet<ZoneId>>,
    pub(crate) due: Notify,
}

/// A copy to look after.
#[derive(Debug, Clone)]
pub struct DueCopy {
    /// The zone.
    pub zone: Zone,
    /// Whom to ask, in this order.
    pub primaries: Vec<Primary>,
    /// The version that is kept.
    pub serial: Option<u32>,
    /// Whether it is to come whole, whatever its version.
    pub wants_whole: bool,
}

/// A server that has the zone.
#[derive(Debug, Clone)]
pub struct Primary {
    /// Where it is.
    pub at: SocketAddr,
    /// Whether it is asked for what changed alone.
    pub gives_differences: bool,
    /// The name, the algorithm and the secret that messages are signed with.
    pub key: Option<(Name, String, Secret)>,
    /// What is asked of its certificate; none: it is asked in clear.
    pub tls: Option<PeerTls>,
}

/// One record that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedRecord {
    /// Its owner.
    pub name: Name,
    /// What it says.
    pub rdata: Rdata,
    /// Seconds.
    pub ttl_secs: u32,
}

/// What came of asking.
#[derive(Debug, Clone)]
pub enum Copied {
    /// The version that is kept, or an older one.
    Same,
    /// The zone whole.
    Whole(Held, Vec<CopiedRecord>),
    /// What changed, in order: whether a record came, and which.
    Steps(Held, Vec<(bool, CopiedRecord)>),
    /// Nothing, and why.
    Failed(String),
}

impl App {
    /// Where a zone comes from.
    ///
    /// # Errors
    /// Nobody has said so.
    pub async fn zone_incoming(&self, caller: &Caller, zone: ZoneId) -> Result<ZoneIncoming, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_read()).await?;
        let kept = session.zone_incoming(zone.id).await?.filter(|kept| kept.name.is_some());
        kept.ok_or(AppError::NotFound("incoming transfer configuration of the zone"))
    }

    /// Says where a zone of type secondary comes from: the first time, or otherwise than before. It is asked for at once.
    pub async fn zone_incoming_put(
        &self,
        caller: &Caller,
        zone: ZoneId,
        is_first: bool,
        body: &At<'_>,
    ) -> Result<ZoneIncoming, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        let IncomingDraft { name, peers, every_secs } = IncomingDraft::read(body)?;
        let Some(old) = session.zone_incoming(zone.id).await? else {
            let why =
                "the zone is made here: only one that was added with `\"type\": \"secondary\"` comes from elsewhere".to_owned();
            return Err(AppError::Invalid { what: "incoming transfers", why });
        };
        check_first(is_first, old.name.is_some(), "incoming transfer configuration of the zone")?;
        self.check_peers(&mut session, &zone, &peers, body).await?;
        let all = session.transfer_peers(zone.account).await?;
        if let Some(nowhere) = all.iter().find(|peer| peers.contains(&peer.id) && peer.ip.is_none()) {
            let why = format!("the peer {:?} has no address to ask at: give it an ip first", nowhere.name);
            return Err(AppError::Invalid { what: "peers", why });
        }
        let now = self.now();
        let new = ZoneIncoming {
            name: Some(name),
            peers,
            every_secs: every_secs.unwrap_or(0),
            refresh: Refresh { due_at: now.div_euclid(MICROS), ..old.refresh.clone() },
            due_at: now,
            modified_at: now,
            ..old.clone()
        };
        self.keep_incoming(session, caller, &zone, &old, &new).await?;
        Ok(new)
    }

    /// Takes the primaries of a zone away. What came stays until it expires.
    pub async fn zone_incoming_delete(&self, caller: &Caller, zone: ZoneId) -> Result<ZoneId, AppError> {
        let (session, zone, old) = self.incoming_session(caller, zone).await?;
        let new = ZoneIncoming { name: None, peers: Vec::new(), modified_at: self.now(), ..old.clone() };
        self.keep_incoming(session, caller, &zone, &old, &new).await?;
        Ok(zone.id)
    }

    /// Has a zone come whole, now.
    pub async fn zone_force_axfr(&self, caller: &Caller, zone: ZoneId) -> Result<(), AppError> {
        let (mut session, _, old) = self.incoming_session(caller, zone).await?;
        let refresh = Refresh { wants_whole: true, due_at: self.now().div_euclid(MICROS), ..old.refresh.clone() };
        session.put_zone_incoming(&ZoneIncoming { refresh, due_at: self.now(), ..old }, false).await?;
        session.commit_silently().await?;
        self.0.copies.due.notify_one();
        Ok(())
    }

    /// Takes up copies that are due, at most `count`, and none of `busy`.
    pub async fn copies_due(&self, count: u32, busy: &HashSet<ZoneId>) -> Result<Vec<DueCopy>, AppError> {
        let now = self.now();
        let mut session = self.0.store.write().await?;
        let mut due = session.copies_due(now, count).await?;
        let notified: Vec<ZoneId> = {
            let mut waiting = self.0.copies.notified.lock().unwrap_or_else(PoisonError::into_inner);
            let ready: Vec<ZoneId> = waiting.iter().filter(|id| !busy.contains(*id)).take(count as usize).copied().collect();
            waiting.retain(|id| !ready.contains(id));
            ready
        };
        for id in notified {
            if !due.iter().any(|one| one.zone == id) {
                due.extend(session.zone_incoming(id).await?.filter(|one| !one.peers.is_empty()));
            }
        }
        due.retain(|one| !busy.contains(&one.zone));
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let mut taken = Vec::new();
        for one in due {
            session.put_zone_incoming(&ZoneIncoming { due_at: now + LEASE_SECS * MICROS, ..one.clone() }, false).await?;
            let Some(zone) = session.zone(one.zone).await? else { continue };
            let primaries = self.primaries(&mut session, &zone, &one).await?;
            let serial = one.refresh.held.as_ref().map(|held| held.serial);
            taken.push(DueCopy { zone, primaries, serial, wants_whole: one.refresh.wants_whole });
        }
        session.commit_silently().await?;
        Ok(taken)
    }

    async fn primaries(&self, session: &mut Session, zone: &Zone, of: &ZoneIncoming) -> Result<Vec<Primary>, AppError> {
        let (peers, keys) = (session.transfer_peers(zone.account).await?, session.tsig_keys(zone.account).await?);
        let mut primaries = Vec::new();
        for id in &of.peers {
            let Some((peer, ip)) = peers.iter().find(|peer| peer.id == *id).and_then(|peer| Some((peer, peer.ip?))) else {
                continue;
            };
            let key = match peer.tsig {
                Some(id) => {
                    let key = keys.iter().find(|key| key.id == id).ok_or(AppError::NotFound("TSIG"))?;
                    Some((key.name.clone(), key.algorithm.clone(), self.tsig_secret(key)?))
                }
                None => None,
            };
            let (at, tls) = (SocketAddr::new(ip, peer.port), peer.tls.clone());
            primaries.push(Primary { at, gives_differences: peer.ixfr, key, tls });
        }
        Ok(primaries)
    }

    /// Waits until a copy may be due.
    pub async fn copies_due_woken(&self) {
        let due = match self.0.store.read().await {
            Ok(mut session) => session.next_copy_due().await.ok().flatten(),
            Err(_) => None,
        };
        let until = due.map(|due| Duration::from_micros(due.saturating_sub(self.now()).max(0).unsigned_abs()));
        let wait = until.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let _ = tokio::time::timeout(wait, self.0.copies.due.notified()).await;
    }

    /// A primary says that a zone changed. However often it says so, it is asked once.
    pub(crate) fn zone_notified(&self, zone: ZoneId) {
        self.0.copies.notified.lock().unwrap_or_else(PoisonError::into_inner).insert(zone);
        self.0.copies.due.notify_one();
    }

    /// Keeps what came of asking for a zone, and tells those who should know. How the looking after it stands then; none: it is gone.
    pub async fn copy_told(&self, id: ZoneId, copied: Copied) -> Result<Option<Refresh>, AppError> {
        let mut session = self.0.store.write().await?;
        let (Some(zone), Some(old)) = (session.zone(id).await?, session.zone_incoming(id).await?) else { return Ok(None) };
        let outcome = match self.take_in(&mut session, &zone, copied).await {
            Ok(outcome) => outcome,
            Err(Untaken::Store(error)) => return Err(error),
            Err(untaken) => {
                // Half of it may have been written in this session.
                drop(session);
                session = self.0.store.write().await?;
                match untaken {
                    Untaken::Gap => return self.ask_whole(session, old).await.map(Some),
                    Untaken::Refused(why) => Outcome::Failed(why),
                    Untaken::Store(error) => return Err(error),
                }
            }
        };
        let every = (old.every_secs > 0).then_some(old.every_secs);
        let (refresh, news) = old.refresh.after(outcome, self.now().div_euclid(MICROS), every);
        let is_shown = refresh.held != old.refresh.held || refresh.is_expired != old.refresh.is_expired;
        if let Some(why) = &refresh.why {
            tracing::warn!(zone = %zone.apex, account = %zone.account, failures = refresh.failures, why, "a secondary zone is not refreshed");
        }
        let due_at = refresh.due_at.saturating_mul(MICROS);
        session.put_zone_incoming(&ZoneIncoming { refresh: refresh.clone(), due_at, ..old }, is_shown).await?;
        if let Some(news) = news {
            let notice = Notice::SecondaryZone {
                zone: zone.id,
                name: zone.apex.to_string(),
                event: match news {
                    News::Failing => "failing",
                    News::Expired => "expired",
                    News::Recovered => "recovered",
                }
                .to_owned(),
                why: refresh.why.clone(),
                at: self.instant(),
            };
            self.alert(&mut session, zone.account, &notice).await?;
        }
        if is_shown {
            self.finish(session).await?;
        } else {
            session.commit_silently().await?;
        }
        // Something may have been said meanwhile, and courier waits for what was just queued.
        self.0.copies.due.notify_one();
        Ok(Some(refresh))
    }

    /// What changed does not fit what is kept: it is asked for whole.
    async fn ask_whole(&self, mut session: Session, old: ZoneIncoming) -> Result<Refresh, AppError> {
        let refresh = Refresh { wants_whole: true, ..old.refresh.clone() };
        session.put_zone_incoming(&ZoneIncoming { refresh: refresh.clone(), due_at: self.now(), ..old }, false).await?;
        session.commit_silently().await?;
        self.0.copies.due.notify_one();
        Ok(refresh)
    }

    async fn take_in(&self, session: &mut Session, zone: &Zone, copied: Copied) -> Result<Outcome, Untaken> {
        let store = |error: poterne_control_store::StoreError| Untaken::Store(error.into());
        let (held, wanted, kept) = match copied {
            Copied::Same => return Ok(Outcome::Same),
            Copied::Failed(why) => return Ok(Outcome::Failed(why)),
            Copied::Whole(held, records) => (held, records, session.records(Some(zone.id)).await.map_err(store)?),
            Copied::Steps(held, steps) => {
                let kept = session.records(Some(zone.id)).await.map_err(store)?;
                let wanted = self.stepped(zone, &kept, steps)?;
                (held, wanted, kept)
            }
        };
        check_zone(&zone.apex, &wanted).map_err(Untaken::Refused)?;
        let setting = session.zone_setting(zone.id, "dns_settings").await.map_err(store)?;
        let settings: DnsSettings = setting.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
        let difference = Difference::of(&self.places(zone), self.now(), kept, wanted, settings.secondary_overrides);
        self.swap(session, zone.id, difference.map_err(Untaken::Refused)?).await.map_err(Untaken::Store)?;
        Ok(Outcome::Loaded(held))
    }

    /// What is kept, after steps.
    fn stepped(&self, zone: &Zone, kept: &[Record], steps: Vec<(bool, CopiedRecord)>) -> Result<Vec<CopiedRecord>, Untaken> {
        let places = self.places(zone);
        let mut now: BTreeMap<(Name, Rtype, String), CopiedRecord> = BTreeMap::new();
        let key = |record: &CopiedRecord| (record.name.clone(), record.rdata.rtype(), record.rdata.canonical());
        for record in kept {
            let entry = places.keep(record.clone()).map_err(Untaken::Store)?.entry;
            let record = CopiedRecord { name: entry.name, rdata: entry.rdata, ttl_secs: entry.ttl_secs };
            now.insert(key(&record), record);
        }
        for (comes, record) in steps {
            let key = key(&record);
            if comes {
                now.insert(key, record);
            } else if now.remove(&key).is_none() {
                return Err(Untaken::Gap);
            }
        }
        Ok(now.into_values().collect())
    }

    /// Writes what differs, many rows at once and in the order of names.
    async fn swap(&self, session: &mut Session, zone: ZoneId, difference: Difference) -> Result<(), AppError> {
        let Difference { go, mut come } = difference;
        if go.len() + come.len() > MUCH {
            session.expect_much();
        }
        let names: HashSet<Name> = go.iter().chain(&come).map(|record| record.name.clone()).collect();
        if names.len() > NAMES_TOUCHED_MAX {
            session.touch_all_names(zone).await?;
        } else {
            session.touch_names(zone, names).await?;
        }
        session.delete_records(zone, &go.iter().map(|record| record.id).collect::<Vec<_>>()).await?;
        come.sort_by_cached_key(|record| name::path(record.name.as_str()));
        let batches = session.record_batches(zone);
        for some in come.chunks(RecordBatches::RECORDS) {
            session.insert_records(batches.of_records(some)).await?;
        }
        Ok(())
    }

    /// Refuses to change a record of a zone that is another server's, but for what is put on top of it.
    pub(crate) async fn check_own(
        &self,
        session: &mut Session,
        zone: &Zone,
        before: Option<&Entry>,
        after: Option<&Entry>,
    ) -> Result<(), AppError> {
        if session.zone_incoming(zone.id).await?.is_none() {
            return Ok(());
        }
        let refused = |why: &str| Err(AppError::Invalid { what: "record of a secondary zone", why: why.to_owned() });
        match (before, after) {
            (Some(before), Some(after)) if before.name == after.name && before.rdata == after.rdata => {
                if !after.proxied || before.proxied {
                    return Ok(());
                }
                let setting = session.zone_setting(zone.id, "dns_settings").await?;
                let settings: DnsSettings = setting.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
                if settings.secondary_overrides {
                    return Ok(());
                }
                refused("to proxy it, set `secondary_overrides` in the zone's DNS settings first")
            }
            _ => refused("it comes from the zone's primaries: change it there"),
        }
    }

    async fn incoming_session(&self, caller: &Caller, zone: ZoneId) -> Result<(Session, Zone, ZoneIncoming), AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        let kept = session.zone_incoming(zone.id).await?.filter(|kept| kept.name.is_some());
        Ok((session, zone, kept.ok_or(AppError::NotFound("incoming transfer configuration of the zone"))?))
    }

    async fn keep_incoming(
        &self,
        mut session: Session,
        caller: &Caller,
        zone: &Zone,
        old: &ZoneIncoming,
        new: &ZoneIncoming,
    ) -> Result<(), AppError> {
        session.put_zone_incoming(new, true).await?;
        let shown = |of: &ZoneIncoming| {
            of.name.is_some().then(|| json!({ "name": of.name, "peers": of.peers, "auto_refresh_seconds": of.every_secs }))
        };
        let traced = Traced {
            account: Some(zone.account),
            zone: Some((zone.id, zone.apex.to_string())),
            action: "set",
            kind: "zone_incoming_transfer",
            id: zone.id.to_string(),
            old: shown(old),
            new: shown(new),
        };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await?;
        self.0.copies.due.notify_one();
        Ok(())
    }
}

/// Why what came is not kept.
enum Untaken {
    /// It takes away what is not there: what is kept is not what the primary thinks.
    Gap,
    /// It cannot be a zone here.
    Refused(String),
    /// The store failed.
    Store(AppError),
}

/// Whether records can be a zone: all within it, CNAMEs alone at their names, name servers at its apex, and not too many.
fn check_zone(apex: &Name, records: &[CopiedRecord]) -> Result<(), String> {
    if records.len() > RECORDS_MAX {
        return Err(format!("the zone has {} records: at most {RECORDS_MAX} are taken", records.len()));
    }
    if let Some(stray) = records.iter().find(|record| !record.name.is_within(apex)) {
        return Err(format!("{} does not lie in {apex}", stray.name));
    }
    let mut names: HashMap<&Name, (usize, usize)> = HashMap::new();
    for record in records {
        let (cnames, others) = names.entry(&record.name).or_default();
        *(if record.rdata.rtype() == Rtype::Cname { cnames } else { others }) += 1;
    }
    if let Some((name, _)) =
        names.iter().find(|(name, (cnames, others))| *cnames > 1 || (*cnames == 1 && (*others > 0 || **name == apex)))
    {
        return Err(format!("{name} has a CNAME beside other records"));
    }
    if !records.iter().any(|record| record.name == *apex && record.rdata.rtype() == Rtype::Ns) {
        return Err(format!("{apex} names no name servers"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use poterne_model::rdata::Hosts;

    use super::*;

    fn record(name: &str, rtype: &str, content: &str) -> CopiedRecord {
        let rtype = Rtype::parse(rtype).unwrap();
        let rdata = Rdata::parse(rtype, content, None, Hosts::default()).unwrap();
        CopiedRecord { name: Name::parse(name).unwrap(), rdata, ttl_secs: 300 }
    }

    #[test]
    fn only_what_can_be_a_zone_is_kept() {
        let apex = Name::parse("example.com").unwrap();
        let ns = || record("example.com", "NS", "ns1.example.net");
        let check = |more: Vec<CopiedRecord>| check_zone(&apex, &[vec![ns()], more].concat());
        assert_eq!(
            check(vec![record("www.example.com", "A", "192.0.2.1"), record("a.example.com", "CNAME", "b.example.net")]),
            Ok(())
        );
        for (wrong, why) in [
            (vec![record("www.example.net", "A", "192.0.2.1")], "does not lie in"),
            (
                vec![record("a.example.com", "CNAME", "b.example.net"), record("a.example.com", "TXT", "x")],
                "beside other records",
            ),
            (vec![record("a.example.com", "CNAME", "b.example.net"), record("a.example.com", "CNAME", "c.example.net")], "CNAME"),
            (vec![record("example.com", "CNAME", "b.example.net")], "CNAME"),
        ] {
            let told = check(wrong).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
        assert!(check_zone(&apex, &[record("www.example.com", "A", "192.0.2.1")]).unwrap_err().contains("name servers"));
    }
}
