//! What the verbs print: tables as the stock agent's, and the same as JSON or YAML under its names, which scripts read.

use poterne_control_wire::WireTime;
use poterne_tunnel_agent::terminal::{self, plain};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};

/// A member's names: JSON's, then YAML's.
type Names = (&'static str, &'static str);

/// Something shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Ids, addresses and the like, whose characters are known.
    Word(String),
    /// Somebody's words.
    Text(String),
    /// An instant; none is the stock agent's, in the year 1.
    Time(Option<WireTime>),
    Truth(bool),
    List(Vec<Shown>),
    Object(Vec<(Names, Shown)>),
}

impl Shown {
    pub(crate) fn word(value: impl ToString) -> Self {
        Self::Word(value.to_string())
    }

    /// As `--output` asks.
    pub(crate) fn render(&self, format: &str) -> anyhow::Result<String> {
        if format == "yaml" {
            let mut text = String::new();
            self.yaml(0, &mut text);
            return Ok(text);
        }
        Ok(terminal::json(&serde_json::to_string_pretty(self)?) + "\n")
    }

    /// At the beginning of a line, or of an item.
    fn yaml(&self, indent: usize, out: &mut String) {
        match self {
            Self::List(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    let pad = if at > 0 { " ".repeat(indent) } else { String::new() };
                    out.push_str(&format!("{pad}- "));
                    item.yaml(indent + 2, out);
                }
            }
            Self::Object(members) if !members.is_empty() => {
                for (at, ((_, name), value)) in members.iter().enumerate() {
                    let pad = if at > 0 { " ".repeat(indent) } else { String::new() };
                    out.push_str(&format!("{pad}{name}:"));
                    match value {
                        Self::List(items) if !items.is_empty() => nested(value, deeper(indent), out),
                        Self::Object(members) if !members.is_empty() => nested(value, deeper(indent), out),
                        scalar => {
                            out.push(' ');
                            scalar.yaml(indent, out);
                        }
                    }
                }
            }
            scalar => {
                out.push_str(&scalar.scalar());
                out.push('\n');
            }
        }
    }

    fn scalar(&self) -> String {
        match self {
            Self::Word(word) => word.clone(),
            Self::Text(text) => quoted(text),
            Self::Time(time) => time_text(*time),
            Self::Truth(truth) => truth.to_string(),
            Self::List(_) => "[]".into(),
            Self::Object(_) => "{}".into(),
        }
    }
}

/// The stock agent's YAML indents by fours.
fn deeper(indent: usize) -> usize {
    (indent / 4 + 1) * 4
}

fn nested(value: &Shown, indent: usize, out: &mut String) {
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    value.yaml(indent, out);
}

/// A text as YAML writes it: bare where a parser takes it for what it is, else in quotes.
fn quoted(text: &str) -> String {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    // No number has two dots.
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic())
        || text.starts_with(|c: char| c.is_ascii_digit()) && text.matches('.').count() > 1;
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./ ".contains(c);
    if words.contains(&text.to_ascii_lowercase().as_str()) {
        return format!("{text:?}");
    }
    if begins && text.chars().all(bare) && !text.ends_with(' ') {
        return text.to_owned();
    }
    let is_number_like = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if !is_number_like && !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return format!("'{}'", text.replace('\'', "''"));
    }
    // A text of JSON is one of YAML (YAML 1.2 §1.2).
    terminal::json(&serde_json::to_string(text).unwrap_or_default())
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(text) | Self::Text(text) => serializer.serialize_str(text),
            Self::Time(time) => serializer.serialize_str(&time_text(*time)),
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|((name, _), value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

/// RFC 3339 with no more digits of a second than there are.
fn time_text(time: Option<WireTime>) -> String {
    let Some(time) = time else { return "0001-01-01T00:00:00Z".into() };
    let text = time.to_string();
    let (whole, fraction) = text.trim_end_matches('Z').split_once('.').unwrap_or((&text, ""));
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}Z"),
        fraction => format!("{whole}.{fraction}Z"),
    }
}

/// To the second, for tables.
pub(crate) fn seconds(time: WireTime) -> String {
    let text = time.to_string();
    format!("{}Z", text.split('.').next().unwrap_or(&text))
}

/// To the second, or a dash.
pub(crate) fn seconds_or_dash(time: Option<WireTime>) -> String {
    time.map_or_else(|| "-".into(), seconds)
}

/// As the stock agent's `info` writes an instant.
pub(crate) fn with_zone(time: WireTime) -> String {
    time_text(Some(time)).replace('T', " ").replace('Z', " +0000 UTC")
}

/// Columns as wide as their widest cell, a space apart; each row ends with its padding, as the stock agent's do.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$} "));
        }
        text.push('\n');
    }
    text
}

/// One row.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> WireTime {
        WireTime::parse(text).unwrap()
    }

    #[test]
    fn times_are_written_in_three_ways() {
        assert_eq!(time_text(Some(time("2026-01-02T03:04:05.678900Z"))), "2026-01-02T03:04:05.6789Z");
        assert_eq!(time_text(Some(time("2026-01-02T03:04:05Z"))), "2026-01-02T03:04:05Z");
        assert_eq!(time_text(None), "0001-01-01T00:00:00Z");
        assert_eq!(seconds(time("2026-01-02T03:04:05.678900Z")), "2026-01-02T03:04:05Z");
        assert_eq!(with_zone(time("2026-01-02T03:04:05.678900Z")), "2026-01-02 03:04:05.6789 +0000 UTC");
    }

    #[test]
    fn the_same_is_json_and_yaml_under_the_names_of_each() {
        let connection = Shown::Object(vec![(("colo_name", "coloname"), Shown::Text("par01".into()))]);
        let one = Shown::Object(vec![
            (("name", "name"), Shown::Text("yes".into())),
            (("created_at", "createdat"), Shown::Time(None)),
            (("connections", "connections"), Shown::List(vec![connection.clone(), connection])),
        ]);
        let two = Shown::Object(vec![(("name", "name"), Shown::Text("a: \"b\"\n".into())), (("c", "c"), Shown::List(vec![]))]);
        let both = Shown::List(vec![one, two]);
        let json = both.render("json").unwrap();
        assert!(json.starts_with("[\n  {\n    \"name\": \"yes\",\n    \"created_at\": \"0001-01-01T00:00:00Z\",\n"), "{json}");
        assert!(json.ends_with("    \"c\": []\n  }\n]\n"), "{json}");
        let yaml = "- name: \"yes\"\n  createdat: 0001-01-01T00:00:00Z\n  connections:\n    - coloname: par01\n    - coloname: par01\n- name: \"a: \\\"b\\\"\\n\"\n  c: []\n";
        assert_eq!(both.render("yaml").unwrap(), yaml);
        assert_eq!(Shown::List(vec![]).render("yaml").unwrap(), "[]\n");
    }

    #[test]
    fn texts_of_yaml_are_quoted_where_they_would_be_something_else() {
        for (text, written) in [
            ("the lab", "the lab"),
            ("0.1.0", "0.1.0"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("of: lab", "'of: lab'"),
            ("it's # 1", "'it''s # 1'"),
            ("No", "\"No\""),
            ("1e5", "\"1e5\""),
            ("2026-01-02", "\"2026-01-02\""),
            ("", "\"\""),
            ("a\nb", "\"a\\nb\""),
            ("à", "\"à\""),
        ] {
            assert_eq!(quoted(text), written);
        }
    }

    #[test]
    fn columns_are_aligned_and_nothing_drives_the_terminal() {
        let rows = [row(["ID", "NAME"]), row(["1", "a\u{1b}[2J"])];
        assert_eq!(table(&rows), "ID NAME  \n1  a\u{fffd}[2J \n");
        let shown = Shown::Text("a\u{9b}2J".into());
        assert_eq!(shown.render("json").unwrap(), "\"a\\u009b2J\"\n");
        assert_eq!(shown.render("yaml").unwrap(), "\"a\\u009b2J\"\n");
    }
}
