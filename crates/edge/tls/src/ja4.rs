//! The fingerprint of a visitor's TLS client (JA4; FoxIO, BSD-licensed: `technical_details/JA4.md`), of the ClientHello as it came. Pure.
//!
//! ```text
//! t13d1516h2_8daaf6152771_e5627efa2ab1
//! │││││ │ │  │            └ SHA-256, cut: extensions sorted, without SNI and ALPN, then signature algorithms as they came
//! │││││ │ │  └ SHA-256, cut: cipher suites sorted
//! │││││ │ └ first and last character of the first ALPN value; 00: none
//! │││││ └ extensions, at most 99
//! ││││└ cipher suites, at most 99
//! │││└ d: a name was asked for; i: none
//! │└┴ the highest version offered
//! └ t: over TCP
//! ```
//!
//! Values that clients make up so that servers learn to ignore them (GREASE, RFC 8701) count nowhere. A fingerprint is no proof: anyone can
//! send another's. It takes two hashes of some hundred bytes a handshake, which has a signature to make.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::client_hello::{self, ALPN, CLIENT_HELLO, Reader, SNI};

/// Longest ClientHello that is looked at, record headers included; of a longer one there is no fingerprint.
pub const HELLO_BYTES_MAX: usize = client_hello::BYTES_MAX;
/// Hexadecimal digits of a hash that are kept.
const HASH_DIGITS: usize = 12;
const HANDSHAKE: u8 = 22;
const SIGNATURE_ALGORITHMS: u16 = 13;
const SUPPORTED_VERSIONS: u16 = 43;

/// The fingerprint of whoever sent these bytes first on a TCP connection: TLS records that hold a ClientHello, which may span several (RFC
/// 8446 §5.1), and perhaps more. None: it is not whole, or none.
pub fn of_records(bytes: &[u8]) -> Option<String> {
    let (mut rest, mut message) = (Reader(bytes), Vec::new());
    loop {
        let (kind, _version) = (rest.u8()?, rest.u16()?);
        let fragment = rest.vector16()?;
        // An empty one is no fragment of a handshake.
        if kind != HANDSHAKE || fragment.is_empty() || message.len() + fragment.len() > HELLO_BYTES_MAX {
            return None;
        }
        message.extend_from_slice(fragment);
        if let Some((head, body)) = message.split_first_chunk::<4>() {
            let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            if head[0] != CLIENT_HELLO || length > HELLO_BYTES_MAX {
                return None;
            }
            if let Some(body) = body.get(..length) {
                return of_hello(body);
            }
        }
    }
}

/// Of the body of a ClientHello (RFC 8446 §4.1.2).
fn of_hello(body: &[u8]) -> Option<String> {
    let mut hello = Reader(body);
    let mut version = hello.u16()?;
    hello.take(32)?;
    hello.vector8()?;
    let mut suites = numbers(hello.vector16()?)?;
    hello.vector8()?;
    // Before TLS 1.2 there may be none.
    let mut extensions = Reader(if hello.0.is_empty() { &[] } else { hello.vector16()? });
    let (mut kinds, mut algorithms, mut has_name, mut alpn) = (Vec::new(), Vec::new(), false, *b"00");
    while !extensions.0.is_empty() {
        let (kind, data) = (extensions.u16()?, extensions.vector16()?);
        match kind {
            SNI => has_name = true,
            SIGNATURE_ALGORITHMS => algorithms = numbers(Reader(data).vector16()?)?,
            ALPN => alpn = ends(Reader(Reader(data).vector16()?).vector8()?),
            SUPPORTED_VERSIONS => version = numbers(Reader(data).vector8()?)?.into_iter().max().unwrap_or(version),
            _ => {}
        }
        if !is_grease(kind) {
            kinds.push(kind);
        }
    }
    let [first, last] = alpn;
    let mut fingerprint = format!(
        "t{}{}{:02}{:02}{}{}_",
        version_digits(version),
        if has_name { 'd' } else { 'i' },
        suites.len().min(99),
        kinds.len().min(99),
        char::from(first),
        char::from(last)
    );
    suites.sort_unstable();
    kinds.retain(|kind| !matches!(*kind, SNI | ALPN));
    kinds.sort_unstable();
    push_hash(&list(&suites), &mut fingerprint);
    fingerprint.push('_');
    let mut both = list(&kinds);
    if !both.is_empty() && !algorithms.is_empty() {
        both.push('_');
        both.push_str(&list(&algorithms));
    }
    push_hash(&both, &mut fingerprint);
    Some(fingerprint)
}

fn version_digits(version: u16) -> &'static str {
    match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// First and last character of an ALPN value; of one that is not of letters and digits, of its hexadecimal form.
fn ends(value: &[u8]) -> [u8; 2] {
    let (Some(first), Some(last)) = (value.first().copied(), value.last().copied()) else { return *b"00" };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last];
    }
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
    [digit(first >> 4), digit(last)]
}

/// Two bytes that are alike, each ending in `a` (RFC 8701 §2).
fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 15 == 10
}

/// Numbers of two bytes, but for GREASE.
fn numbers(bytes: &[u8]) -> Option<Vec<u16>> {
    let pairs = bytes.chunks_exact(2);
    pairs
        .remainder()
        .is_empty()
        .then(|| pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).filter(|number| !is_grease(*number)).collect())
}

fn list(numbers: &[u16]) -> String {
    let mut text = String::with_capacity(numbers.len() * 5);
    for (at, number) in numbers.iter().enumerate() {
        let _ = write!(text, "{}{number:04x}", if at == 0 { "" } else { "," });
    }
    text
}

fn push_hash(list: &str, fingerprint: &mut String) {
    if list.is_empty() {
        return fingerprint.push_str("000000000000");
    }
    for byte in digest(&SHA256, list.as_bytes()).as_ref().iter().take(HASH_DIGITS / 2) {
        let _ = write!(fingerprint, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector16(body: &[u8]) -> Vec<u8> {
        [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    fn flat(numbers: &[u16]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn hello(version: u16, suites: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let extensions: Vec<u8> = extensions.iter().flat_map(|(kind, data)| [flat(&[*kind]), vector16(data)].concat()).collect();
        let body = [flat(&[version]), vec![7; 32], vec![0], vector16(&flat(suites)), vec![1, 0], vector16(&extensions)].concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[CLIENT_HELLO][..], &length[1..], &body].concat()
    }

    fn records(message: &[u8], bytes: usize) -> Vec<u8> {
        message.chunks(bytes).flat_map(|part| [&[HANDSHAKE, 3, 1][..], &vector16(part)].concat()).collect()
    }

    /// The ClientHello of the definition's own example: `technical_details/JA4.md`, in the order in which Chrome sent it or any other.
    fn published() -> Vec<u8> {
        let suites = [
            0x3a3a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
            0x002f, 0x0035,
        ];
        let algorithms = flat(&[0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]);
        let versions = flat(&[0x7a7a, 0x0304, 0x0303]);
        let plain = |kind: u16| (kind, Vec::new());
        let extensions = [
            plain(0x2a2a),
            plain(0x001b),
            (SNI, b"\0\x09\0\0\x06ja4.db".to_vec()),
            plain(0x0033),
            (ALPN, vector16(b"\x02h2\x08http/1.1")),
            plain(0x4469),
            plain(0x0017),
            plain(0x002d),
            (SIGNATURE_ALGORITHMS, vector16(&algorithms)),
            plain(0x0005),
            plain(0x0023),
            plain(0x0012),
            (SUPPORTED_VERSIONS, [&[6][..], &versions].concat()),
            plain(0xff01),
            plain(0x000b),
            plain(0x000a),
            plain(0x0015),
            plain(0x9a9a),
        ];
        hello(0x0303, &suites, &extensions)
    }

    #[test]
    fn the_published_example_has_the_published_fingerprint() {
        let expected = Some("t13d1516h2_8daaf6152771_e5627efa2ab1".to_owned());
        let message = published();
        for bytes in [message.len(), 200, 64, 5, 1] {
            assert_eq!(of_records(&records(&message, bytes)), expected, "in records of {bytes} bytes");
        }
        let with_more = [records(&message, 64), vec![23, 3, 3, 0, 1, 0]].concat();
        assert_eq!(of_records(&with_more), expected, "what follows is not looked at");
    }

    #[test]
    fn what_a_client_leaves_out_is_told_too() {
        let old = hello(0x0301, &[0x002f], &[]);
        assert_eq!(of_records(&records(&old, 99)).unwrap(), format!("t10i010000_{}_000000000000", &hash("002f")));
        let none = hello(0x0303, &[], &[(SUPPORTED_VERSIONS, vec![2, 0x0a, 0x0a])]);
        assert_eq!(of_records(&records(&none, 999)).unwrap(), format!("t12i000100_000000000000_{}", hash("002b")));
        let alpn = |value: &[u8]| {
            let data = vector16(&[&[u8::try_from(value.len()).unwrap()][..], value].concat());
            let fingerprint = of_records(&records(&hello(0x0303, &[0x1301], &[(ALPN, data)]), 999)).unwrap();
            fingerprint[8..10].to_owned()
        };
        assert_eq!(alpn(b"http/1.1"), "h1");
        assert_eq!(alpn(b"x"), "xx");
        assert_eq!(alpn(&[0xab]), "ab");
        assert_eq!(alpn(&[0x30, 0xab]), "3b");
        let many: Vec<u16> = (0x0100..0x0200).collect();
        assert!(of_records(&records(&hello(0x0303, &many, &[]), 999)).unwrap().starts_with("t12i9900"));
    }

    fn hash(list: &str) -> String {
        let mut text = String::new();
        push_hash(list, &mut text);
        text
    }

    #[test]
    fn what_is_no_client_hello_has_none() {
        let whole = records(&published(), 300);
        for length in 0..whole.len() {
            assert_eq!(of_records(&whole[..length]), None, "{length}");
        }
        for (at, value) in [(0, 23), (5, 2)] {
            let mut wrong = whole.clone();
            wrong[at] = value;
            assert_eq!(of_records(&wrong), None);
        }
        let endless = records(&[&[CLIENT_HELLO, 0xff, 0xff, 0xff][..], &[0; 20_000]].concat(), 16_000);
        assert_eq!(of_records(&endless), None);
        assert_eq!(of_records(&[HANDSHAKE, 3, 1, 0, 0].repeat(10)), None, "empty records");
    }
}
