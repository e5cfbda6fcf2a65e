//! Which host a request means (edge-behaviour §5.9). Pure.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, Uri, header};
use poterne_edge_http::{Connection, Scheme};

use crate::errors::Failure;

/// The host of a request, in the form the snapshot is asked with, and the `Host` that the origin will see.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Lower-case, without port and without trailing dot.
    pub(crate) name: Box<str>,
    /// The same with the visitor's port, unless it is the scheme's own.
    pub(crate) value: HeaderValue,
    /// The port that the visitor says, or the scheme's own.
    pub(crate) port: u16,
}

impl Host {
    /// The port that the visitor came to, where it is the one that was said too: no router has moved it, and nobody has merely said one.
    pub(crate) fn reached_port(&self, connection: &Connection) -> Option<u16> {
        Some(connection.local.port()).filter(|port| *port == self.port)
    }
}

/// Reads `:authority`, or the target's authority, or `Host`: [`poterne_edge_http::strict`] made sure that they agree.
pub(crate) fn host(uri: &Uri, headers: &HeaderMap, scheme: Scheme) -> Result<Host, Failure> {
    let field = headers.get(header::HOST);
    let text = match (uri.authority(), field) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host.to_str().map_err(|_| Failure::BadHost)?,
        (None, None) => return Err(Failure::BadHost),
    };
    let (name, port) = split_port(text)?;
    let numeric = name.as_bytes().last().is_some_and(u8::is_ascii_digit);
    if name.starts_with('[') || numeric && name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(Failure::DirectAddress);
    }
    let name = canonical(name).ok_or(Failure::BadHost)?;
    let port = port.filter(|port| *port != scheme.default_port());
    // Most visitors already send the canonical form: their own field value is passed on as it is.
    let value = match (port, field) {
        (None, Some(field)) if field.as_bytes() == name.as_bytes() => field.clone(),
        (Some(_), Some(field)) if is_with_port(field.as_bytes(), name.as_bytes()) => field.clone(),
        (Some(_), None) if is_with_port(text.as_bytes(), name.as_bytes()) => {
            HeaderValue::from_str(text).map_err(|_| Failure::BadHost)?
        }
        (None, _) => HeaderValue::from_str(&name).map_err(|_| Failure::BadHost)?,
        (Some(port), _) => HeaderValue::try_from(format!("{name}:{port}")).map_err(|_| Failure::BadHost)?,
    };
    Ok(Host { name: name.into(), value, port: port.unwrap_or(scheme.default_port()) })
}

/// Whether this is the name, a colon and a port as numbers are written.
fn is_with_port(field: &[u8], name: &[u8]) -> bool {
    let port = field.strip_prefix(name).and_then(|rest| rest.strip_prefix(b":"));
    port.is_some_and(|port| !matches!(port, [] | [b'0', ..]))
}

fn split_port(text: &str) -> Result<(&str, Option<u16>), Failure> {
    let Some((name, port)) = text.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else { return Ok((text, None)) };
    if port.is_empty() {
        return Ok((name, None));
    }
    let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or(Failure::BadHost)?;
    Ok((name, Some(port)))
}

/// A name as [`poterne_model::Name`] holds it, or none when it is no host name. A wildcard is no host.
fn canonical(name: &str) -> Option<Cow<'_, str>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    // One pass: the label so far, and the byte before.
    let (mut label, mut before, mut upper) = (0, b'.', false);
    let mut fits = (1..=253).contains(&name.len());
    for byte in name.bytes() {
        match byte {
            b'.' => {
                fits &= (1..=63).contains(&label) && before != b'-';
                label = 0;
            }
            b'-' => {
                fits &= label > 0;
                label += 1;
            }
            b'a'..=b'z' | b'0'..=b'9' | b'_' => label += 1,
            b'A'..=b'Z' => {
                upper = true;
                label += 1;
            }
            _ => fits = false,
        }
        before = byte;
    }
    fits &= (1..=63).contains(&label) && before != b'-';
    fits.then(|| if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, field: Option<&str>) -> Result<(String, String), Failure> {
        let mut request = http::Request::builder().uri(uri);
        if let Some(field) = field {
            request = request.header("host", field);
        }
        let request = request.body(()).unwrap();
        host(request.uri(), request.headers(), Scheme::Https)
            .map(|host| (host.name.into(), host.value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_host_is_folded_and_its_own_port_dropped() {
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(of("/", Some("a.test")), pair("a.test", "a.test"));
        assert_eq!(of("/", Some("A.Test.")), pair("a.test", "a.test"));
        assert_eq!(of("/", Some("a.test:443")), pair("a.test", "a.test"));
        assert_eq!(of("/", Some("A.test:8443")), pair("a.test", "a.test:8443"));
        assert_eq!(of("/", Some("a.test:8443")), pair("a.test", "a.test:8443"));
        assert_eq!(of("/", Some("a.test:08443")), pair("a.test", "a.test:8443"));
        assert_eq!(of("/", Some("a.test.:8443")), pair("a.test", "a.test:8443"));
        assert_eq!(of("/", Some("10.test")), pair("10.test", "10.test"));
        assert_eq!(of("/", Some("a.test:")), pair("a.test", "a.test"));
        assert_eq!(of("https://b.TEST/x", None), pair("b.test", "b.test"));
        assert_eq!(of("https://b.test:8443/x", None), pair("b.test", "b.test:8443"));
        assert_eq!(of("https://B.test:08443/x", None), pair("b.test", "b.test:8443"));
    }

    #[test]
    fn a_host_says_a_port_or_means_the_schemes_own() {
        let port = |host: &str, scheme| {
            let request = http::Request::builder().header("host", host).body(()).unwrap();
            super::host(request.uri(), request.headers(), scheme).unwrap().port
        };
        assert_eq!((port("a.test", Scheme::Http), port("a.test:", Scheme::Https)), (80, 443));
        assert_eq!((port("a.test:8443", Scheme::Https), port("a.test:443", Scheme::Http)), (8443, 443));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for wrong in [
            "",
            ".",
            "a..b",
            "a b",
            "*.test",
            "-a.test",
            "a-.test",
            "a.b-",
            "a.test:99999",
            "a.test:x",
            "a@b",
            "a,b",
            "\u{e9}.fr",
        ] {
            let request = http::Request::builder().header("host", wrong.as_bytes()).body(()).unwrap();
            assert_eq!(host(request.uri(), request.headers(), Scheme::Http), Err(Failure::BadHost), "{wrong:?}");
        }
        for address in ["192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[::1]:443"] {
            assert_eq!(of("/", Some(address)), Err(Failure::DirectAddress), "{address:?}");
        }
    }
}
