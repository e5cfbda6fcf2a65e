//! One record with its attributes, as the API keeps it; and what a client submits before it is one.
//!
//! A [`Draft`] holds what was submitted, each part of which may be missing. [`Draft::complete`] makes a record of it as a create or a
//! replacement does, with defaults for what is missing; [`Draft::over`] as a change does, keeping what is missing as it was. Both
//! refuse what cannot stand by itself. What cannot stand beside others at its name is [`conflict`](crate::conflict)'s to say.

#[cfg(test)]
mod tests;

use crate::{
    Name, NameError,
    chain::tunnel_of,
    proxy::{self, Edge, Unproxiable},
    rdata::{Fields, Host, Hosts, Rdata, RdataError, Rtype},
};

/// The TTL that means "automatic": served as 300 seconds.
pub const TTL_AUTOMATIC: u32 = 1;

/// Shortest TTL in seconds, automatic aside. The hosted service's paid minimum (edge-behaviour §1.4): there are no plans here.
pub const TTL_SECS_MIN: u32 = 30;

/// Longest TTL in seconds: a day.
pub const TTL_SECS_MAX: u32 = 86_400;

/// Longest comment, in characters.
pub const COMMENT_CHARS_MAX: usize = 500;

/// Most tags of one record.
pub const TAGS_MAX: usize = 20;

/// Longest name of a tag, in characters.
pub const TAG_NAME_CHARS_MAX: usize = 32;

/// Longest value of a tag, in characters.
pub const TAG_VALUE_CHARS_MAX: usize = 100;

/// How no tag may begin: zone files carry attributes as such tags (api-v4 §4.4).
pub const RESERVED_TAGS: &str = "cf-";

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its owner name, absolute.
    pub name: Name,
    /// Its data.
    pub rdata: Rdata,
    /// Seconds; [`TTL_AUTOMATIC`] where proxied.
    pub ttl_secs: u32,
    /// Whether the edge stands before it.
    pub proxied: bool,
    /// What else the edge is told of it.
    pub settings: Settings,
    /// A person's note; not empty.
    pub comment: Option<String>,
    /// `name:value` or `name`, each once.
    pub tags: Vec<String>,
}

/// The known settings of a record; absent ones are shown as absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settings {
    /// Answer only with the edge's IPv4 addresses.
    pub ipv4_only: Option<bool>,
    /// Answer only with the edge's IPv6 addresses.
    pub ipv6_only: Option<bool>,
    /// Answer a CNAME with the addresses it leads to.
    pub flatten_cname: Option<bool>,
}

/// What was submitted. Outer `None`: not given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Draft {
    /// The owner name, relative or not.
    pub name: Option<String>,
    /// The type.
    pub rtype: Option<String>,
    /// Presentation text.
    pub content: Option<String>,
    /// Named members; not empty.
    pub data: Option<Fields>,
    /// The priority beside content or data.
    pub priority: Option<u16>,
    /// The TTL in seconds.
    pub ttl_secs: Option<u32>,
    /// Whether the edge stands before it.
    pub proxied: Option<bool>,
    /// Settings.
    pub settings: Option<Settings>,
    /// A note; an empty one takes it away.
    pub comment: Option<String>,
    /// Tags; an empty list takes them away.
    pub tags: Option<Vec<String>>,
}

/// Where a draft becomes a record.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The zone's apex.
    pub apex: &'a Name,
    /// The node's own domain for tunnels.
    pub tunnel_domain: Option<&'a Name>,
    /// What the node knows of addresses.
    pub edge: Edge<'a>,
    /// Turns names in other letters into A-labels.
    pub to_ascii: fn(&str) -> Result<String, NameError>,
}

/// Why a draft is no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Something every record has is not there.
    #[error("a record needs {0:?}: add it")]
    Missing(&'static str),
    /// The owner name is none.
    #[error("the record's name is none: {0}")]
    Name(#[from] NameError),
    /// The type cannot be made.
    #[error("{0} records cannot be made: they are only kept as a zone file brings them")]
    NotOffered(Rtype),
    /// The type would change.
    #[error("this is an {standing} record and stays one: delete it and create the {wanted} record, or replace it with PUT")]
    TypeFixed {
        /// What it is.
        standing: Rtype,
        /// What it would become.
        wanted: Rtype,
    },
    /// The data is none.
    #[error(transparent)]
    Rdata(#[from] RdataError),
    /// The TTL is out of bounds.
    #[error("the ttl {0} is out of bounds: give {TTL_SECS_MIN} to {TTL_SECS_MAX} seconds, or 1 for automatic")]
    Ttl(u32),
    /// The edge cannot stand before it.
    #[error(transparent)]
    Unproxiable(#[from] Unproxiable),
    /// Settings that exclude each other.
    #[error("ipv4_only and ipv6_only cannot both be true: the name would have no address")]
    NoFamily,
    /// The comment is too long or no text.
    #[error("the comment {0:?}… cannot be kept: {COMMENT_CHARS_MAX} characters without control characters are the most")]
    Comment(String),
    /// A tag is malformed.
    #[error(
        "{0:?} is not a tag: write name or name:value, the name in at most {TAG_NAME_CHARS_MAX} letters, digits, '-' and '_', the value in at most {TAG_VALUE_CHARS_MAX} characters"
    )]
    Tag(String),
    /// A tag that means an attribute.
    #[error(
        "the tag {0:?} cannot be set, since tags that begin with \"{RESERVED_TAGS}\" stand for attributes in zone files: name it otherwise"
    )]
    ReservedTag(String),
    /// Too many tags.
    #[error("{0} tags are too many: {TAGS_MAX} are the most")]
    Tags(usize),
}

impl EntryError {
    /// The v4 API's code (api-v4 §1.9); 1004 is its general one, where no code of its own is known.
    pub fn code(&self) -> i64 {
        match self {
            Self::Missing(_) => 9101,
            Self::Name(_) => 9000,
            Self::Rdata(error) => error.code(),
            Self::Ttl(_) => 9021,
            Self::Unproxiable(_) => 9004,
            _ => 1004,
        }
    }
}

impl Place<'_> {
    fn hosts(&self) -> Hosts<'_> {
        Hosts { origin: None, to_ascii: self.to_ascii }
    }

    /// An owner name as submitted.
    pub fn name(&self, text: &str) -> Result<Name, NameError> {
        if text.is_ascii() { Name::in_zone(text, self.apex) } else { Name::in_zone(&(self.to_ascii)(text)?, self.apex) }
    }

    /// Whether the record can be proxied.
    pub fn is_proxiable(&self, entry: &Entry) -> bool {
        proxy::check(&entry.name, &entry.rdata, &self.edge).is_ok()
    }

    /// Whether the data leads to a tunnel, which only works through the edge (edge-behaviour §1.7).
    fn leads_to_tunnel(&self, rdata: &Rdata) -> bool {
        matches!(rdata, Rdata::Cname(Host::Name(target)) if tunnel_of(target, self.tunnel_domain).is_some())
    }
}

impl Draft {
    /// A whole record: what is missing has its default.
    pub fn complete(self, place: &Place<'_>) -> Result<Entry, EntryError> {
        let name = self.name.as_deref().filter(|name| !name.is_empty()).ok_or(EntryError::Missing("name"))?;
        let name = place.name(name)?;
        let rtype = Rtype::parse(self.rtype.as_deref().filter(|rtype| !rtype.is_empty()).ok_or(EntryError::Missing("type"))?)?;
        if !rtype.is_offered() {
            return Err(EntryError::NotOffered(rtype));
        }
        let rdata = self.rdata(rtype, self.priority, place)?.ok_or(EntryError::Missing("content"))?;
        let entry = Entry {
            name,
            rdata,
            ttl_secs: self.ttl_secs.unwrap_or(TTL_AUTOMATIC),
            proxied: self.proxied.unwrap_or(false),
            settings: self.settings.unwrap_or_default(),
            comment: self.comment,
            tags: self.tags.unwrap_or_default(),
        };
        entry.checked(place)
    }

    /// A changed record: what is missing stays as it is.
    pub fn over(self, standing: &Entry, place: &Place<'_>) -> Result<Entry, EntryError> {
        let rtype = standing.rdata.rtype();
        if let Some(wanted) = self.rtype.as_deref().filter(|wanted| !wanted.is_empty()) {
            let wanted = Rtype::parse(wanted)?;
            if wanted != rtype {
                return Err(EntryError::TypeFixed { standing: rtype, wanted });
            }
        }
        let name = match self.name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => place.name(name)?,
            None => standing.name.clone(),
        };
        let priority = self.priority.or(standing.rdata.priority());
        let rdata = match self.rdata(rtype, priority, place)? {
            Some(rdata) => rdata,
            None if self.priority.is_some() => Rdata::parse(rtype, &standing.rdata.content(), priority, place.hosts())?,
            None => standing.rdata.clone(),
        };
        let entry = Entry {
            name,
            rdata,
            ttl_secs: self.ttl_secs.unwrap_or(standing.ttl_secs),
            proxied: self.proxied.unwrap_or(standing.proxied),
            settings: self.settings.unwrap_or(standing.settings),
            comment: self.comment.or_else(|| standing.comment.clone()),
            tags: self.tags.unwrap_or_else(|| standing.tags.clone()),
        };
        entry.checked(place)
    }

    /// Members go before content where the type has them; some clients send both, one of them for nothing (api-v4 §0.11).
    fn rdata(&self, rtype: Rtype, priority: Option<u16>, place: &Place<'_>) -> Result<Option<Rdata>, RdataError> {
        let content = self.content.as_deref().filter(|content| !content.is_empty());
        match (&self.data, content) {
            (Some(data), _) if rtype.is_structured() => Rdata::from_fields(rtype, data, priority, place.hosts()).map(Some),
            (_, Some(content)) => Rdata::parse(rtype, content, priority, place.hosts()).map(Some),
            _ => Ok(None),
        }
    }
}

impl Entry {
    /// The record as it is kept, if it can stand by itself: automatic in TTL where proxied, proxied where it leads to a tunnel.
    pub fn checked(mut self, place: &Place<'_>) -> Result<Self, EntryError> {
        self.proxied |= place.leads_to_tunnel(&self.rdata);
        if self.proxied {
            proxy::check(&self.name, &self.rdata, &place.edge)?;
            self.ttl_secs = TTL_AUTOMATIC;
        }
        if self.ttl_secs != TTL_AUTOMATIC && !(TTL_SECS_MIN..=TTL_SECS_MAX).contains(&self.ttl_secs) {
            return Err(EntryError::Ttl(self.ttl_secs));
        }
        if self.settings.ipv4_only == Some(true) && self.settings.ipv6_only == Some(true) {
            return Err(EntryError::NoFamily);
        }
        self.comment = self.comment.filter(|comment| !comment.is_empty());
        if let Some(comment) = &self.comment
            && (comment.chars().count() > COMMENT_CHARS_MAX || comment.chars().any(char::is_control))
        {
            return Err(EntryError::Comment(comment.chars().take(80).collect()));
        }
        check_tags(&mut self.tags)?;
        Ok(self)
    }
}

fn check_tags(tags: &mut Vec<String>) -> Result<(), EntryError> {
    if tags.len() > TAGS_MAX {
        return Err(EntryError::Tags(tags.len()));
    }
    for tag in &*tags {
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        if name.get(..RESERVED_TAGS.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_TAGS)) {
            return Err(EntryError::ReservedTag(tag.chars().take(80).collect()));
        }
        let fine = (1..=TAG_NAME_CHARS_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && value.chars().count() <= TAG_VALUE_CHARS_MAX
            && !value.chars().any(char::is_control);
        if !fine {
            return Err(EntryError::Tag(tag.chars().take(80).collect()));
        }
    }
    let mut once: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags.drain(..) {
        if !once.contains(&tag) {
            once.push(tag);
        }
    }
    *tags = once;
    Ok(())
}
