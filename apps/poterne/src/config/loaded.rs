//! A configuration as it was read, key by key: what of it changed, and where in the file a key stands.

use std::path::PathBuf;

use super::{Config, ConfigError, file, keys};

/// All layers, read; kept to be compared with what is read later.
#[derive(Debug)]
pub struct Loaded {
    /// What they say.
    pub config: Config,
    /// The same key by key.
    pub(super) table: toml::Table,
    /// The file, where there is one, and what it sets.
    pub(super) file: Option<(PathBuf, String, toml::Table)>,
}

impl Loaded {
    /// Whether there was a file.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// The keys whose values are others in `other`, as section and name.
    pub fn changed<'a>(&'a self, other: &'a Self) -> Vec<(&'static str, &'static str)> {
        let value = |of: &'a Self, key: &keys::Key| of.table.get(key.section).and_then(|section| section.get(key.name));
        let differs = |key: &&keys::Key| value(self, key) != value(other, key);
        keys::KEYS.iter().filter(differs).map(|key| (key.section, key.name)).collect()
    }

    /// Keeps the value that `former` has for a key.
    pub fn keep(&mut self, former: &Self, (section, name): (&str, &str)) {
        let kept = former.table.get(section).and_then(|section| section.get(name)).cloned();
        let Some(toml::Value::Table(table)) = self.table.get_mut(section) else { return };
        match kept {
            Some(value) => table.insert(name.into(), value),
            None => table.remove(name),
        };
    }

    /// An error that begins with its key, as in `[edge] certificates: …`, with its place in the file where the file sets the key.
    pub fn placed(&self, error: String) -> ConfigError {
        placed(self.file.as_ref(), &self.table, error)
    }
}

pub(super) fn placed(file: Option<&(PathBuf, String, toml::Table)>, all: &toml::Table, what: String) -> ConfigError {
    let place = || {
        let (section, rest) = what.strip_prefix('[')?.split_once("] ")?;
        let key = rest.split([':', ' ']).next()?;
        let (path, text, own) = file?;
        // A variable or a flag may have said otherwise, and then the file is not to blame.
        let (of_file, of_all) = (own.get(section)?.get(key)?, all.get(section)?.get(key)?);
        let (line, column) = file::place_of(text, section, key).filter(|_| of_file == of_all)?;
        Some((path.clone(), line, column))
    };
    match place() {
        Some((path, line, column)) => ConfigError::InFile { path, line, column, what },
        None => ConfigError::Inconsistent(what),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn keys_that_differ_are_named_and_can_be_kept() {
        let whole = |flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(|s| s.to_string()).collect();
            Config::load_whole(
                Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/poterne.example.toml"))),
                [],
                &flags,
            )
            .unwrap()
        };
        let former = whole(&["edge.drain_secs=3"]);
        let mut later = whole(&["edge.http=127.0.0.1:1", "edge.connections_max=9"]);
        let changed = former.changed(&later);
        assert_eq!(changed, [("edge", "http"), ("edge", "connections_max"), ("edge", "drain_secs")]);
        later.keep(&former, ("edge", "http"));
        later.keep(&former, ("edge", "connections_max"));
        assert_eq!(former.changed(&later), [("edge", "drain_secs")]);
    }
}
