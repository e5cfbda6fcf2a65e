//! A field section read as a request's head, or as its trailers (RFC 9114 §4.2, §4.3). Pure.
//!
//! Whatever could mean two things to two readers is refused here; what is well-formed is judged as any head is, by [`crate::strict`].

use std::sync::LazyLock;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, header,
    request::Parts,
    uri::{self, Authority, PathAndQuery, Scheme},
};

use super::qpack::{Line, LineName, Section, SectionError};
use crate::{
    Kind, Limits,
    fields::{drop_forbidden, is_forbidden_trailer},
    strict::{Facts, Refusal, join_cookies, open_websocket},
};

/// A head that was read.
#[derive(Debug)]
pub struct Head {
    /// Method, target and fields.
    pub parts: Parts,
    /// What they say of the body, and whether they break a rule.
    facts: Facts,
    /// `:protocol`, of extended CONNECT.
    protocol: Option<Bytes>,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The section does not decode: the connection ends.
    #[error("{0}")]
    Undecodable(&'static str),
    /// It is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<SectionError> for HeadError {
    fn from(error: SectionError) -> Self {
        match error {
            SectionError::Undecodable(reason) => Self::Undecodable(reason),
            SectionError::TooLarge => Self::Refused(Refusal::HeadTooLarge),
        }
    }
}

fn malformed(reason: &'static str) -> HeadError {
    HeadError::Refused(Refusal::Malformed(reason))
}

/// What stands before the fields.
#[derive(Default)]
struct Pseudo {
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    protocol: Option<Bytes>,
}

/// Reads a request's head. Every line is read, so that a section that does not decode is known as such, whatever else is wrong with it.
///
/// # Errors
/// See [`HeadError`].
pub fn read_head(section: Bytes, limits: &Limits) -> Result<Head, HeadError> {
    let mut section = Section::new(section, limits.head_bytes_max)?;
    let mut pseudo = Pseudo::default();
    let mut headers = HeaderMap::with_capacity(24);
    let mut facts = Facts::default();
    let mut wrong = None;
    while let Some(line) = section.next_line()? {
        let noted = if line.name.as_bytes().first() == Some(&b':') {
            note_pseudo(&mut pseudo, line, headers.is_empty())
        } else {
            field(line, limits).map(|(name, value)| {
                facts.note(&name, &value);
                headers.append(name, value);
            })
        };
        wrong = wrong.or(noted.err());
    }
    if let Some(wrong) = wrong {
        return Err(wrong.into());
    }
    let protocol = pseudo.protocol.clone();
    let (method, uri) = request_line(pseudo, limits)?;
    join_cookies(&mut headers);
    let (mut parts, ()) = http::Request::new(()).into_parts();
    (parts.method, parts.uri, parts.version, parts.headers) = (method, uri, Version::HTTP_3, headers);
    Ok(Head { parts, facts, protocol })
}

fn note_pseudo(pseudo: &mut Pseudo, line: Line, is_first: bool) -> Result<(), Refusal> {
    // RFC 9114 §4.3: before all fields, each once, and none that is not known.
    if !is_first {
        return Err(Refusal::Malformed("a pseudo-field stands after a field"));
    }
    let place = match line.name.as_bytes() {
        b":method" => &mut pseudo.method,
        b":scheme" => &mut pseudo.scheme,
        b":authority" => &mut pseudo.authority,
        b":path" => &mut pseudo.path,
        b":protocol" => &mut pseudo.protocol,
        _ => return Err(Refusal::Malformed("a pseudo-field that requests do not have")),
    };
    if place.replace(line.value).is_some() {
        return Err(Refusal::Malformed("a pseudo-field came twice"));
    }
    Ok(())
}

/// The table's names, ready to be used. Pseudo-fields have a place too, so that an index is an index.
static NAMES: LazyLock<Vec<Option<HeaderName>>> =
    LazyLock::new(|| (0..99).map(|index| HeaderName::from_lowercase(LineName::Known(index).as_bytes()).ok()).collect());

fn field(line: Line, limits: &Limits) -> Result<(HeaderName, HeaderValue), Refusal> {
    let Line { name, value } = line;
    if name.as_bytes().len() + value.len() > limits.field_bytes_max {
        return Err(Refusal::HeadTooLarge);
    }
    let name = match &name {
        LineName::Known(index) => NAMES.get(*index).cloned().flatten(),
        // RFC 9114 §4.2: capitals are none of a name.
        LineName::Literal(name) => HeaderName::from_lowercase(name).ok(),
    };
    let name = name.ok_or(Refusal::Malformed("a field name has a character that names have not"))?;
    // RFC 9110 §5.5: whitespace around a value is none of it.
    if value.first().is_some_and(|first| matches!(first, b' ' | b'\t'))
        || value.last().is_some_and(|last| matches!(last, b' ' | b'\t'))
    {
        return Err(Refusal::Malformed("a field value begins or ends with whitespace"));
    }
    let value = HeaderValue::from_maybe_shared(value);
    let value = value.map_err(|_| Refusal::Malformed("a field value has a character that values have not"))?;
    // RFC 9114 §4.2: what is of one connection has no meaning here.
    let is_of_a_connection = match name {
        header::CONNECTION | header::TRANSFER_ENCODING | header::UPGRADE => true,
        header::TE => value != "trailers",
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    };
    if is_of_a_connection {
        return Err(Refusal::Malformed("a field of HTTP/1.1 connections"));
    }
    Ok((name, value))
}

/// RFC 9114 §4.3.1 and §4.4, RFC 9220 §3.
fn request_line(pseudo: Pseudo, limits: &Limits) -> Result<(Method, Uri), HeadError> {
    let Pseudo { method, scheme, authority, path, protocol } = pseudo;
    let method = method.ok_or_else(|| malformed("the request has no method"))?;
    let method = Method::from_bytes(&method).map_err(|_| malformed("the method is no token"))?;
    let authority = match authority {
        None => None,
        Some(authority) => {
            let read = Authority::from_maybe_shared(authority);
            Some(read.map_err(|_| malformed("the authority is no host"))?)
        }
    };
    if method == Method::CONNECT && protocol.is_none() {
        return Err(Refusal::Method.into());
    }
    if method != Method::CONNECT && protocol.is_some() {
        return Err(malformed("a protocol is asked for without CONNECT"));
    }
    // No visitor comes here in clear.
    if scheme.is_none_or(|scheme| !scheme.eq_ignore_ascii_case(b"https")) {
        return Err(malformed("the scheme is not https"));
    }
    let path = path.filter(|path| !path.is_empty()).ok_or_else(|| malformed("the request has no path"))?;
    if path.len() > limits.target_bytes_max {
        return Err(Refusal::TargetTooLong.into());
    }
    // What the parser would cut away without a word, and what it would let pass.
    if path.iter().any(|byte| *byte == b'#' || !byte.is_ascii_graphic()) {
        return Err(malformed("the target has a character that must be percent-encoded"));
    }
    if path[0] != b'/' && &path[..] != b"*" {
        return Err(malformed("the target does not begin with a slash"));
    }
    let path = PathAndQuery::from_maybe_shared(path).map_err(|_| malformed("the path is none"))?;
    let mut uri = uri::Parts::default();
    // A URI without an authority has no scheme either: `Host` says the rest then.
    uri.scheme = authority.is_some().then_some(Scheme::HTTPS);
    (uri.authority, uri.path_and_query) = (authority, Some(path));
    let uri = Uri::from_parts(uri).map_err(|_| malformed("the target is none"))?;
    Ok((method, uri))
}

impl Head {
    /// Judges it as any head is; tells what is wanted and how long the body is, if that is known.
    ///
    /// # Errors
    /// It breaks a rule.
    pub fn judge(&mut self, limits: &Limits) -> Result<(Kind, Option<u64>), Refusal> {
        let is_websocket = self.protocol.as_deref() == Some(b"websocket");
        if is_websocket {
            self.parts.method = Method::GET;
        }
        let Parts { method, uri, version, headers, .. } = &self.parts;
        let kind = self.facts.judge(method, uri, *version, headers.get(header::HOST), limits)?;
        if !is_websocket {
            return Ok((kind, self.facts.length));
        }
        open_websocket(&mut self.parts.headers)?;
        Ok((Kind::WebSocket, None))
    }
}

/// Reads a request's trailers; what may not come after a body is dropped.
///
/// # Errors
/// The section does not decode, is too large, or has what no trailers have.
pub fn read_trailers(section: Bytes, limits: &Limits) -> Result<HeaderMap, HeadError> {
    let mut section = Section::new(section, limits.head_bytes_max)?;
    let mut trailers = HeaderMap::new();
    let mut count = 0;
    while let Some(line) = section.next_line()? {
        // RFC 9114 §4.3.
        if line.name.as_bytes().first() == Some(&b':') {
            return Err(malformed("a pseudo-field among the trailers"));
        }
        let (name, value) = field(line, limits)?;
        count += 1;
        if count > limits.fields_max {
            return Err(Refusal::HeadTooLarge.into());
        }
        trailers.append(name, value);
    }
    drop_forbidden(&mut trailers, is_forbidden_trailer);
    Ok(trailers)
}

#[cfg(test)]
mod tests;
