//! Between rows of the store and records of the model.

use std::net::IpAddr;

use poterne_control_store::{Record, RecordBrief, StoreError, Zone};
use poterne_model::{
    Entry, EntryError, Name, Rdata, RecordId, RecordType, Rtype, ZoneId,
    entry::{Place, Settings},
    proxy::Edge,
    rdata::Hosts,
};
use serde_json::{Map, Value};

use crate::{App, AppError, idn, route::MANAGED_BY_TUNNEL};

/// A record as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptRecord {
    /// Its id.
    pub id: RecordId,
    /// Its zone.
    pub zone: ZoneId,
    /// The zone's name.
    pub zone_name: Name,
    /// The record itself.
    pub entry: Entry,
    /// Whether the edge could stand before it.
    pub proxiable: bool,
    /// Whether a tunnel's route made it.
    pub managed_by_tunnel: bool,
    /// When it was made, in microseconds since the Unix epoch.
    pub created_at: i64,
    /// When it was last changed.
    pub modified_at: i64,
    /// When its comment was last changed.
    pub comment_modified_at: Option<i64>,
    /// When its tags were last changed.
    pub tags_modified_at: Option<i64>,
}

/// What records of a zone depend on.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    zone: ZoneId,
    apex: Name,
    tunnel_domain: Option<Name>,
    own: Vec<IpAddr>,
    allowed: Vec<poterne_model::Network>,
}

impl App {
    /// Where the drafts of a zone's records become records.
    pub(crate) fn places(&self, zone: &Zone) -> Places {
        let settings = self.settings();
        let allows =
            |range: &&crate::OriginRange| range.accounts.as_ref().is_none_or(|accounts| accounts.contains(&zone.account));
        Places {
            zone: zone.id,
            apex: zone.apex.clone(),
            tunnel_domain: settings.tunnel_domain,
            own: settings.public_addresses,
            allowed: settings.origins_allowed.iter().filter(allows).map(|range| range.network).collect(),
        }
    }
}

impl Places {
    /// With the place itself.
    pub(crate) fn place<T>(&self, with: impl FnOnce(&Place<'_>) -> Result<T, EntryError>) -> Result<T, EntryError> {
        let allows = |address: IpAddr| self.allowed.iter().any(|network| network.contains(address));
        let edge = Edge { addresses: &self.own, allows: &allows };
        let tunnel_domain = self.tunnel_domain.as_ref();
        with(&Place { apex: &self.apex, tunnel_domain, edge, to_ascii: idn::to_ascii })
    }

    /// A row as a record.
    pub(crate) fn keep(&self, record: Record) -> Result<KeptRecord, AppError> {
        let entry = Entry {
            name: record.name,
            rdata: rdata(record.kind.as_str(), &record.content, record.priority)?,
            ttl_secs: record.ttl_secs,
            proxied: record.proxied,
            settings: settings(&record.settings)?,
            comment: record.comment,
            tags: record.tags,
        };
        let proxiable = self.place(|place| Ok(place.is_proxiable(&entry))).unwrap_or(false);
        Ok(KeptRecord {
            id: record.id,
            zone: record.zone,
            zone_name: self.apex.clone(),
            entry,
            proxiable,
            managed_by_tunnel: record.managed_by.as_deref() == Some(MANAGED_BY_TUNNEL),
            created_at: record.created_at,
            modified_at: record.modified_at,
            comment_modified_at: record.comment_modified_at,
            tags_modified_at: record.tags_modified_at,
        })
    }

    /// A record as a row; in place of `old`, which it keeps the history of. A record that a person changed is a person's.
    pub(crate) fn record(&self, id: RecordId, entry: Entry, old: Option<&Record>, now: i64) -> Record {
        let changed = |same: bool, before: Option<i64>, is_there: bool| {
            if same { before } else { is_there.then_some(now) }
        };
        let comment_same = old.map_or(entry.comment.is_none(), |old| old.comment == entry.comment);
        let tags_same = old.map_or(entry.tags.is_empty(), |old| old.tags == entry.tags);
        Record {
            id,
            zone: self.zone,
            name: entry.name,
            kind: RecordType::from(entry.rdata.rtype().to_string()),
            content: entry.rdata.content(),
            priority: entry.rdata.priority(),
            ttl_secs: entry.ttl_secs,
            proxied: entry.proxied,
            settings: settings_json(entry.settings),
            comment_modified_at: changed(comment_same, old.and_then(|old| old.comment_modified_at), entry.comment.is_some()),
            tags_modified_at: changed(tags_same, old.and_then(|old| old.tags_modified_at), !entry.tags.is_empty()),
            comment: entry.comment,
            tags: entry.tags,
            managed_by: None,
            created_at: old.map_or(now, |old| old.created_at),
            modified_at: now,
        }
    }
}

/// A record of which is read what decides who may stand beside it: without comment and tags.
pub(super) fn entry_of(brief: RecordBrief) -> Result<Entry, AppError> {
    Ok(Entry {
        rdata: rdata(brief.kind.as_str(), &brief.content, brief.priority)?,
        name: brief.name,
        ttl_secs: brief.ttl_secs,
        proxied: brief.proxied,
        settings: settings(&brief.settings)?,
        comment: None,
        tags: Vec::new(),
    })
}

/// Data as it is kept.
pub(super) fn rdata(kind: &str, content: &str, priority: Option<u16>) -> Result<Rdata, AppError> {
    let hosts = Hosts { origin: None, to_ascii: idn::to_ascii };
    let rtype = Rtype::parse(kind).map_err(damaged)?;
    Rdata::parse(rtype, content, priority, hosts).map_err(damaged)
}

/// Settings as they are kept: JSON of those that are set.
pub(super) fn settings_json(settings: Settings) -> String {
    let Settings { ipv4_only, ipv6_only, flatten_cname } = settings;
    let flags = [("ipv4_only", ipv4_only), ("ipv6_only", ipv6_only), ("flatten_cname", flatten_cname)];
    let set: Map<String, Value> = flags.into_iter().filter_map(|(name, flag)| Some((name.to_owned(), flag?.into()))).collect();
    Value::Object(set).to_string()
}

pub(super) fn settings(json: &str) -> Result<Settings, AppError> {
    if json == "{}" {
        return Ok(Settings::default());
    }
    let settings: Map<String, Value> = serde_json::from_str(json).map_err(damaged)?;
    let flag = |name: &str| settings.get(name).and_then(Value::as_bool);
    Ok(Settings { ipv4_only: flag("ipv4_only"), ipv6_only: flag("ipv6_only"), flatten_cname: flag("flatten_cname") })
}

fn damaged(why: impl std::fmt::Display) -> AppError {
    AppError::Store(StoreError::Damaged { what: "record", why: why.to_string() })
}
