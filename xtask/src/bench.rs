//! `cargo xtask bench`: the micro-benchmarks of this repository, then, when `POTERNE_BENCH` names a harness (a directory that holds
//! `bench.py`), the tables beside the peers. The adapter that teaches the harness about Poterne is `benches/peers/poterne.py`.

use std::{env, path::PathBuf, process::Command};

use anyhow::bail;
use clap::Args;

use crate::{dist, run};

/// `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only the micro-benchmarks
    #[arg(long)]
    micro: bool,
    /// Rounds of each table; every round runs every peer once
    #[arg(long, default_value_t = 5)]
    pairs: u32,
    /// Measure the programs as packaged, which `cargo xtask dist` built, instead of building untrained ones
    #[arg(long)]
    trained: bool,
    /// Given to the harness instead of the standard tables, as in `-- run --peers poterne,rathole --tests rps`
    #[arg(last = true)]
    harness: Vec<String>,
}

/// The tables of docs/benchmarks.md: peers, reference, tests.
const TABLES: [[&str; 3]; 3] = [
    ["poterne,poterne-h2,rathole-noise,bore,ssh-R", "rathole-noise", "rps,lat,down1,up1"],
    ["poterne,poterne-h2,nginx+rathole-noise", "nginx+rathole-noise", "tls_rps,tls_h2,tls_down1"],
    ["poterne,nginx,haproxy", "nginx", "tls_full"],
];

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    // Not `--benches`, which would build every library's unit tests for speed as well, and run none of them.
    run::must(run::cargo().args(["bench", "--workspace", "--bench", "*"]))?;
    let Some(harness) = env::var_os("POTERNE_BENCH").map(PathBuf::from).filter(|_| !options.micro) else {
        eprintln!("peers: not run (POTERNE_BENCH names no harness)");
        return Ok(());
    };
    if !harness.join("bench.py").is_file() {
        bail!("POTERNE_BENCH is {}, which holds no bench.py", harness.display());
    }
    let programs = if options.trained { dist::programs() } else { run::target().join("dist") };
    if !options.trained {
        run::must(run::cargo().args(["build", "--profile", "dist", "--package", "poterne", "--package", "poterne-agent"]))?;
    } else if !programs.join("poterne").is_file() {
        bail!("{} holds no programs: `cargo xtask dist` builds them", programs.display());
    }
    let bench = || {
        let mut command = Command::new("python3");
        command.arg("bench.py").current_dir(&harness).env("BENCH_ADAPTERS", run::root().join("benches/peers/poterne.py"));
        command.env("POTERNE_TARGET", &programs);
        command
    };
    if !options.harness.is_empty() {
        return run::must(bench().args(&options.harness));
    }
    for [peers, reference, tests] in TABLES {
        run::must(bench().args([
            "run",
            "--peers",
            peers,
            "--ref",
            reference,
            "--tests",
            tests,
            "--pairs",
            &options.pairs.to_string(),
        ]))?;
    }
    Ok(())
}
