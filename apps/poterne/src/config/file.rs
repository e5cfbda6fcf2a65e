//! The file: TOML, whose first line says `version = 1`. Unknown keys are refused with their place and the nearest known one.

use std::path::Path;

use serde::Deserialize as _;
use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use super::{Config, ConfigError, keys};

/// Reads a file's text into a table that holds known keys of the right types only.
pub fn parse(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let fail = |offset: usize, what: String| {
        let (line, column) = place(text, offset);
        ConfigError::InFile { path: path.into(), line, column, what }
    };
    let from_toml = |error: &toml::de::Error| {
        fail(error.span().map_or(0, |span| span.start), error.message().trim_end_matches('\n').replace('\n', ", "))
    };
    let document = DeTable::parse(text).map_err(|error| from_toml(&error))?;
    check(document.get_ref()).map_err(|(offset, what)| fail(offset, what))?;
    let table: Table = text.parse().map_err(|error| from_toml(&error))?;
    // Each value is tried alone, so that what is wrong with it has a place.
    for (section, key, value) in values(document.get_ref()) {
        let Some(tried) = table.get(section).and_then(|section| section.get(key)) else { continue };
        try_value(section, key, tried.clone())
            .map_err(|error| fail(value.span().start, format!("[{section}] {key}: {error}")))?;
    }
    Ok(table)
}

/// Whether the key takes this value, all others being at their defaults.
pub(super) fn try_value(section: &str, key: &str, value: Value) -> Result<Table, String> {
    let table = Table::from_iter([(section.to_owned(), Value::Table(Table::from_iter([(key.to_owned(), value)])))]);
    let mut whole = keys::defaults();
    keys::merge(&mut whole, table.clone());
    Config::deserialize(whole).map_err(|error| error.message().trim_end_matches('\n').replace('\n', ", "))?;
    Ok(table)
}

/// Every value of every section, with its place.
fn values<'a>(document: &'a DeTable<'_>) -> impl Iterator<Item = (&'a str, &'a str, &'a Spanned<DeValue<'a>>)> {
    document.iter().flat_map(|(section, value)| {
        let table = if let DeValue::Table(table) = value.get_ref() { Some(table) } else { None };
        let section: &str = section.get_ref();
        table.into_iter().flatten().map(move |(key, value)| (section, &**key.get_ref(), value))
    })
}

/// Version first, then known sections and known keys only.
fn check(document: &DeTable<'_>) -> Result<(), (usize, String)> {
    let first = document.keys().min_by_key(|key| key.span().start);
    match (first, document.iter().find(|(key, _)| key.get_ref() == "version")) {
        (_, None) => {
            let offset = first.map_or(0, |key| key.span().start);
            return Err((offset, "the file must begin with `version = 1`".into()));
        }
        (Some(first), Some((key, value))) => {
            if first.span() != key.span() {
                return Err((key.span().start, "`version = 1` must be the first key of the file".into()));
            }
            let is_one = matches!(value.get_ref(), DeValue::Integer(number) if number.as_str() == "1");
            if !is_one {
                return Err((value.span().start, "this program reads `version = 1` of the format only".into()));
            }
        }
        (None, Some(_)) => unreachable!("a document with a key has a first key"),
    }
    for (section, value) in document {
        let name: &str = section.get_ref();
        if name == "version" {
            continue;
        }
        if !keys::SECTIONS.iter().any(|(known, _)| *known == name) {
            return Err((section.span().start, unknown_section(name, value.get_ref())));
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err((section.span().start, format!("{name} is a section: write [{name}] on a line of its own")));
        };
        for key in table.keys() {
            if keys::find(name, key.get_ref()).is_none() {
                return Err((key.span().start, unknown_key(name, key.get_ref())));
            }
        }
    }
    Ok(())
}

/// What to say of a section nobody knows.
fn unknown_section(name: &str, value: &DeValue<'_>) -> String {
    if !matches!(value, DeValue::Table(_))
        && let Some(key) = keys::KEYS.iter().find(|key| key.name == name)
    {
        return format!("unknown key {name:?} here: it belongs below [{}]", key.section);
    }
    match keys::nearest(name, keys::SECTIONS.iter().map(|(section, _)| *section)) {
        Some(near) => format!("unknown section [{name}]; did you mean [{near}]?"),
        None => {
            let known: Vec<String> = keys::SECTIONS.iter().map(|(section, _)| format!("[{section}]")).collect();
            format!("unknown section [{name}]; there are {}", known.join(" "))
        }
    }
}

/// What to say of a key nobody knows in this section.
pub(super) fn unknown_key(section: &str, name: &str) -> String {
    if let Some(key) = keys::KEYS.iter().find(|key| key.name == name) {
        return format!("unknown key {name:?} in [{section}]: it belongs in [{}]", key.section);
    }
    let known = || keys::KEYS.iter().filter(|key| key.section == section).map(|key| key.name);
    match keys::nearest(name, known()) {
        Some(near) => format!("unknown key {name:?} in [{section}]; did you mean {near:?}?"),
        None => format!("unknown key {name:?} in [{section}]; it knows {}", known().collect::<Vec<_>>().join(", ")),
    }
}

/// Where a key stands: line and column, from 1.
pub(super) fn place_of(text: &str, section: &str, key: &str) -> Option<(usize, usize)> {
    let document = DeTable::parse(text).ok()?;
    let (_, section) = document.get_ref().iter().find(|(name, _)| name.get_ref() == section)?;
    let DeValue::Table(table) = section.get_ref() else { return None };
    let (name, _) = table.iter().find(|(name, _)| name.get_ref() == key)?;
    Some(place(text, name.span().start))
}

/// Line and column, from 1, of a byte offset.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse("poterne.toml".as_ref(), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_refused_at_its_place_with_the_nearest_known_one() {
        assert_eq!(
            refusal("version = 1\n[edge]\n  htpp = [\"127.0.0.1:80\"]\n"),
            "poterne.toml:3:3: unknown key \"htpp\" in [edge]; did you mean \"http\"?"
        );
        assert_eq!(
            refusal("version = 1\n[node]\nquick_domain = \"x\"\n"),
            "poterne.toml:3:1: unknown key \"quick_domain\" in [node]: it belongs in [tunnel]"
        );
        assert_eq!(refusal("version = 1\n[tunel]\n"), "poterne.toml:2:2: unknown section [tunel]; did you mean [tunnel]?");
        assert_eq!(refusal("version = 1\nhttp = []\n"), "poterne.toml:2:1: unknown key \"http\" here: it belongs below [edge]");
    }

    #[test]
    fn the_version_comes_first_and_is_one() {
        assert!(refusal("[node]\n").ends_with("1:2: the file must begin with `version = 1`"), "{}", refusal("[node]\n"));
        assert!(refusal("version = 2\n").ends_with("1:11: this program reads `version = 1` of the format only"));
        assert!(refusal("").ends_with("1:1: the file must begin with `version = 1`"));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_at_its_place() {
        let error = refusal("version = 1\n\n[edge]\nhttp = [\"127.0.0.1\"]\n");
        assert!(error.starts_with("poterne.toml:4:"), "{error}");
        assert!(error.contains("invalid socket address"), "{error}");
        let error = refusal("version = 1\n[tunnel]\ncongestion = \"reno\"\n");
        assert!(error.starts_with("poterne.toml:3:") && error.contains("bbr"), "{error}");
    }

    #[test]
    fn broken_toml_is_refused_at_its_place() {
        let error = refusal("version = 1\n[edge\n");
        assert!(error.starts_with("poterne.toml:2:"), "{error}");
    }
}
