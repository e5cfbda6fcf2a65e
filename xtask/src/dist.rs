//! `cargo xtask dist`: what is packaged. The programs are built twice: first so that they count what they do, under a load of every kind
//! (`tests/e2e/src/training.rs`); then by what they counted, so that what is often done lies together and the rest out of its way
//! (docs/decisions/0036). A tunnelled request passes more code than a processor's first cache holds, most of it once: where the code lies
//! is what it costs.
//!
//! Nothing of this is needed to build, to test or to change Poterne: `cargo build --profile dist` makes the same programs, untrained.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::{
    needs,
    run::{self, must},
};

/// Whom the training asks for.
const PEERS: [&str; 8] = ["curl", "nginx", "python", "websockets", "aiohttp", "aioquic", "dnsperf", "h2load"];

const PROGRAMS: [&str; 2] = ["poterne", "poterne-agent"];

/// Where the packaged programs are.
pub(crate) fn programs() -> PathBuf {
    run::target().join("trained")
}

pub(crate) fn run() -> anyhow::Result<()> {
    let rustc = Rustc::ask()?;
    needs::provide(&needs::all_but(&PEERS))?;
    let work = run::target().join("training");
    let [counts, profile, counting, trained] = ["counts", "profile", "counting", "trained"].map(|name| work.join(name));
    // Cargo does not see that a profile has changed, and would keep what was built by an older one.
    for old in [&counts, &trained] {
        if old.exists() {
            fs::remove_dir_all(old)?;
        }
    }
    fs::create_dir_all(&counts)?;

    let counting = rustc.build(&format!("-Cprofile-generate={}", counts.display()), &counting)?;
    let mut training = run::cargo();
    training.args(["run", "--package", "poterne-e2e", "--example", "training"]);
    training.env("POTERNE_BIN", counting.join("poterne")).env("POTERNE_AGENT_BIN", counting.join("poterne-agent"));
    must(training.env("POTERNE_E2E_PYTHON", needs::python()).env_remove("LLVM_PROFILE_FILE"))?;
    must(Command::new(&rustc.profdata).arg("merge").arg("-o").args([&profile, &counts]))?;

    let built = rustc.build(&format!("-Cprofile-use={}", profile.display()), &trained)?;
    let programs = programs();
    fs::create_dir_all(&programs)?;
    for program in PROGRAMS {
        // Not written over: one that runs would be in the way.
        let place = programs.join(program);
        let new = place.with_extension("new");
        fs::copy(built.join(program), &new).with_context(|| format!("{} could not be written", new.display()))?;
        fs::rename(&new, &place)?;
    }
    eprintln!("{} holds {}", programs.display(), PROGRAMS.join(" and "));
    Ok(())
}

/// The compiler's host, and the tool that reads what its programs count: of the same LLVM, so it comes with the toolchain.
struct Rustc {
    host: String,
    profdata: PathBuf,
}

impl Rustc {
    fn ask() -> anyhow::Result<Self> {
        let told = |words: &[&str]| -> anyhow::Result<String> {
            let output = Command::new("rustc").args(words).output().context("rustc could not be started")?;
            Ok(String::from_utf8(output.stdout).context("rustc's answer is text")?.trim().to_owned())
        };
        let host = told(&["--print", "host-tuple"])?;
        let libraries = told(&["--print", "target-libdir"])?;
        let profdata = Path::new(&libraries).with_file_name("bin").join("llvm-profdata");
        if !profdata.is_file() {
            bail!(
                "{} is missing; nothing was built. It comes with the toolchain:\n\n    rustup component add llvm-tools\n",
                profdata.display()
            );
        }
        Ok(Self { host, profdata })
    }

    /// Builds the programs with one more flag of the compiler's in a directory of their own, and tells where they are. The target is named, or
    /// build scripts and macros would be built with the flag as well.
    fn build(&self, flag: &str, directory: &Path) -> anyhow::Result<PathBuf> {
        let mut flags = env::var("CARGO_ENCODED_RUSTFLAGS").ok().filter(|flags| !flags.is_empty());
        flags =
            flags.or_else(|| env::var("RUSTFLAGS").ok().map(|flags| flags.split_whitespace().collect::<Vec<_>>().join("\x1f")));
        let flags = flags.into_iter().chain([flag.to_owned()]).collect::<Vec<_>>().join("\x1f");
        let mut cargo = run::cargo();
        cargo.args(["build", "--locked", "--profile", "dist", "--target", &self.host]);
        cargo.args(PROGRAMS.map(|program| format!("--package={program}")));
        must(cargo.env("CARGO_ENCODED_RUSTFLAGS", flags).env("CARGO_TARGET_DIR", directory))?;
        Ok(directory.join(&self.host).join("dist"))
    }
}
