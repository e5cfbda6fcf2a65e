//! What lies over the file: `POTERNE_SECTION_KEY` variables, then `--set section.key=value` flags.

use toml::{Table, Value};

use super::{
    ConfigError, file,
    keys::{self, Key, Kind},
};

/// One table for each variable that sets a key. A variable that begins like a section and names no key of it is refused.
pub fn from_environment(environment: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Table>, ConfigError> {
    let mut changes = Vec::new();
    for (variable, text) in environment {
        let Some(rest) = variable.strip_prefix("POTERNE_") else { continue };
        let rest = rest.to_ascii_lowercase();
        let Some((section, name)) = rest.split_once('_') else { continue };
        if !keys::SECTIONS.iter().any(|(known, _)| *known == section) {
            continue; // Other programs of the house have variables of their own.
        }
        changes.push(change(&variable, section, name, &text)?);
    }
    Ok(changes)
}

/// One table for each `section.key=value`.
pub fn from_flags(flags: &[String]) -> Result<Vec<Table>, ConfigError> {
    flags
        .iter()
        .map(|flag| {
            let origin = format!("--set {flag}");
            let parts = flag.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
            let Some(((section, name), text)) = parts else {
                return Err(ConfigError::InOverlay {
                    origin,
                    what: "expected SECTION.KEY=VALUE, as in edge.http=127.0.0.1:8080".into(),
                });
            };
            change(&origin, section, name, text)
        })
        .collect()
}

/// The table in which only this key stands, tried against the key's type.
fn change(origin: &str, section: &str, name: &str, text: &str) -> Result<Table, ConfigError> {
    let wrong = |what: String| ConfigError::InOverlay { origin: origin.into(), what };
    let key = keys::find(section, name).ok_or_else(|| wrong(file::unknown_key(section, name)))?;
    let value = read(key, text).map_err(&wrong)?;
    file::try_value(section, name, value).map_err(|error| wrong(format!("{text:?} is no value of this key: {error}")))
}

/// A key's value out of its text form.
fn read(key: &Key, text: &str) -> Result<Value, String> {
    let toml = || keys::value(text).map_err(|error| format!("{text:?} is not TOML: {}", error.message()));
    match key.kind {
        Kind::Text => Ok(Value::String(text.into())),
        Kind::Number => text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a whole number")),
        Kind::List if text.trim_start().starts_with('[') && !text.contains("]:") => toml(),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.into())).collect()))
        }
        Kind::Toml => toml(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variable: &str, text: &str) -> Result<Vec<Table>, ConfigError> {
        from_environment([(variable.to_owned(), text.to_owned())])
    }

    #[test]
    fn a_variable_sets_its_key() {
        let table = &environment("POTERNE_EDGE_TRUSTED_PROXIES", "10.0.0.0/8, ::1").unwrap()[0];
        assert_eq!(table.to_string().replace(char::is_whitespace, ""), "[edge]trusted_proxies=[\"10.0.0.0/8\",\"::1\"]");
        let table = &environment("POTERNE_EDGE_HTTP", "[::1]:80").unwrap()[0];
        assert!(table.to_string().contains("[\"[::1]:80\"]"), "{table}");
        let table = &environment("POTERNE_EDGE_CERTIFICATES", "[{ cert = \"a\", key = \"b\" }]").unwrap()[0];
        assert!(table.to_string().contains("cert"), "{table}");
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        for variable in ["POTERNE_BENCH", "POTERNE_QUICK_SERVICE", "POTERNE_CONFIG", "HOME"] {
            assert!(environment(variable, "x").unwrap().is_empty(), "{variable}");
        }
    }

    #[test]
    fn a_wrong_variable_or_flag_is_named_with_the_remedy() {
        let error = environment("POTERNE_EDGE_HTPP", "x").unwrap_err().to_string();
        assert_eq!(error, "POTERNE_EDGE_HTPP: unknown key \"htpp\" in [edge]; did you mean \"http\"?");
        let error = environment("POTERNE_EDGE_HTTP", "nowhere").unwrap_err().to_string();
        assert!(error.starts_with("POTERNE_EDGE_HTTP: \"nowhere\" is no value of this key"), "{error}");
        let error = from_flags(&["edge.http".into()]).unwrap_err().to_string();
        assert!(error.contains("SECTION.KEY=VALUE"), "{error}");
        let error = from_flags(&["edge.drain_secs=soon".into()]).unwrap_err().to_string();
        assert!(error.contains("\"soon\" is not a whole number"), "{error}");
    }
}
