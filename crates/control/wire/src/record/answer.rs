//! Answers: records as clients read them (api-v4 §4.1).

use poterne_model::{
    Entry, Name, RecordId, Rtype, ZoneId,
    entry::Settings,
    rdata::{Field, Member},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A record and what is kept beside it. Times are microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Its id.
    pub id: RecordId,
    /// Its zone.
    pub zone: ZoneId,
    /// The zone's apex.
    pub zone_name: &'a Name,
    /// The record.
    pub entry: &'a Entry,
    /// Whether the edge could stand before it.
    pub proxiable: bool,
    /// Whether a tunnel's route made it.
    pub managed_by_tunnel: bool,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub modified_at: i64,
    /// When its comment was last changed.
    pub comment_modified_at: Option<i64>,
    /// When its tags were last changed.
    pub tags_modified_at: Option<i64>,
}

/// A record as it is answered.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordAnswer {
    /// Its id.
    pub id: RecordId,
    /// Its zone. Gone from the hosted service's answers; clients still read it.
    pub zone_id: ZoneId,
    /// Its zone's name; likewise.
    pub zone_name: Name,
    /// The owner name.
    pub name: Name,
    /// The type.
    #[serde(rename = "type")]
    pub rtype: String,
    /// The content.
    pub content: String,
    /// The priority, for the types that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
    /// The members, for the types that have some. Numbers are numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Map<String, Value>>,
    /// Whether it could be proxied.
    pub proxiable: bool,
    /// Whether it is.
    pub proxied: bool,
    /// Seconds; 1 is automatic.
    pub ttl: u32,
    /// Always false; old clients decode it.
    #[serde(default)]
    pub locked: bool,
    /// Settings, those that were given.
    pub settings: RecordSettings,
    /// Where it comes from.
    pub meta: RecordMeta,
    /// A note, or null. Never null for OPENPGPKEY, whose declared schema wants a text.
    pub comment: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// When it was made.
    pub created_on: String,
    /// When it was last changed.
    pub modified_on: String,
    /// When its comment was last changed; only where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment_modified_on: Option<String>,
    /// When its tags were last changed; only where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags_modified_on: Option<String>,
}

/// The settings that were given.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSettings {
    /// Only the edge's IPv4 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4_only: Option<bool>,
    /// Only the edge's IPv6 addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_only: Option<bool>,
    /// Addresses instead of the CNAME.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flatten_cname: Option<bool>,
}

/// Where a record comes from.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordMeta {
    /// A scan found it.
    #[serde(default)]
    pub auto_added: bool,
    /// Another feature made it.
    #[serde(default)]
    pub managed_by_apps: bool,
    /// A tunnel's route made it.
    #[serde(default)]
    pub managed_by_argo_tunnel: bool,
}

impl From<Kept<'_>> for RecordAnswer {
    fn from(kept: Kept<'_>) -> Self {
        let Entry { name, rdata, ttl_secs, proxied, settings, comment, tags } = kept.entry;
        let Settings { ipv4_only, ipv6_only, flatten_cname } = *settings;
        let nothing = (rdata.rtype() == Rtype::Openpgpkey).then(String::new);
        Self {
            id: kept.id,
            zone_id: kept.zone,
            zone_name: kept.zone_name.clone(),
            name: name.clone(),
            rtype: rdata.rtype().to_string(),
            content: rdata.content(),
            priority: rdata.priority(),
            data: rdata.members().map(|members| members.iter().map(|member| (member.name.to_owned(), json(member))).collect()),
            proxiable: kept.proxiable,
            proxied: *proxied,
            ttl: *ttl_secs,
            locked: false,
            settings: RecordSettings { ipv4_only, ipv6_only, flatten_cname },
            meta: RecordMeta { managed_by_argo_tunnel: kept.managed_by_tunnel, ..RecordMeta::default() },
            comment: comment.clone().or(nothing),
            tags: tags.clone(),
            created_on: timestamp(kept.created_at),
            modified_on: timestamp(kept.modified_at),
            comment_modified_on: kept.comment_modified_at.filter(|_| comment.is_some()).map(timestamp),
            tags_modified_on: kept.tags_modified_at.filter(|_| !tags.is_empty()).map(timestamp),
        }
    }
}

/// The result of a batch: all four lists, empty where nothing was done.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as the request calls them")]
pub struct BatchAnswer {
    pub deletes: Vec<RecordAnswer>,
    pub patches: Vec<RecordAnswer>,
    pub puts: Vec<RecordAnswer>,
    pub posts: Vec<RecordAnswer>,
}

/// RFC 3339 with microseconds and `Z` (api-v4 §1.6). Beyond the calendar's ends (years −9999 and 9999) it is the nearer end.
pub fn timestamp(micros: i64) -> String {
    let end = if micros < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    format!("{:.6}", jiff::Timestamp::from_microsecond(micros).unwrap_or(end))
}

fn json(member: &Member) -> Value {
    match member.field() {
        // 46 rather than 46.0: clients compare what they read with what they sent.
        Field::Number(number) if number.fract() == 0.0 => {
            let whole = format!("{number:.0}").parse::<i64>();
            whole.map_or_else(|_| Value::from(number), Value::from)
        }
        Field::Number(number) => Value::from(number),
        Field::Text(text) => Value::String(text),
    }
}
