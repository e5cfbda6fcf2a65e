//! `cargo xtask test`: every test of the workspace, the end-to-end ones included.

use std::{env, path::PathBuf};

use clap::Args;

use crate::{
    needs, run,
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

/// Provides the peers, builds both programs, runs nextest, and ends by saying what was left out.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    needs::provide(&options.without)?;
    must(cargo().args(["build", "--package", "poterne", "--package", "poterne-agent"]))?;
    let built = run::target().join("debug");
    let stock = env::var_os("CLOUDFLARED_BIN").map(PathBuf::from);

    let mut command = cargo();
    command.args(["nextest", "run", "--workspace", "--ignore-default-filter"]);
    if let Some(filter) = filter_expression(options, stock.is_some()) {
        command.args(["--filterset", &filter]);
    }
    command
        .env("POTERNE_BIN", built.join("poterne"))
        .env("POTERNE_AGENT_BIN", built.join("poterne-agent"))
        .env("POTERNE_E2E_PYTHON", needs::python());
    let outcome = must(&mut command);

    for peer in &options.without {
        eprintln!("left out: everything that needs {peer} (--without)");
    }
    if stock.is_none() {
        eprintln!("left out: the stock agent's rows (CLOUDFLARED_BIN names no cloudflared)");
    }
    outcome
}

/// Tests carry the name of the peer they need in their own.
fn filter_expression(options: &Options, stock: bool) -> Option<String> {
    let mut parts: Vec<String> =
        options.without.iter().map(|peer| format!("not (package(poterne-e2e) and test(/{peer}/))")).collect();
    if !stock {
        parts.push("not (package(poterne-e2e) and test(/stock/))".into());
    }
    if let Some(text) = &options.filter {
        parts.push(format!("test(~{text})"));
    }
    (!parts.is_empty()).then(|| parts.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_a_filter() {
        let options = Options { without: vec!["grpc".into()], filter: Some("edge".into()) };
        assert_eq!(filter_expression(&options, true).unwrap(), "not (package(poterne-e2e) and test(/grpc/)) and test(~edge)");
        assert_eq!(filter_expression(&Options::default(), true), None);
        assert!(filter_expression(&Options::default(), false).unwrap().contains("stock"));
    }
}
