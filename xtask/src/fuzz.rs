//! `cargo xtask fuzz`: searching for inputs that break a parser. What was found is replayed by ordinary tests (`fuzz/corpus`, each
//! crate's `tests/corpus.rs`); searching needs cargo-fuzz and a C++ compiler, and is a command of its own.

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
        bail!("cargo-fuzz is not here: cargo install --locked cargo-fuzz");
    }
    for target in targets {
        let found = run::root().join("fuzz/target/found").join(&target);
        fs::create_dir_all(&found).with_context(|| format!("{} cannot be created", found.display()))?;
        let mut command = run::cargo();
        // The compiler of every other build; only fuzzing asks it for its unstable flags.
        command.current_dir(run::root()).env("RUSTC_BOOTSTRAP", "1");
        // libFuzzer writes what it finds into the first directory, and only reads the others.
        command.args(["fuzz", "run", &target]).arg(found).arg(format!("fuzz/corpus/{target}")).arg("--");
        let dictionary = format!("fuzz/dictionary/{target}");
        if run::root().join(&dictionary).is_file() {
            command.arg(format!("-dict={dictionary}"));
        }
        run::must(command.args([format!("-max_total_time={}", options.secs), "-max_len=65536".into()]))?;
    }
    Ok(())
}
