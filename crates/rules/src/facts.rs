//! What is known of a request while its rules are asked. Nothing of it is made before a rule asks.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use http::{HeaderMap, Version, header};
use poterne_model::ShownCertificate;

/// A request, and in response phases its answer.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The method, as it came.
    pub method: &'a str,
    /// The version the visitor spoke.
    pub version: Version,
    /// Whether the visitor came over TLS.
    pub secure: bool,
    /// The host, lower-case and without a port.
    pub host: &'a str,
    /// The path in force: in normal form, and rewritten where a rule did so.
    pub path: &'a str,
    /// The query in force, without `?`; empty where there is none.
    pub query: &'a str,
    /// The path as it came.
    pub raw_path: &'a str,
    /// The query as it came.
    pub raw_query: &'a str,
    /// The request's fields, as the visitor sent them.
    pub headers: &'a HeaderMap,
    /// The visitor.
    pub source: IpAddr,
    /// The address that the visitor reached.
    pub local: SocketAddr,
    /// The request's Ray id.
    pub ray: &'a str,
    /// The name of the host's zone.
    pub zone: &'a str,
    /// The fingerprint of the visitor's TLS handshake; none in clear and over QUIC.
    pub ja4: Option<&'a str>,
    /// What the handshake agreed on: version and cipher suite, in OpenSSL's words; none in clear, and over QUIC no suite.
    pub tls: [Option<&'a str>; 2],
    /// The visitor's certificate; none: it was asked for none, or showed none.
    pub certificate: Option<Certificate<'a>>,
    /// When the request came, since the Unix epoch.
    pub at: Duration,
    /// The answer; none before there is one.
    pub answer: Option<Answer<'a>>,
}

/// What a visitor showed, as it stands while its request is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Certificate<'a> {
    /// What it says.
    pub shown: &'a ShownCertificate,
    /// Whether somebody vouches for it, and it is good.
    pub is_verified: bool,
    /// Whether whoever vouches for it has taken that back.
    pub is_revoked: bool,
}

/// An answer's head.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The fields.
    pub headers: &'a HeaderMap,
}

pub(crate) type Text<'a> = Cow<'a, [u8]>;

impl<'a> Facts<'a> {
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The whole field, as one line.
    pub(crate) fn header(&self, name: &header::HeaderName) -> Option<Text<'a>> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?.as_bytes();
        let Some(second) = values.next() else { return Some(Cow::Borrowed(first)) };
        let between: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
        let mut all = first.to_vec();
        for value in std::iter::once(second).chain(values) {
            all.extend_from_slice(between);
            all.extend_from_slice(value.as_bytes());
        }
        Some(Cow::Owned(all))
    }

    /// Names and values of the cookies: names are URL-decoded, values are as they came.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = (Text<'a>, &'a [u8])> + use<'a> {
        let lines = self.headers.get_all(header::COOKIE).into_iter().map(|value| value.as_bytes());
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        pairs.filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = split_pair(pair);
            (crate::url::percent_decoded(name), value)
        })
    }
}

/// The name and the value of `name=value`; without `=` all is the name.
pub(crate) fn split_pair(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[]),
    }
}

/// A query's arguments in their order, as they came.
pub(crate) fn arguments(query: &str) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.as_bytes().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(split_pair)
}

/// What follows the last dot of the last segment, lower-case (edge-behaviour §4.4): `/.mp3` and `/foo.` have none.
pub(crate) fn extension(path: &str) -> Text<'_> {
    let name = basename(path);
    let extension = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension,
        _ => "",
    };
    if extension.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(extension.to_ascii_lowercase().into_bytes());
    }
    Cow::Borrowed(extension.as_bytes())
}

/// The last segment of a path.
pub(crate) fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// The languages of `Accept-Language`, the best liked first (RFC 9110 §12.5.4); those of weight 0 are none.
pub(crate) fn languages(headers: &HeaderMap) -> Vec<Text<'_>> {
    let lines = headers.get_all(header::ACCEPT_LANGUAGE).into_iter().map(|value| value.as_bytes());
    let ranges = lines.flat_map(|line| line.split(|byte| *byte == b','));
    let mut weighted: Vec<(u32, &[u8])> = ranges
        .filter_map(|range| {
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let language = parts.next().filter(|language| !language.is_empty())?;
            let weight = parts.find_map(|part| part.strip_prefix(b"q=")).map_or(1000, thousandths);
            (weight > 0).then_some((weight, language))
        })
        .collect();
    weighted.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    weighted.into_iter().map(|(_, language)| Cow::Borrowed(language)).collect()
}

/// A weight of at most 1 and at most three decimals (RFC 9110 §12.4.2); what is none is 0.
fn thousandths(weight: &[u8]) -> u32 {
    let (whole, decimals) = match memchr::memchr(b'.', weight) {
        Some(at) => (&weight[..at], &weight[at + 1..]),
        None => (weight, &[][..]),
    };
    if !matches!(whole, b"0" | b"1") || decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let digits = decimals.iter().copied().chain(std::iter::repeat(b'0')).take(3);
    let part = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    if whole == b"1" { 1000 } else { part }
}

/// A version as rules write it.
pub(crate) const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_of_the_last_segment() {
        for (path, expected) in [
            ("/a/b.JPG", "jpg"),
            ("/a.b/c", ""),
            ("/.mp3", ""),
            ("/foo.", ""),
            ("/foo.tar.gz", "gz"),
            ("/", ""),
            ("", ""),
            ("/a.b/.c.d", "d"),
        ] {
            assert_eq!(&*extension(path), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn languages_come_by_preference() {
        let told = |text: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, text.parse().unwrap())]);
            languages(&headers).iter().map(|one| String::from_utf8_lossy(one).into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told("en;q=0.5, fr, de;q=0.9,, x;q=0, y;q=odd"), "fr de en");
        assert_eq!(told(""), "");
    }
}
