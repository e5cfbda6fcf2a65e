//! config.yml: where it is, and what is wrong with it, by line, key and remedy.
//!
//! The configuration's meaning is `poterne_tunnel_proto::config`'s; here it is found and read. Its rules have no positions once read,
//! so the line of a refused one is looked for in the text again: a best effort that only adds to the message.

use std::path::{Path, PathBuf};

use poterne_tunnel_proto::config::{ConfigError, Document, LocalFile};

/// Longest file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const YAML_REMEDY: &str = "keys of one list item or map begin in the same column, and a colon is followed by a space";

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
    /// It is not YAML.
    #[error("{path}{}: {reason}: {remedy}", at(*line))]
    Yaml {
        /// The file.
        path: String,
        /// Where the parser gave up.
        line: Option<u64>,
        /// Its words, or ours where they are plainer.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It is YAML, and cannot be obeyed.
    #[error("{path}{}: {error}", at(*line))]
    Config {
        /// The file.
        path: String,
        /// Where it says so, as far as that can be told.
        line: Option<u64>,
        /// Rule, key, remedy.
        error: ConfigError,
    },
}

fn at(line: Option<u64>) -> String {
    line.map(|line| format!(", line {line}")).unwrap_or_default()
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
        serde_saphyr::from_str(text).map_err(|error| not_yaml(&error, path))?
    };
    let mut file = LocalFile::from_document(document).map_err(|error| {
        let line = line_of(text, &error.to_string());
        LocalFileError::Config { path: path.to_owned(), line, error }
    })?;
    for key in &mut file.unknown {
        *key = format!("{path}{}: {key}", at(line_of(text, &format!("{key}: "))));
    }
    Ok(file)
}

/// The mistakes that people make, in words that say what to do; the parser's own words speak of its grammar and its options.
fn not_yaml(error: &serde_saphyr::Error, path: &str) -> LocalFileError {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let (reason, remedy) = match error {
        Error::DuplicateMappingKey { key, .. } => {
            (format!("the key {} is there twice", key.as_deref().unwrap_or("of a list or a map")), "keep one of them")
        }
        Error::UnknownAnchor { .. } => (
            "a value that begins with * refers to something else in YAML".to_owned(),
            "put it in quotes, as in \"*.example.org\"",
        ),
        Error::MultipleDocuments { .. } => ("a second document begins here".to_owned(), "remove the line `---`"),
        other => {
            // The place is told apart.
            let words = other.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            if words.contains("tabs disallowed") {
                ("a tab in the indentation".to_owned(), "indent with spaces, which YAML asks for")
            } else {
                (format!("this is not YAML ({words})"), YAML_REMEDY)
            }
        }
    };
    let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
    LocalFileError::Yaml { path: path.to_owned(), line, reason, remedy }
}

/// The line of the key a message names: its words that are keys, one below the other as in `originRequest: connectTimeout`, within
/// the rule it numbers (from 1) if it numbers one.
fn line_of(text: &str, message: &str) -> Option<u64> {
    // The last part is the remedy, which has words of its own.
    let message = message.rsplit_once(": ").map_or(message, |(place, _)| place);
    let words: Vec<&str> = message.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).collect();
    let rule = words.windows(2).find(|pair| pair[0] == "rule").and_then(|pair| pair[1].parse::<usize>().ok()?.checked_sub(1));
    let lines: Vec<&str> = text.lines().collect();
    let range = rule.and_then(|rule| rule_lines(&lines, rule)).unwrap_or(0..lines.len());
    let key_of = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ").trim_start();
        line.split_once(':').map(|(key, _)| key.trim().trim_matches('"').to_owned())
    };
    let is_top = |line: &str| !line.starts_with([' ', '-']);
    let mut named = None;
    for word in words {
        let begin = named.map_or(range.start, |at| at + 1);
        let is_it = |at: &usize| {
            // A message about a rule names the list it is in; one about the whole file begins with a key of the whole file.
            key_of(lines[*at]).is_some_and(|key| key == word)
                && if rule.is_some() { word != "ingress" } else { named.is_some() || is_top(lines[*at]) }
        };
        named = (begin..range.end).find(is_it).or(named);
    }
    named.or(rule.map(|_| range.start)).and_then(|at| u64::try_from(at + 1).ok())
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

    /// File, line, key and remedy of the mistakes that people make, word for word.
    #[test]
    fn mistakes_are_named_with_their_line_and_a_remedy() {
        let rules = |first: &str| format!("tunnel: x\ningress:\n{first}  - service: http_status:404\n");
        let rule = |fields: &str| rules(&format!("  - hostname: a.example.org\n{fields}"));
        for (text, said) in [
            (
                "tunnel: x\ningress:\n\t- service: http_status:404\n".to_owned(),
                "line 3: a tab in the indentation: indent with spaces, which YAML asks for",
            ),
            (
                rule("   service: http://localhost:8080\n"),
                "line 4: this is not YAML (while parsing a block collection, did not find expected '-' indicator): keys of one list item or map begin in the same column, and a colon is followed by a space",
            ),
            (
                "tunnel:x\ningress:\n".to_owned(),
                "line 2: this is not YAML (mapping values are not allowed in this context): keys of one list item or map begin in the same column, and a colon is followed by a space",
            ),
            (
                rule("    service: http://localhost:1\n    service: http://localhost:2\n"),
                "line 5: the key service is there twice: keep one of them",
            ),
            (
                rules("  - hostname: *.example.org\n    service: http://localhost:1\n"),
                "line 3: a value that begins with * refers to something else in YAML: put it in quotes, as in \"*.example.org\"",
            ),
            ("tunnel: x\n---\ningress:\n".to_owned(), "line 3: a second document begins here: remove the line `---`"),
            (
                "ingress:\n  hostname: a.example.org\n  service: http://localhost:1\n".to_owned(),
                "line 1: ingress is keys and values: write a list, each item after a dash",
            ),
            (
                rule("    service: localhost:8080\n"),
                "line 4: ingress rule 1: service: \"localhost:8080\" is no address of a service: it needs a scheme and a host name, as in http://localhost:8080",
            ),
            (
                rule("    service: http://localhost:8080/app\n"),
                "line 4: ingress rule 1: service: \"http://localhost:8080/app\" has a path: the visitor's own path is used, so write it without",
            ),
            (
                rules("  - hostname: a.example.org\n"),
                "line 3: ingress rule 1: service: a service is missing: say where requests go, as in http://localhost:8080",
            ),
            (
                "ingress:\n  - hostname: a.example.org\n    service: http://localhost:8080\n".to_owned(),
                "line 2: ingress rule 1 (a.example.org): the last rule must match every request: add one with only a service, as in http_status:404",
            ),
            (
                rules("  - service: http://localhost:8080\n"),
                "line 3: ingress rule 1: it matches every request, so the rules after it are never reached: move it to the end",
            ),
            (
                rule("    service: http://localhost:8080\n    path: (.jpg\n"),
                "line 5: ingress rule 1 (a.example.org): path is no regular expression (\"(.jpg\": unclosed group): write one, as in ^/api/",
            ),
            (
                rules("  - hostname: a.example.org:443\n    service: http://localhost:8080\n"),
                "line 3: ingress rule 1 (a.example.org:443): hostname has a port: write the name alone",
            ),
            (
                "originRequest:\n  noTLSVerify: true\n  connectTimeout: 30\n".to_owned(),
                "line 3: originRequest: connectTimeout is a whole number: write a duration with its unit, as in 30s",
            ),
            (
                rule("    service: http://localhost:8080\n    originRequest:\n      noTLSVerify: yes please\n"),
                "line 6: ingress rule 1: originRequest: noTLSVerify is a text: write true or false",
            ),
            (
                "ingress:\n  - service: http_status:9999\n".to_owned(),
                "line 2: ingress rule 1: service: \"http_status:9999\" needs a status from 100 to 999, as in http_status:404",
            ),
        ] {
            let error = parse(&text, "config.yml").unwrap_err().to_string();
            assert_eq!(error, format!("config.yml, {said}"), "{text}");
        }
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        let text = "ingress:\n  - service: http_status:404\n    originRequest:\n      noTLSVerfy: true\n    orignRequest: {}\n";
        let file = parse(text, "config.yml").unwrap();
        let said =
            ["config.yml, line 4: ingress rule 1: originRequest: noTLSVerfy", "config.yml, line 5: ingress rule 1: orignRequest"];
        assert_eq!(file.unknown, said);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "([ \\-#:]{0,4}(ingress|service|hostname|path|originRequest|http://a|\\*|&a|[a-z'\"{}\\[\\]]{0,3})[: \\n\\t]{0,3}){0,20}") {
            let _ = parse(&text, "config.yml");
        }
    }

    #[test]
    fn a_file_that_was_asked_for_must_exist() {
        let error = find(Some(Path::new("/nowhere/config.yml"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/config.yml"), "{error}");
    }
}
