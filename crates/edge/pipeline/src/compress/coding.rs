//! Content codings: what a visitor accepts (RFC 9110 §12.5.3), what it gets, and what the origin is asked for. Pure.

use http::{HeaderMap, HeaderValue, header};
use poterne_model::setting::EdgeSettings;

/// What an answer is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// As `Content-Encoding` names it.
    pub(crate) const fn value(self) -> HeaderValue {
        match self {
            Self::Zstd => HeaderValue::from_static("zstd"),
            Self::Brotli => HeaderValue::from_static("br"),
            Self::Gzip => HeaderValue::from_static("gzip"),
        }
    }

    /// What is shorter than this many bytes is not made shorter by it (edge-behaviour §2.12).
    pub(crate) const fn bytes_min(self) -> u64 {
        match self {
            Self::Gzip => 48,
            Self::Zstd | Self::Brotli => 50,
        }
    }
}

/// How much each is wanted, in thousandths; none: it was not named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Accepted {
    zstd: Option<u16>,
    brotli: Option<u16>,
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Accepted {
    fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self::default();
        let values = headers.get_all(header::ACCEPT_ENCODING).iter();
        for item in values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
            let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let place = match name {
                b"*" => &mut accepted.any,
                _ if name.eq_ignore_ascii_case(b"zstd") => &mut accepted.zstd,
                _ if name.eq_ignore_ascii_case(b"br") => &mut accepted.brotli,
                // RFC 9110 §8.4.1.3: the same by its older name.
                _ if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => &mut accepted.gzip,
                _ if name.eq_ignore_ascii_case(b"identity") => &mut accepted.identity,
                _ => continue,
            };
            // A weight that is none: nobody knows what was meant.
            *place = Some(parts.next().map_or(1000, |weight| thousandths(weight).unwrap_or_default()));
        }
        accepted
    }

    /// Whoever takes anything takes what everybody has had for thirty years.
    fn gzip(&self) -> u16 {
        self.gzip.or(self.any).unwrap_or_default()
    }
}

/// RFC 9110 §12.4.2: `q=` and 0 to 1 with at most three decimals.
fn thousandths(weight: &[u8]) -> Option<u16> {
    let (name, value) = weight.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, decimals) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] => (whole, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u16::from(decimals.get(at).map_or(0, |digit| digit - b'0'));
    let decimals = digit(0) * 100 + digit(1) * 10 + digit(2);
    match (whole, decimals) {
        (b'0', decimals) => Some(decimals),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

/// What a visitor's answers are compressed with: what it wants most, and of equals the one that makes them shortest for the time it takes
/// (edge-behaviour §2.12). None: it wants them as they are.
pub(crate) fn preferred(headers: &HeaderMap, settings: &EdgeSettings) -> Option<Coding> {
    let accepted = Accepted::of(headers);
    let brotli = accepted.brotli.filter(|_| settings.brotli).unwrap_or_default();
    let offers = [(Coding::Zstd, accepted.zstd.unwrap_or_default()), (Coding::Brotli, brotli), (Coding::Gzip, accepted.gzip())];
    let mut best = (None, accepted.identity.unwrap_or_default());
    for (coding, weight) in offers {
        let is_better = if best.0.is_none() { weight > 0 && weight >= best.1 } else { weight > best.1 };
        if is_better {
            best = (Some(coding), weight);
        }
    }
    best.0
}

/// What the origin is asked for: of what the hosted service asks for, what the visitor accepts. So whatever the origin answers with
/// may be passed on as it is, and nothing has to be unpacked on the way.
pub(crate) fn told(headers: &HeaderMap, settings: &EdgeSettings) -> HeaderValue {
    let accepted = Accepted::of(headers);
    let brotli = settings.brotli && accepted.brotli.is_some_and(|weight| weight > 0);
    HeaderValue::from_static(match (brotli, accepted.gzip() > 0) {
        (true, true) => "br, gzip",
        (true, false) => "br",
        (false, true) => "gzip",
        // Without one the stock agent asks for gzip by itself and unpacks the answer (tunnel-protocol §4.2).
        (false, false) => "identity",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_visitor_gets_what_it_wants_most() {
        use Coding::{Brotli, Gzip, Zstd};
        let on = EdgeSettings::default();
        let off = EdgeSettings { brotli: false, ..on };
        for (value, with, without) in [
            ("gzip, deflate, br, zstd", Some(Zstd), Some(Zstd)),
            ("gzip, deflate, br", Some(Brotli), Some(Gzip)),
            ("GZIP", Some(Gzip), Some(Gzip)),
            ("x-gzip;q=0.1", Some(Gzip), Some(Gzip)),
            ("br;q=0.5, gzip;q=0.501", Some(Gzip), Some(Gzip)),
            ("br; q=1.000, zstd; Q=0.999", Some(Brotli), Some(Zstd)),
            ("br;q=0", None, None),
            ("gzip;q=0, *", None, None),
            ("*", Some(Gzip), Some(Gzip)),
            ("*;q=0", None, None),
            ("identity, gzip;q=0.5", None, None),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip), Some(Gzip)),
            ("identity;q=0, br", Some(Brotli), None),
            ("deflate", None, None),
            ("gzip;q=1.5", None, None),
            ("gzip;q=0.1234", None, None),
            ("gzip;level=9", None, None),
            ("", None, None),
        ] {
            assert_eq!((preferred(&headers(value), &on), preferred(&headers(value), &off)), (with, without), "{value}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &on), None);
        let mut twice = headers("deflate");
        twice.append(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(preferred(&twice, &on), Some(Brotli));
    }

    #[test]
    fn the_origin_is_asked_for_what_the_visitor_can_read() {
        let on = EdgeSettings::default();
        for (value, asked) in [
            ("gzip, deflate, br, zstd", "br, gzip"),
            ("br", "br"),
            ("zstd", "identity"),
            ("gzip;q=0.001", "gzip"),
            ("gzip;q=0, br;q=0", "identity"),
            ("*", "gzip"),
            ("identity", "identity"),
        ] {
            assert_eq!(told(&headers(value), &on), asked, "{value}");
        }
        assert_eq!(told(&headers("gzip, br"), &EdgeSettings { brotli: false, ..on }), "gzip");
        assert_eq!(told(&HeaderMap::new(), &on), "identity");
    }

    proptest! {
        #[test]
        fn nobody_gets_what_was_not_named(value in "[a-z*]{0,4}(;q=[01](\\.[0-9]{0,4})?)?(, ?[a-z*]{0,8}(;q=[01](\\.[0-9]{0,3})?)?){0,4}") {
            let headers = headers(&value);
            match preferred(&headers, &EdgeSettings::default()) {
                Some(Coding::Zstd) => prop_assert!(value.contains("zstd")),
                Some(Coding::Brotli) => prop_assert!(value.contains("br")),
                Some(Coding::Gzip) => prop_assert!(value.contains("gzip") || value.contains('*')),
                None => {}
            }
        }

        #[test]
        fn no_octets_break_it(value in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]);
                preferred(&headers, &EdgeSettings::default());
                told(&headers, &EdgeSettings::default());
            }
        }
    }
}
