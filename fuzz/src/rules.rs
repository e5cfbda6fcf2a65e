//! Checks of `poterne-rules`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use poterne_model::{ShownCertificate, setting::normalization::NormalizationKind, visitor_certificate::DistinguishedName};
use poterne_rules::{Answer, Certificate, Computed, Condition, Facts, Moment, url::normal_path};

/// Any text: it is an expression or it is refused with a place in it; one that is is true or false of a request, within its bound; and a
/// path that has a normal form has one that is its own.
pub fn expression(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let fields = [("cookie", "a=1; b=%41"), ("x-a", "One"), ("x-a", text), ("accept-language", "fr;q=0.5,en")];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).ok()?)));
    let headers: HeaderMap = fields.collect();
    let in_clear = Facts {
        method: "GET",
        version: Version::HTTP_11,
        secure: false,
        host: "www.example.com",
        path: "/a/b.JPG",
        query: text,
        raw_path: "/a//b.JPG",
        raw_query: text,
        headers: &headers,
        source: [192, 0, 2, 7].into(),
        local: ([198, 51, 100, 1], 443).into(),
        ray: "0123456789abcdef-LOC",
        zone: "example.com",
        ja4: None,
        tls: [None; 2],
        certificate: None,
        at: Duration::from_secs(1_800_000_000),
        answer: Some(Answer { status: 404, headers: &headers }),
    };
    let shown = shown(text);
    let with_certificate = Facts {
        secure: true,
        ja4: Some("t13d1516h2_8daaf6152771_b186095e22b6"),
        tls: [Some("TLSv1.3"), Some("AEAD-AES128-GCM-SHA256")],
        certificate: Some(Certificate { shown: &shown, is_verified: true, is_revoked: false }),
        ..in_clear
    };
    for moment in [Moment::Request, Moment::Response] {
        match Condition::compile(text, moment) {
            Ok(condition) => {
                for facts in [&in_clear, &with_certificate] {
                    let _ = condition.holds(facts);
                }
            }
            Err(error) => {
                assert!(text.is_char_boundary(error.at), "{error}");
                assert!(error.to_string().lines().count() >= 3, "{error}");
            }
        }
        if let Ok(computed) = Computed::compile(text, moment) {
            for facts in [&in_clear, &with_certificate] {
                drop(computed.text(facts));
            }
        }
    }
    for kind in [NormalizationKind::Cloudflare, NormalizationKind::Rfc3986] {
        if let Ok(normal) = normal_path(text, kind) {
            assert_eq!(normal_path(&normal, kind).as_deref(), Ok(&*normal));
        }
    }
}

/// A certificate whose names and bytes are this text.
fn shown(text: &str) -> ShownCertificate {
    let name = || DistinguishedName { rfc2253: text.into(), legacy: text.into() };
    let bytes = || Box::from(text.as_bytes());
    ShownCertificate {
        verified_by: None,
        der: bytes(),
        not_before: 1_545_507_540,
        not_after: i64::MAX,
        validity: [text.into(), "".into()],
        serial: bytes(),
        subject: name(),
        issuer: name(),
        ski: bytes(),
        issuer_ski: Box::default(),
        issuer_serial: bytes(),
        sha1: [7; 20],
        sha256: [255; 32],
    }
}
