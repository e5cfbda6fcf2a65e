//! What the edge obeys of a zone on its way to the zone's origins (edge-behaviour §2.7 and §2.9).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::word::words;

/// The name under which it is kept whether origins are shown the zone's own certificate: `{"enabled": true}`.
pub const ORIGIN_TLS_CLIENT_AUTH: &str = "origin_tls_client_auth";

words! {
    /// How origins are spoken to. Tunnels have a leg of their own, and are not concerned.
    pub enum SslMode {
        /// In clear, and visitors too: who comes over HTTPS is sent to HTTP.
        Off = "off",
        /// In clear, whatever the visitor does.
        Flexible = "flexible",
        /// As the visitor does, and whatever certificate the origin shows.
        Full = "full",
        /// As the visitor does, and the certificate is verified.
        Strict = "strict",
        /// Over TLS, whatever the visitor does, and the certificate is verified.
        OriginPull = "origin_pull",
    }
}

/// The settings. Their defaults are the catalogue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginSettings {
    /// How origins are spoken to. Default `full`.
    pub ssl: SslMode,
    /// How long an origin may think about its answer, in seconds; beyond it 524. Default 100; 1 to 6,000.
    pub read_timeout_secs: u16,
    /// Whether HTTP/2 is offered to origins over TLS (`origin_max_http_version`). Default true.
    pub http2: bool,
    /// Whether origins that ask are shown the zone's own certificate (`tls_client_auth`, or `…/origin_tls_client_auth/settings`). Default no.
    pub identifies: bool,
}

impl Default for OriginSettings {
    fn default() -> Self {
        Self { ssl: SslMode::Full, read_timeout_secs: 100, http2: true, identifies: false }
    }
}

impl OriginSettings {
    /// The ids of the settings of the catalogue that are read here.
    pub const IDS: [&'static str; 5] =
        ["ssl", "proxy_read_timeout", "origin_max_http_version", "tls_client_auth", ORIGIN_TLS_CLIENT_AUTH];

    /// Of the values that a zone set; the default where it never did, or where a value is not understood.
    pub fn of<'a>(set: impl Fn(&'static str) -> Option<&'a Value>) -> Self {
        let default = Self::default();
        let [ssl, timeout, version, all, own] = Self::IDS.map(set);
        let ssl = ssl.and_then(Value::as_str).and_then(SslMode::of_word).unwrap_or(default.ssl);
        let secs = timeout.and_then(Value::as_u64).and_then(|secs| u16::try_from(secs).ok()).filter(|secs| *secs > 0);
        let http2 = version.and_then(Value::as_str).map_or(default.http2, |version| version != "1");
        let own = own.and_then(|own| own.get("enabled")).and_then(Value::as_bool).unwrap_or_default();
        // The hosted service shows one certificate for all zones by the former: there is none such here.
        let identifies = own || all.and_then(Value::as_str) == Some("on");
        Self { ssl, read_timeout_secs: secs.unwrap_or(default.read_timeout_secs), http2, identifies }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::setting::find;

    #[test]
    fn the_defaults_and_words_are_the_catalogues() {
        let [ssl, timeout, version, all] = [0, 1, 2, 3].map(|at| find(OriginSettings::IDS[at]).unwrap().kind);
        let defaults = [ssl, timeout, version, all].map(|kind| kind.default_value());
        let default = |id| OriginSettings::IDS.iter().position(|known| *known == id).and_then(|at| defaults.get(at));
        assert_eq!(OriginSettings::of(default), OriginSettings::default());
        for word in SslMode::WORDS {
            let word = json!(word);
            assert_eq!(ssl.normalise(&crate::At::body(&word), &ssl.default_value()).as_ref(), Ok(&word));
        }
    }

    #[test]
    fn what_is_not_understood_is_the_default() {
        let of = |ssl, timeout, version| {
            let values = [ssl, timeout, version, json!("?"), json!({"enabled": "?"})];
            OriginSettings::of(|id| OriginSettings::IDS.iter().position(|known| *known == id).map(|at| &values[at]))
        };
        let set = OriginSettings { ssl: SslMode::Strict, read_timeout_secs: 6000, http2: false, identifies: false };
        assert_eq!(of(json!("strict"), json!(6000), json!("1")), set);
        assert_eq!(of(json!("?"), json!(0), json!(2)), OriginSettings::default());
        assert_eq!(OriginSettings::of(|_| None), OriginSettings::default());
        let (on, enabled) = (json!("on"), json!({"enabled": true}));
        assert!(OriginSettings::of(|id| (id == "tls_client_auth").then_some(&on)).identifies);
        assert!(OriginSettings::of(|id| (id == ORIGIN_TLS_CLIENT_AUTH).then_some(&enabled)).identifies);
    }
}
