//! Which records a list holds, and in which order (api-v4 §4.3).
//!
//! All comparisons fold the case of ASCII. TXT content is compared as written and as what it says, since clients ask for either
//! (§0.8). Here it is decided over records in memory; a store may narrow the choice first, never widen it.

use std::{cmp::Ordering, net::IpAddr};

use crate::{
    entry::Entry,
    rdata::{Rdata, Txt},
};

/// The conditions of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Whether one condition is enough.
    pub any: bool,
    /// What is asked of a record.
    pub conditions: Vec<Condition>,
    /// Whether one condition on tags is enough.
    pub tags_any: bool,
    /// What is asked of its tags: together one condition.
    pub tags: Vec<TagCondition>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// One of these types, by their mnemonics.
    Type(Vec<String>),
    /// Proxied or not.
    Proxied(bool),
    /// Its owner name.
    Name(Text),
    /// Its content.
    Content(Text),
    /// Whether it has a comment.
    HasComment(bool),
    /// Its comment.
    Comment(Text),
    /// Each of these words in its name, type, content, comment or tags.
    Search(String),
}

/// One condition on tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagCondition {
    /// Whether there is a tag of this name.
    Has(String, bool),
    /// Whether a tag, `name:value`, is so.
    Is(Text),
}

/// How a text is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// The whole.
    Exact(String),
    /// A part.
    Contains(String),
    /// Its beginning.
    StartsWith(String),
    /// Its end.
    EndsWith(String),
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// By what; none leaves the store's own order.
    pub by: Option<OrderBy>,
    /// The greatest first.
    pub descending: bool,
}

/// By what records are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderBy {
    /// Their type.
    Type,
    /// Their name.
    Name,
    /// Their content.
    Content,
    /// Their TTL.
    Ttl,
    /// Those that are not proxied first.
    Proxied,
}

impl RecordFilter {
    /// Whether the list holds this record. One without conditions holds all.
    pub fn matches(&self, entry: &Entry) -> bool {
        let tags = (!self.tags.is_empty()).then(|| self.tags_match(entry));
        let mut verdicts = self.conditions.iter().map(|condition| condition.matches(entry)).chain(tags).peekable();
        if self.any && verdicts.peek().is_some() { verdicts.any(|verdict| verdict) } else { verdicts.all(|verdict| verdict) }
    }

    fn tags_match(&self, entry: &Entry) -> bool {
        let mut verdicts = self.tags.iter().map(|condition| condition.matches(&entry.tags));
        if self.tags_any { verdicts.any(|verdict| verdict) } else { verdicts.all(|verdict| verdict) }
    }
}

impl Condition {
    fn matches(&self, entry: &Entry) -> bool {
        match self {
            Self::Type(types) => {
                let rtype = entry.rdata.rtype().to_string();
                types.iter().any(|wanted| wanted.eq_ignore_ascii_case(&rtype))
            }
            Self::Proxied(proxied) => entry.proxied == *proxied,
            Self::Name(text) => text.matches(entry.name.as_str()) || text.without_final_dot(entry.name.as_str()),
            Self::Content(text) => content_matches(text, &entry.rdata),
            Self::HasComment(wanted) => entry.comment.is_some() == *wanted,
            Self::Comment(text) => entry.comment.as_deref().is_some_and(|comment| text.matches(comment)),
            Self::Search(words) => {
                let all = format!(
                    "{}\n{}\n{}\n{}\n{}",
                    entry.name,
                    entry.rdata.rtype(),
                    entry.rdata.content(),
                    entry.comment.as_deref().unwrap_or_default(),
                    entry.tags.join("\n")
                )
                .to_ascii_lowercase();
                words.split_whitespace().all(|word| all.contains(&word.to_ascii_lowercase()))
            }
        }
    }
}

fn content_matches(text: &Text, rdata: &Rdata) -> bool {
    let content = rdata.content();
    if text.matches(&content) || text.without_final_dot(&content) {
        return true;
    }
    match (rdata, text) {
        // Quotes on either side make no difference.
        (Rdata::Txt(txt), Text::Exact(wanted)) => {
            let value = Txt::parse(wanted).map_or_else(|_| wanted.as_bytes().to_vec(), |wanted| wanted.value().to_vec());
            txt.value().eq_ignore_ascii_case(&value)
        }
        (Rdata::Txt(_), text) => rdata.unquoted().is_some_and(|value| text.matches(&value)),
        // An address in another spelling.
        (Rdata::A(address), Text::Exact(wanted)) => wanted.parse() == Ok(IpAddr::V4(*address)),
        (Rdata::Aaaa(address), Text::Exact(wanted)) => wanted.parse() == Ok(IpAddr::V6(*address)),
        _ => false,
    }
}

impl TagCondition {
    fn matches(&self, tags: &[String]) -> bool {
        match self {
            Self::Has(name, wanted) => {
                let named = |tag: &String| tag.split(':').next().is_some_and(|own| own.eq_ignore_ascii_case(name));
                tags.iter().any(named) == *wanted
            }
            Self::Is(text) => tags.iter().any(|tag| text.matches(tag)),
        }
    }
}

impl Text {
    fn matches(&self, text: &str) -> bool {
        let (text, fold) = (text.to_ascii_lowercase(), str::to_ascii_lowercase);
        match self {
            Self::Exact(wanted) => text == fold(wanted),
            Self::Contains(wanted) => text.contains(&fold(wanted)),
            Self::StartsWith(wanted) => text.starts_with(&fold(wanted)),
            Self::EndsWith(wanted) => text.ends_with(&fold(wanted)),
        }
    }

    /// Host names are shown without the final dot that a client may still ask with.
    fn without_final_dot(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) | Self::EndsWith(wanted) if wanted.len() > 1 => {
                wanted.strip_suffix('.').is_some_and(|wanted| match self {
                    Self::Exact(_) => text.eq_ignore_ascii_case(wanted),
                    _ => text.to_ascii_lowercase().ends_with(&wanted.to_ascii_lowercase()),
                })
            }
            _ => false,
        }
    }
}

impl Order {
    /// Which of two records comes first. Equal ones keep the order they came in, if the sort is stable.
    pub fn compare(&self, one: &Entry, other: &Entry) -> Ordering {
        let order = match self.by {
            None => Ordering::Equal,
            Some(OrderBy::Type) => one.rdata.rtype().to_string().cmp(&other.rdata.rtype().to_string()),
            Some(OrderBy::Name) => one.name.cmp(&other.name),
            Some(OrderBy::Content) => one.rdata.content().cmp(&other.rdata.content()),
            Some(OrderBy::Ttl) => one.ttl_secs.cmp(&other.ttl_secs),
            Some(OrderBy::Proxied) => one.proxied.cmp(&other.proxied),
        };
        if self.descending { order.reverse() } else { order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Name,
        entry::Settings,
        rdata::{Hosts, Rtype},
    };

    fn entry(name: &str, rtype: Rtype, content: &str) -> Entry {
        let rdata = Rdata::parse(rtype, content, Some(10), Hosts::default()).unwrap();
        let name = Name::parse(name).unwrap();
        let tags = vec!["owner:Anna".into(), "draft".into()];
        Entry { name, rdata, ttl_secs: 1, proxied: false, settings: Settings::default(), comment: Some("Old Mail".into()), tags }
    }

    fn holds(condition: Condition, entry: &Entry) -> bool {
        RecordFilter { conditions: vec![condition], ..RecordFilter::default() }.matches(entry)
    }

    fn exact(text: &str) -> Text {
        Text::Exact(text.into())
    }

    #[test]
    fn text_is_found_with_and_without_quotes() {
        for stored in ["abc", "\"abc\""] {
            let entry = entry("t.example.com", Rtype::Txt, stored);
            for asked in ["abc", "\"abc\"", "ABC"] {
                assert!(holds(Condition::Content(exact(asked)), &entry), "{stored} {asked}");
            }
            assert!(!holds(Condition::Content(exact("ab")), &entry));
            assert!(holds(Condition::Content(Text::StartsWith("ab".into())), &entry));
            assert!(holds(Condition::Content(Text::EndsWith("bc".into())), &entry));
        }
        let parts = entry("t.example.com", Rtype::Txt, "\"ab\" \"cd\"");
        assert!(holds(Condition::Content(Text::Contains("bc".into())), &parts));
    }

    #[test]
    fn names_and_addresses_are_found_in_other_spellings() {
        let mx = entry("mx.example.com", Rtype::Mx, "mail.example.net");
        assert!(holds(Condition::Name(exact("MX.example.com.")), &mx));
        assert!(holds(Condition::Content(exact("mail.example.net.")), &mx));
        assert!(holds(Condition::Content(Text::EndsWith("example.NET.".into())), &mx));
        assert!(!holds(Condition::Name(exact("mx")), &mx));
        let v6 = entry("a.example.com", Rtype::Aaaa, "2001:db8::1");
        assert!(holds(Condition::Content(exact("2001:DB8:0::1")), &v6));
        assert!(holds(Condition::Type(vec!["a".into(), "aaaa".into()]), &v6));
        assert!(!holds(Condition::Type(vec!["a".into()]), &v6));
        assert!(!holds(Condition::Proxied(true), &v6));
    }

    #[test]
    fn comments_tags_and_words_are_found() {
        let mut mx = entry("mx.example.com", Rtype::Mx, "mail.example.net");
        assert!(holds(Condition::HasComment(true), &mx) && !holds(Condition::HasComment(false), &mx));
        assert!(holds(Condition::Comment(Text::Contains("old".into())), &mx));
        assert!(holds(Condition::Search("OLD mail.example anna".into()), &mx));
        assert!(!holds(Condition::Search("old new".into()), &mx));
        let tags = |any, tags: Vec<TagCondition>| RecordFilter { tags_any: any, tags, ..RecordFilter::default() };
        let owner = || TagCondition::Has("Owner".into(), true);
        let none = || TagCondition::Has("draft".into(), false);
        assert!(tags(false, vec![owner(), TagCondition::Is(exact("owner:anna"))]).matches(&mx));
        assert!(!tags(false, vec![owner(), none()]).matches(&mx));
        assert!(tags(true, vec![owner(), none()]).matches(&mx));
        mx.comment = None;
        assert!(holds(Condition::HasComment(false), &mx) && !holds(Condition::Comment(Text::Contains(String::new())), &mx));
    }

    #[test]
    fn all_or_any_conditions_count() {
        let mx = entry("mx.example.com", Rtype::Mx, "mail.example.net");
        let conditions = vec![Condition::Type(vec!["MX".into()]), Condition::Proxied(true)];
        let filter = |any| RecordFilter { any, conditions: conditions.clone(), ..RecordFilter::default() };
        assert!(!filter(false).matches(&mx) && filter(true).matches(&mx));
        assert!(RecordFilter { any: true, ..RecordFilter::default() }.matches(&mx));
    }

    #[test]
    fn order_is_by_one_member_and_stable() {
        let mut records =
            [entry("b.test", Rtype::Txt, "x"), entry("a.test", Rtype::Mx, "z"), entry("a.test", Rtype::A, "192.0.2.1")];
        let mut sorted = |by, descending| {
            records.sort_by(|one, other| Order { by, descending }.compare(one, other));
            records.iter().map(|entry| entry.rdata.rtype().to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(sorted(Some(OrderBy::Type), false), "A MX TXT");
        assert_eq!(sorted(Some(OrderBy::Name), true), "TXT A MX");
        assert_eq!(sorted(Some(OrderBy::Content), false), "A TXT MX");
        assert_eq!(sorted(None, true), "A TXT MX");
    }
}
