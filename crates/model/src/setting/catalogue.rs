//! Every setting by id, in the order the v4 API lists them (api-v4 §10).

use super::{
    SettingError,
    kind::{Kind, ON_OFF},
};
use crate::spelling;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its id.
    pub id: &'static str,
    /// What it may say, and says by default.
    pub kind: Kind,
}

/// How long a visitor who passed a challenge is let through, in seconds.
const CHALLENGE_STEPS: &[i64] =
    &[300, 900, 1800, 2700, 3600, 7200, 10_800, 14_400, 28_800, 57_600, 86_400, 604_800, 2_592_000, 31_536_000];

const fn word(id: &'static str, words: &'static [&'static str], default: &'static str) -> Setting {
    Setting { id, kind: Kind::Word { words, default } }
}

const fn on(id: &'static str) -> Setting {
    word(id, ON_OFF, "on")
}

const fn off(id: &'static str) -> Setting {
    word(id, ON_OFF, "off")
}

const fn number(id: &'static str, min: i64, max: i64, default: i64) -> Setting {
    Setting { id, kind: Kind::Number { min, max, default } }
}

const fn of(id: &'static str, kind: Kind) -> Setting {
    Setting { id, kind }
}

/// All of them. `min_tls_version` is 1.2 where the hosted service begins with 1.0: RFC 8996 withdrew both versions before it, and
/// no browser of the last five years needs them.
pub static CATALOGUE: &[Setting] = &[
    word("ssl", &["off", "flexible", "full", "strict", "origin_pull"], "full"),
    of("ssl_recommender", Kind::Switch),
    off("always_use_https"),
    word("min_tls_version", &["1.0", "1.1", "1.2", "1.3"], "1.2"),
    word("tls_1_3", &["on", "off", "zrt"], "on"),
    off("0rtt"),
    of("ciphers", Kind::Ciphers),
    on("automatic_https_rewrites"),
    on("opportunistic_encryption"),
    of("security_header", Kind::SecurityHeader),
    off("tls_client_auth"),
    off("development_mode"),
    word("cache_level", &["aggressive", "basic", "simplified", "bypass", "cache_everything"], "aggressive"),
    number("browser_cache_ttl", 0, 31_536_000, 14_400),
    on("always_online"),
    off("sort_query_string_for_cache"),
    word("security_level", &["off", "essentially_off", "low", "medium", "high", "under_attack"], "medium"),
    of("challenge_ttl", Kind::Step { steps: CHALLENGE_STEPS, default: 1800 }),
    on("browser_check"),
    off("hotlink_protection"),
    on("email_obfuscation"),
    on("server_side_exclude"),
    off("waf"),
    on("brotli"),
    on("http2"),
    on("http3"),
    on("ipv6"),
    on("websockets"),
    on("ip_geolocation"),
    word("pseudo_ipv4", &["off", "add_header", "overwrite_header"], "off"),
    off("true_client_ip_header"),
    off("response_buffering"),
    off("early_hints"),
    off("prefetch_preload"),
    off("mirage"),
    off("webp"),
    off("rocket_loader"),
    off("opportunistic_onion"),
    off("origin_error_page_pass_thru"),
    word("polish", &["off", "lossless", "lossy"], "off"),
    number("max_upload", 100, 500, 100),
    number("proxy_read_timeout", 1, 6000, 100),
    word("origin_max_http_version", &["1", "2"], "2"),
    word("h2_prioritization", &["on", "off", "custom"], "off"),
    word("cname_flattening", &["flatten_at_root", "flatten_all"], "flatten_at_root"),
    of("nel", Kind::Enabled),
];

/// The setting of that id.
///
/// # Errors
/// There is none; names the one that is spelled most alike.
pub fn find(id: &str) -> Result<&'static Setting, SettingError> {
    CATALOGUE.iter().find(|setting| setting.id == id).ok_or_else(|| {
        let nearest = spelling::nearest(id, CATALOGUE.iter().map(|setting| setting.id));
        SettingError::Unknown { id: id.chars().take(64).collect(), nearest }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::At;

    #[test]
    fn every_default_is_a_value_in_normal_form() {
        for setting in CATALOGUE {
            let value = setting.kind.default_value();
            assert_eq!(setting.kind.normalise(&At::body(&value), &value), Ok(value.clone()), "{}", setting.id);
            assert_eq!(find(setting.id).unwrap().id, setting.id, "each id stands once");
        }
    }

    #[test]
    fn the_referenced_defaults_hold() {
        for (id, value) in [
            ("ssl", r#""full""#),
            ("min_tls_version", r#""1.2""#),
            ("browser_cache_ttl", "14400"),
            ("challenge_ttl", "1800"),
            ("security_level", r#""medium""#),
            ("always_online", r#""on""#),
            ("http3", r#""on""#),
            ("polish", r#""off""#),
            ("ciphers", "[]"),
            ("nel", r#"{"enabled":false}"#),
        ] {
            assert_eq!(find(id).unwrap().kind.default_value().to_string(), value, "{id}");
        }
    }

    #[test]
    fn an_unknown_setting_is_answered_with_the_nearest() {
        let nearest = |id| match find(id).unwrap_err() {
            SettingError::Unknown { nearest, .. } => nearest,
            other => panic!("{other}"),
        };
        assert_eq!(nearest("alway_use_https"), Some("always_use_https"));
        assert_eq!(nearest("entirely_different"), None);
        assert_eq!(find("brotil").unwrap_err().to_string(), "there is no zone setting \"brotil\": did you mean \"brotli\"?");
        assert!(find(&"x".repeat(100_000)).unwrap_err().to_string().len() < 120);
    }
}
