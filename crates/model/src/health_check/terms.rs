//! What a check says, as a client writes it (the v4 API's `/zones/{zone}/healthchecks`).

use std::{collections::BTreeMap, fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::code::CodeRange;
use crate::{At, Name, Schema, ShapeError, word::words};

/// Longest name, description, path and expected text, in characters.
const NAME_CHARS_MAX: usize = 255;
const DESCRIPTION_CHARS_MAX: usize = 1024;
const PATH_CHARS_MAX: usize = 2048;
const BODY_CHARS_MAX: usize = 1024;
/// Most fields that a request has beside its own, values of one, and the longest value, in bytes.
const FIELDS_MAX: usize = 16;
const VALUES_MAX: usize = 4;
const VALUE_BYTES_MAX: usize = 1024;
/// Most statuses, or classes of them, that are taken for good.
const CODES_MAX: usize = 16;
/// Seconds between two looks. Less would be a load that nobody asked the origin about.
const INTERVAL_SECS_MIN: i64 = 5;
const INTERVAL_SECS_MAX: i64 = 3600;
const TIMEOUT_SECS_MAX: i64 = 10;
const RETRIES_MAX: i64 = 5;
const CONSECUTIVE_MAX: i64 = 10;

/// Fields that are the connection's affair, and never a user's.
const FIELDS_KEPT: [&str; 9] =
    ["connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

words! {
    /// How an origin is asked.
    pub enum CheckKind {
        /// By a request in clear.
        Http = "HTTP",
        /// By a request over TLS.
        Https = "HTTPS",
        /// By a connection, and nothing more.
        Tcp = "TCP",
    }
}

words! {
    /// With which method.
    pub enum HttpMethod {
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
    }
}

words! {
    /// From where an origin is asked. It is kept and told; every node of this instance asks, wherever it is.
    #[allow(missing_docs, reason = "the API's own words")]
    pub enum Region {
        Wnam = "WNAM",
        Enam = "ENAM",
        Weu = "WEU",
        Eeu = "EEU",
        Nsam = "NSAM",
        Ssam = "SSAM",
        Oc = "OC",
        Me = "ME",
        Naf = "NAF",
        Saf = "SAF",
        In = "IN",
        Sas = "SAS",
        Seas = "SEAS",
        Neas = "NEAS",
        All = "ALL_REGIONS",
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckedAddress {
    /// An address.
    Ip(IpAddr),
    /// Whatever a name leads to.
    Name(Name),
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheckTerms {
    /// What it is called: letters, digits, `-` and `_`.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// What is asked.
    pub address: CheckedAddress,
    /// How.
    pub kind: CheckKind,
    /// Seconds between two looks. Default 60.
    pub interval_secs: u32,
    /// Seconds that the origin has for all of its answer. Default 5.
    pub timeout_secs: u32,
    /// How often it is asked once more, at once, where it did not answer in time. Default 2.
    pub retries: u32,
    /// Looks in a row that must fail until it is unhealthy. Default 1.
    pub consecutive_fails: u32,
    /// Looks in a row that must not until it is healthy. Default 1.
    pub consecutive_successes: u32,
    /// Whether nobody asks.
    pub suspended: bool,
    /// From where, as it was written; none: nothing was.
    pub regions: Option<Vec<Region>>,
    /// Always there where `kind` is by a request; else as it was written.
    pub http: Option<HttpTerms>,
    /// Always there where `kind` is by a connection; else as it was written.
    pub tcp: Option<TcpTerms>,
}

/// What is asked by a request, and what is a good answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTerms {
    /// With which method.
    pub method: HttpMethod,
    /// Path and query.
    pub path: String,
    /// The port; 0: the scheme's own.
    pub port: u16,
    /// Statuses of a good answer; at least one.
    pub expected_codes: Vec<CodeRange>,
    /// What stands in a good answer's body, in whatever case; empty: anything may.
    pub expected_body: String,
    /// Whether an answer that leads elsewhere is followed.
    pub follow_redirects: bool,
    /// Whether any certificate will do.
    pub allow_insecure: bool,
    /// Fields of the request by name, whose case means nothing; `Host` among them.
    pub header: BTreeMap<String, Vec<String>>,
}

/// What is asked by a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpTerms {
    /// The port; 0: 80.
    pub port: u16,
}

impl Default for HttpTerms {
    fn default() -> Self {
        Self {
            method: HttpMethod::Get,
            path: "/".to_owned(),
            port: 0,
            expected_codes: vec![CodeRange::OK],
            expected_body: String::new(),
            follow_redirects: false,
            allow_insecure: false,
            header: BTreeMap::new(),
        }
    }
}

/// Fields may let whoever has them in: their values are not shown.
impl fmt::Debug for HttpTerms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<&String> = self.header.keys().collect();
        f.debug_struct("HttpTerms").field("path", &self.path).field("fields", &fields).finish_non_exhaustive()
    }
}

impl fmt::Display for CheckedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl HealthCheckTerms {
    /// What [`Self::read`] reads; `is_new`: by POST or PUT.
    pub fn schema(is_new: bool) -> Schema {
        let needed = |schema: Schema| if is_new { schema.required() } else { schema };
        let times = |default: i64| Schema::integer(1..=CONSECUTIVE_MAX).by_default(default);
        let members = [
            ("name", needed(Schema::text(NAME_CHARS_MAX).not_empty().about("letters, digits, - and _"))),
            ("address", needed(Schema::text(254).about("an address, or a name that leads to some"))),
            ("type", Schema::one_of(CheckKind::WORDS).by_default("HTTP")),
            ("description", Schema::text(DESCRIPTION_CHARS_MAX)),
            (
                "interval",
                Schema::integer(INTERVAL_SECS_MIN..=INTERVAL_SECS_MAX).by_default(60).about("seconds between two looks"),
            ),
            ("timeout", Schema::integer(1..=TIMEOUT_SECS_MAX).by_default(5).about("seconds that the origin has to answer")),
            (
                "retries",
                Schema::integer(0..=RETRIES_MAX).by_default(2).about("looks more, at once, where no answer came in time"),
            ),
            ("consecutive_fails", times(1).about("looks in a row that fail until it is unhealthy")),
            ("consecutive_successes", times(1).about("looks in a row that do not until it is healthy")),
            ("suspended", Schema::boolean().by_default(false).about("nobody asks")),
            ("check_regions", Schema::items(Schema::one_of(Region::WORDS), Region::ALL.len()).about("kept; every node asks")),
            ("http_config", HttpTerms::schema()),
            ("tcp_config", TcpTerms::schema()),
        ];
        let example = json!({ "name": "server-1", "address": "www.example.com", "type": "HTTPS", "description": "the shop",
            "interval": 60, "timeout": 5, "retries": 2, "consecutive_fails": 1, "consecutive_successes": 1, "suspended": false,
            "check_regions": ["WEU"], "tcp_config": { "method": "connection_established", "port": 80 },
            "http_config": { "method": "GET", "path": "/health", "port": 443, "expected_codes": ["2xx"], "expected_body": "",
                "follow_redirects": false, "allow_insecure": false, "header": { "Host": ["example.com"] } } });
        Schema::object(members).named(if is_new { "NewHealthCheck" } else { "HealthCheckChanges" }).example(example)
    }

    /// From the body of a POST or PUT; or of a PATCH, where `before` is what was, and stays where the body is silent.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>, before: Option<&Self>) -> Result<Self, ShapeError> {
        body.object()?;
        let name = match (body.member("name"), before) {
            (None, Some(before)) => before.name.clone(),
            _ => name(&body.required("name")?)?,
        };
        let address = match (body.member("address"), before) {
            (None, Some(before)) => before.address.clone(),
            _ => address(&body.required("address")?)?,
        };
        let kind = match body.member("type") {
            Some(at) => CheckKind::read(&at)?,
            None => before.map_or(CheckKind::Http, |before| before.kind),
        };
        let description = match body.member("description") {
            Some(at) => at.text(DESCRIPTION_CHARS_MAX)?.to_owned(),
            None => before.map_or_else(String::new, |before| before.description.clone()),
        };
        let number = |key: &str, range, kept: Option<u32>, default: u32| match body.member(key) {
            Some(at) => at.integer(range).map(|number| u32::try_from(number).unwrap_or(default)),
            None => Ok(kept.unwrap_or(default)),
        };
        let suspended = match body.member("suspended") {
            Some(at) => at.boolean()?,
            None => before.is_some_and(|before| before.suspended),
        };
        let regions = match body.member("check_regions") {
            Some(at) => Some(at.items(Region::ALL.len())?.map(|item| Region::read(&item)).collect::<Result<Vec<_>, _>>()?),
            None => before.and_then(|before| before.regions.clone()),
        };
        let (http, tcp) = (before.and_then(|before| before.http.clone()), before.and_then(|before| before.tcp.clone()));
        let http = match body.member("http_config") {
            Some(at) => Some(HttpTerms::read(&at, http.unwrap_or_default())?),
            None if kind == CheckKind::Tcp => http,
            None => Some(http.unwrap_or_default()),
        };
        let tcp = match body.member("tcp_config") {
            Some(at) => Some(TcpTerms::read(&at, tcp)?),
            None if kind == CheckKind::Tcp => Some(tcp.unwrap_or(TcpTerms { port: 0 })),
            None => tcp,
        };
        let fails = before.map(|before| before.consecutive_fails);
        let successes = before.map(|before| before.consecutive_successes);
        Ok(Self {
            name,
            description,
            address,
            kind,
            interval_secs: number(
                "interval",
                INTERVAL_SECS_MIN..=INTERVAL_SECS_MAX,
                before.map(|before| before.interval_secs),
                60,
            )?,
            timeout_secs: number("timeout", 1..=TIMEOUT_SECS_MAX, before.map(|before| before.timeout_secs), 5)?,
            retries: number("retries", 0..=RETRIES_MAX, before.map(|before| before.retries), 2)?,
            consecutive_fails: number("consecutive_fails", 1..=CONSECUTIVE_MAX, fails, 1)?,
            consecutive_successes: number("consecutive_successes", 1..=CONSECUTIVE_MAX, successes, 1)?,
            suspended,
            regions,
            http,
            tcp,
        })
    }

    /// The port that is asked.
    pub fn port(&self) -> u16 {
        let of_http = self.http.as_ref().map_or(0, |http| http.port);
        let (written, default) = match self.kind {
            CheckKind::Http => (of_http, 80),
            CheckKind::Https => (of_http, 443),
            CheckKind::Tcp => (self.tcp.as_ref().map_or(0, |tcp| tcp.port), 80),
        };
        if written == 0 { default } else { written }
    }

    /// Whether what is asked, and what is made of the answers, is the same: the other's words alone may differ.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let as_other = Self {
            name: other.name.clone(),
            description: other.description.clone(),
            regions: other.regions.clone(),
            ..self.clone()
        };
        as_other == *other
    }
}

fn name(at: &At<'_>) -> Result<String, ShapeError> {
    let text = at.text(NAME_CHARS_MAX)?;
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if fits { Ok(text.to_owned()) } else { Err(at.wrong("write letters, digits, - and _")) }
}

fn address(at: &At<'_>) -> Result<CheckedAddress, ShapeError> {
    let text = at.text(254)?;
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(CheckedAddress::Ip(address.to_canonical()));
    }
    let name = Name::parse(text).map_err(|error| at.wrong(format_args!("write an address or a name ({error})")))?;
    if name.is_wildcard() {
        return Err(at.wrong("write one name: a wildcard is none that could be asked"));
    }
    Ok(CheckedAddress::Name(name))
}

fn port(at: &At<'_>) -> Result<u16, ShapeError> {
    at.integer(0..=65_535).map(|port| u16::try_from(port).unwrap_or_default())
}

impl HttpTerms {
    /// Whom the origin is asked for, where that was written.
    pub fn host(&self) -> Option<&str> {
        let (_, values) = self.header.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
        values.first().map(String::as_str)
    }

    fn schema() -> Schema {
        let codes = Schema::items(Schema::text(8).about("as in 200 or 2xx"), CODES_MAX);
        let fields =
            Schema::of(json!({ "type": "object" })).about("by name, a list of values; Host is whom the origin is asked for");
        let members = [
            ("method", Schema::one_of(HttpMethod::WORDS).by_default("GET")),
            ("path", Schema::text(PATH_CHARS_MAX).by_default("/")),
            ("port", Schema::integer(0..=65_535).by_default(0).about("0: 80, or 443 of HTTPS")),
            ("expected_codes", codes.about("absent or empty: 200")),
            ("expected_body", Schema::text(BODY_CHARS_MAX).about("must stand in the first 64 KiB of the body, in whatever case")),
            ("follow_redirects", Schema::boolean().by_default(false)),
            ("allow_insecure", Schema::boolean().by_default(false).about("take any certificate")),
            ("header", fields),
        ];
        Schema::object(members)
    }

    fn read(body: &At<'_>, before: Self) -> Result<Self, ShapeError> {
        body.object()?;
        let flag = |key: &str, before| body.member(key).map_or(Ok(before), |at| at.boolean());
        let path = match body.member("path") {
            Some(at) => path(&at)?,
            None => before.path,
        };
        let expected_codes = match body.member("expected_codes") {
            Some(at) => {
                let read = |item: At<'_>| item.text(8)?.parse::<CodeRange>().map_err(|error| item.wrong(error));
                let codes = at.items(CODES_MAX)?.map(read).collect::<Result<Vec<_>, _>>()?;
                if codes.is_empty() { vec![CodeRange::OK] } else { codes }
            }
            None => before.expected_codes,
        };
        let header = match body.member("header") {
            Some(at) => fields(&at)?,
            None => before.header,
        };
        let read = Self {
            method: body.member("method").map_or(Ok(before.method), |at| HttpMethod::read(&at))?,
            path,
            port: body.member("port").map_or(Ok(before.port), |at| port(&at))?,
            expected_codes,
            expected_body: match body.member("expected_body") {
                Some(at) => at.text(BODY_CHARS_MAX)?.to_owned(),
                None => before.expected_body,
            },
            follow_redirects: flag("follow_redirects", before.follow_redirects)?,
            allow_insecure: flag("allow_insecure", before.allow_insecure)?,
            header,
        };
        if read.method == HttpMethod::Head && !read.expected_body.is_empty() {
            return Err(body.wrong("an answer to HEAD has no body that anything could stand in: write GET, or no expected_body"));
        }
        Ok(read)
    }
}

fn path(at: &At<'_>) -> Result<String, ShapeError> {
    let text = at.text(PATH_CHARS_MAX)?;
    let fits = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if fits { Ok(text.to_owned()) } else { Err(at.wrong("write a path, as in /health?full=1, percent-encoded where it must be")) }
}

/// Names as they were written, since clients compare them with that; two that differ in case alone would be one field.
fn fields(at: &At<'_>) -> Result<BTreeMap<String, Vec<String>>, ShapeError> {
    let mut fields = BTreeMap::new();
    for (name, values) in at.members()? {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let known = name.to_ascii_lowercase();
        if name.is_empty() || name.len() > 256 || !name.bytes().all(is_token) {
            return Err(ShapeError::new(values.pointer(), format!("{} is no field's name", values.pointer())));
        }
        if FIELDS_KEPT.contains(&known.as_str()) {
            let why = format!("{}: {known} is the connection's own field: leave it out", values.pointer());
            return Err(ShapeError::new(values.pointer(), why));
        }
        let mut list = Vec::new();
        for item in values.items(VALUES_MAX)? {
            let text = item.text(VALUE_BYTES_MAX)?;
            let fits = text.len() <= VALUE_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
            if !fits || known == "host" && !is_host(text) {
                // It may be a secret, and is not repeated.
                let why = format!("{} cannot be the value of {known}: write printable ASCII", item.pointer());
                return Err(ShapeError::new(item.pointer(), why));
            }
            list.push(text.to_owned());
        }
        if known == "host" && list.len() != 1 {
            return Err(values.wrong("write one host"));
        }
        if fields.keys().any(|other: &String| other.eq_ignore_ascii_case(name)) {
            return Err(values.wrong("the same field stands there twice, in another case"));
        }
        fields.insert(name.to_owned(), list);
        if fields.len() > FIELDS_MAX {
            return Err(at.wrong(format_args!("at most {FIELDS_MAX} fields are taken")));
        }
    }
    Ok(fields)
}

/// A name or an address, and perhaps a port.
fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= 260 && text.bytes().all(allowed)
}

impl TcpTerms {
    fn schema() -> Schema {
        let method = Schema::one_of(&["connection_established"]).by_default("connection_established");
        Schema::object([("method", method), ("port", Schema::integer(0..=65_535).by_default(0).about("0: 80"))])
    }

    fn read(body: &At<'_>, before: Option<Self>) -> Result<Self, ShapeError> {
        body.object()?;
        if let Some(at) = body.member("method") {
            at.one_of(&["connection_established"])?;
        }
        let kept = before.map_or(0, |before| before.port);
        Ok(Self { port: body.member("port").map_or(Ok(kept), |at| port(&at))? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(body: &Value) -> Result<HealthCheckTerms, ShapeError> {
        HealthCheckTerms::read(&At::body(body), None)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let terms = read(&json!({ "name": "shop-1", "address": "192.0.2.7" })).unwrap();
        assert_eq!(
            (terms.kind, terms.port(), terms.interval_secs, terms.timeout_secs, terms.retries),
            (CheckKind::Http, 80, 60, 5, 2)
        );
        assert_eq!((terms.consecutive_fails, terms.consecutive_successes, terms.suspended), (1, 1, false));
        assert_eq!((terms.http.clone().unwrap(), &terms.tcp), (HttpTerms::default(), &None));
        let secure = read(&json!({ "name": "a", "address": "Www.Example.com", "type": "HTTPS", "tcp_config": {} })).unwrap();
        assert_eq!((secure.port(), secure.address.to_string().as_str()), (443, "www.example.com"));
        assert_eq!(secure.tcp, Some(TcpTerms { port: 0 }), "what was written stays, though nobody obeys it");
        let tcp = read(&json!({ "name": "a", "address": "2001:db8::1", "type": "TCP", "tcp_config": { "port": 5432 } })).unwrap();
        assert_eq!((tcp.port(), tcp.http), (5432, None));
    }

    #[test]
    fn a_patch_keeps_what_it_does_not_say() {
        let body = json!({ "name": "a", "address": "192.0.2.7", "interval": 30, "check_regions": ["WEU"],
            "http_config": { "path": "/x", "expected_codes": ["2xx", "301"], "header": { "X-Key": ["secret"] } } });
        let before = read(&body).unwrap();
        let patch = json!({ "timeout": 3, "http_config": { "port": 8080 }, "description": null });
        let after = HealthCheckTerms::read(&At::body(&patch), Some(&before)).unwrap();
        let http = HttpTerms { port: 8080, ..before.http.clone().unwrap() };
        assert_eq!(after, HealthCheckTerms { timeout_secs: 3, http: Some(http), ..before.clone() });
        assert!(!before.asks_the_same(&after));
        let renamed = json!({ "name": "b", "description": "another", "check_regions": [] });
        let renamed = HealthCheckTerms::read(&At::body(&renamed), Some(&before)).unwrap();
        assert!(renamed != before && before.asks_the_same(&renamed));
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<HealthCheckTerms>(&text).unwrap(), before);
        assert!(!format!("{before:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_at_its_place() {
        for (key, value, pointer) in [
            ("name", json!("two words"), "/name"),
            ("name", json!(""), "/name"),
            ("address", json!("*.example.com"), "/address"),
            ("address", json!("http://example.com/"), "/address"),
            ("type", json!("UDP"), "/type"),
            ("interval", json!(4), "/interval"),
            ("timeout", json!(11), "/timeout"),
            ("retries", json!(-1), "/retries"),
            ("consecutive_fails", json!(0), "/consecutive_fails"),
            ("check_regions", json!(["MARS"]), "/check_regions/0"),
            ("tcp_config", json!({ "method": "syn" }), "/tcp_config/method"),
            ("http_config", json!({ "method": "POST" }), "/http_config/method"),
            ("http_config", json!({ "path": "health" }), "/http_config/path"),
            ("http_config", json!({ "path": "/a b" }), "/http_config/path"),
            ("http_config", json!({ "path": "/\r\nHost: x" }), "/http_config/path"),
            ("http_config", json!({ "expected_codes": ["9xx"] }), "/http_config/expected_codes/0"),
            ("http_config", json!({ "method": "HEAD", "expected_body": "ok" }), "/http_config"),
            ("http_config", json!({ "port": 65_536 }), "/http_config/port"),
            ("http_config", json!({ "header": { "Transfer-Encoding": ["chunked"] } }), "/http_config/header/Transfer-Encoding"),
            ("http_config", json!({ "header": { "a b": ["c"] } }), "/http_config/header/a b"),
            ("http_config", json!({ "header": { "Host": ["a", "b"] } }), "/http_config/header/Host"),
            ("http_config", json!({ "header": { "Host": ["a/b"] } }), "/http_config/header/Host/0"),
            ("http_config", json!({ "header": { "X": ["a\r\nb"] } }), "/http_config/header/X/0"),
            ("http_config", json!({ "header": { "X": ["a"], "x": ["b"] } }), "/http_config/header/x"),
        ] {
            let mut body = json!({ "name": "a", "address": "192.0.2.7" });
            body[key] = value;
            let error = read(&body).unwrap_err();
            assert_eq!(error.pointer, pointer, "{body}: {error}");
        }
    }
}
