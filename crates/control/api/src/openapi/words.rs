//! What the page says of its own, in both languages.

use axum::http::{HeaderMap, header};

/// The page's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    French,
}

impl Language {
    /// Their tags.
    pub(crate) const WORDS: &'static [&'static str] = &["en", "fr"];

    /// The one of that tag.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::English, Self::French].into_iter().find(|language| language.tag() == word)
    }

    /// The one of greatest weight; English where none is asked for (RFC 9110 §12.5.4).
    pub(crate) fn asked(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
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

    /// Its tag.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// The other one, and what it calls itself.
    pub(crate) const fn other(self) -> (&'static str, &'static str) {
        match self {
            Self::English => ("fr", "Français"),
            Self::French => ("en", "English"),
        }
    }

    pub(crate) const fn say(self, english: &'static str, french: &'static str) -> &'static str {
        match self {
            Self::English => english,
            Self::French => french,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_greatest_weight_is_spoken() {
        let of =
            |accepted: &str| Language::asked(&HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, accepted.parse().unwrap())])).tag();
        assert_eq!(of("de, fr-CH;q=0.9, en;q=0.5"), "fr");
        assert_eq!(of("en-GB, fr;q=0.9"), "en");
        assert_eq!(of("de"), "en");
        assert_eq!(of("fr;q=x"), "fr");
        assert_eq!(Language::of_word("fr"), Some(Language::French));
    }
}
