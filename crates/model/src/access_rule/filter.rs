//! Which rules a list holds.

use super::{AccessMode, AccessRule, AccessTarget};

/// Which rules a list holds; what is none is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRuleFilter {
    /// Of that mode.
    pub mode: Option<AccessMode>,
    /// With that text in their notes, in any case.
    pub notes: Option<String>,
    /// Of that target.
    pub target: Option<AccessTarget>,
    /// Of that value; a prefix of it will do, in any case.
    pub value: Option<String>,
    /// One of these is enough, instead of all.
    pub any: bool,
}

impl AccessRuleFilter {
    /// Whether the list holds it.
    pub fn matches(&self, rule: &AccessRule) -> bool {
        let lower = |text: &str| text.to_lowercase();
        let asked = [
            self.mode.map(|mode| mode == rule.mode),
            self.notes.as_deref().map(|notes| lower(&rule.notes).contains(&lower(notes))),
            self.target.map(|target| target == rule.configuration.target),
            self.value.as_deref().map(|value| lower(&rule.configuration.value).starts_with(&lower(value))),
        ];
        let mut asked = asked.into_iter().flatten().peekable();
        if self.any { asked.peek().is_none() || asked.any(|met| met) } else { asked.all(|met| met) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AccessRuleId, Timestamp, ZoneId,
        access_rule::{AccessConfiguration, AccessScope},
    };

    #[test]
    fn filters_join_by_all_or_any() {
        let now = Timestamp::from_secs(1_800_000_000);
        let one = AccessRule {
            id: AccessRuleId::from_bytes([7; 16]),
            scope: AccessScope::Zone(ZoneId::from_bytes([1; 16])),
            mode: AccessMode::Block,
            configuration: AccessConfiguration { target: AccessTarget::Ip, value: "192.0.2.7".into() },
            notes: "Fail2Ban sshd".into(),
            created_on: now,
            modified_on: now,
        };
        let filter = AccessRuleFilter {
            mode: Some(AccessMode::Block),
            notes: Some("fail2ban".into()),
            target: Some(AccessTarget::Asn),
            value: Some("192.0.2.".into()),
            any: false,
        };
        assert!(!filter.matches(&one));
        assert!(AccessRuleFilter { any: true, ..filter.clone() }.matches(&one));
        assert!(AccessRuleFilter { target: None, ..filter }.matches(&one));
        assert!(AccessRuleFilter::default().matches(&one) && AccessRuleFilter { any: true, ..Default::default() }.matches(&one));
    }
}
