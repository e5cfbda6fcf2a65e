//! `cargo xtask test`: every test of the workspace, the end-to-end ones included.

use std::{env, ffi::OsString, path::Path, process::Command};

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

/// A program that no package brings: whoever has it says where, and where nobody does, its tests are left out.
#[derive(Debug)]
struct Named {
    /// What it is, in words.
    what: &'static str,
    /// The variables that say where it is, all of them or none.
    variables: &'static [&'static str],
    /// The names of its end-to-end tests, as a regular expression.
    tests: &'static str,
}

/// Every one, as the tests use them.
const NAMED: [Named; 3] = [
    Named { what: "the stock agent", variables: &["CLOUDFLARED_BIN"], tests: "::stock_" },
    Named {
        what: "Terraform and its provider for this API",
        variables: &["TERRAFORM_BIN", "TERRAFORM_PROVIDER_DIR"],
        tests: "^terraform::",
    },
    Named { what: "external-dns", variables: &["EXTERNAL_DNS_BIN"], tests: "^externaldns::" },
];

/// The end-to-end tests that need something that is not here.
struct LeftOut {
    /// In nextest's filter language.
    tests: String,
    /// What they need, and why it is not here.
    why: String,
}

/// Provides the peers, builds both programs, runs nextest, and ends by saying what was left out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let unnamed = unnamed(|variable| env::var_os(variable))?;
    let peers = needs::left_out(&options.without)?;
    needs::provide(&peers)?;
    must(cargo().arg("build").args(run::PROGRAMS_AND_TESTS))?;
    let is_out = |name: &str| peers.iter().any(|peer| peer.name == name);
    let postgres = (!is_out(needs::POSTGRES)).then(postgres::Server::start).transpose()?;
    let built = run::target().join("debug");
    let left_out = left_out(&peers, &unnamed);

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

/// The programs that nobody names; whoever names one wrongly is told before anything runs.
fn unnamed(variable: impl Fn(&str) -> Option<OsString>) -> anyhow::Result<Vec<&'static Named>> {
    let mut unnamed = Vec::new();
    for named in &NAMED {
        let value = |name: &&'static str| Some((*name, variable(name).filter(|value| !value.is_empty())?));
        let told: Vec<_> = named.variables.iter().filter_map(value).collect();
        if told.is_empty() {
            unnamed.push(named);
        } else if told.len() < named.variables.len() {
            bail!("{} belong together: set all of them, or none to leave {} out", named.variables.join(" and "), named.what);
        }
        for (name, path) in told {
            let path = Path::new(&path);
            let (is_there, kind) = if name.ends_with("_DIR") { (path.is_dir(), "directory") } else { (path.is_file(), "file") };
            if !is_there {
                bail!("{name} names {}, which is no {kind}: correct it, or unset it to leave {} out", path.display(), named.what);
            }
        }
    }
    Ok(unnamed)
}

fn left_out(peers: &[&Peer], unnamed: &[&Named]) -> Vec<LeftOut> {
    let peer = |peer: &&Peer| LeftOut { tests: needs_peer(peer.name), why: format!("{} (--without)", peer.name) };
    let named = |named: &&Named| LeftOut {
        tests: format!("(package(poterne-e2e) and test(/{}/))", named.tests),
        why: format!("{} ({} not set)", named.what, named.variables.join(", ")),
    };
    peers.iter().map(peer).chain(unnamed.iter().map(named)).collect()
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

    fn filter(without: &[&str], unnamed: &[&Named], text: Option<&str>) -> Option<String> {
        let without: Vec<String> = without.iter().map(ToString::to_string).collect();
        filter_expression(&left_out(&needs::left_out(&without).unwrap(), unnamed), text)
    }

    #[test]
    fn what_is_left_out_is_a_filter() {
        assert_eq!(filter(&[], &[], None), None);
        assert_eq!(filter(&["grpc"], &[], Some("edge")).unwrap(), format!("not {} and test(~edge)", needs_peer("grpc")));
        let without_python = filter(&["python"], &[], None).unwrap();
        for peer in [
            "python",
            "websockets",
            "aiohttp",
            "aiosmtpd",
            "grpc",
            "opentelemetry",
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
        let without_npm = filter(&["npm"], &[], None).unwrap();
        assert_eq!(without_npm, format!("not {} and not {}", needs_peer("npm"), needs_peer("typescript")));
    }

    #[test]
    fn the_tree_is_left_out_with_all_that_stands_in_it() {
        let without = filter(&["tree"], &[], None).unwrap();
        assert_eq!(without, format!("not {}", needs_peer("tree")));
        assert!(without.contains("/^([a-z]+_)*tree(_[a-z]+)*::/"), "{without}");
    }

    #[test]
    fn programs_that_nobody_names_are_left_out() {
        let all = unnamed(|_| None).unwrap();
        let without = filter(&[], &all, None).unwrap();
        for tests in ["::stock_", "^terraform::", "^externaldns::"] {
            assert!(without.contains(&format!("not (package(poterne-e2e) and test(/{tests}/))")), "{without}");
        }
        assert!(unnamed(|name| Some(place(name))).unwrap().is_empty());
        let some = unnamed(|name| (name == "EXTERNAL_DNS_BIN").then(|| place(name))).unwrap();
        assert_eq!(some.iter().map(|named| named.variables[0]).collect::<Vec<_>>(), ["CLOUDFLARED_BIN", "TERRAFORM_BIN"]);
    }

    /// Something of the kind that the variable names.
    fn place(variable: &str) -> OsString {
        let root = run::root();
        if variable.ends_with("_DIR") { root.into() } else { root.join("Cargo.toml").into() }
    }

    #[test]
    fn half_of_the_variables_and_wrong_ones_are_told() {
        let told =
            |variable: &str, value: OsString| unnamed(|name| (name == variable).then(|| value.clone())).unwrap_err().to_string();
        let half = told("TERRAFORM_BIN", place("TERRAFORM_BIN"));
        assert!(half.starts_with("TERRAFORM_BIN and TERRAFORM_PROVIDER_DIR belong together"), "{half}");
        let wrong = told("CLOUDFLARED_BIN", run::root().into());
        assert!(wrong.contains("CLOUDFLARED_BIN names") && wrong.contains("no file"), "{wrong}");
    }

    #[test]
    fn an_unknown_peer_is_told_with_the_known_ones() {
        let error = needs::left_out(&["ngnix".into()]).unwrap_err().to_string();
        assert!(error.contains("ngnix") && error.contains("curl, chromium, nginx, postgres, python"), "{error}");
    }

    /// Else `--without` would leave its tests in.
    #[test]
    fn the_end_to_end_modules_are_named_after_their_peers() {
        let main = fs::read_to_string(run::root().join("tests/e2e/tests/rows/main.rs")).unwrap();
        let modules: Vec<_> = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
        assert!(modules.len() > 3, "{modules:?}");
        for module in modules {
            let known = |word| {
                let named = format!("^{word}::");
                needs::PEERS.iter().any(|peer| peer.name == word) || NAMED.iter().any(|program| program.tests == named)
            };
            assert!(module == "ours" || module.split('_').all(known), "{module} is not made of peers' names");
        }
    }
}
