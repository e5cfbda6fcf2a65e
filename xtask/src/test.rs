//! `cargo xtask test`: every test of the workspace, the end-to-end ones included.

use std::{env, path::PathBuf, process::Command};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::{
    needs,
    needs::Peer,
    postgres, run,
    run::{cargo, must},
};

/// `cargo xtask test`.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Leave out the tests that need these peers, as in `--without nginx,grpc`
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    without: Vec<String>,
    /// Run only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// The end-to-end tests that need something that is not here.
struct LeftOut {
    /// In nextest's filter language.
    tests: String,
    /// What they need, and why it is not here.
    why: String,
}

/// Provides the peers, builds both programs, runs nextest, and ends by saying what was left out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let stock = env::var_os("CLOUDFLARED_BIN").map(PathBuf::from);
    if let Some(path) = stock.as_ref().filter(|path| !path.is_file()) {
        bail!("CLOUDFLARED_BIN names {}, which is no file: correct it, or unset it to leave the stock agent out", path.display());
    }
    let peers = needs::left_out(&options.without)?;
    needs::provide(&peers)?;
    must(cargo().arg("build").args(run::PROGRAMS_AND_TESTS))?;
    let is_out = |name: &str| peers.iter().any(|peer| peer.name == name);
    let postgres = (!is_out(needs::POSTGRES)).then(postgres::Server::start).transpose()?;
    let built = run::target().join("debug");
    let left_out = left_out(&peers, stock.is_some());

    let mut command = nextest("run");
    if let Some(filter) = filter_expression(&left_out, options.filter.as_deref()) {
        command.args(["--filterset", &filter]);
    }
    command
        .env("POTERNE_BIN", built.join("poterne"))
        .env("POTERNE_AGENT_BIN", built.join("poterne-agent"))
        .env("POTERNE_E2E_PYTHON", needs::python())
        .env("POTERNE_E2E_NODE_MODULES", needs::node_modules());
    if let Some(server) = &postgres {
        command.env("POTERNE_POSTGRES", server.url());
    }
    let outcome = must(&mut command);
    drop(postgres);

    for LeftOut { tests, why } in left_out {
        match count(&tests)? {
            // Nothing needs the interpreter itself.
            0 => {}
            count => eprintln!("left out: {count} tests that need {why}"),
        }
    }
    outcome
}

fn nextest(verb: &str) -> Command {
    let mut command = cargo();
    command.args(["nextest", verb, "--workspace", "--ignore-default-filter"]);
    command
}

fn left_out(peers: &[&Peer], stock: bool) -> Vec<LeftOut> {
    let peer = |peer: &&Peer| LeftOut { tests: needs_peer(peer.name), why: format!("{} (--without)", peer.name) };
    let mut all: Vec<_> = peers.iter().map(peer).collect();
    if !stock {
        let why = "the stock agent (CLOUDFLARED_BIN names no cloudflared)".into();
        all.push(LeftOut { tests: "(package(poterne-e2e) and test(/::stock_/))".into(), why });
    }
    all
}

/// The first segment of an end-to-end test's name joins the peers that it needs by `_`; other tests name the one that they may need.
fn needs_peer(name: &str) -> String {
    if name == needs::POSTGRES {
        return format!("test(/(^|::){name}(_[a-z]+)*::/)");
    }
    format!("(package(poterne-e2e) and test(/^([a-z]+_)*{name}(_[a-z]+)*::/))")
}

fn filter_expression(left_out: &[LeftOut], text: Option<&str>) -> Option<String> {
    let mut parts: Vec<String> = left_out.iter().map(|LeftOut { tests, .. }| format!("not {tests}")).collect();
    parts.extend(text.map(|text| format!("test(~{text})")));
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// How many tests a filter means.
fn count(filter: &str) -> anyhow::Result<usize> {
    let mut list = nextest("list");
    let output = list.args(["--filterset", filter, "--message-format", "oneline"]).output().context("cargo nextest list")?;
    if !output.status.success() {
        bail!("cargo nextest list ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()).count())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn filter(without: &[&str], stock: bool, text: Option<&str>) -> Option<String> {
        let without: Vec<String> = without.iter().map(ToString::to_string).collect();
        filter_expression(&left_out(&needs::left_out(&without).unwrap(), stock), text)
    }

    #[test]
    fn what_is_left_out_is_a_filter() {
        assert_eq!(filter(&[], true, None), None);
        assert_eq!(filter(&["grpc"], true, Some("edge")).unwrap(), format!("not {} and test(~edge)", needs_peer("grpc")));
        assert!(filter(&[], false, None).unwrap().contains("stock_"));
        let without_python = filter(&["python"], true, None).unwrap();
        for peer in [
            "python",
            "websockets",
            "aiohttp",
            "aiosmtpd",
            "grpc",
            "cloudflare",
            "octodns",
            "certbot",
            "lexicon",
            "schemathesis",
            "validator",
        ] {
            assert!(without_python.contains(&needs_peer(peer)), "{without_python}");
        }
        assert!(!without_python.contains("nginx") && !without_python.contains("typescript"), "{without_python}");
        let without_npm = filter(&["npm"], true, None).unwrap();
        assert_eq!(without_npm, format!("not {} and not {}", needs_peer("npm"), needs_peer("typescript")));
    }

    #[test]
    fn the_tree_is_left_out_with_all_that_stands_in_it() {
        let without = filter(&["tree"], true, None).unwrap();
        assert_eq!(without, format!("not {}", needs_peer("tree")));
        assert!(without.contains("/^([a-z]+_)*tree(_[a-z]+)*::/"), "{without}");
    }

    #[test]
    fn an_unknown_peer_is_told_with_the_known_ones() {
        let error = needs::left_out(&["ngnix".into()]).unwrap_err().to_string();
        assert!(error.contains("ngnix") && error.contains("curl, nginx, postgres, python"), "{error}");
    }

    /// Else `--without` would leave its tests in.
    #[test]
    fn the_end_to_end_modules_are_named_after_their_peers() {
        let main = fs::read_to_string(run::root().join("tests/e2e/tests/rows/main.rs")).unwrap();
        let modules: Vec<_> = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
        assert!(modules.len() > 3, "{modules:?}");
        for module in modules {
            let known = |word| needs::PEERS.iter().any(|peer| peer.name == word);
            assert!(module == "ours" || module.split('_').all(known), "{module} is not made of peers' names");
        }
    }
}
