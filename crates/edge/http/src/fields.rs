//! Which trailers are let through. Pure.

use http::{HeaderMap, HeaderName, header};

/// Whether a visitor's trailer of this name is dropped: what may not come after a body, and names with `_` or `.`, which some servers
/// take for those that only an edge may say (edge-behaviour §5.9).
pub fn is_forbidden_trailer(name: &HeaderName) -> bool {
    belongs_to_heads(name) || name.as_str().bytes().any(|byte| matches!(byte, b'_' | b'.'))
}

/// Whether a trailer of this name is dropped, a visitor's or an answer's: what frames, routes, authenticates, or directs caches has no
/// meaning after the body (RFC 9110 §6.5.1), what is of one connection has none in HTTP/2 (RFC 9113 §8.2.2), and a reader that merges
/// trailers into the head would obey it without anybody having checked it. For that last reason the names that only an edge may say are
/// dropped too.
pub(crate) fn belongs_to_heads(name: &HeaderName) -> bool {
    match *name {
        header::AUTHORIZATION
        | header::CACHE_CONTROL
        | header::CONNECTION
        | header::CONTENT_ENCODING
        | header::CONTENT_LENGTH
        | header::CONTENT_RANGE
        | header::CONTENT_TYPE
        | header::COOKIE
        | header::EXPECT
        | header::FORWARDED
        | header::HOST
        | header::IF_MATCH
        | header::IF_MODIFIED_SINCE
        | header::IF_NONE_MATCH
        | header::IF_RANGE
        | header::IF_UNMODIFIED_SINCE
        | header::MAX_FORWARDS
        | header::PRAGMA
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::RANGE
        | header::SET_COOKIE
        | header::TE
        | header::TRAILER
        | header::TRANSFER_ENCODING
        | header::UPGRADE
        | header::WWW_AUTHENTICATE => true,
        _ => {
            let name = name.as_str();
            name.starts_with("cf-")
                || name.starts_with("poterne-")
                || name.starts_with("x-forwarded-")
                || name.starts_with("x-http-method")
                || matches!(name, "keep-alive" | "proxy-connection" | "x-real-ip" | "true-client-ip" | "cdn-loop" | "early-data")
        }
    }
}

/// Drops what `forbidden` names.
pub(crate) fn drop_forbidden(trailers: &mut HeaderMap, forbidden: impl Fn(&HeaderName) -> bool) {
    while let Some(name) = trailers.keys().find(|name| forbidden(name)).cloned() {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_head_must_say_cannot_come_after_the_body() {
        let mut trailers = HeaderMap::new();
        for name in ["content-length", "host", "cf-connecting-ip", "x-forwarded-for", "x_forwarded_for", "x-sum", "grpc-status"] {
            trailers.append(HeaderName::from_static(name), header::HeaderValue::from_static("1"));
        }
        let names = |trailers: &HeaderMap| {
            let mut names: Vec<String> = trailers.keys().map(HeaderName::to_string).collect();
            names.sort_unstable();
            names
        };
        drop_forbidden(&mut trailers, belongs_to_heads);
        assert_eq!(names(&trailers), ["grpc-status", "x-sum", "x_forwarded_for"], "who is answered maps no fields to variables");
        drop_forbidden(&mut trailers, is_forbidden_trailer);
        assert_eq!(names(&trailers), ["grpc-status", "x-sum"]);
    }
}
