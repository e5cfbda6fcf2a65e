//! The cookie of whoever is signed in (RFC 6265, and `draft-ietf-httpbis-rfc6265bis` §4.1.3 for its prefix). Pure.
//!
//! `__Host-` makes a browser refuse it from anywhere but this name over TLS, so that no neighbouring name can plant one. In clear it is
//! set for a browser on this very machine only, without the prefix, and is not looked at in what came from anywhere else: not over TLS, nor
//! through a proxy where that ended.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::same_site::Way;

const PREFIXED: &str = "__Host-poterne_session";
const PLAIN: &str = "poterne_session";

/// Longest secret that is looked at.
const SECRET_BYTES_MAX: usize = 128;

/// Cookies of one request that are looked at.
const PAIRS_MAX: usize = 200;

/// The secret that a request shows. `is_local`: it came in clear, from this machine.
pub(crate) fn read(headers: &HeaderMap, is_local: bool) -> Option<&str> {
    let prefixed = find(headers, PREFIXED);
    if is_local { prefixed.or_else(|| find(headers, PLAIN)) } else { prefixed }
}

fn find<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).take(PAIRS_MAX).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value);
    let secret = found.next().filter(|value| !value.is_empty() && value.len() <= SECRET_BYTES_MAX)?;
    secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(secret)
}

/// The field that gives a browser its secret for so many seconds; 0 takes it away.
pub(crate) fn set(way: Way, secret: &str, secs: i64) -> Option<HeaderValue> {
    let (name, secure) = match way {
        Way::Secure => (PREFIXED, "; Secure"),
        Way::Local => (PLAIN, ""),
    };
    HeaderValue::try_from(format!("{name}={secret}; Path=/{secure}; HttpOnly; SameSite=Strict; Max-Age={secs}")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(lines: &[&str], is_local: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        read(&headers, is_local).map(str::to_owned)
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let line = "theme=dark; __Host-poterne_session=pos_abc; poterne_session=pos_old";
        assert_eq!(shown(&[line], true).as_deref(), Some("pos_abc"));
        assert_eq!(shown(&[line], false).as_deref(), Some("pos_abc"));
        assert_eq!(shown(&["a=b", "poterne_session=pos_old"], true).as_deref(), Some("pos_old"));
        assert_eq!(shown(&["poterne_session=pos_old"], false), None, "a neighbour may have planted it");
        for wrong in
            ["", "poterne_session", "poterne_session=", "poterne_session=a b", "Xpoterne_session=a", "poterne_session=\"a\""]
        {
            assert_eq!(shown(&[wrong], true), None, "{wrong}");
        }
        assert_eq!(shown(&[&format!("poterne_session={}", "x".repeat(129))], true), None);
    }

    #[test]
    fn what_is_set_is_for_this_name_alone() {
        let secure = set(Way::Secure, "pos_abc", 60).unwrap();
        assert_eq!(secure, "__Host-poterne_session=pos_abc; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60");
        let local = set(Way::Local, "", 0).unwrap();
        assert_eq!(local, "poterne_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in prop::collection::vec(0x20u8..0x7f, 0..200), is_local: bool) {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_bytes(&line).unwrap());
            let _ = read(&headers, is_local);
        }
    }
}
