//! `cargo xtask fuzz`: searching for inputs that break a parser. What was found is replayed by ordinary tests; searching needs a
//! nightly toolchain and is a command of its own.

use std::fs;

use anyhow::{Context as _, bail};
use clap::Args;

use crate::run;

/// `cargo xtask fuzz`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The target; without one, each in turn
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    secs: u32,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let dir = run::root().join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("{} cannot be read", dir.display()))? {
        let path = entry?.path();
        targets.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    targets.sort();
    if let Some(wanted) = &options.target {
        if !targets.contains(wanted) {
            bail!("there is no fuzz target {wanted}; there are {}", targets.join(", "));
        }
        targets = vec![wanted.clone()];
    }
    if !run::succeeds(run::cargo().args(["fuzz", "--version"])) {
        bail!("cargo-fuzz is not here: cargo install --locked cargo-fuzz (and rustup toolchain install nightly)");
    }
    for target in targets {
        let mut command = std::process::Command::new("cargo");
        // The outer cargo's choice of toolchain must not reach the inner one.
        command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO");
        command.args(["+nightly", "fuzz", "run", &target, &format!("fuzz/corpus/{target}"), "--"]);
        run::must(command.args([format!("-max_total_time={}", options.secs), "-max_len=65536".into()]))?;
    }
    Ok(())
}
