//! What the edge obeys of a zone on its way to the zone's origins (edge-behaviour §2.7 and §2.9).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::word::words;

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
}

impl Default for OriginSettings {
    fn default() -> Self {
        Self { ssl: SslMode::Full, read_timeout_secs: 100, http2: true }
    }
}

impl OriginSettings {
    /// The ids of the settings of the catalogue that are read here.
    pub const IDS: [&'static str; 3] = ["ssl", "proxy_read_timeout", "origin_max_http_version"];

    /// Of the values that a zone set, in the order of [`Self::IDS`]; the default where it never did, or where a value is not understood.
    pub fn of(values: [Option<&Value>; 3]) -> Self {
        let default = Self::default();
        let [ssl, timeout, version] = values;
        let ssl = ssl.and_then(Value::as_str).and_then(SslMode::of_word).unwrap_or(default.ssl);
        let secs = timeout.and_then(Value::as_u64).and_then(|secs| u16::try_from(secs).ok()).filter(|secs| *secs > 0);
        let http2 = version.and_then(Value::as_str).map_or(default.http2, |version| version != "1");
        Self { ssl, read_timeout_secs: secs.unwrap_or(default.read_timeout_secs), http2 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::setting::find;

    #[test]
    fn the_defaults_and_words_are_the_catalogues() {
        let [ssl, timeout, version] = OriginSettings::IDS.map(|id| find(id).unwrap().kind);
        let [a, b, c] = [ssl, timeout, version].map(|kind| kind.default_value());
        assert_eq!(OriginSettings::of([Some(&a), Some(&b), Some(&c)]), OriginSettings::default());
        for word in SslMode::WORDS {
            let word = json!(word);
            assert_eq!(ssl.normalise(&crate::At::body(&word), &ssl.default_value()).as_ref(), Ok(&word));
        }
    }

    #[test]
    fn what_is_not_understood_is_the_default() {
        let of = |ssl, timeout, version| OriginSettings::of([Some(&ssl), Some(&timeout), Some(&version)]);
        let set = OriginSettings { ssl: SslMode::Strict, read_timeout_secs: 6000, http2: false };
        assert_eq!(of(json!("strict"), json!(6000), json!("1")), set);
        assert_eq!(of(json!("?"), json!(0), json!(2)), OriginSettings::default());
        assert_eq!(OriginSettings::of([None, None, None]), OriginSettings::default());
    }
}
