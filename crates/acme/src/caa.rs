//! Who may issue for a name: CAA records (RFC 8659), with the account and the method that they may name (RFC 8657).

use crate::order::Method;

/// One CAA record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its flags; the first bit means that who does not know the tag may not issue.
    pub flags: u8,
    /// `issue`, `issuewild`, …, in either case.
    pub tag: String,
    /// What is said.
    pub value: String,
}

/// Who would issue, and how.
#[derive(Debug, Clone, Copy)]
pub struct Issuing<'a> {
    /// What CAA records call the authority.
    pub issuers: &'a [String],
    /// Our account with it, where there is one already.
    pub account: Option<&'a str>,
    /// How the name is proven.
    pub method: Method,
    /// Whether it is for a wildcard.
    pub is_wildcard: bool,
}

/// An authority as it is named in CAA records that are added to a user's own (edge-behaviour §1.13).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issuer {
    /// What CAA records call it.
    pub domain: String,
    /// Our account with it, so that nobody else's may be used.
    pub account: Option<String>,
}

impl Issuer {
    /// The value of an `issue` or `issuewild` property.
    pub fn value(&self) -> String {
        match &self.account {
            Some(account) => format!("{}; accounturi={account}", self.domain),
            None => self.domain.clone(),
        }
    }
}

/// Whether the records of the closest name that has any let the authority issue (RFC 8659 §4).
///
/// # Errors
/// Why they do not, in words.
pub fn permits(records: &[Property], issuing: Issuing<'_>) -> Result<(), String> {
    const CRITICAL: u8 = 0x80;
    let is = |record: &&Property, tag: &str| record.tag.eq_ignore_ascii_case(tag);
    let known = ["issue", "issuewild", "issuemail", "iodef", "contactemail", "contactphone"];
    if let Some(other) = records.iter().find(|record| record.flags & CRITICAL != 0 && !known.iter().any(|tag| is(record, tag))) {
        return Err(format!("a CAA record has the tag {:?}, which is critical and unknown", short(&other.tag)));
    }
    let of = |tag| records.iter().filter(|record| is(record, tag)).collect::<Vec<_>>();
    let (issue, wild) = (of("issue"), of("issuewild"));
    let heard = if issuing.is_wildcard && !wild.is_empty() { wild } else { issue };
    if heard.is_empty() || heard.iter().any(|record| lets(&record.value, issuing)) {
        return Ok(());
    }
    let values: Vec<String> = heard.iter().map(|record| format!("{:?}", short(&record.value))).collect();
    Err(format!(
        "its CAA records let {} issue{}, and not {}",
        values.join(", "),
        if issuing.is_wildcard { " wildcards" } else { "" },
        issuing.issuers.join(" or ")
    ))
}

/// Whether one property lets it: `domain; name=value; …`.
fn lets(value: &str, issuing: Issuing<'_>) -> bool {
    let mut parts = value.split(';').map(str::trim);
    let domain = parts.next().unwrap_or_default().trim_end_matches('.');
    if domain.is_empty() || !issuing.issuers.iter().any(|issuer| issuer.eq_ignore_ascii_case(domain)) {
        return false;
    }
    parts.filter(|part| !part.is_empty()).all(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            // Of an account that is not made yet nobody can name the address.
            "accounturi" => issuing.account == Some(value.trim()),
            "validationmethods" => value.split(',').any(|method| method.trim().eq_ignore_ascii_case(issuing.method.as_str())),
            _ => true,
        }
    })
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(records: &[(u8, &str, &str)]) -> Vec<Property> {
        let property =
            |(flags, tag, value): &(u8, &str, &str)| Property { flags: *flags, tag: (*tag).into(), value: (*value).into() };
        records.iter().map(property).collect()
    }

    fn asks(records: &[(u8, &str, &str)], is_wildcard: bool) -> bool {
        let issuers = ["ca.example".to_owned(), "ca.test".to_owned()];
        let issuing =
            Issuing { issuers: &issuers, account: Some("https://ca.example/acct/1"), method: Method::Dns01, is_wildcard };
        permits(&set(records), issuing).is_ok()
    }

    #[test]
    fn records_are_heard_as_the_rfcs_say() {
        for (records, exact, wildcard) in [
            (&[][..], true, true),
            (&[(0, "iodef", "mailto:x@example.com")], true, true),
            (&[(0, "issue", "ca.example")], true, true),
            (&[(0, "ISSUE", "CA.Example.")], true, true),
            (&[(0, "issue", "ca.test"), (0, "issue", "other.example")], true, true),
            (&[(0, "issue", "other.example")], false, false),
            (&[(0, "issue", ";")], false, false),
            (&[(0, "issue", "")], false, false),
            (&[(0, "issue", "other.example"), (0, "issuewild", "ca.example")], false, true),
            (&[(0, "issue", "ca.example"), (0, "issuewild", ";")], true, false),
            (&[(0, "issuewild", "ca.example")], true, true),
            (&[(0, "issuewild", "other.example")], true, false),
            (&[(0, "issue", "ca.example; accounturi=https://ca.example/acct/1")], true, true),
            (&[(0, "issue", "ca.example;accounturi = https://ca.example/acct/2")], false, false),
            (&[(0, "issue", "ca.example; validationmethods=http-01,dns-01")], true, true),
            (&[(0, "issue", "ca.example; validationmethods=http-01")], false, false),
            (&[(0, "issue", "ca.example; policy=ev; validationmethods=dns-01")], true, true),
            (&[(0x80, "issue", "ca.example")], true, true),
            (&[(0x80, "tbs", "x"), (0, "issue", "ca.example")], false, false),
            (&[(0, "tbs", "x"), (0, "issue", "ca.example")], true, true),
        ] {
            assert_eq!((asks(records, false), asks(records, true)), (exact, wildcard), "{records:?}");
        }
    }

    #[test]
    fn what_is_added_lets_us_issue() {
        let issuer = Issuer { domain: "ca.example".into(), account: Some("https://ca.example/acct/1".into()) };
        let value = issuer.value();
        assert!(asks(&[(0, "issue", ";"), (0, "issue", &value), (0, "issuewild", &value)], true));
        assert_eq!(Issuer { account: None, ..issuer }.value(), "ca.example");
    }

    #[test]
    fn a_refusal_names_who_may() {
        let issuers = ["ca.example".to_owned()];
        let issuing = Issuing { issuers: &issuers, account: None, method: Method::Dns01, is_wildcard: true };
        let why = permits(&set(&[(0, "issue", "other.example")]), issuing).unwrap_err();
        assert_eq!(why, "its CAA records let \"other.example\" issue wildcards, and not ca.example");
        // Nobody could have named an account that is not made yet.
        assert!(permits(&set(&[(0, "issue", "ca.example; accounturi=x")]), issuing).is_err());
    }
}
