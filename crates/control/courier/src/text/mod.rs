//! What a notice says, in both languages.
//!
//! Whose language is known gets that one; today nobody's is, so a node says everything in the languages of `[mail] language`, which is
//! both unless the operator chose. Texts are facts and a next step; whatever a user has written (names, programs) is cut, freed of
//! control characters, and set in quotes.

mod english;
mod french;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use poterne_control_app::notice::Notice;
use poterne_model::Timestamp;
use poterne_page::escaped;

/// Longest piece of a user's writing that a text repeats, in characters.
const SHOWN_CHARS_MAX: usize = 100;

/// Which languages a text is in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Languages {
    /// Both, English first.
    #[default]
    Both,
    /// English.
    English,
    /// French.
    French,
}

/// A notice in one language.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// BCP 47.
    pub language: &'static str,
    /// In one line.
    pub subject: String,
    /// What happened.
    pub said: Vec<String>,
    /// Where to go on, where there is such a place.
    pub link: Option<String>,
    /// What else is known, label and value.
    pub facts: Vec<(&'static str, String)>,
    /// What to do, or not to.
    pub then: Vec<String>,
}

/// A notice as mail has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Of all its languages.
    pub subject: String,
    /// Lines end in `\n`.
    pub plain: String,
    /// The same, for those who want it so.
    pub html: String,
}

/// A notice in these languages. `node` is the node's own name; `policy` that of the policy which asks for it.
pub fn write(notice: &Notice, languages: Languages, node: &str, policy: Option<&str>) -> Written {
    let texts: Vec<Text> = match languages {
        Languages::English => vec![english::text(notice, node, policy)],
        Languages::French => vec![french::text(notice, node, policy)],
        Languages::Both => vec![english::text(notice, node, policy), french::text(notice, node, policy)],
    };
    let subject = texts.iter().map(|text| text.subject.as_str()).collect::<Vec<_>>().join(" / ");
    Written { plain: plain(&texts), html: html(&subject, &texts), subject }
}

/// In one paragraph, for a program's log or a chat: the first of the languages.
pub fn short(notice: &Notice, languages: Languages, node: &str) -> String {
    let text = match languages {
        Languages::French => french::text(notice, node, None),
        Languages::English | Languages::Both => english::text(notice, node, None),
    };
    text.said.join(" ")
}

fn plain(texts: &[Text]) -> String {
    let mut out = String::new();
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push_str("\n----\n\n");
        }
        let paragraphs = text.said.iter().chain(&text.link);
        let facts: Vec<String> = text.facts.iter().map(|(label, value)| format!("{label} {value}")).collect();
        let facts = (!facts.is_empty()).then(|| facts.join("\n"));
        let all: Vec<&str> = paragraphs.chain(&facts).chain(&text.then).map(String::as_str).collect();
        out.push_str(&all.join("\n\n"));
        out.push('\n');
    }
    out
}

fn html(subject: &str, texts: &[Text]) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{}</title>\n</head>\n<body>\n",
        texts.first().map_or("en", |text| text.language),
        escaped(subject)
    );
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.push_str("<hr>\n");
        }
        let _ = writeln!(out, "<div lang=\"{}\">", text.language);
        for paragraph in &text.said {
            let _ = writeln!(out, "<p>{}</p>", escaped(paragraph));
        }
        if let Some(link) = &text.link {
            let link = escaped(link);
            let _ = writeln!(out, "<p><a href=\"{link}\">{link}</a></p>");
        }
        if !text.facts.is_empty() {
            out.push_str("<p>");
            for (index, (label, value)) in text.facts.iter().enumerate() {
                let line = if index > 0 { "<br>\n" } else { "" };
                let _ = write!(out, "{line}{} {}", escaped(label), escaped(value));
            }
            out.push_str("</p>\n");
        }
        for paragraph in &text.then {
            let _ = writeln!(out, "<p>{}</p>", escaped(paragraph));
        }
        out.push_str("</div>\n");
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// What a user has written, fit for a line: cut, without control characters and those that turn text around.
fn shown(text: &str) -> String {
    let fits =
        |c: &char| !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut kept = text.chars().filter(fits);
    let start: String = kept.by_ref().take(SHOWN_CHARS_MAX).collect();
    if kept.next().is_some() { start + "…" } else { start }
}

/// Those facts that are known.
fn known<const N: usize>(facts: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    facts.into_iter().filter_map(|(label, value)| Some((label, value?))).collect()
}

/// Day, month, year, hour and minute of an instant, in UTC; the epoch's where a calendar has no such day.
fn calendar(at: Timestamp) -> (i8, usize, i16, i8, i8) {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or_default();
    let at = jiff::tz::Offset::UTC.to_datetime(at);
    (at.day(), usize::from(at.month().unsigned_abs()), at.year(), at.hour(), at.minute())
}
