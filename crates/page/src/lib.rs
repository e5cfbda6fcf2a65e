//! What pages and mails for people share, whoever makes them: the languages that they are written in, and text that stays text.
//!
//! Everything else of a page is its maker's own.
#![forbid(unsafe_code)]

use http::{HeaderMap, header};

/// A language that our pages are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English, where nothing else is asked for.
    English,
    /// French.
    French,
}

impl Language {
    /// Both.
    pub const ALL: [Self; 2] = [Self::English, Self::French];
    /// Both tags, in the same order.
    pub const TAGS: &'static [&'static str] = &["en", "fr"];

    /// Its tag (RFC 5646).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The one of that tag.
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    /// The one that a request's `Accept-Language` gives the greatest weight, the first of equals; English where it names neither (RFC
    /// 9110 §12.5.4).
    pub fn asked(fields: &HeaderMap) -> Self {
        let values = fields.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let mut best = (0.0, Self::English);
        for item in values.flat_map(|value| value.split(',')) {
            let mut parts = item.split(';').map(str::trim);
            let language = match parts.next().and_then(|tag| tag.split('-').next()) {
                Some(tag) if tag.eq_ignore_ascii_case("fr") => Self::French,
                Some(tag) if tag.eq_ignore_ascii_case("en") => Self::English,
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            if weight > best.0 {
                best = (weight, language);
            }
        }
        best.1
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::English => Self::French,
            Self::French => Self::English,
        }
    }

    /// What it calls itself.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
        }
    }

    /// Of two texts that say the same, the one in this language.
    pub const fn say<'a>(self, english: &'a str, french: &'a str) -> &'a str {
        match self {
            Self::English => english,
            Self::French => french,
        }
    }
}

/// Text that is only text in HTML, in an element or in a quoted attribute (HTML, "Escaping a string"; the apostrophe too, for
/// attributes in single quotes).
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_greatest_weight_is_spoken() {
        let asked = |accepted: &[&str]| {
            let fields = accepted.iter().map(|value| (header::ACCEPT_LANGUAGE, value.parse().unwrap()));
            Language::asked(&fields.collect()).tag()
        };
        for (accepted, tag) in [
            (&["de, fr-CH;q=0.9, en;q=0.5"][..], "fr"),
            (&["fr-CH, fr;q=0.9, en;q=0.8"], "fr"),
            (&["en-GB, fr;q=0.9"], "en"),
            (&["fr,en"], "fr"),
            (&["en,FR"], "en"),
            (&["de", "fr;q=0.1"], "fr"),
            (&["frr"], "en"),
            (&["fr;q=0"], "en"),
            (&["fr;q=x"], "fr"),
            (&["de"], "en"),
            (&[""], "en"),
            (&[], "en"),
        ] {
            assert_eq!(asked(accepted), tag, "{accepted:?}");
        }
        assert_eq!(Language::of_tag("fr"), Some(Language::French));
        assert_eq!(Language::of_tag("de"), None);
        assert_eq!(Language::ALL.map(Language::tag), Language::TAGS);
        assert!(Language::ALL.into_iter().all(|language| language.other() != language && language.other().other() == language));
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(escaped("<a href=\"x\" id='y'>é & z</a>"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;é &amp; z&lt;/a&gt;");
        assert_eq!(escaped("plain"), "plain");
    }
}
