//! What is told of a part of a request's way, once it is over.
//!
//! Names of attributes are those of OpenTelemetry's semantic conventions for HTTP where these have one, and begin with `poterne.` where they
//! do not. Each text is cut to [`TEXT_BYTES_MAX`], and who tells spans lists its attributes by hand: a span has some kilobytes at the worst.

use std::time::{Duration, SystemTime};

use super::Context;

/// Longest text kept of an attribute, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Which side of an exchange a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request was received.
    Server,
    /// One was sent.
    Client,
}

/// An attribute's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Words of our own.
    Word(&'static str),
    /// Somebody else's, perhaps cut.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Truth(bool),
}

impl Value {
    /// A text, [`cut`].
    pub fn text(text: &str) -> Self {
        Self::Text(cut(text).to_owned())
    }

    /// What is shown so, likewise.
    pub fn shown(value: impl std::fmt::Display) -> Self {
        let mut text = value.to_string();
        text.truncate(cut(&text).len());
        Self::Text(text)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// As much of a text as is kept, to where a character ends.
pub fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// A `Host` field's value without its port.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// An attribute.
pub type Attribute = (&'static str, Value);

/// Something that happened within a span.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What.
    pub name: &'static str,
    /// When, counted from the span's start.
    pub after: Duration,
    /// More about it.
    pub attributes: Vec<Attribute>,
}

/// A part of a request's way, over.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its place in the trace.
    pub context: Context,
    /// Which side it is.
    pub kind: Kind,
    /// Few in number, as the conventions want: a request's method, where it is a known one ([`name_of`]).
    pub name: &'static str,
    /// When it began.
    pub start: SystemTime,
    /// How long it took, by a clock that only goes forward.
    pub duration: Duration,
    /// What is known of it.
    pub attributes: Vec<Attribute>,
    /// What happened meanwhile, in order.
    pub events: Vec<Event>,
    /// Why it failed; none: it did not. Empty where an attribute says it already.
    pub error: Option<String>,
}

/// A span's name of a request's method: what the conventions know, and `HTTP` for all others, which a visitor makes up.
pub fn name_of(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => "HTTP",
    }
}

/// The attributes of a request's method: itself, or `_OTHER` and itself.
pub fn method(method: &http::Method, out: &mut Vec<Attribute>) {
    match name_of(method) {
        "HTTP" => {
            out.push(("http.request.method", Value::Word("_OTHER")));
            out.push(("http.request.method_original", Value::text(method.as_str())));
        }
        known => out.push(("http.request.method", Value::Word(known))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_a_character_ends() {
        let long = "é".repeat(TEXT_BYTES_MAX);
        for value in [Value::text(&long), Value::shown(&long), Value::text(&format!("x{long}"))] {
            let Value::Text(text) = value else { panic!("{value:?}") };
            assert!(text.len() <= TEXT_BYTES_MAX && text.len() >= TEXT_BYTES_MAX - 1, "{}", text.len());
        }
        assert_eq!(Value::text("short"), Value::Text("short".into()));
        assert_eq!(Value::from(u64::MAX), Value::Number(i64::MAX));
    }

    #[test]
    fn a_port_is_no_part_of_an_address() {
        let told = ["a.test:8443", "a.test", "[::1]:80", "[::1]", "a.test:x", ""].map(without_port);
        assert_eq!(told, ["a.test", "a.test", "[::1]", "[::1]", "a.test:x", ""]);
    }

    #[test]
    fn a_visitor_makes_up_no_names() {
        let told = |name: &str| {
            let (asked, mut out) = (http::Method::from_bytes(name.as_bytes()).unwrap(), Vec::new());
            method(&asked, &mut out);
            (name_of(&asked), out)
        };
        assert_eq!(told("PATCH"), ("PATCH", vec![("http.request.method", Value::Word("PATCH"))]));
        let (name, attributes) = told("BREW");
        assert_eq!(name, "HTTP");
        assert_eq!(
            attributes,
            [("http.request.method", Value::Word("_OTHER")), ("http.request.method_original", Value::text("BREW"))]
        );
    }
}
