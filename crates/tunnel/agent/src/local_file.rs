//! config.yml: where it is, and what is wrong with it, by line, key and remedy.
//!
//! The configuration's meaning is `poterne_tunnel_proto::config`'s; here it is found and read. Its rules have no positions once read,
//! so the line of a refused one is looked for in the text again: a best effort that only adds to the message.

use std::path::{Path, PathBuf};

use poterne_tunnel_proto::config::{ConfigError, Document, LocalFile};

/// Longest file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file that cannot be used; always the operator's to repair.
#[derive(Debug, thiserror::Error)]
pub enum LocalFileError {
    /// It cannot be read.
    #[error("cannot read {path}: {reason}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It is not YAML; the parser's words hold line and column.
    #[error(
        "{path} is not valid YAML: {reason}; check the indentation (spaces, not tabs) and that `key: value` has a space after the colon"
    )]
    Yaml {
        /// The file.
        path: String,
        /// The parser's words.
        reason: String,
    },
    /// It is YAML, and cannot be obeyed.
    #[error("{path}{}: {error}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Config {
        /// The file.
        path: String,
        /// Where it says so, as far as that can be told.
        line: Option<usize>,
        /// Rule, key, remedy.
        error: ConfigError,
    },
}

/// Ours before the stock agent's (reference §7.5).
pub fn search_dirs(home: Option<&Path>) -> Vec<PathBuf> {
    let at_home = |name: &str| home.map(|home| home.join(name));
    let dirs = [
        at_home(".poterne"),
        Some("/etc/poterne-agent".into()),
        Some("/etc/poterne".into()),
        at_home(".cloudflared"),
        at_home(".cloudflare-warp"),
        at_home("cloudflare-warp"),
        Some("/etc/cloudflared".into()),
        Some("/usr/local/etc/cloudflared".into()),
    ];
    dirs.into_iter().flatten().collect()
}

/// The file given, which must exist, or the first found.
pub fn find(given: Option<&Path>) -> Result<Option<PathBuf>, LocalFileError> {
    if let Some(path) = given {
        return match path.metadata() {
            Ok(_) => Ok(Some(path.to_owned())),
            Err(error) => Err(LocalFileError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
        };
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let dirs = search_dirs(home.as_deref());
    let candidates = dirs.iter().flat_map(|dir| ["config.yml", "config.yaml"].map(|name| dir.join(name)));
    Ok(candidates.into_iter().find(|path| path.is_file()))
}

/// Reads and checks it.
pub fn read(path: &Path) -> Result<LocalFile, LocalFileError> {
    let unreadable = |reason: String| LocalFileError::Unreadable { path: path.to_owned(), reason };
    let length = path.metadata().map_err(|error| unreadable(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(&text, &path.display().to_string())
}

/// The same from text; `path` is for messages.
pub fn parse(text: &str, path: &str) -> Result<LocalFile, LocalFileError> {
    let document: Document = if text.trim().is_empty() {
        Document::Map(Vec::new())
    } else {
        serde_saphyr::from_str(text).map_err(|error| LocalFileError::Yaml { path: path.to_owned(), reason: error.to_string() })?
    };
    LocalFile::from_document(document).map_err(|error| {
        let line = line_of(text, &error.to_string());
        LocalFileError::Config { path: path.to_owned(), line, error }
    })
}

/// The line of the key a message names: words of the message that are keys, within the rule it numbers (from 1) if it numbers one.
fn line_of(text: &str, message: &str) -> Option<usize> {
    let words: Vec<&str> = message.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).collect();
    let rule = words.windows(2).find(|pair| pair[0] == "rule").and_then(|pair| pair[1].parse::<usize>().ok()?.checked_sub(1));
    let lines: Vec<&str> = text.lines().collect();
    let range = rule.and_then(|rule| rule_lines(&lines, rule)).unwrap_or(0..lines.len());
    let key_of = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ").trim_start();
        line.split_once(':').map(|(key, _)| key.trim().trim_matches('"').to_owned())
    };
    let named = range.clone().find(|at| key_of(lines[*at]).is_some_and(|key| key != "ingress" && words.contains(&key.as_str())));
    named.or(rule.map(|_| range.start)).map(|at| at + 1)
}

/// Lines of the `rule`th item of `ingress:`, from 0.
fn rule_lines(lines: &[&str], rule: usize) -> Option<std::ops::Range<usize>> {
    let begin = lines.iter().position(|line| line.starts_with("ingress:"))? + 1;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let item = lines[begin..].iter().find(|line| line.trim_start().starts_with('-')).map(|line| indent(line))?;
    let mut starts = Vec::new();
    let mut end = lines.len();
    for (at, line) in lines.iter().enumerate().skip(begin) {
        let is_blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        if line.trim_start().starts_with('-') && indent(line) == item {
            starts.push(at);
        } else if !is_blank && indent(line) <= item && indent(line) == 0 {
            end = at;
            break;
        }
    }
    let start = *starts.get(rule)?;
    Some(start..starts.get(rule + 1).copied().unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_rules_flags_and_warnings() {
        let file = parse(
            "tunnel: 3d539f97-cd3a-4d8e-833b-65e9099c7a8d\nedge: [\"e:7844\"]\noriginRequest:\n  connectTimeout: 3s\ningress:\n  \
             - hostname: app.example.org\n    service: http://localhost:8080\n    originRequest:\n      noTLSVerify: true\n      colour: red\n  \
             - service: http_status:404\n",
            "config.yml",
        )
        .unwrap();
        assert_eq!(file.config.ingress.len(), 2);
        assert_eq!(file.others.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["tunnel", "edge"]);
        assert_eq!(file.unknown.len(), 1, "{:?}", file.unknown);
        assert!(file.unknown[0].contains("colour"), "{:?}", file.unknown);
    }

    #[test]
    fn what_is_not_yaml_names_line_and_column() {
        let error = parse("ingress:\n  - service: [http://x\n", "config.yml").unwrap_err().to_string();
        assert!(error.starts_with("config.yml is not valid YAML") && error.contains("line"), "{error}");
    }

    #[test]
    fn a_refused_rule_names_its_line_and_key() {
        let text = "tunnel: x\ningress:\n  - hostname: a.example\n    service: http://localhost:1\n  - hostname: b.example\n    service: http_status:9999\n  - service: http_status:404\n";
        let error = parse(text, "config.yml").unwrap_err().to_string();
        assert!(error.starts_with("config.yml, line 6: "), "{error}");
        assert!(error.contains("9999"), "{error}");
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        let error = find(Some(Path::new("/nowhere/config.yml"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/config.yml"), "{error}");
    }
}
