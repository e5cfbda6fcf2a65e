//! DNS records: one at a time, in batches, and whole zones as files.
//!
//! What a record may be is `model`'s to say ([`Draft`], [`conflict`]); here it is compared with what the zone holds, in the session
//! that writes it.

mod brought;
mod file;
mod kept;
mod lines;
mod plan;
#[cfg(test)]
mod tests;

use poterne_control_store::{Record, RecordQuery, Session, Zone};
use poterne_keys::random_bytes;
use poterne_model::{
    Draft, Entry, Name, RecordId, ZoneId, conflict,
    filter::{Order, RecordFilter},
    permission::Subject,
};

pub(crate) use self::{brought::ToldOfFiles, file::MUCH, kept::Places};
pub use self::{
    brought::{Brought, BroughtRecords},
    file::Imported,
    kept::KeptRecord,
};
use crate::{App, AppError, Caller, access::Permission, audit::Traced, chain};

/// Operations of one batch, in the order they are done.
#[derive(Debug, Clone, Default)]
pub struct BatchDrafts {
    /// Records that go.
    pub deletes: Vec<RecordId>,
    /// Records that change.
    pub patches: Vec<(RecordId, Draft)>,
    /// Records that are replaced.
    pub puts: Vec<(RecordId, Draft)>,
    /// Records that come.
    pub posts: Vec<Draft>,
}

/// What a batch did, in the same four lists.
#[derive(Debug, Clone, Default)]
pub struct BatchDone {
    /// Records that are gone.
    pub deletes: Vec<KeptRecord>,
    /// Records that changed.
    pub patches: Vec<KeptRecord>,
    /// Records that were replaced.
    pub puts: Vec<KeptRecord>,
    /// Records that came.
    pub posts: Vec<KeptRecord>,
}

impl App {
    /// Part of a zone's records that pass, and how many pass in all.
    pub async fn record_list(
        &self,
        caller: &Caller,
        zone: ZoneId,
        filter: &RecordFilter,
        order: Order,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<KeptRecord>, u64), AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, READ).await?;
        let places = self.places(&zone);
        let query = RecordQuery { zone: zone.id, filter, order };
        session.record_page(query, offset, count, |record| places.keep(record), |kept| filter.matches(&kept.entry)).await
    }

    /// A zone of the node's first account by its name, with all its records; none: there is no such zone. For the operator.
    pub async fn zone_whole(&self, caller: &Caller, name: &Name) -> Result<Option<(Zone, Vec<Entry>)>, AppError> {
        caller.needs_operator()?;
        let mut session = self.0.store.read().await?;
        let Some(zone) = session.zone_named(self.account(), name).await? else { return Ok(None) };
        let places = self.places(&zone);
        let records = session.records(Some(zone.id)).await?.into_iter();
        let entries = records.map(|record| Ok(places.keep(record)?.entry)).collect::<Result<_, AppError>>()?;
        Ok(Some((zone, entries)))
    }

    /// One record.
    pub async fn record_get(&self, caller: &Caller, zone: ZoneId, id: RecordId) -> Result<KeptRecord, AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, zone, READ).await?;
        self.places(&zone).keep(standing(&mut session, &zone, id).await?)
    }

    /// Makes a record.
    pub async fn record_create(&self, caller: &Caller, zone: ZoneId, draft: Draft) -> Result<KeptRecord, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, EDIT).await?;
        let kept = self.create_in(&mut session, caller, &zone, draft).await?;
        self.finish(session).await?;
        Ok(kept)
    }

    /// Replaces a record: what the draft leaves out goes back to its default.
    pub async fn record_replace(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: RecordId,
        draft: Draft,
    ) -> Result<KeptRecord, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, EDIT).await?;
        let kept = self.replace_in(&mut session, caller, &zone, id, draft).await?;
        self.finish(session).await?;
        Ok(kept)
    }

    /// Changes a record: what the draft leaves out stays.
    pub async fn record_change(&self, caller: &Caller, zone: ZoneId, id: RecordId, draft: Draft) -> Result<KeptRecord, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, EDIT).await?;
        let kept = self.change_in(&mut session, caller, &zone, id, draft).await?;
        self.finish(session).await?;
        Ok(kept)
    }

    /// Takes a record away.
    pub async fn record_delete(&self, caller: &Caller, zone: ZoneId, id: RecordId) -> Result<KeptRecord, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, EDIT).await?;
        let kept = self.delete_one_in(&mut session, caller, &zone, id).await?;
        self.finish(session).await?;
        Ok(kept)
    }

    /// Does all of a batch, deletes first, then changes, replacements and new ones; or nothing of it.
    pub async fn record_batch(&self, caller: &Caller, zone: ZoneId, batch: BatchDrafts) -> Result<BatchDone, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, EDIT).await?;
        let mut done = BatchDone::default();
        for (n, id) in batch.deletes.into_iter().enumerate() {
            let deleted = self.delete_one_in(&mut session, caller, &zone, id).await;
            done.deletes.push(deleted.map_err(in_list("deletes", n))?);
        }
        for (n, (id, draft)) in batch.patches.into_iter().enumerate() {
            let changed = self.change_in(&mut session, caller, &zone, id, draft).await;
            done.patches.push(changed.map_err(in_list("patches", n))?);
        }
        for (n, (id, draft)) in batch.puts.into_iter().enumerate() {
            let replaced = self.replace_in(&mut session, caller, &zone, id, draft).await;
            done.puts.push(replaced.map_err(in_list("puts", n))?);
        }
        for (n, draft) in batch.posts.into_iter().enumerate() {
            let made = self.create_in(&mut session, caller, &zone, draft).await;
            done.posts.push(made.map_err(in_list("posts", n))?);
        }
        self.finish(session).await?;
        Ok(done)
    }

    async fn create_in(&self, session: &mut Session, caller: &Caller, zone: &Zone, draft: Draft) -> Result<KeptRecord, AppError> {
        let entry = self.places(zone).place(|place| draft.complete(place))?;
        self.insert_in(session, caller, zone, entry).await
    }

    /// Adds a record that can stand by itself, if it can stand there.
    pub(crate) async fn insert_in(
        &self,
        session: &mut Session,
        caller: &Caller,
        zone: &Zone,
        entry: Entry,
    ) -> Result<KeptRecord, AppError> {
        let places = self.places(zone);
        self.check_own(session, zone, None, Some(&entry)).await?;
        self.check(session, zone, &entry, None).await?;
        let now = self.now();
        let record = places.record(RecordId::from_bytes(random_bytes()), entry, None, now);
        session.insert_record(&record).await?;
        self.lead(session, zone, &record).await?;
        let kept = places.keep(record)?;
        self.trace(session, caller, traced("rec_add", zone, kept.id, None, Some(&kept.entry))).await?;
        Ok(kept)
    }

    async fn replace_in(
        &self,
        session: &mut Session,
        caller: &Caller,
        zone: &Zone,
        id: RecordId,
        draft: Draft,
    ) -> Result<KeptRecord, AppError> {
        let old = standing(session, zone, id).await?;
        let entry = self.places(zone).place(|place| draft.complete(place))?;
        self.put_in(session, caller, zone, old, entry).await
    }

    async fn change_in(
        &self,
        session: &mut Session,
        caller: &Caller,
        zone: &Zone,
        id: RecordId,
        draft: Draft,
    ) -> Result<KeptRecord, AppError> {
        let places = self.places(zone);
        let old = standing(session, zone, id).await?;
        let before = places.keep(old.clone())?.entry;
        let entry = places.place(|place| draft.over(&before, place))?;
        self.put_in(session, caller, zone, old, entry).await
    }

    async fn put_in(
        &self,
        session: &mut Session,
        caller: &Caller,
        zone: &Zone,
        old: Record,
        entry: Entry,
    ) -> Result<KeptRecord, AppError> {
        let places = self.places(zone);
        let before = places.keep(old.clone())?;
        self.check_own(session, zone, Some(&before.entry), Some(&entry)).await?;
        self.check(session, zone, &entry, Some(old.id)).await?;
        let record = places.record(old.id, entry, Some(&old), self.now());
        session.delete_record(old.id).await?;
        session.insert_record(&record).await?;
        self.lead(session, zone, &record).await?;
        let kept = places.keep(record)?;
        self.trace(session, caller, traced("rec_set", zone, kept.id, Some(&before.entry), Some(&kept.entry))).await?;
        Ok(kept)
    }

    async fn delete_one_in(
        &self,
        session: &mut Session,
        caller: &Caller,
        zone: &Zone,
        id: RecordId,
    ) -> Result<KeptRecord, AppError> {
        let kept = self.places(zone).keep(standing(session, zone, id).await?)?;
        self.check_own(session, zone, Some(&kept.entry), None).await?;
        session.delete_record(id).await?;
        self.trace(session, caller, traced("rec_del", zone, id, Some(&kept.entry), None)).await?;
        Ok(kept)
    }

    /// Whether the record can stand beside those at its name, but for the one it takes the place of.
    pub(crate) async fn check(
        &self,
        session: &mut Session,
        zone: &Zone,
        entry: &Entry,
        instead_of: Option<RecordId>,
    ) -> Result<(), AppError> {
        let places = self.places(zone);
        let mut others = Vec::new();
        for record in session.records_at(zone.id, entry.name.as_str()).await? {
            if Some(record.id) != instead_of {
                others.push(places.keep(record)?.entry);
            }
        }
        conflict::check(&others, entry, &plan::conflict_zone(zone))?;
        Ok(())
    }

    /// Where a web record leads is walked before it is kept: no loops, no foreign tunnels.
    async fn lead(&self, session: &mut Session, zone: &Zone, record: &Record) -> Result<(), AppError> {
        if record.kind == poterne_model::RecordType::Cname {
            let settings = self.settings();
            chain::walk(session, zone.account, &record.name, chain::Domains::of(&settings)).await?;
        }
        Ok(())
    }
}

const READ: Permission = Subject::DnsRecords.to_read();
const EDIT: Permission = Subject::DnsRecords.to_edit();

async fn standing(session: &mut Session, zone: &Zone, id: RecordId) -> Result<Record, AppError> {
    session.record(zone.id, id).await?.ok_or(AppError::NotFound("record"))
}

/// Says which operation of a batch it was.
pub(crate) fn in_list(part: &'static str, n: usize) -> impl FnOnce(AppError) -> AppError {
    move |error| AppError::InBatch { pointer: format!("/{part}/{n}"), error: Box::new(error) }
}

fn traced(action: &'static str, zone: &Zone, id: RecordId, old: Option<&Entry>, new: Option<&Entry>) -> Traced {
    let shown = |entry: &Entry| {
        serde_json::json!({
            "name": entry.name, "type": entry.rdata.rtype().to_string(), "content": entry.rdata.content(),
            "priority": entry.rdata.priority(), "ttl": entry.ttl_secs, "proxied": entry.proxied, "comment": entry.comment,
            "tags": entry.tags,
        })
    };
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action,
        kind: "dns_record",
        id: id.to_string(),
        old: old.map(shown),
        new: new.map(shown),
    }
}
