//! `cargo xtask scale`: fills a store, starts over it twice and prints what docs/scale.md tells. Everything is made in a directory that is
//! removed afterwards; a million hostnames take some minutes and 2 GiB of disk.

use std::{path::PathBuf, process::Command};

use clap::Args;

use crate::run;

/// `cargo xtask scale`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, default_value_t = 10_000)]
    zones: u32,
    #[arg(long, default_value_t = 1_000_000)]
    hostnames: u32,
    #[arg(long, default_value_t = 100_000)]
    tunnels: u32,
    /// Work here, and leave what was made; if it was filled before, that is measured
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    run::must(run::cargo().args(["build", "--release", "--package", "poterne-control-publish", "--example", "scale"]))?;
    let program = run::target().join("release/examples/scale");
    let scratch = tempfile::Builder::new().prefix("poterne-scale").tempdir()?;
    let dir = options.dir.as_deref().unwrap_or(scratch.path());
    let scale = |words: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--dir").arg(dir).args(words);
        run::must(&mut command)
    };
    if !dir.join("store.sqlite").exists() {
        let [zones, hostnames, tunnels] = [options.zones, options.hostnames, options.tunnels].map(|count| count.to_string());
        scale(&["fill", "--zones", &zones, "--hostnames", &hostnames, "--tunnels", &tunnels])?;
    }
    scale(&["measure"])?;
    scale(&["measure"])
}
