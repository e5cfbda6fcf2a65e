//! The comment behind a record: `cf_tags=…` with its attributes and tags, and a person's note.

use poterne_model::entry::{COMMENT_CHARS_MAX, Entry, Settings};

const MARK: &str = "cf_tags=";

/// What a comment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) proxied: Option<bool>,
    pub(crate) settings: Settings,
    pub(crate) tags: Vec<String>,
    pub(crate) comment: Option<String>,
}

impl Attributes {
    /// Reads a comment, its `;` taken off. The mark stands first, as it is written here, or behind the note.
    pub(crate) fn read(comment: &str) -> Self {
        let (before, behind) = match comment.find(MARK) {
            Some(at) if at == 0 || comment[..at].ends_with([' ', '\t', ';']) => {
                (comment[..at].trim().trim_end_matches(';').trim(), &comment[at + MARK.len()..])
            }
            _ => (comment.trim(), ""),
        };
        let end = behind.find([' ', '\t', ';']).unwrap_or(behind.len());
        let (list, rest) = behind.split_at(end);
        let rest = rest.trim_start();
        let notes = [before, rest.strip_prefix(';').unwrap_or(rest).trim()];
        let note = notes.into_iter().filter(|note| !note.is_empty()).collect::<Vec<_>>().join(" ");
        let mut read = Self::default();
        for item in list.split(',').filter(|item| !item.is_empty()) {
            match item.split_once(':') {
                Some(("cf-proxied", value)) => read.proxied = value.parse().ok(),
                Some(("cf-ipv4-only", value)) => read.settings.ipv4_only = value.parse().ok(),
                Some(("cf-ipv6-only", value)) => read.settings.ipv6_only = value.parse().ok(),
                Some(("cf-flatten-cname", value)) => read.settings.flatten_cname = value.parse().ok(),
                // Attributes of the hosted service that are not kept here.
                _ if item.starts_with("cf-") => {}
                _ => read.tags.push(decode(item)),
            }
        }
        // A comment in somebody's file is no reason to refuse it.
        let note: String = note.chars().map(|c| if c.is_control() { ' ' } else { c }).take(COMMENT_CHARS_MAX).collect();
        read.comment = Some(note.trim().to_owned()).filter(|note| !note.is_empty());
        read
    }

    /// The comment of a record, with its `;`; empty where there is nothing to say.
    pub(crate) fn write(entry: &Entry) -> String {
        let Settings { ipv4_only, ipv6_only, flatten_cname } = entry.settings;
        let flags = [
            ("cf-proxied", entry.rdata.rtype().is_web().then_some(entry.proxied)),
            ("cf-ipv4-only", ipv4_only),
            ("cf-ipv6-only", ipv6_only),
            ("cf-flatten-cname", flatten_cname),
        ];
        let flags = flags.into_iter().filter_map(|(name, value)| Some(format!("{name}:{}", value?)));
        let list = flags.chain(entry.tags.iter().map(|tag| encode(tag))).collect::<Vec<_>>().join(",");
        let note = entry.comment.as_deref().map(str::trim).filter(|note| !note.is_empty());
        match (list.as_str(), note) {
            ("", None) => String::new(),
            // An empty list, where the note would be taken for one.
            ("", Some(note)) if note.contains(MARK) => format!("; {MARK} ; {note}"),
            ("", Some(note)) => format!("; {note}"),
            (list, None) => format!("; {MARK}{list}"),
            (list, Some(note)) => format!("; {MARK}{list} ; {note}"),
        }
    }
}

/// A tag without what ends tags: those octets, and `%` itself, as `%` and two digits.
fn encode(tag: &str) -> String {
    tag.chars().fold(String::with_capacity(tag.len()), |mut text, c| {
        match c {
            '%' | ',' | ';' => text.push_str(&format!("%{:02x}", u32::from(c))),
            c if c.is_whitespace() => c.to_string().bytes().for_each(|byte| text.push_str(&format!("%{byte:02x}"))),
            c => text.push(c),
        }
        text
    })
}

fn decode(tag: &str) -> String {
    let bytes = tag.as_bytes();
    let (mut octets, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let digits =
            tag.get(at + 1..at + 3).filter(|digits| *byte == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) => {
                octets.push(octet);
                at += 3;
            }
            None => {
                octets.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(comment: &str) -> (Option<bool>, Vec<String>, Option<String>) {
        let read = Attributes::read(comment);
        (read.proxied, read.tags, read.comment)
    }

    #[test]
    fn mark_and_note_are_read_in_either_order() {
        let note = || Some("the note".to_owned());
        assert_eq!(read("cf_tags=cf-proxied:true"), (Some(true), vec![], None));
        assert_eq!(read("cf_tags=cf-proxied:false,owner:a%20b ; the note"), (Some(false), vec!["owner:a b".into()], note()));
        assert_eq!(read("the note cf_tags=cf-proxied:true"), (Some(true), vec![], note()));
        assert_eq!(read("the note; cf_tags=x"), (None, vec!["x".into()], note()));
        assert_eq!(read(";the note;"), (None, vec![], Some(";the note;".into())));
        assert_eq!(read("the note"), (None, vec![], note()));
        assert_eq!(read("cf_tags= ; see cf_tags=x"), (None, vec![], Some("see cf_tags=x".into())));
        assert_eq!(read("acf_tags=x"), (None, vec![], Some("acf_tags=x".into())));
        assert_eq!(read("cf_tags=cf-other:1,cf-proxied:maybe,,x%2"), (None, vec!["x%2".into()], None));
        assert_eq!(read(""), (None, vec![], None));
        assert_eq!(read(&"é\t".repeat(400)).2.unwrap().chars().count(), COMMENT_CHARS_MAX - 1);
    }
}
