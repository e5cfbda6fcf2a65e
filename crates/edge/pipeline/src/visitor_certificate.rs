//! The certificate that a visitor showed, while its requests pass: whether it is believed still, and what an origin is told of it
//! (edge-behaviour §7.9). The handshake asked for it and goes on without; what follows from that the zone's rules decide.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue};
use poterne_edge_http::Connection;
use poterne_model::{CertificateId, ClientAuth, ShownCertificate};
use poterne_rules::{Certificate, certificate::Says};
use poterne_snapshot::ZoneHead;

/// Longest value of a field about it, in bytes; one that would be longer is not sent. Many servers take 8 KiB of all fields.
const VALUE_BYTES_MAX: usize = 4 * 1024;

/// The managed fields (`add_client_certificate_headers`), beside the three that say yes or no.
const TOLD: [(HeaderName, Says); 14] = [
    (HeaderName::from_static("cf-cert-issuer-dn"), Says::Issuer),
    (HeaderName::from_static("cf-cert-subject-dn"), Says::Subject),
    (HeaderName::from_static("cf-cert-issuer-dn-rfc2253"), Says::Issuer),
    (HeaderName::from_static("cf-cert-subject-dn-rfc2253"), Says::Subject),
    (HeaderName::from_static("cf-cert-issuer-dn-legacy"), Says::IssuerLegacy),
    (HeaderName::from_static("cf-cert-subject-dn-legacy"), Says::SubjectLegacy),
    (HeaderName::from_static("cf-cert-serial"), Says::Serial),
    (HeaderName::from_static("cf-cert-issuer-serial"), Says::IssuerSerial),
    (HeaderName::from_static("cf-cert-fingerprint-sha1"), Says::Sha1),
    (HeaderName::from_static("cf-cert-fingerprint-sha256"), Says::Sha256),
    (HeaderName::from_static("cf-cert-not-before"), Says::NotBefore),
    (HeaderName::from_static("cf-cert-not-after"), Says::NotAfter),
    (HeaderName::from_static("cf-cert-ski"), Says::Ski),
    (HeaderName::from_static("cf-cert-issuer-ski"), Says::IssuerSki),
];
const PRESENTED: HeaderName = HeaderName::from_static("cf-cert-presented");
const VERIFIED: HeaderName = HeaderName::from_static("cf-cert-verified");
const REVOKED: HeaderName = HeaderName::from_static("cf-cert-revoked");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const YES: HeaderValue = HeaderValue::from_static("true");
const NO: HeaderValue = HeaderValue::from_static("false");

/// Whom a connection's visitor was asked to be vouched for by; empty: it was not asked.
pub(crate) fn asked_on(connection: &Connection) -> &[CertificateId] {
    connection.client.as_ref().map_or(&[], |client| &client.asked)
}

/// What was shown on a connection, and how it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    client: Arc<ClientAuth>,
    is_verified: bool,
    is_revoked: bool,
}

impl Standing {
    /// By what the zone says now; none where nothing was shown. Costs nothing where nobody was asked.
    pub(crate) fn of(zone: &ZoneHead, connection: &Connection) -> Option<Box<Self>> {
        let client = connection.client.as_ref().filter(|client| client.shown.is_some())?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Some(Box::new(Self::at(zone, client, i64::try_from(now).unwrap_or(i64::MAX))?))
    }

    fn at(zone: &ZoneHead, client: &Arc<ClientAuth>, now_secs: i64) -> Option<Self> {
        let shown = client.shown.as_deref()?;
        let authority = shown.verified_by.and_then(|id| zone.client.as_ref()?.authority(id));
        Some(Self {
            is_verified: authority.is_some() && shown.is_verified(now_secs),
            is_revoked: authority.is_some_and(|authority| authority.has_revoked(&shown.serial)),
            client: Arc::clone(client),
        })
    }

    /// As rules see it.
    pub(crate) fn certificate(&self) -> Certificate<'_> {
        Certificate { shown: self.shown(), is_verified: self.is_verified, is_revoked: self.is_revoked }
    }

    fn shown(&self) -> &ShownCertificate {
        self.client.shown.as_deref().expect("it is made of what was shown")
    }
}

/// Tells an origin of it, or that there was none. Whatever the visitor sent under these names is gone already. All of it goes as `Client-Cert`
/// too (RFC 9440 §2.2), where somebody vouches for it: an origin may take that for proof.
pub(crate) fn tell(headers: &mut HeaderMap, standing: Option<&Standing>) {
    let word = |is: bool| if is { YES } else { NO };
    headers.insert(PRESENTED, word(standing.is_some()));
    headers.insert(VERIFIED, word(standing.is_some_and(|standing| standing.is_verified)));
    headers.insert(REVOKED, word(standing.is_some_and(|standing| standing.is_revoked)));
    let Some(standing) = standing else { return };
    let mut tell = |name: HeaderName, says: Says| {
        let value = says.of(standing.shown());
        if !value.is_empty()
            && value.len() <= VALUE_BYTES_MAX
            && let Ok(value) = HeaderValue::from_bytes(&value)
        {
            headers.insert(name, value);
        }
    };
    for (name, says) in TOLD {
        tell(name, says);
    }
    if standing.is_verified && !standing.is_revoked {
        tell(CLIENT_CERT, Says::Rfc9440);
    }
}

#[cfg(test)]
mod tests {
    use poterne_model::{
        AccountId, Name, ZoneId, ZoneStatus,
        setting::{EdgeSettings, OriginSettings},
        visitor_certificate::DistinguishedName,
    };
    use poterne_snapshot::{ClientCertificates, VisitorAuthority};

    use super::*;

    const AUTHORITY: CertificateId = CertificateId::from_bytes([3; 16]);

    fn client(verified_by: Option<CertificateId>, der: &[u8]) -> Arc<ClientAuth> {
        let name = |text: &str| DistinguishedName { rfc2253: text.into(), legacy: format!("/{text}").into() };
        let shown = ShownCertificate {
            verified_by,
            der: der.into(),
            not_before: 100,
            not_after: 200,
            validity: ["Jan  1 00:01:40 1970 GMT".into(), "Jan  1 00:03:20 1970 GMT".into()],
            serial: [0x47; 16].into(),
            subject: name("CN=ann"),
            issuer: name("CN=us"),
            ski: [0xab].into(),
            issuer_ski: Box::default(),
            issuer_serial: Box::default(),
            sha1: [0xcd; 20],
            sha256: [0xef; 32],
        };
        Arc::new(ClientAuth { asked: [AUTHORITY].into(), shown: Some(Box::new(shown)) })
    }

    fn zone(revoked: Vec<[u8; 16]>) -> ZoneHead {
        let authorities = vec![VisitorAuthority { id: AUTHORITY, certificates: Vec::new(), revoked }];
        ZoneHead {
            id: ZoneId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            apex: Name::parse("site.test").unwrap(),
            status: ZoneStatus::Active,
            dns: None,
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: Some(Box::new(ClientCertificates { authorities, ..ClientCertificates::default() })),
            partial: false,
        }
    }

    #[test]
    fn it_stands_while_it_is_good_and_whoever_vouches_for_it_is_there() {
        let stands = |zone: &ZoneHead, verified_by, now| {
            let standing = Standing::at(zone, &client(verified_by, b"der"), now).unwrap();
            (standing.is_verified, standing.is_revoked)
        };
        let plain = zone(Vec::new());
        assert_eq!(stands(&plain, Some(AUTHORITY), 150), (true, false));
        assert_eq!(stands(&plain, Some(AUTHORITY), 201), (false, false), "it has ended on the way");
        assert_eq!(stands(&plain, None, 150), (false, false));
        assert_eq!(stands(&zone(vec![[0x47; 16]]), Some(AUTHORITY), 150), (true, true), "as the hosted service tells it");
        assert_eq!(stands(&ZoneHead { client: None, ..plain }, Some(AUTHORITY), 150), (false, false));
        let nothing = Arc::new(ClientAuth { asked: [AUTHORITY].into(), shown: None });
        assert!(Standing::at(&zone(Vec::new()), &nothing, 150).is_none());
    }

    #[test]
    fn an_origin_is_told_what_was_shown_and_gets_what_is_proven() {
        let told = |standing: Option<Standing>| {
            let mut headers = HeaderMap::new();
            tell(&mut headers, standing.as_ref());
            headers
        };
        let value = |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let none = told(None);
        assert_eq!((none.len(), value(&none, "cf-cert-presented").as_deref()), (3, Some("false")));
        let at = |zone: &ZoneHead, client: &Arc<ClientAuth>| Standing::at(zone, client, 150);
        let good = told(at(&zone(Vec::new()), &client(Some(AUTHORITY), b"der")));
        for (name, expected) in [
            ("cf-cert-presented", "true"),
            ("cf-cert-verified", "true"),
            ("cf-cert-revoked", "false"),
            ("cf-cert-subject-dn", "CN=ann"),
            ("cf-cert-subject-dn-legacy", "/CN=ann"),
            ("cf-cert-issuer-dn-rfc2253", "CN=us"),
            ("cf-cert-serial", "47474747474747474747474747474747"),
            ("cf-cert-ski", "AB"),
            ("cf-cert-not-after", "Jan  1 00:03:20 1970 GMT"),
            ("client-cert", ":ZGVy:"),
        ] {
            assert_eq!(value(&good, name).as_deref(), Some(expected), "{name}");
        }
        assert!(!good.contains_key("cf-cert-issuer-ski"), "it says none");
        assert!(!told(at(&zone(Vec::new()), &client(None, b"der"))).contains_key("client-cert"), "nobody vouches for it");
        let revoked = told(at(&zone(vec![[0x47; 16]]), &client(Some(AUTHORITY), b"der")));
        assert_eq!((value(&revoked, "cf-cert-revoked").as_deref(), value(&revoked, "client-cert")), (Some("true"), None));
        let long = told(at(&zone(Vec::new()), &client(Some(AUTHORITY), &[0; VALUE_BYTES_MAX])));
        assert!(!long.contains_key("client-cert"));
    }
}
