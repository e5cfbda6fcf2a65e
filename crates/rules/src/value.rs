//! What fields and functions come to.

use std::{borrow::Cow, fmt, net::IpAddr};

/// What one value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    /// True or false.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// Bytes, which need not be UTF-8.
    Text,
    /// An address; an IPv4 address that was mapped into IPv6 is an IPv4 address.
    Ip,
}

/// What a field or a function is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    /// One value.
    One(Scalar),
    /// Values in order.
    List(Scalar),
    /// Lists of texts by name.
    Map,
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "a number",
            Self::Text => "a text",
            Self::Ip => "an address",
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(scalar) => scalar.fmt(f),
            Self::List(scalar) => write!(f, "a list, each item of which is {scalar}"),
            Self::Map => f.write_str("a map of lists of texts"),
        }
    }
}

/// A value. One that is not there is none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A number.
    Int(i64),
    /// A text.
    Text(Cow<'a, [u8]>),
    /// An address.
    Ip(IpAddr),
    /// Values in order.
    List(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Text(text.into())
    }

    /// As `to_string` writes it; none of a list.
    pub(crate) fn into_text(self) -> Option<Cow<'a, [u8]>> {
        Some(match self {
            Self::Text(text) => text,
            Self::Bool(is) => Cow::Borrowed(if is { b"true" } else { b"false" }),
            Self::Int(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Ip(address) => Cow::Owned(address.to_string().into_bytes()),
            Self::List(_) => return None,
        })
    }
}
