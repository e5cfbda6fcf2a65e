//! What a setting's value may be, and the form it is kept in.

use serde_json::{Value, json};

use crate::{At, ShapeError};

/// The two words most settings know. They are texts, never booleans.
pub const ON_OFF: &[&str] = &["on", "off"];

/// Most cipher names in one setting.
const CIPHERS_MAX: usize = 64;

/// Longest `max-age` of HSTS, in seconds: ten years, beyond what any browser distinguishes.
const HSTS_AGE_MAX: i64 = 10 * 31_536_000;

/// Cipher suites by the names BoringSSL gives them, and the three of TLS 1.3 as the v4 API spells those.
pub const CIPHERS: &[&str] = &[
    "AEAD-AES128-GCM-SHA256",
    "AEAD-AES256-GCM-SHA384",
    "AEAD-CHACHA20-POLY1305-SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA256",
    "AES256-SHA256",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

/// The kinds of value, each with the value that holds where a zone said nothing.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One of these words.
    Word {
        /// All that are allowed.
        words: &'static [&'static str],
        /// One of them.
        default: &'static str,
    },
    /// A whole number between two bounds, inclusive.
    Number {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
        /// Between them.
        default: i64,
    },
    /// One of these numbers.
    Step {
        /// All that are allowed, rising.
        steps: &'static [i64],
        /// One of them.
        default: i64,
    },
    /// Names of [`CIPHERS`]; an empty list leaves the choice to the edge, and is the default.
    Ciphers,
    /// `{"strict_transport_security": {…}}` (RFC 6797), off by default.
    SecurityHeader,
    /// `{"enabled": true}`, off by default.
    Enabled,
    /// A bare true or false under `enabled` instead of `value`, off by default.
    Switch,
}

impl Kind {
    /// On or off, and which by default.
    pub const fn on_off(default: &'static str) -> Self {
        Self::Word { words: ON_OFF, default }
    }

    /// What holds where a zone said nothing.
    pub fn default_value(&self) -> Value {
        match *self {
            Self::Word { default, .. } => default.into(),
            Self::Number { default, .. } | Self::Step { default, .. } => default.into(),
            Self::Ciphers => json!([]),
            Self::SecurityHeader => json!({ "strict_transport_security": {
                "enabled": false, "max_age": 0, "include_subdomains": false, "preload": false, "nosniff": false,
            } }),
            Self::Enabled => json!({ "enabled": false }),
            Self::Switch => false.into(),
        }
    }

    /// The value in the form it is kept and told in; of one with several members those that are not given stay as they were `before`,
    /// in that form.
    ///
    /// # Errors
    /// It is none of this kind; says what is.
    pub fn normalise(&self, at: &At<'_>, before: &Value) -> Result<Value, ShapeError> {
        match self {
            // Terraform's older line writes versions as numbers.
            Self::Word { words, .. } => match at.value {
                Value::Number(number) => At::new(&number.to_string().into(), at.pointer()).one_of(words).map(Value::from),
                _ => at.one_of(words).map(Value::from),
            },
            Self::Number { min, max, .. } => at.integer(*min..=*max).map(Value::from),
            Self::Step { steps, .. } => {
                let any = at.integer(i64::MIN..=i64::MAX).ok().filter(|number| steps.contains(number));
                let list = || steps.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
                any.map(Value::from).ok_or_else(|| at.wrong(format_args!("write one of {}", list())))
            }
            Self::Ciphers => {
                let mut names: Vec<&str> = Vec::new();
                for item in at.items(CIPHERS_MAX)? {
                    let name = item.one_of(CIPHERS)?;
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                Ok(names.into())
            }
            Self::SecurityHeader => {
                let given = at.required("strict_transport_security")?;
                given.only(&["enabled", "max_age", "include_subdomains", "preload", "nosniff"])?;
                let mut after = before["strict_transport_security"].clone();
                for key in ["enabled", "include_subdomains", "preload", "nosniff"] {
                    if let Some(member) = given.member(key) {
                        after[key] = member.boolean()?.into();
                    }
                }
                if let Some(age) = given.member("max_age") {
                    after["max_age"] = age.integer(0..=HSTS_AGE_MAX)?.into();
                }
                Ok(json!({ "strict_transport_security": after }))
            }
            Self::Enabled => {
                at.only(&["enabled"])?;
                Ok(json!({ "enabled": at.required("enabled")?.boolean()? }))
            }
            Self::Switch => at.boolean().map(Value::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, value: Value) -> Result<Value, String> {
        kind.normalise(&At::new(&value, "/value"), &kind.default_value()).map_err(|error| error.why)
    }

    #[test]
    fn words_are_texts_and_never_booleans() {
        assert_eq!(read(Kind::on_off("off"), json!("on")), Ok(json!("on")));
        assert_eq!(read(Kind::on_off("off"), json!(true)), Err("/value is true: write one of on, off".into()));
        let version = Kind::Word { words: &["1.0", "1.2"], default: "1.2" };
        assert_eq!(read(version, json!(1.2)), Ok(json!("1.2")));
    }

    #[test]
    fn numbers_are_bounded_and_told_as_numbers() {
        let seconds = Kind::Number { min: 1, max: 6000, default: 100 };
        assert_eq!(read(seconds, json!("200")), Ok(json!(200)));
        assert_eq!(read(seconds, json!(6001)), Err("/value is 6001: write a whole number from 1 to 6000".into()));
        let steps = Kind::Step { steps: &[300, 900], default: 300 };
        assert_eq!(read(steps, json!(900)), Ok(json!(900)));
        assert_eq!(read(steps, json!(301)), Err("/value is 301: write one of 300, 900".into()));
    }

    #[test]
    fn ciphers_are_known_by_name_and_stand_once() {
        let twice = json!(["AES128-SHA", "AES128-SHA"]);
        assert_eq!(read(Kind::Ciphers, twice), Ok(json!(["AES128-SHA"])));
        assert!(read(Kind::Ciphers, json!(["AES128-SHAA"])).unwrap_err().starts_with("/value/0 is \"AES128-SHAA\""));
    }

    #[test]
    fn the_security_header_is_told_whole() {
        let value = json!({"strict_transport_security": {"enabled": true, "max_age": 86400, "preload": null}});
        let whole = json!({"strict_transport_security":
            {"enabled": true, "max_age": 86400, "include_subdomains": false, "preload": false, "nosniff": false}});
        assert_eq!(read(Kind::SecurityHeader, value), Ok(whole.clone()));
        // Terraform sends what its user changed.
        let part = json!({"strict_transport_security": {"include_subdomains": true}});
        let after = Kind::SecurityHeader.normalise(&At::body(&part), &whole).unwrap();
        assert_eq!(
            after,
            json!({"strict_transport_security":
            {"enabled": true, "max_age": 86400, "include_subdomains": true, "preload": false, "nosniff": false}})
        );
        for wrong in [json!({}), json!("on"), json!({"strict_transport_security": {"enabled": "on"}})] {
            assert!(read(Kind::SecurityHeader, wrong).is_err());
        }
    }
}
