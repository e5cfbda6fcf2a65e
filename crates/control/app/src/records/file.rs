//! A zone's records as a file, in and out (api-v4 §4.4).

use poterne_control_zonefile::{Soa, export, import};
use poterne_model::{Name, RecordId, ZoneId};

use super::{EDIT, READ, traced};
use crate::{App, AppError, Caller};

/// What a file brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// Records that were added.
    pub added: usize,
    /// Records that the file holds.
    pub parsed: usize,
}

impl App {
    /// Takes in a zone file; what is there already is passed over. All of it, or nothing.
    pub async fn record_import(&self, caller: &Caller, zone: ZoneId, file: &[u8], proxied: bool) -> Result<Imported, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, EDIT).await?;
        let places = self.places(&zone);
        let mut read = None;
        places.place(|place| {
            read = Some(import(file, place, proxied));
            Ok(())
        })?;
        let read = read.expect("a place is where a file is read");
        let read = read
            .map_err(|errors| AppError::ZoneFile(errors.into_iter().map(|error| (error.code(), error.to_string())).collect()))?;
        if let Some((_, entry)) = read.entries.first() {
            self.check_own(&mut session, &zone, None, Some(entry)).await?;
        }
        let mut added = 0;
        for (line, entry) in read.entries {
            match self.check(&mut session, &zone, &entry, None).await {
                Ok(()) => {}
                // There already, in these or other letters.
                Err(AppError::Conflict(conflict)) if matches!(conflict.code(), 81057 | 81058) => continue,
                Err(AppError::Conflict(conflict)) => {
                    return Err(AppError::ZoneFile(vec![(conflict.code(), format!("line {line}: {conflict}"))]));
                }
                Err(error) => return Err(error),
            }
            let record = places.record(RecordId::from_bytes(poterne_keys::random_bytes()), entry.clone(), None, self.now());
            session.insert_record(&record).await?;
            self.lead(&mut session, &zone, &record).await?;
            self.trace(&mut session, caller, traced("rec_add", &zone, record.id, None, Some(&entry))).await?;
            added += 1;
        }
        self.finish(session).await?;
        Ok(Imported { added, parsed: read.parsed })
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
