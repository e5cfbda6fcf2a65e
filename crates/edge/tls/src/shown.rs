//! What a visitor's certificate says of itself: a stranger's bytes, made into text that rules and origins can read. Pure.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use poterne_model::{ShownCertificate, visitor_certificate::DistinguishedName};
use x509_parser::{
    certificate::X509Certificate,
    extensions::ParsedExtension,
    time::ASN1Time,
    x509::{AttributeTypeAndValue, X509Name},
};

/// Longest certificate that is looked at, in bytes: each connection keeps what it says.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// What a certificate says (DER). Of one that is longer, or does not parse, its digests alone are known. Nobody vouches for it yet.
pub fn read(der: &[u8]) -> ShownCertificate {
    let parsed = (der.len() <= CERTIFICATE_BYTES_MAX).then(|| x509_parser::parse_x509_certificate(der).ok()).flatten();
    match parsed {
        Some(([], certificate)) => of(der, &certificate),
        _ => ShownCertificate {
            verified_by: None,
            der: Box::default(),
            not_before: 0,
            not_after: 0,
            validity: [Box::default(), Box::default()],
            serial: Box::default(),
            subject: DistinguishedName::default(),
            issuer: DistinguishedName::default(),
            ski: Box::default(),
            issuer_ski: Box::default(),
            issuer_serial: Box::default(),
            sha1: sha1(der),
            sha256: sha256(der),
        },
    }
}

fn of(der: &[u8], certificate: &X509Certificate<'_>) -> ShownCertificate {
    let validity = certificate.validity();
    let (mut ski, mut issuer_ski, mut issuer_serial) = (Box::default(), Box::default(), Box::default());
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => ski = id.0.into(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                issuer_ski = id.key_identifier.as_ref().map_or_else(Box::default, |id| id.0.into());
                issuer_serial = id.authority_cert_serial.map_or_else(Box::default, Into::into);
            }
            _ => {}
        }
    }
    ShownCertificate {
        verified_by: None,
        der: der.into(),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
        validity: [told(&validity.not_before), told(&validity.not_after)],
        serial: certificate.tbs_certificate.raw_serial().into(),
        subject: name(certificate.subject()),
        issuer: name(certificate.issuer()),
        ski,
        issuer_ski,
        issuer_serial,
        sha1: sha1(der),
        sha256: sha256(der),
    }
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().try_into().unwrap_or_default()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// `Dec 22 19:39:00 2018 GMT`, as OpenSSL writes it. Certificates count in UTC (RFC 5280 §4.1.2.5).
fn told(time: &ASN1Time) -> Box<str> {
    time.to_string().replace("+00:00", "GMT").into()
}

/// What attributes are called (RFC 2253 §2.3, RFC 4519); others go by their numbers.
const ATTRIBUTES: [(&str, &str); 15] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("2.5.4.46", "dnQualifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn name(name: &X509Name<'_>) -> DistinguishedName {
    let (mut rfc2253, mut legacy) = (Vec::new(), String::new());
    for part in name.iter_rdn() {
        let mut together = String::new();
        for (place, attribute) in part.iter().enumerate() {
            let kind = attribute.attr_type().to_id_string();
            let kind = ATTRIBUTES.iter().find(|(number, _)| *number == kind).map_or(kind.as_str(), |(_, name)| name);
            together.push_str(if place == 0 { "" } else { "+" });
            let value = attribute.as_str().ok();
            let _ = write!(together, "{kind}={}", value.map_or_else(|| in_digits(attribute), escaped));
            let plain = value.map_or_else(|| in_digits(attribute), |value| value.replace(is_unseen, "?"));
            let _ = write!(legacy, "{}{kind}={plain}", if place == 0 { '/' } else { '+' });
        }
        rfc2253.push(together);
    }
    rfc2253.reverse();
    DistinguishedName { rfc2253: rfc2253.join(",").into(), legacy: legacy.into() }
}

/// RFC 2253 §2.4: what is no text is told in digits.
fn in_digits(attribute: &AttributeTypeAndValue<'_>) -> String {
    attribute.as_slice().iter().fold("#".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// RFC 2253 §2.4: nothing in a value ends it, nor is it anything but visible text: it goes into fields of requests.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (place, c) in value.chars().enumerate() {
        let at_an_end = (c == ' ' && (place == 0 || place == last)) || (c == '#' && place == 0);
        if at_an_end || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            text.push('\\');
            text.push(c);
        } else if is_unseen(c) {
            for byte in c.to_string().bytes() {
                let _ = write!(text, "\\{byte:02X}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

fn is_unseen(c: char) -> bool {
    c.is_control()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber};

    use super::*;

    fn certificate(parts: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.serial_number = Some(SerialNumber::from_slice(&[0x93, 0x6e]));
        params.not_before = rcgen::date_time_ymd(2018, 1, 2);
        params.not_after = rcgen::date_time_ymd(2028, 12, 22);
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_dates_and_numbers_are_told_as_openssl_tells_them() {
        let parts = [
            (DnType::CountryName, "FR"),
            (DnType::OrganizationName, "Dupont, Fils + Cie"),
            (DnType::CommonName, " #1\r\nX-Forged: é\" "),
        ];
        let shown = read(&certificate(&parts));
        assert_eq!(&*shown.subject.rfc2253, "CN=\\ #1\\0D\\0AX-Forged: é\\\"\\ ,O=Dupont\\, Fils \\+ Cie,C=FR");
        assert_eq!(&*shown.subject.legacy, "/C=FR/O=Dupont, Fils + Cie/CN= #1??X-Forged: é\" ");
        assert_eq!(shown.issuer, shown.subject);
        let [before, after] = shown.validity.each_ref().map(|text| &**text);
        assert_eq!((before, after), ("Jan  2 00:00:00 2018 GMT", "Dec 22 00:00:00 2028 GMT"));
        assert_eq!(&*shown.serial, [0, 0x93, 0x6e], "as it stands there: positive");
        assert_eq!((shown.ski.len(), shown.not_before), (20, 1_514_851_200));
        assert!(!shown.is_verified(1_600_000_000), "nobody has said so");
    }

    #[test]
    fn what_is_none_or_too_long_is_known_by_its_digest_alone() {
        let long = vec![0x30; CERTIFICATE_BYTES_MAX + 1];
        let whole = certificate(&[]);
        let more = [&whole[..], b"x"].concat();
        for bytes in [&b""[..], b"x", &long, &more, &whole[..whole.len() - 1]] {
            let shown = read(bytes);
            assert!(shown.der.is_empty() && shown.serial.is_empty() && shown.subject.rfc2253.is_empty());
            assert_eq!(shown.sha256, sha256(bytes));
        }
        // FIPS 180-4, examples A.1 and B.1.
        assert_eq!((&sha1(b"abc")[..4], &sha256(b"abc")[..4]), (&[0xa9, 0x99, 0x3e, 0x36][..], &[0xba, 0x78, 0x16, 0xbf][..]));
    }
}
