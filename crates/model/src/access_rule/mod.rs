//! Access rules: one address, network, system or country, let in or kept out (api-v4 §8, edge-behaviour §4.11).
//!
//! Blockers that run beside a service (fail2ban, CrowdSec) write these, one a culprit, and delete them again; so a value has one
//! spelling, and the same one twice in one scope is a duplicate whatever its mode.

mod filter;

pub use filter::AccessRuleFilter;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{AccessRuleId, AccountId, At, Network, Schema, ShapeError, Timestamp, UserId, ZoneId, word::words};

/// Longest note, in characters.
pub const NOTES_CHARS_MAX: usize = 500;

words! {
    /// What becomes of a visitor who is meant.
    pub enum AccessMode {
        /// Refused.
        Block = "block",
        /// Asked for a proof, interactively.
        Challenge = "challenge",
        /// Asked for a proof, without hands.
        JsChallenge = "js_challenge",
        /// Asked for whichever proof suits.
        ManagedChallenge = "managed_challenge",
        /// Let in, past the other checks.
        Whitelist = "whitelist",
    }
}

words! {
    /// What a value is.
    pub enum AccessTarget {
        /// One IPv4 address.
        Ip = "ip",
        /// One IPv6 address.
        Ip6 = "ip6",
        /// A network of either.
        IpRange = "ip_range",
        /// An autonomous system.
        Asn = "asn",
        /// A country, or `T1` for the Tor network and `XX` for none known.
        Country = "country",
    }
}

/// Whose visitors are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccessScope {
    /// Of every zone the user owns.
    User(UserId),
    /// Of every zone of the account.
    Account(AccountId),
    /// Of one zone.
    Zone(ZoneId),
}

/// Who is meant: a target and its value in normal form.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccessConfiguration {
    /// What the value is.
    pub target: AccessTarget,
    /// Canonical: `192.0.2.0/24`, `AS64500`, `FR`.
    pub value: String,
}

/// An access rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRule {
    /// Its id.
    pub id: AccessRuleId,
    /// Whose visitors are meant.
    pub scope: AccessScope,
    /// What becomes of them.
    pub mode: AccessMode,
    /// Who of them is meant.
    pub configuration: AccessConfiguration,
    /// For people; may be empty.
    pub notes: String,
    /// When it was made.
    pub created_on: Timestamp,
    /// When it was last changed.
    pub modified_on: Timestamp,
}

/// A new rule, as a body brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRuleDraft {
    /// See [`AccessRule::mode`].
    pub mode: AccessMode,
    /// See [`AccessRule::configuration`].
    pub configuration: AccessConfiguration,
    /// See [`AccessRule::notes`].
    pub notes: String,
}

/// Why a rule was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rule for {} {} is there already ({id}): change that one, or delete it first", configuration.target, configuration.value)]
pub struct DuplicateAccessRule {
    /// The rule that is there.
    pub id: AccessRuleId,
    /// Who is meant.
    pub configuration: AccessConfiguration,
}

impl AccessConfiguration {
    /// What [`Self::read`] reads. A number of a system is a text here, though a bare number is taken too.
    pub fn schema() -> Schema {
        let value = Schema::text(64).about("what the target says: an address, a network, AS64500, a country by two letters");
        Schema::object([("target", Schema::one_of(AccessTarget::WORDS).required()), ("value", value.required())])
    }

    /// From the `configuration` of a body.
    ///
    /// # Errors
    /// A member is missing, or the value is none of its target.
    pub fn read(at: &At<'_>) -> Result<Self, ShapeError> {
        at.object()?;
        let target = AccessTarget::read(&at.required("target")?)?;
        let given = at.required("value")?;
        // A system's number comes as a number from some clients.
        let value = match given.value.as_u64() {
            Some(number) if target == AccessTarget::Asn => normal(target, &number.to_string()),
            _ => normal(target, given.text(64)?.trim()),
        };
        value.map(|value| Self { target, value }).map_err(|remedy| given.wrong(remedy))
    }
}

fn normal(target: AccessTarget, text: &str) -> Result<String, &'static str> {
    let network = || text.parse::<Network>().ok();
    match target {
        AccessTarget::Ip => {
            let network = network().filter(|network| network.is_ipv4() && network.is_address());
            network.map(|network| network.to_string()).ok_or("write one IPv4 address; others go with ip6 and ip_range")
        }
        AccessTarget::Ip6 => {
            let network = network().filter(|network| !network.is_ipv4() && network.is_address());
            network.map(|network| network.to_string()).ok_or("write one IPv6 address; networks go with ip_range")
        }
        AccessTarget::IpRange => {
            let network = network().filter(|_| text.contains('/'));
            network.map(|network| network.to_cidr()).ok_or("write a network, as in 192.0.2.0/24 or 2001:db8::/48")
        }
        AccessTarget::Asn => {
            let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).map_or(text, |_| &text[2..]);
            let number =
                digits.parse::<u32>().ok().filter(|number| *number > 0 && digits.starts_with(|c: char| c.is_ascii_digit()));
            number.map(|number| format!("AS{number}")).ok_or("write an autonomous system, as in AS64500")
        }
        AccessTarget::Country => {
            let upper = text.to_ascii_uppercase();
            let country = upper.len() == 2 && (upper == "T1" || upper.bytes().all(|b| b.is_ascii_uppercase()));
            if country { Ok(upper) } else { Err("write a country by two letters, as in FR, or T1 for Tor") }
        }
    }
}

impl AccessRuleDraft {
    /// What [`Self::read`] reads; and what [`AccessRule::patch`] reads, which changes `mode` and `notes`.
    pub fn schema(is_new: bool) -> Schema {
        let (mode, whom) = (Schema::one_of(AccessMode::WORDS), AccessConfiguration::schema());
        let (mode, whom) = if is_new { (mode.required(), whom.required()) } else { (mode, whom) };
        let members = [("mode", mode), ("configuration", whom), ("notes", Schema::text(NOTES_CHARS_MAX))];
        let whole = json!({ "mode": "block", "configuration": { "target": "ip", "value": "192.0.2.7" }, "notes": "knocks" });
        let (name, example) =
            if is_new { ("NewAccessRule", whole) } else { ("AccessRuleChanges", json!({ "mode": "challenge" })) };
        Schema::object(members).named(name).example(example)
    }

    /// From the body of a POST.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let mode = AccessMode::read(&body.required("mode")?)?;
        let configuration = AccessConfiguration::read(&body.required("configuration")?)?;
        Ok(Self { mode, configuration, notes: read_notes(body)?.unwrap_or_default() })
    }

    /// The rule it makes, unless one of `existing`, all of one scope, means the same.
    ///
    /// # Errors
    /// One does.
    pub fn into_rule<'a>(
        self,
        id: AccessRuleId,
        scope: AccessScope,
        existing: impl IntoIterator<Item = &'a AccessRule>,
        now: Timestamp,
    ) -> Result<AccessRule, DuplicateAccessRule> {
        let Self { mode, configuration, notes } = self;
        let same = |rule: &&AccessRule| rule.scope == scope && rule.configuration == configuration;
        match existing.into_iter().find(same) {
            Some(rule) => Err(DuplicateAccessRule { id: rule.id, configuration }),
            None => Ok(AccessRule { id, scope, mode, configuration, notes, created_on: now, modified_on: now }),
        }
    }
}

impl AccessRule {
    /// PATCH: mode and notes. The configuration stays what it is; a body may repeat it. Whether anything changed.
    ///
    /// # Errors
    /// A member is wrong, or the configuration would be another.
    pub fn patch(&mut self, body: &At<'_>, now: Timestamp) -> Result<bool, ShapeError> {
        body.object()?;
        if let Some(given) = body.member("configuration")
            && AccessConfiguration::read(&given)? != self.configuration
        {
            return Err(given.wrong("a rule means whom it was made for, so delete it and make another"));
        }
        let mode = body.member("mode").map(|mode| AccessMode::read(&mode)).transpose()?.unwrap_or(self.mode);
        let notes = read_notes(body)?.unwrap_or_else(|| self.notes.clone());
        if (mode, &notes) == (self.mode, &self.notes) {
            return Ok(false);
        }
        (self.mode, self.notes, self.modified_on) = (mode, notes, now);
        Ok(true)
    }
}

fn read_notes(body: &At<'_>) -> Result<Option<String>, ShapeError> {
    body.member("notes").map(|notes| notes.text(NOTES_CHARS_MAX).map(str::to_owned)).transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const SCOPE: AccessScope = AccessScope::Zone(ZoneId::from_bytes([1; 16]));

    fn read(target: &str, value: Value) -> Result<String, String> {
        let configuration = json!({"target": target, "value": value});
        AccessConfiguration::read(&At::new(&configuration, "/configuration"))
            .map(|read| read.value)
            .map_err(|error| error.pointer)
    }

    fn rule(mode: &str, target: &str, value: &str, notes: &str) -> AccessRule {
        let body = json!({"mode": mode, "configuration": {"target": target, "value": value}, "notes": notes});
        let draft = AccessRuleDraft::read(&At::body(&body)).unwrap();
        draft.into_rule(AccessRuleId::from_bytes([7; 16]), SCOPE, [], NOW).unwrap()
    }

    #[test]
    fn values_have_one_spelling() {
        for (target, given, told) in [
            ("ip", "192.0.2.7", Some("192.0.2.7")),
            ("ip", "192.0.2.0/24", None),
            ("ip", "2001:db8::1", None),
            ("ip6", "2001:DB8:0:0::1", Some("2001:db8::1")),
            ("ip6", "192.0.2.7", None),
            ("ip_range", "192.0.2.7/24", Some("192.0.2.0/24")),
            ("ip_range", "192.0.2.7/32", Some("192.0.2.7/32")),
            ("ip_range", "192.0.2.7", None),
            ("ip_range", "2001:db8::7/48", Some("2001:db8::/48")),
            ("asn", "as64500", Some("AS64500")),
            ("asn", "64500", Some("AS64500")),
            ("asn", "AS0", None),
            ("asn", "AS+5", None),
            ("asn", "ÅS5", None),
            ("country", "fr", Some("FR")),
            ("country", "T1", Some("T1")),
            ("country", "FRA", None),
            ("country", "F1", None),
        ] {
            let expected = told.map(str::to_owned).ok_or_else(|| "/configuration/value".to_owned());
            assert_eq!(read(target, json!(given)), expected, "{target} {given}");
        }
        assert_eq!(read("asn", json!(64500)), Ok("AS64500".into()));
        assert_eq!(read("host", json!("a")), Err("/configuration/target".into()));
    }

    #[test]
    fn the_same_twice_in_a_scope_is_a_duplicate_whatever_its_mode() {
        let first = rule("block", "ip", "192.0.2.7", "");
        let body = json!({"mode": "whitelist", "configuration": {"target": "ip", "value": "192.0.2.7"}});
        let draft = AccessRuleDraft::read(&At::body(&body)).unwrap();
        let id = AccessRuleId::from_bytes([8; 16]);
        let error = draft.clone().into_rule(id, SCOPE, [&first], NOW).unwrap_err();
        assert_eq!(error.id, first.id);
        assert!(error.to_string().starts_with("a rule for ip 192.0.2.7 is there already"));
        let elsewhere = AccessScope::Zone(ZoneId::from_bytes([2; 16]));
        assert!(draft.into_rule(id, elsewhere, [&first], NOW).is_ok());
    }

    #[test]
    fn a_patch_changes_mode_and_notes_and_no_more() {
        let mut one = rule("block", "ip", "192.0.2.7", "why");
        let later = NOW.plus_secs(9);
        let body = json!({"mode": "challenge", "configuration": {"target": "ip", "value": "192.0.2.7"}});
        assert!(one.patch(&At::body(&body), later).unwrap());
        assert_eq!((one.mode, one.notes.as_str(), one.modified_on), (AccessMode::Challenge, "why", later));
        assert!(!one.patch(&At::body(&json!({})), NOW).unwrap());
        let other = json!({"configuration": {"target": "ip", "value": "192.0.2.8"}});
        assert_eq!(one.patch(&At::body(&other), NOW).unwrap_err().pointer, "/configuration");
    }

    proptest! {
        #[test]
        fn what_is_told_reads_the_same(text in "[a-zA-Z0-9.:/]{0,20}") {
            for target in AccessTarget::ALL {
                if let Ok(value) = normal(*target, &text) {
                    prop_assert_eq!(normal(*target, &value), Ok(value.clone()));
                }
            }
        }
    }
}
