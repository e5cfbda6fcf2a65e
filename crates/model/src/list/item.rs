//! Items, and their one spelling.

use serde_json::{Map, Value, json};

use super::{COMMENT_CHARS_MAX, ListKind};
use crate::{At, ListItemId, Name, Network, Schema, ShapeError, Timestamp};

/// Longest address of a redirect, in characters.
const URL_CHARS_MAX: usize = 4096;

/// The largest network of IPv4, the largest and the smallest of IPv6 that a list takes, by their bits.
const V4_BITS_MIN: u8 = 8;
const V6_BITS_MIN: u8 = 4;
const V6_BITS_MAX: u8 = 64;

/// An item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListItem {
    /// Its id.
    pub id: ListItemId,
    /// What it is.
    pub value: ItemValue,
    /// For people.
    pub comment: Option<String>,
    /// When it came.
    pub created_on: Timestamp,
    /// When its comment, or what a redirect says, last changed.
    pub modified_on: Timestamp,
}

/// An item as a body brings it.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemDraft {
    /// What it is.
    pub value: ItemValue,
    /// For people.
    pub comment: Option<String>,
}

/// What an item is, in normal form.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemValue {
    /// Of an `ip` list.
    Ip(Network),
    /// Of an `asn` list.
    Asn(u32),
    /// Of a `hostname` list.
    Hostname {
        /// A name, or `*.` and a name: all names below it and, unless excluded, itself.
        name: Name,
        /// Of a wildcard: whether the name itself is left out; where it was said.
        exclude_exact: Option<bool>,
    },
    /// Of a `redirect` list.
    Redirect(Redirect),
}

/// Where requests for an address are led.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// Host and path, perhaps with a scheme; host in lower case.
    pub source_url: String,
    /// As `source_url`, with the path that an absent one means: what makes two redirects the same one.
    key: String,
    /// With a scheme.
    pub target_url: String,
    /// 301, 302, 303, 307 or 308; default 301.
    pub status_code: u16,
    /// What else was said, by the API's words: `include_subdomains`, `subpath_matching`, `preserve_query_string`,
    /// `preserve_path_suffix`. What was not said stays unsaid.
    pub options: Vec<(&'static str, bool)>,
}

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

const OPTIONS: [&str; 4] = ["include_subdomains", "subpath_matching", "preserve_query_string", "preserve_path_suffix"];

impl ItemDraft {
    /// What [`Self::read`] reads: the member that the list's kind is called by.
    pub fn schema() -> Schema {
        let hostname = [("url_hostname", Schema::name().required()), ("exclude_exact_hostname", Schema::boolean())];
        let redirect = [
            ("source_url", Schema::text(URL_CHARS_MAX).required()),
            ("target_url", Schema::text(URL_CHARS_MAX).required()),
            ("status_code", Schema::of(json!({ "type": "integer", "enum": STATUSES })).by_default(301)),
        ];
        let options = OPTIONS.map(|option| (option, Schema::boolean()));
        let of = |name: &'static str, schema: Schema| {
            Schema::object([(name, schema.required()), ("comment", Schema::text(COMMENT_CHARS_MAX))])
        };
        let choices = [
            of("ip", Schema::network()),
            of("asn", Schema::integer(1..=u32::MAX.into())),
            of("hostname", Schema::object(hostname)),
            of("redirect", Schema::object(redirect.into_iter().chain(options))),
        ];
        Schema::any_of(choices)
    }

    /// One item of a body, for a list of that kind.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(at: &At<'_>, kind: ListKind) -> Result<Self, ShapeError> {
        at.object()?;
        let value = match kind {
            ListKind::Ip => ItemValue::Ip(network(&at.required("ip")?)?),
            ListKind::Asn => {
                let given = at.required("asn")?;
                ItemValue::Asn(given.integer(1..=u32::MAX.into())?.try_into().map_err(|_| given.wrong("write a smaller number"))?)
            }
            ListKind::Hostname => hostname(&at.required("hostname")?)?,
            ListKind::Redirect => ItemValue::Redirect(redirect(&at.required("redirect")?)?),
        };
        let comment = at.member("comment").map(|comment| comment.text(COMMENT_CHARS_MAX).map(str::to_owned)).transpose()?;
        Ok(Self { value, comment: comment.filter(|comment| !comment.is_empty()) })
    }
}

impl ItemValue {
    /// What makes two items of one list the same.
    pub fn key(&self) -> String {
        match self {
            Self::Ip(network) => network.to_string(),
            Self::Asn(number) => number.to_string(),
            Self::Hostname { name, .. } => name.to_string(),
            Self::Redirect(redirect) => redirect.key.clone(),
        }
    }

    /// The members that say it in a body.
    pub fn members(&self) -> Map<String, Value> {
        let (key, value) = match self {
            Self::Ip(network) => ("ip", network.to_string().into()),
            Self::Asn(number) => ("asn", (*number).into()),
            Self::Hostname { name, exclude_exact } => {
                let mut value = json!({ "url_hostname": name.as_str() });
                if let Some(exclude) = exclude_exact {
                    value["exclude_exact_hostname"] = (*exclude).into();
                }
                ("hostname", value)
            }
            Self::Redirect(redirect) => {
                let mut value = json!({
                    "source_url": redirect.source_url, "target_url": redirect.target_url, "status_code": redirect.status_code });
                for (option, on) in &redirect.options {
                    value[*option] = (*on).into();
                }
                ("redirect", value)
            }
        };
        Map::from_iter([(key.to_owned(), value)])
    }
}

impl ListItem {
    /// Whether a text that was searched for stands in it, in any case.
    pub fn matches(&self, search: &str) -> bool {
        let search = search.to_lowercase();
        let target = if let ItemValue::Redirect(redirect) = &self.value { redirect.target_url.as_str() } else { "" };
        let texts = [self.value.key(), target.to_lowercase(), self.comment.as_deref().unwrap_or_default().to_lowercase()];
        texts.iter().any(|text| text.contains(&search))
    }
}

/// A single IPv6 address becomes its /64: a visitor has at least that many to choose from.
fn network(at: &At<'_>) -> Result<Network, ShapeError> {
    let text = at.text(64)?;
    let network: Network = text.parse().map_err(|error: crate::NetworkError| ShapeError::new(at.pointer(), error.to_string()))?;
    if network.is_ipv4() {
        return if network.bits() < V4_BITS_MIN { Err(at.wrong("a list takes IPv4 networks of /8 to /32")) } else { Ok(network) };
    }
    match network.bits() {
        V6_BITS_MIN..=V6_BITS_MAX => Ok(network),
        128 if !text.contains('/') => {
            Ok(Network::new(network.address(), V6_BITS_MAX).expect("an IPv6 address has more than 64 bits"))
        }
        _ => Err(at.wrong("a list takes IPv6 networks of /4 to /64")),
    }
}

fn hostname(at: &At<'_>) -> Result<ItemValue, ShapeError> {
    at.object()?;
    let given = at.required("url_hostname")?;
    let name = Name::parse(given.text(254)?).map_err(|error| ShapeError::new(given.pointer(), error.to_string()))?;
    if name.as_str() == "*" {
        return Err(given.wrong("write a name, or *. and a name"));
    }
    let exclude = at.member("exclude_exact_hostname");
    let exclude_exact = exclude.as_ref().map(At::boolean).transpose()?;
    match exclude {
        Some(exclude) if exclude_exact == Some(true) && !name.is_wildcard() => {
            Err(exclude.wrong("only a wildcard such as *.example.com can leave the name itself out"))
        }
        _ => Ok(ItemValue::Hostname { name, exclude_exact }),
    }
}

fn redirect(at: &At<'_>) -> Result<Redirect, ShapeError> {
    at.object()?;
    let given = at.required("source_url")?;
    let (source_url, key) = source(given.text(URL_CHARS_MAX)?)
        .ok_or_else(|| given.wrong("write host and path, as in example.com/old; neither port, query nor fragment"))?;
    let given = at.required("target_url")?;
    let target_url = given.text(URL_CHARS_MAX)?.trim();
    let absolute = ["http://", "https://"].iter().any(|scheme| {
        target_url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) && target_url.len() > scheme.len()
    });
    if !absolute || target_url.contains(|c: char| c.is_control() || c == ' ') {
        return Err(given.wrong("write an address with its scheme, as in https://example.com/new"));
    }
    let mut status_code = 301;
    if let Some(given) = at.member("status_code") {
        let status = given.integer(0..=999)?;
        status_code = STATUSES
            .into_iter()
            .find(|known| i64::from(*known) == status)
            .ok_or_else(|| given.wrong("write one of 301, 302, 303, 307, 308"))?;
    }
    let mut options = Vec::new();
    for option in OPTIONS {
        if let Some(given) = at.member(option) {
            options.push((option, given.boolean()?));
        }
    }
    Ok(Redirect { source_url, key, target_url: target_url.to_owned(), status_code, options })
}

/// The spelling that is told, and the one that is compared.
fn source(text: &str) -> Option<(String, String)> {
    let (scheme, rest) = match text.trim().split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text.trim()),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = Name::parse(host).ok().filter(|host| !host.is_wildcard())?;
    let plain = |c: char| c.is_control() || matches!(c, ' ' | '?' | '#');
    if path.contains(plain) || !scheme.as_deref().is_none_or(|scheme| matches!(scheme, "http" | "https")) {
        return None;
    }
    let start = scheme.map_or_else(|| host.to_string(), |scheme| format!("{scheme}://{host}"));
    let key = format!("{start}{}", if path.is_empty() { "/" } else { path });
    Some((format!("{start}{path}"), key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(kind: ListKind, item: Value) -> Result<Value, String> {
        let draft = ItemDraft::read(&At::new(&item, "/0"), kind).map_err(|error| error.pointer)?;
        Ok(Value::Object(draft.value.members()))
    }

    #[test]
    fn addresses_and_networks_are_bounded_and_canonical() {
        for (given, told) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.7/24", Some("192.0.2.0/24")),
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.0.0.0/7", None),
            ("2001:DB8::7", Some("2001:db8::/64")),
            ("2001:db8::/64", Some("2001:db8::/64")),
            ("2001:db8::/65", None),
            ("2001:db8::7/128", None),
            ("2000::/3", None),
            ("localhost", None),
        ] {
            let expected = told.map(|told| json!({ "ip": told })).ok_or_else(|| "/0/ip".to_owned());
            assert_eq!(read(ListKind::Ip, json!({ "ip": given })), expected, "{given}");
        }
    }

    #[test]
    fn hosts_and_systems_are_read() {
        assert_eq!(read(ListKind::Asn, json!({"asn": 13335})), Ok(json!({"asn": 13335})));
        assert_eq!(read(ListKind::Asn, json!({"asn": 0})), Err("/0/asn".into()));
        assert_eq!(read(ListKind::Asn, json!({"asn": 4_294_967_296_i64})), Err("/0/asn".into()));
        let host = |name: &str, exclude: Option<bool>| {
            read(ListKind::Hostname, json!({"hostname": {"url_hostname": name, "exclude_exact_hostname": exclude}}))
        };
        assert_eq!(host("WWW.Example.com", None), Ok(json!({"hostname": {"url_hostname": "www.example.com"}})));
        assert!(host("*.example.com", Some(true)).is_ok());
        assert_eq!(host("example.com", Some(true)), Err("/0/hostname/exclude_exact_hostname".into()));
        assert_eq!(host("*", None), Err("/0/hostname/url_hostname".into()));
        assert_eq!(read(ListKind::Ip, json!({"asn": 1})), Err("/0/ip".into()));
    }

    #[test]
    fn redirects_say_what_was_said_and_their_status() {
        let given = json!({"redirect": {"source_url": "HTTPS://Example.com/Old", "target_url": "https://example.com/new?a=b",
            "subpath_matching": true, "include_subdomains": null}});
        let told = json!({"redirect": {"source_url": "https://example.com/Old", "target_url": "https://example.com/new?a=b",
            "status_code": 301, "subpath_matching": true}});
        assert_eq!(read(ListKind::Redirect, given), Ok(told));
        for (source, target, status, pointer) in [
            ("example.com/?a", "https://a.test", 301, "/0/redirect/source_url"),
            ("example.com:80/", "https://a.test", 301, "/0/redirect/source_url"),
            ("ftp://example.com/", "https://a.test", 301, "/0/redirect/source_url"),
            ("/old", "https://a.test", 301, "/0/redirect/source_url"),
            ("example.com", "/new", 301, "/0/redirect/target_url"),
            ("example.com", "https://", 301, "/0/redirect/target_url"),
            ("example.com", "javascript:alert(1)", 301, "/0/redirect/target_url"),
            ("example.com", "https://a.test", 304, "/0/redirect/status_code"),
        ] {
            let item = json!({"redirect": {"source_url": source, "target_url": target, "status_code": status}});
            assert_eq!(read(ListKind::Redirect, item), Err(pointer.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn what_is_told_reads_the_same(text in "[a-zA-Z0-9.:/*_-]{0,30}", number: u32) {
            for (kind, item) in [
                (ListKind::Ip, json!({"ip": text})),
                (ListKind::Asn, json!({"asn": number})),
                (ListKind::Hostname, json!({"hostname": {"url_hostname": text}})),
                (ListKind::Redirect, json!({"redirect": {"source_url": text, "target_url": "https://a.test/"}})),
            ] {
                if let Ok(draft) = ItemDraft::read(&At::body(&item), kind) {
                    let again = ItemDraft::read(&At::body(&Value::Object(draft.value.members())), kind).unwrap();
                    prop_assert_eq!(again.value.key(), draft.value.key());
                    prop_assert_eq!(again, draft);
                }
            }
        }
    }
}
