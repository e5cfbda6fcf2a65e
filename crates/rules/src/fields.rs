//! The fields (edge-behaviour §4.4): what each is called, of which type it is, and where it comes from.
//!
//! Three kinds: those that this node fills; those that it knows of and cannot fill, because it has no data of places, networks or bots, or
//! does not look into bodies (a rule that asks one is kept and not obeyed); and names that nobody knows, which are refused.

use std::borrow::Cow;

use http::HeaderMap;

use crate::{
    certificate::Says,
    facts::{self, Facts, Text},
    value::{Scalar, Type, Value},
};

/// One value, or a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is documented by its name in `FILLED`")]
pub(crate) enum Field {
    Host,
    Method,
    Uri,
    Path,
    Extension,
    Basename,
    Query,
    ArgumentNames,
    ArgumentValues,
    FullUri,
    HeaderNames,
    HeaderValues,
    HeadersTruncated,
    Cookie,
    Referer,
    UserAgent,
    ForwardedFor,
    Version,
    Seconds,
    Milliseconds,
    Languages,
    RawUri,
    RawPath,
    RawExtension,
    RawQuery,
    RawArgumentNames,
    RawArgumentValues,
    RawFullUri,
    Status,
    AnswerNames,
    AnswerValues,
    MediaType,
    Source,
    Secure,
    ServerIp,
    ServerPort,
    RayId,
    ZoneName,
    ZonePlan,
    ClientTcp,
    ThreatScore,
    TlsVersion,
    TlsCipher,
    Ja4,
    CertificatePresented,
    CertificateVerified,
    CertificateRevoked,
    Certificate(Says),
}

/// Lists of texts by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Map {
    Headers,
    Arguments,
    RawArguments,
    Cookies,
    AnswerHeaders,
}

/// What a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Field(Field, Type),
    Map(Map),
    /// Of that type, and never there.
    Unfilled(Type),
}

const BOOL: Type = Type::One(Scalar::Bool);
const INT: Type = Type::One(Scalar::Int);
const TEXT: Type = Type::One(Scalar::Text);
const IP: Type = Type::One(Scalar::Ip);
const TEXTS: Type = Type::List(Scalar::Text);
const INTS: Type = Type::List(Scalar::Int);

const FILLED: &[(&str, Known)] = &[
    ("http.host", Known::Field(Field::Host, TEXT)),
    ("http.request.method", Known::Field(Field::Method, TEXT)),
    ("http.request.uri", Known::Field(Field::Uri, TEXT)),
    ("http.request.uri.path", Known::Field(Field::Path, TEXT)),
    ("http.request.uri.path.extension", Known::Field(Field::Extension, TEXT)),
    ("http.request.uri.path.basename", Known::Field(Field::Basename, TEXT)),
    ("http.request.uri.query", Known::Field(Field::Query, TEXT)),
    ("http.request.uri.args", Known::Map(Map::Arguments)),
    ("http.request.uri.args.names", Known::Field(Field::ArgumentNames, TEXTS)),
    ("http.request.uri.args.values", Known::Field(Field::ArgumentValues, TEXTS)),
    ("http.request.full_uri", Known::Field(Field::FullUri, TEXT)),
    ("http.request.headers", Known::Map(Map::Headers)),
    ("http.request.headers.names", Known::Field(Field::HeaderNames, TEXTS)),
    ("http.request.headers.values", Known::Field(Field::HeaderValues, TEXTS)),
    ("http.request.headers.truncated", Known::Field(Field::HeadersTruncated, BOOL)),
    ("http.request.cookies", Known::Map(Map::Cookies)),
    ("http.cookie", Known::Field(Field::Cookie, TEXT)),
    ("http.referer", Known::Field(Field::Referer, TEXT)),
    ("http.user_agent", Known::Field(Field::UserAgent, TEXT)),
    ("http.x_forwarded_for", Known::Field(Field::ForwardedFor, TEXT)),
    ("http.request.version", Known::Field(Field::Version, TEXT)),
    ("http.request.timestamp.sec", Known::Field(Field::Seconds, INT)),
    ("http.request.timestamp.msec", Known::Field(Field::Milliseconds, INT)),
    ("http.request.accepted_languages", Known::Field(Field::Languages, TEXTS)),
    ("raw.http.request.uri", Known::Field(Field::RawUri, TEXT)),
    ("raw.http.request.uri.path", Known::Field(Field::RawPath, TEXT)),
    ("raw.http.request.uri.path.extension", Known::Field(Field::RawExtension, TEXT)),
    ("raw.http.request.uri.query", Known::Field(Field::RawQuery, TEXT)),
    ("raw.http.request.uri.args", Known::Map(Map::RawArguments)),
    ("raw.http.request.uri.args.names", Known::Field(Field::RawArgumentNames, TEXTS)),
    ("raw.http.request.uri.args.values", Known::Field(Field::RawArgumentValues, TEXTS)),
    ("raw.http.request.full_uri", Known::Field(Field::RawFullUri, TEXT)),
    ("ip.src", Known::Field(Field::Source, IP)),
    ("ssl", Known::Field(Field::Secure, BOOL)),
    ("cf.edge.server_ip", Known::Field(Field::ServerIp, IP)),
    ("cf.edge.server_port", Known::Field(Field::ServerPort, INT)),
    ("cf.edge.client_tcp", Known::Field(Field::ClientTcp, BOOL)),
    ("cf.ray_id", Known::Field(Field::RayId, TEXT)),
    ("cf.zone.name", Known::Field(Field::ZoneName, TEXT)),
    ("cf.zone.plan", Known::Field(Field::ZonePlan, TEXT)),
    ("cf.threat_score", Known::Field(Field::ThreatScore, INT)),
    ("cf.tls_version", Known::Field(Field::TlsVersion, TEXT)),
    ("cf.tls_cipher", Known::Field(Field::TlsCipher, TEXT)),
    ("cf.bot_management.ja4", Known::Field(Field::Ja4, TEXT)),
    ("cf.tls_client_auth.cert_presented", Known::Field(Field::CertificatePresented, BOOL)),
    ("cf.tls_client_auth.cert_verified", Known::Field(Field::CertificateVerified, BOOL)),
    ("cf.tls_client_auth.cert_revoked", Known::Field(Field::CertificateRevoked, BOOL)),
    ("cf.tls_client_auth.cert_issuer_dn", Known::Field(Field::Certificate(Says::Issuer), TEXT)),
    ("cf.tls_client_auth.cert_issuer_dn_legacy", Known::Field(Field::Certificate(Says::IssuerLegacy), TEXT)),
    ("cf.tls_client_auth.cert_issuer_dn_rfc2253", Known::Field(Field::Certificate(Says::Issuer), TEXT)),
    ("cf.tls_client_auth.cert_subject_dn", Known::Field(Field::Certificate(Says::Subject), TEXT)),
    ("cf.tls_client_auth.cert_subject_dn_legacy", Known::Field(Field::Certificate(Says::SubjectLegacy), TEXT)),
    ("cf.tls_client_auth.cert_subject_dn_rfc2253", Known::Field(Field::Certificate(Says::Subject), TEXT)),
    ("cf.tls_client_auth.cert_serial", Known::Field(Field::Certificate(Says::Serial), TEXT)),
    ("cf.tls_client_auth.cert_issuer_serial", Known::Field(Field::Certificate(Says::IssuerSerial), TEXT)),
    ("cf.tls_client_auth.cert_fingerprint_sha1", Known::Field(Field::Certificate(Says::Sha1), TEXT)),
    ("cf.tls_client_auth.cert_fingerprint_sha256", Known::Field(Field::Certificate(Says::Sha256), TEXT)),
    ("cf.tls_client_auth.cert_ski", Known::Field(Field::Certificate(Says::Ski), TEXT)),
    ("cf.tls_client_auth.cert_issuer_ski", Known::Field(Field::Certificate(Says::IssuerSki), TEXT)),
    ("cf.tls_client_auth.cert_not_before", Known::Field(Field::Certificate(Says::NotBefore), TEXT)),
    ("cf.tls_client_auth.cert_not_after", Known::Field(Field::Certificate(Says::NotAfter), TEXT)),
    ("cf.tls_client_auth.cert_rfc9440", Known::Field(Field::Certificate(Says::Rfc9440), TEXT)),
];

/// In response phases besides.
const OF_RESPONSE: &[(&str, Known)] = &[
    ("http.response.code", Known::Field(Field::Status, INT)),
    ("http.response.headers", Known::Map(Map::AnswerHeaders)),
    ("http.response.headers.names", Known::Field(Field::AnswerNames, TEXTS)),
    ("http.response.headers.values", Known::Field(Field::AnswerValues, TEXTS)),
    ("http.response.content_type.media_type", Known::Field(Field::MediaType, TEXT)),
    ("raw.http.response.headers", Known::Map(Map::AnswerHeaders)),
    ("raw.http.response.headers.names", Known::Field(Field::AnswerNames, TEXTS)),
    ("raw.http.response.headers.values", Known::Field(Field::AnswerValues, TEXTS)),
];

/// Known, and not filled here.
const UNFILLED: &[(&str, Type)] = &[
    ("ip.src.country", TEXT),
    ("ip.src.continent", TEXT),
    ("ip.src.asnum", INT),
    ("ip.src.city", TEXT),
    ("ip.src.region", TEXT),
    ("ip.src.region_code", TEXT),
    ("ip.src.postal_code", TEXT),
    ("ip.src.metro_code", TEXT),
    ("ip.src.lat", TEXT),
    ("ip.src.lon", TEXT),
    ("ip.src.timezone.name", TEXT),
    ("ip.src.subdivision_1_iso_code", TEXT),
    ("ip.src.subdivision_2_iso_code", TEXT),
    ("ip.src.is_in_european_union", BOOL),
    ("ip.geoip.country", TEXT),
    ("ip.geoip.continent", TEXT),
    ("ip.geoip.asnum", INT),
    ("ip.geoip.subdivision_1_iso_code", TEXT),
    ("ip.geoip.subdivision_2_iso_code", TEXT),
    ("ip.geoip.is_in_european_union", BOOL),
    ("http.request.body.raw", TEXT),
    ("http.request.body.truncated", BOOL),
    ("http.request.body.size", INT),
    ("http.request.body.mime", TEXT),
    ("http.request.body.form", Type::Map),
    ("http.request.body.form.names", TEXTS),
    ("http.request.body.form.values", TEXTS),
    ("http.request.body.multipart", Type::Map),
    ("http.request.body.multipart.names", TEXTS),
    ("http.request.body.multipart.values", TEXTS),
    ("http.request.body.multipart.filenames", TEXTS),
    ("cf.response.error_type", TEXT),
    ("cf.response.1xxx_code", INT),
    ("cf.tls_client_hello_length", INT),
    ("cf.tls_client_random", TEXT),
    ("cf.tls_client_extensions_sha1", TEXT),
    ("cf.tls_client_extensions_sha1_le", TEXT),
    ("cf.tls_ciphers_sha1", TEXT),
    ("cf.bot_management.ja3_hash", TEXT),
    ("cf.bot_management.score", INT),
    ("cf.bot_management.verified_bot", BOOL),
    ("cf.bot_management.static_resource", BOOL),
    ("cf.bot_management.js_detection.passed", BOOL),
    ("cf.bot_management.detection_ids", INTS),
    ("cf.bot_management.corporate_proxy", BOOL),
    ("cf.client.bot", BOOL),
    ("cf.verified_bot_category", TEXT),
    ("cf.random_seed", TEXT),
    ("cf.timings.client_tcp_rtt_msec", INT),
    ("cf.timings.client_quic_rtt_msec", INT),
    ("cf.timings.edge_msec", INT),
    ("cf.timings.origin_ttfb_msec", INT),
    ("cf.waf.score", INT),
    ("cf.waf.score.sqli", INT),
    ("cf.waf.score.xss", INT),
    ("cf.waf.score.rce", INT),
    ("cf.waf.score.class", TEXT),
    ("cf.waf.content_scan.has_obj", BOOL),
    ("cf.waf.content_scan.has_malicious_obj", BOOL),
    ("cf.waf.content_scan.num_malicious_obj", INT),
    ("cf.waf.content_scan.has_failed", BOOL),
    ("cf.waf.content_scan.num_obj", INT),
    ("cf.waf.content_scan.obj_sizes", INTS),
    ("cf.waf.content_scan.obj_types", TEXTS),
    ("cf.waf.content_scan.obj_results", TEXTS),
    ("cf.waf.credential_check.password_leaked", BOOL),
    ("cf.waf.credential_check.username_leaked", BOOL),
    ("cf.waf.credential_check.username_and_password_leaked", BOOL),
    ("cf.waf.credential_check.username_password_similar", BOOL),
    ("cf.api_gateway.auth_id_present", BOOL),
    ("cf.api_gateway.fallthrough_detected", BOOL),
    ("cf.api_gateway.request_violates_schema", BOOL),
    ("cf.hostname.metadata", TEXT),
    ("cf.worker.upstream_zone", TEXT),
];

/// What a name means; none where nobody knows it. `of_response`: whether there is an answer yet.
pub(crate) fn find(name: &str, of_response: bool) -> Option<Known> {
    let filled = FILLED.iter().chain(OF_RESPONSE.iter().filter(|_| of_response));
    let known = filled.map(|(known, means)| (*known, *means));
    let unfilled = UNFILLED.iter().map(|(known, kind)| (*known, Known::Unfilled(*kind)));
    let found = known.chain(unfilled).find(|(known, _)| *known == name).map(|(_, means)| means);
    // Whatever claims a token may make, none is read here.
    found.or_else(|| name.starts_with("http.request.jwt.claims.").then_some(Known::Unfilled(TEXT)))
}

/// Whether there is a field of that name once there is an answer.
pub(crate) fn is_of_response(name: &str) -> bool {
    OF_RESPONSE.iter().any(|(known, _)| *known == name)
}

/// The field whose name is the most alike, where one is.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let all = FILLED.iter().chain(OF_RESPONSE).map(|(known, _)| *known).chain(UNFILLED.iter().map(|(known, _)| *known));
    poterne_model::spelling::nearest(name, all)
}

/// The names of all fields that this node fills.
pub(crate) fn filled() -> impl Iterator<Item = &'static str> {
    FILLED.iter().chain(OF_RESPONSE).map(|(known, _)| *known)
}

fn texts<'a>(all: impl Iterator<Item = Text<'a>>) -> Value<'a> {
    Value::List(all.map(Value::Text).collect())
}

fn joined<'a>(path: &'a str, query: &str) -> Text<'a> {
    if query.is_empty() {
        return Cow::Borrowed(path.as_bytes());
    }
    Cow::Owned([path.as_bytes(), b"?", query.as_bytes()].concat())
}

fn names(headers: &HeaderMap) -> Value<'_> {
    // A name stands as often as it has values, so that both lists go together.
    texts(headers.iter().map(|(name, _)| Cow::Borrowed(name.as_str().as_bytes())))
}

fn values(headers: &HeaderMap) -> Value<'_> {
    texts(headers.iter().map(|(_, value)| Cow::Borrowed(value.as_bytes())))
}

impl Field {
    /// What it says of a request; none where it is not there.
    pub(crate) fn of<'a>(self, facts: &'a Facts<'a>) -> Option<Value<'a>> {
        let text = |text: &'a str| Some(Value::Text(Cow::Borrowed(text.as_bytes())));
        let full = |path, query: &str| {
            let uri = joined(path, query);
            Some(Value::text([facts.scheme().as_bytes(), b"://", facts.host.as_bytes(), &uri].concat()))
        };
        let argument_names = |query| Some(texts(facts::arguments(query).map(|(name, _)| Cow::Borrowed(name))));
        let argument_values = |query| Some(texts(facts::arguments(query).map(|(_, value)| Cow::Borrowed(value))));
        let header = |name| facts.header(&name).map(Value::Text);
        let answer = facts.answer;
        match self {
            Self::Host => text(facts.host),
            Self::Method => text(facts.method),
            Self::Uri => Some(Value::Text(joined(facts.path, facts.query))),
            Self::Path => text(facts.path),
            Self::Extension => Some(Value::Text(facts::extension(facts.path))),
            Self::Basename => text(facts::basename(facts.path)),
            Self::Query => text(facts.query),
            Self::ArgumentNames => argument_names(facts.query),
            Self::ArgumentValues => argument_values(facts.query),
            Self::FullUri => full(facts.path, facts.query),
            Self::HeaderNames => Some(names(facts.headers)),
            Self::HeaderValues => Some(values(facts.headers)),
            // The edge refuses a head that is too large.
            Self::HeadersTruncated => Some(Value::Bool(false)),
            Self::Cookie => header(http::header::COOKIE),
            Self::Referer => header(http::header::REFERER),
            Self::UserAgent => header(http::header::USER_AGENT),
            Self::ForwardedFor => header(http::HeaderName::from_static("x-forwarded-for")),
            Self::Version => text(facts::version(facts.version)),
            Self::Seconds => Some(Value::Int(i64::try_from(facts.at.as_secs()).unwrap_or(i64::MAX))),
            Self::Milliseconds => Some(Value::Int(facts.at.subsec_millis().into())),
            Self::Languages => Some(texts(facts::languages(facts.headers).into_iter())),
            Self::RawUri => Some(Value::Text(joined(facts.raw_path, facts.raw_query))),
            Self::RawPath => text(facts.raw_path),
            Self::RawExtension => Some(Value::Text(facts::extension(facts.raw_path))),
            Self::RawQuery => text(facts.raw_query),
            Self::RawArgumentNames => argument_names(facts.raw_query),
            Self::RawArgumentValues => argument_values(facts.raw_query),
            Self::RawFullUri => full(facts.raw_path, facts.raw_query),
            Self::Status => Some(Value::Int(answer?.status.into())),
            Self::AnswerNames => Some(names(answer?.headers)),
            Self::AnswerValues => Some(values(answer?.headers)),
            Self::MediaType => {
                let kind = answer?.headers.get(http::header::CONTENT_TYPE)?.as_bytes();
                let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                Some(Value::text(kind.to_ascii_lowercase()))
            }
            Self::Source => Some(Value::Ip(facts.source.to_canonical())),
            Self::Secure => Some(Value::Bool(facts.secure)),
            Self::ServerIp => Some(Value::Ip(facts.local.ip().to_canonical())),
            Self::ServerPort => Some(Value::Int(facts.local.port().into())),
            Self::RayId => text(facts.ray),
            Self::ZoneName => text(facts.zone),
            // Rules of accounts are written with this condition, and hold for every zone here.
            Self::ZonePlan => text("ENT"),
            Self::ClientTcp => Some(Value::Bool(facts.version != http::Version::HTTP_3)),
            // Nobody's reputation is kept.
            Self::ThreatScore => Some(Value::Int(0)),
            Self::TlsVersion => text(facts.tls[0]?),
            Self::TlsCipher => text(facts.tls[1]?),
            Self::Ja4 => text(facts.ja4?),
            Self::CertificatePresented => Some(Value::Bool(facts.certificate.is_some())),
            Self::CertificateVerified => Some(Value::Bool(facts.certificate.is_some_and(|shown| shown.is_verified))),
            Self::CertificateRevoked => Some(Value::Bool(facts.certificate.is_some_and(|shown| shown.is_revoked))),
            // Empty of a visitor that showed none, as with the hosted service.
            Self::Certificate(says) => {
                Some(Value::Text(facts.certificate.map_or(Cow::Borrowed(&b""[..]), |certificate| says.of(certificate.shown))))
            }
        }
    }
}

impl Map {
    /// What stands under a name, in order; empty where nothing does.
    pub(crate) fn entries<'a>(self, facts: &'a Facts<'a>, key: &[u8]) -> Vec<Value<'a>> {
        let of_headers = |headers: &'a HeaderMap| {
            let all = std::str::from_utf8(key).map(|name| headers.get_all(name));
            all.into_iter().flatten().map(|value| Value::text(value.as_bytes())).collect()
        };
        let of_query = |query| {
            let named = facts::arguments(query).filter(|(name, _)| *name == key);
            named.map(|(_, value)| Value::text(value)).collect()
        };
        match self {
            Self::Headers => of_headers(facts.headers),
            Self::AnswerHeaders => facts.answer.map(|answer| of_headers(answer.headers)).unwrap_or_default(),
            Self::Arguments => of_query(facts.query),
            Self::RawArguments => of_query(facts.raw_query),
            Self::Cookies => facts.cookies().filter(|(name, _)| **name == *key).map(|(_, value)| Value::text(value)).collect(),
        }
    }

    /// Every value, with its name.
    pub(crate) fn all<'a>(self, facts: &'a Facts<'a>) -> Vec<(Text<'a>, Text<'a>)> {
        let of_headers = |headers: &'a HeaderMap| {
            let pair = |(name, value): (&'a http::HeaderName, &'a http::HeaderValue)| {
                (Cow::Borrowed(name.as_str().as_bytes()), Cow::Borrowed(value.as_bytes()))
            };
            headers.iter().map(pair).collect()
        };
        let of_query = |query| {
            let pair = |(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value));
            facts::arguments(query).map(pair).collect()
        };
        match self {
            Self::Headers => of_headers(facts.headers),
            Self::AnswerHeaders => facts.answer.map(|answer| of_headers(answer.headers)).unwrap_or_default(),
            Self::Arguments => of_query(facts.query),
            Self::RawArguments => of_query(facts.raw_query),
            Self::Cookies => facts.cookies().map(|(name, value)| (name, Cow::Borrowed(value))).collect(),
        }
    }

    /// Whether its names are in lower case, whatever came.
    pub(crate) const fn folds(self) -> bool {
        matches!(self, Self::Headers | Self::AnswerHeaders)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_name_stands_once() {
        let all: Vec<&str> = filled().chain(UNFILLED.iter().map(|(name, _)| *name)).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
    }

    /// A search by chance finds no name of this length.
    #[test]
    fn each_filled_field_is_a_word_of_the_fuzzers() {
        let words: HashSet<_> = include_str!("../../../fuzz/dictionary/expression").lines().collect();
        for name in filled() {
            assert!(words.contains(&*format!("\"{name}\"")), "fuzz/dictionary/expression lacks {name}");
        }
    }

    #[test]
    fn a_misspelled_name_is_answered_with_the_nearest() {
        assert_eq!(nearest("http.request.uri.pth"), Some("http.request.uri.path"));
        assert_eq!(nearest("nothing_like_it"), None);
        assert!(find("http.response.code", false).is_none() && find("http.response.code", true).is_some());
        assert_eq!(find("http.request.jwt.claims.iss", false), Some(Known::Unfilled(TEXT)));
    }
}
