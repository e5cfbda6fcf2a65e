//! URLs: percent encoding, the normal form of a path (edge-behaviour §4.8, RFC 3986 §6.2.2), and what may be written into one. Pure.

use std::borrow::Cow;

use poterne_model::setting::normalization::NormalizationKind;

/// Why a path has no normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `%` without two hexadecimal digits behind it: readers differ in what it means.
    #[error("a % in the path has no two hexadecimal digits behind it")]
    Escape,
    /// A control character, raw or as `%00`: what one reader takes for the path's end another reads past.
    #[error("the path has a control character in it")]
    Control,
}

/// The path's normal form; borrowed where it is in normal form already, which nearly all are.
///
/// Escapes of unreserved characters are decoded, others are in upper case, raw bytes that a path may not have are escaped, and dot segments
/// are gone. `%2F`, `%5C` and all other escapes of reserved characters stay as they are. What this makes of a normal form is itself.
///
/// # Errors
/// It has none.
pub fn normal_path(path: &str, kind: NormalizationKind) -> Result<Cow<'_, str>, PathError> {
    let lenient = kind == NormalizationKind::Cloudflare;
    if is_normal(path.as_bytes(), lenient) {
        return Ok(Cow::Borrowed(path));
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len() + 16);
    let mut bytes = path.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        match *byte {
            b'%' => {
                let (value, after) = escape(bytes).ok_or(PathError::Escape)?;
                bytes = after;
                match value {
                    0 => return Err(PathError::Control),
                    value if is_unreserved(value) => out.push(value),
                    value => push_escape(&mut out, value),
                }
            }
            b'\\' if lenient => out.push(b'/'),
            0..=31 | 127 => return Err(PathError::Control),
            byte if is_path_byte(byte) => out.push(byte),
            byte => push_escape(&mut out, byte),
        }
    }
    if lenient {
        out.dedup_by(|one, before| *one == b'/' && *before == b'/');
    }
    Ok(Cow::Owned(String::from_utf8(without_dots(&out)).expect("everything that is not ASCII was escaped")))
}

fn is_normal(path: &[u8], lenient: bool) -> bool {
    let mut before = 0;
    for byte in path {
        match *byte {
            b'%' => return false,
            b'.' | b'/' if before == b'/' && (*byte == b'.' || lenient) => return false,
            byte if !is_path_byte(byte) => return false,
            _ => {}
        }
        before = *byte;
    }
    true
}

/// RFC 3986 §5.2.4, for a path that begins with `/`; any other (`*`) stays.
fn without_dots(path: &[u8]) -> Vec<u8> {
    if path.first() != Some(&b'/') {
        return path.to_vec();
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path[1..].split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    let above = memchr::memrchr(b'/', &out).unwrap_or(0);
                    out.truncate(above);
                }
                if is_last {
                    out.push(b'/');
                }
            }
            other => {
                out.push(b'/');
                out.extend_from_slice(other);
            }
        }
    }
    if out.is_empty() { b"/".to_vec() } else { out }
}

/// RFC 3986 §2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What may stand in a path as it is (RFC 3986 §3.3), the `%` of an escape aside.
const fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'/' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The value of the two hexadecimal digits at the start, and what follows.
fn escape(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = bytes else { return None };
    Some((digit(*high)? << 4 | digit(*low)?, rest))
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// A rule's path as it may stand in a target: whatever has no place there is escaped; escapes stay.
pub(crate) fn path_of(text: &[u8]) -> String {
    written(text, is_path_byte)
}

/// A rule's query, likewise (RFC 3986 §3.4); browsers send `|`, `[` and the like raw, and they stay.
pub(crate) fn query_of(text: &[u8]) -> String {
    written(text, |byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'%'))
}

/// The address of a redirect, likewise: a visitor reads it as a URL, and a line break would end the field.
pub(crate) fn address_of(text: &[u8]) -> String {
    written(text, |byte| byte.is_ascii_graphic() && byte != b'%')
}

fn written(text: &[u8], stays: impl Fn(u8) -> bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        match *byte {
            b'%' if escape(&text[at + 1..]).is_some() => out.push(b'%'),
            byte if stays(byte) => out.push(byte),
            byte => push_escape(&mut out, byte),
        }
    }
    String::from_utf8(out).expect("what is not graphic ASCII was escaped")
}

/// `%XX` read; what is no escape stays.
pub(crate) fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    decoded(text, false, false)
}

/// `%XX` read, and where it is wanted `+` as a space and `%uXXXX` as a UTF-16 unit.
pub(crate) fn decoded(text: &[u8], plus: bool, unicode: bool) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| *byte == b'%' || plus && *byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text;
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        match *byte {
            b'+' if plus => out.push(b' '),
            b'%' => {
                if let Some((value, after)) = escape(rest) {
                    out.push(value);
                    bytes = after;
                } else if let (true, Some((unit, after))) = (unicode, long_escape(rest)) {
                    let character = char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    bytes = after;
                } else {
                    out.push(b'%');
                }
            }
            byte => out.push(byte),
        }
    }
    Cow::Owned(out)
}

fn long_escape(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (high, rest) = escape(bytes.strip_prefix(b"u")?)?;
    let (low, rest) = escape(rest)?;
    Some((u16::from_be_bytes([high, low]), rest))
}

#[cfg(test)]
mod tests {
    use NormalizationKind::{Cloudflare, Rfc3986};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_have_one_form() {
        for (path, cloudflare, rfc3986) in [
            ("/", "/", "/"),
            ("/a/b.js", "/a/b.js", "/a/b.js"),
            ("/%7euser/%41", "/~user/A", "/~user/A"),
            ("/a%2fb%5cc%20d", "/a%2Fb%5Cc%20d", "/a%2Fb%5Cc%20d"),
            ("/a/./b/../c", "/a/c", "/a/c"),
            ("/a/%2e%2e/b", "/b", "/b"),
            ("/../..", "/", "/"),
            ("/a/..", "/", "/"),
            ("/a/b/..", "/a/", "/a/"),
            ("/a/.", "/a/", "/a/"),
            ("//a///b", "/a/b", "//a///b"),
            ("/a\\..\\b", "/b", "/a%5C..%5Cb"),
            ("/é", "/%C3%A9", "/%C3%A9"),
            ("/a\"<>{}|^`b", "/a%22%3C%3E%7B%7D%7C%5E%60b", "/a%22%3C%3E%7B%7D%7C%5E%60b"),
            ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
            ("/...", "/...", "/..."),
            ("/admin/..;/x", "/admin/..;/x", "/admin/..;/x"),
            ("/a/..//../b", "/b", "/b"),
            ("*", "*", "*"),
        ] {
            assert_eq!(normal_path(path, Cloudflare).as_deref(), Ok(cloudflare), "{path}");
            assert_eq!(normal_path(path, Rfc3986).as_deref(), Ok(rfc3986), "{path}");
        }
        for path in ["/100%", "/%zz", "/%4"] {
            assert_eq!(normal_path(path, Cloudflare), Err(PathError::Escape), "{path}");
        }
        for path in ["/a%00.js", "/a\u{7f}", "/a\tb"] {
            assert_eq!(normal_path(path, Rfc3986), Err(PathError::Control), "{path}");
        }
        assert!(matches!(normal_path("/usual/path", Cloudflare), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn what_a_rule_writes_fits_its_place() {
        assert_eq!(path_of(b"/a b?c#d%20%zz\r\n\xff"), "/a%20b%3Fc%23d%20%25zz%0D%0A%FF");
        assert_eq!(query_of(b"a=b c&d=%41[0]|#x"), "a=b%20c&d=%41[0]|%23x");
        assert_eq!(address_of(b"https://a.test/b c\r\nx: y"), "https://a.test/b%20c%0D%0Ax:%20y");
    }

    #[test]
    fn escapes_are_read_once() {
        assert_eq!(&*decoded(b"a+b%20%2b%zz%", true, false), b"a b +%zz%");
        assert_eq!(&*decoded(b"%u0041%u00e9%uD800", true, true), "Aé\u{fffd}".as_bytes());
        assert_eq!(&*percent_decoded(b"a+%41"), b"a+A");
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(path in "/[-a.%/\\\\2eF0~ é;]{0,24}", lenient: bool) {
            let kind = if lenient { Cloudflare } else { Rfc3986 };
            if let Ok(normal) = normal_path(&path, kind) {
                prop_assert!(normal.starts_with('/'), "{}", normal);
                prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")), "{}", normal);
                prop_assert_eq!(normal_path(&normal, kind).unwrap(), normal.clone());
                prop_assert!(!lenient || !normal.contains("//"));
            }
        }
    }
}
