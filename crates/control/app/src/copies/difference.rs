//! What a version of a copied zone changes of the one that is kept. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use poterne_control_store::Record;
use poterne_keys::random_bytes;
use poterne_model::{
    Entry, Name, RecordId,
    entry::{Settings as EntrySettings, TTL_AUTOMATIC, TTL_SECS_MAX, TTL_SECS_MIN},
};

use super::CopiedRecord;
use crate::records::Places;

/// Rows that go and rows that come; one that changes does both under its id.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) go: Vec<Record>,
    pub(super) come: Vec<Record>,
}

/// What tells records of a zone apart.
type Key = (Name, String, String, Option<u16>);

impl Difference {
    /// From what is kept to what came. Names that are proxied stay so where `overrides` says so; refused, with the reason, where what came
    /// for one cannot be.
    pub(super) fn of(
        places: &Places,
        now: i64,
        kept: Vec<Record>,
        wanted: Vec<CopiedRecord>,
        overrides: bool,
    ) -> Result<Self, String> {
        let proxied: BTreeSet<Name> =
            kept.iter().filter(|record| record.proxied && overrides).map(|record| record.name.clone()).collect();
        let key = |record: &Record| -> Key {
            (record.name.clone(), record.kind.as_str().to_owned(), record.content.clone(), record.priority)
        };
        let mut old: HashMap<Key, Record> = kept.into_iter().map(|record| (key(&record), record)).collect();
        let (mut seen, mut difference) = (HashSet::new(), Self::default());
        for CopiedRecord { name, rdata, ttl_secs } in wanted {
            let key: Key = (name.clone(), rdata.rtype().to_string(), rdata.content(), rdata.priority());
            let was = old.remove(&key);
            if !seen.insert(key) {
                // Twice the same, in other letters.
                continue;
            }
            let is_proxied = rdata.rtype().is_web() && proxied.contains(&name);
            let ttl_secs =
                if is_proxied || ttl_secs == TTL_AUTOMATIC { TTL_AUTOMATIC } else { ttl_secs.clamp(TTL_SECS_MIN, TTL_SECS_MAX) };
            if was.as_ref().is_some_and(|was| was.ttl_secs == ttl_secs && was.proxied == is_proxied) {
                continue;
            }
            let entry = Entry {
                name,
                rdata,
                ttl_secs,
                proxied: is_proxied,
                settings: EntrySettings::default(),
                comment: was.as_ref().and_then(|was| was.comment.clone()),
                tags: was.as_ref().map_or_else(Vec::new, |was| was.tags.clone()),
            };
            if is_proxied && !places.place(|place| Ok(place.is_proxiable(&entry))).unwrap_or(false) {
                let (name, content) = (&entry.name, entry.rdata.content());
                return Err(format!("{name} is proxied here, and its new address or target cannot be: {content}"));
            }
            let id = was.as_ref().map_or_else(|| RecordId::from_bytes(random_bytes()), |was| was.id);
            let mut record = places.record(id, entry, was.as_ref(), now);
            if let Some(was) = was {
                record.settings.clone_from(&was.settings);
                difference.go.push(was);
            }
            difference.come.push(record);
        }
        difference.go.extend(old.into_values());
        Ok(difference)
    }
}
