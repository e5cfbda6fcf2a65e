//! What the edge obeys of a zone towards its visitors, and in the fields that it writes (edge-behaviour §2.1, §2.2, §2.7, §2.12 and §7.7).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ManagedHeaders;
use crate::word::words;

/// The name under which a zone's managed fields are kept, beside the settings of the catalogue.
pub const MANAGED_HEADERS: &str = "managed_headers";

/// Which versions of TLS visitors may come with, over TCP. QUIC knows 1.3 alone (RFC 9001 §4.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TlsVersions {
    /// 1.2 and 1.3. What is older is spoken by nobody here, whatever `min_tls_version` allows (RFC 8996).
    #[default]
    Both,
    /// 1.2 alone: the zone turned 1.3 off.
    Only12,
    /// 1.3 alone: the zone's least version.
    Only13,
}

impl TlsVersions {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Both, Self::Only12, Self::Only13];

    /// Of `min_tls_version` and `tls_1_3`. Where they contradict each other the least version holds: nobody is let in with less than what was
    /// asked for.
    fn of(min: Option<&Value>, tls13: Option<&Value>) -> Self {
        let is = |value: Option<&Value>, word| value.and_then(Value::as_str) == Some(word);
        match (is(min, "1.3"), is(tls13, "off")) {
            (true, _) => Self::Only13,
            (false, true) => Self::Only12,
            (false, false) => Self::Both,
        }
    }
}

words! {
    /// Whether an IPv4 address is made of a visitor's IPv6 address, for origins that know no other (edge-behaviour §2.1).
    pub enum PseudoIpv4 {
        /// None is made.
        Off = "off",
        /// It is told beside the visitor's own.
        Add = "add_header",
        /// It stands in the place of the visitor's own, which is told apart.
        Overwrite = "overwrite_header",
    }
}

/// What browsers are told to keep in mind (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hsts {
    /// For how long they come over HTTPS alone, in seconds; 0 makes them forget it. At most ten years.
    pub max_age_secs: u32,
    /// To names below this one too.
    pub include_subdomains: bool,
    /// Whether browsers' makers may build it in.
    pub preload: bool,
    /// Whether `X-Content-Type-Options: nosniff` is sent as well.
    pub nosniff: bool,
}

impl Hsts {
    /// Of `security_header`; none where it is not enabled.
    fn of(value: Option<&Value>) -> Option<Self> {
        let set = value?.get("strict_transport_security")?;
        let is = |key| set.get(key).and_then(Value::as_bool).unwrap_or_default();
        let max_age_secs = set.get("max_age").and_then(Value::as_u64).and_then(|age| u32::try_from(age).ok()).unwrap_or_default();
        let (include_subdomains, preload, nosniff) = (is("include_subdomains"), is("preload"), is("nosniff"));
        is("enabled").then_some(Self { max_age_secs, include_subdomains, preload, nosniff })
    }
}

/// The settings. Their defaults are the catalogue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeSettings {
    /// Whether who comes in clear is sent to HTTPS. Default no.
    pub always_use_https: bool,
    /// What HTTPS answers say of coming again. Default nothing.
    pub hsts: Option<Hsts>,
    /// What handshakes are accepted over TCP. Default both.
    pub tls: TlsVersions,
    /// Whether visitors are offered HTTP/2. Default yes.
    pub http2: bool,
    /// Whether visitors are offered HTTP/3, and may come by it. Default yes; never without TLS 1.3.
    pub http3: bool,
    /// Whether WebSockets are opened. Default yes.
    pub websockets: bool,
    /// Whether answers are compressed with Brotli, and origins may. Default yes.
    pub brotli: bool,
    /// Whether the origin is told the visitor's country. Default yes.
    pub ip_geolocation: bool,
    /// Default off.
    pub pseudo_ipv4: PseudoIpv4,
    /// Whether the origin is told the visitor's address as `True-Client-IP` too: by `true_client_ip_header`, or by the managed field. Default no.
    pub true_client_ip: bool,
    /// Whether the origin is told no visitor's address at all (`remove_visitor_ip_headers`). Default no.
    pub hides_visitor: bool,
    /// Whether answers bear what keeps browsers careful (`add_security_headers`). Default no.
    pub adds_security: bool,
    /// Whether `X-Powered-By` is removed (`remove_x-powered-by_header`). Default no.
    pub hides_powered_by: bool,
    /// Whether the origin is told of the visitor's certificate (`add_client_certificate_headers`). Default no.
    pub tells_certificate: bool,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self::of(|_| None)
    }
}

impl EdgeSettings {
    /// The names of the settings that are read here.
    pub const IDS: [&'static str; 12] = [
        "always_use_https",
        "brotli",
        "http2",
        "http3",
        "ip_geolocation",
        MANAGED_HEADERS,
        "min_tls_version",
        "pseudo_ipv4",
        "security_header",
        "tls_1_3",
        "true_client_ip_header",
        "websockets",
    ];

    /// Of the managed fields, those that are obeyed.
    pub const MANAGED: [&'static str; 5] = [
        "add_true_client_ip_headers",
        "remove_visitor_ip_headers",
        "add_security_headers",
        "remove_x-powered-by_header",
        "add_client_certificate_headers",
    ];

    /// Of the values that a zone set; the default where it never did, or where a value is not understood.
    pub fn of<'a>(set: impl Fn(&'static str) -> Option<&'a Value>) -> Self {
        let word = |id| set(id).and_then(Value::as_str);
        let (is_on, is_not_off) = (|id| word(id) == Some("on"), |id| word(id) != Some("off"));
        let managed = set(MANAGED_HEADERS).and_then(|value| serde_json::from_value::<ManagedHeaders>(value.clone()).ok());
        let is_managed = |id| managed.as_ref().is_some_and(|managed| managed.is_on(id));
        let [true_client_ip, hides_visitor, adds_security, hides_powered_by, tells_certificate] = Self::MANAGED.map(is_managed);
        let tls = TlsVersions::of(set("min_tls_version"), set("tls_1_3"));
        Self {
            always_use_https: is_on("always_use_https"),
            hsts: Hsts::of(set("security_header")),
            tls,
            http2: is_not_off("http2"),
            http3: is_not_off("http3") && tls != TlsVersions::Only12,
            websockets: is_not_off("websockets"),
            brotli: is_not_off("brotli"),
            ip_geolocation: is_not_off("ip_geolocation"),
            pseudo_ipv4: word("pseudo_ipv4").and_then(PseudoIpv4::of_word).unwrap_or(PseudoIpv4::Off),
            true_client_ip: is_on("true_client_ip_header") || true_client_ip,
            hides_visitor,
            adds_security,
            hides_powered_by,
            tells_certificate,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::setting::{find, managed};

    fn of(values: &[(&'static str, Value)]) -> EdgeSettings {
        let values: BTreeMap<_, _> = values.iter().cloned().collect();
        EdgeSettings::of(|id| {
            assert!(EdgeSettings::IDS.contains(&id), "{id} is asked for, and would never be read");
            values.get(id)
        })
    }

    #[test]
    fn the_defaults_are_the_catalogues() {
        let catalogue: Vec<_> = EdgeSettings::IDS.into_iter().filter(|id| *id != MANAGED_HEADERS).collect();
        let defaults: Vec<_> = catalogue.iter().map(|id| (*id, find(id).unwrap().kind.default_value())).collect();
        assert_eq!(of(&defaults), EdgeSettings::default());
        for word in PseudoIpv4::WORDS {
            assert!(find("pseudo_ipv4").unwrap().kind.normalise(&crate::At::body(&json!(word)), &json!("off")).is_ok());
        }
        assert!(EdgeSettings::MANAGED.iter().all(|id| managed::REQUEST.contains(id) || managed::RESPONSE.contains(id)));
    }

    #[test]
    fn each_is_read_and_nonsense_is_the_default() {
        let header = json!({"strict_transport_security": {"enabled": true, "max_age": 60, "preload": true}});
        let set = of(&[
            ("always_use_https", json!("on")),
            ("brotli", json!("off")),
            ("http2", json!("off")),
            ("http3", json!("off")),
            ("ip_geolocation", json!("off")),
            ("pseudo_ipv4", json!("overwrite_header")),
            ("security_header", header),
            ("true_client_ip_header", json!("on")),
            ("websockets", json!("off")),
            (MANAGED_HEADERS, json!(EdgeSettings::MANAGED[1..])),
        ]);
        let hsts = Hsts { max_age_secs: 60, include_subdomains: false, preload: true, nosniff: false };
        let expected = EdgeSettings {
            always_use_https: true,
            hsts: Some(hsts),
            tls: TlsVersions::Both,
            http2: false,
            http3: false,
            websockets: false,
            brotli: false,
            ip_geolocation: false,
            pseudo_ipv4: PseudoIpv4::Overwrite,
            true_client_ip: true,
            hides_visitor: true,
            adds_security: true,
            hides_powered_by: true,
            tells_certificate: true,
        };
        assert_eq!(set, expected);
        let nonsense: Vec<_> = EdgeSettings::IDS.into_iter().map(|id| (id, json!({"?": [1]}))).collect();
        assert_eq!(of(&nonsense), EdgeSettings::default());
        assert!(of(&[(MANAGED_HEADERS, json!(["add_true_client_ip_headers"]))]).true_client_ip);
    }

    #[test]
    fn the_least_version_holds_and_quic_needs_the_newest() {
        let versions = |min: &str, newest: &str| of(&[("min_tls_version", json!(min)), ("tls_1_3", json!(newest))]);
        assert_eq!(versions("1.0", "zrt").tls, TlsVersions::Both);
        assert_eq!(versions("1.3", "on").tls, TlsVersions::Only13);
        assert_eq!(versions("1.3", "off").tls, TlsVersions::Only13);
        let without = versions("1.2", "off");
        assert_eq!((without.tls, without.http3), (TlsVersions::Only12, false));
        assert!(versions("1.3", "off").http3);
    }

    #[test]
    fn a_header_that_is_not_enabled_is_none() {
        let disabled = json!({"strict_transport_security": {"enabled": false, "max_age": 60, "nosniff": true}});
        assert_eq!(of(&[("security_header", disabled)]).hsts, None);
        let forgetting = json!({"strict_transport_security": {"enabled": true, "max_age": 0}});
        assert_eq!(of(&[("security_header", forgetting)]).hsts.map(|hsts| hsts.max_age_secs), Some(0));
    }
}
