//! The rules of config.yml, examined without running them.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, bail};
use poterne_tunnel_agent::local_file;
use poterne_tunnel_proto::config::{LocalFile, Matcher, Service};

use crate::print;

/// `tunnel ingress validate`.
pub(crate) fn validate(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let file = load(config)?;
    for key in &file.unknown {
        eprintln!("warning: {key} is not known and has no effect");
    }
    for (number, rule) in (1..).zip(&file.config.ingress) {
        if let Service::Tcp { scheme, .. } = &rule.service
            && !["tcp", "ssh", "rdp", "smb"].contains(&scheme.as_str())
        {
            eprintln!(
                "warning: ingress rule {number} ({}): the scheme {scheme} is not known and taken for tcp, which carries bytes inside a \
                 WebSocket; for a web service write http or https",
                rule.service
            );
        }
    }
    for (number, rule) in (1..).zip(&file.config.ingress) {
        if rule.origin_request.access.as_ref().is_some_and(|access| access.required) {
            eprintln!(
                "warning: ingress rule {number} ({}): access.required asks for tokens that only their issuer can verify; this agent answers 403",
                rule.service
            );
        }
    }
    print("OK\n")
}

/// `tunnel ingress rule URL`.
pub(crate) fn rule(config: Option<&Path>, url: &str) -> anyhow::Result<ExitCode> {
    let file = load(config)?;
    let (host, path) =
        split(url).with_context(|| format!("{url} is not a URL; write for example https://app.example.org/path"))?;
    let matcher = Matcher::new(&file.config)?;
    let (at, matched) = matcher.find(&host, &path);
    let rule = &matched.rule;
    let mut text = format!("Matched rule #{at}\n");
    if !rule.hostname.is_empty() {
        text.push_str(&format!("\thostname: {}\n", rule.hostname));
    }
    if let Some(path) = &rule.path {
        text.push_str(&format!("\tpath: {path}\n"));
    }
    text.push_str(&format!("\tservice: {}\n", rule.service));
    print(&text)
}

fn load(config: Option<&Path>) -> anyhow::Result<LocalFile> {
    let Some(path) = local_file::find(config)? else { bail!("no config.yml was found; give --config PATH") };
    let file = local_file::read(&path)?;
    if file.config.ingress.is_empty() {
        let keys: Vec<&str> = file.others.iter().map(|(key, _)| key.as_str()).collect();
        let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
        bail!(
            "{} has no ingress rules (its other keys: {keys}); write at least `ingress:` with one `- service: http://localhost:8080`",
            path.display()
        );
    }
    Ok(file)
}

/// Host and path of an absolute URL.
fn split(url: &str) -> Option<(String, String)> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let path = path.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
    Some((host.to_ascii_lowercase(), path.to_owned())).filter(|(host, _)| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_and_path() {
        let split = |url| split(url).map(|(host, path)| format!("{host} {path}"));
        assert_eq!(split("https://App.example/a?b").as_deref(), Some("app.example /a"));
        assert_eq!(split("https://app.example?b").as_deref(), Some("app.example /"));
        assert_eq!(split("app.example/a"), None);
    }
}
