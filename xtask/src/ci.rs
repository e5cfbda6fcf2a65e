//! `cargo xtask ci`: each step proves a sentence of the README or of ARCHITECTURE, and the tests come last.

use std::{path::Path, process::Command, time::Instant};

use anyhow::Context as _;

use crate::{
    bare, needs, run,
    run::{cargo, must, succeeds},
    schema, sources, test,
};

/// The version of cargo-deny that CI installs; a newer one may judge differently.
const CARGO_DENY: &str = "0.20.2";

type Step = (&'static str, fn() -> anyhow::Result<()>);

/// In this order: what fails fast first, but the bare build before anything else fills the target directory, because only a fresh
/// build shows what a build needs.
const STEPS: [Step; 8] = [
    ("formatting", formatting),
    ("sources", sources::check),
    ("build with cargo, rustc, gcc and binutils alone", bare::build),
    ("lints", lints),
    ("generated code", generated),
    ("documentation", documentation),
    ("dependencies", dependencies),
    ("tests", || test::run(&test::Options::default())),
];

/// Runs every step and stops at the first that fails.
pub(crate) fn run() -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut times = Vec::new();
    for (name, step) in STEPS {
        eprintln!("\n== {name}");
        let begin = Instant::now();
        step().with_context(|| format!("the step \"{name}\" failed"))?;
        times.push(format!("{name}: {} s", begin.elapsed().as_secs()));
    }
    eprintln!("\n{}\nall: {} s", times.join("\n"), begin.elapsed().as_secs());
    Ok(())
}

fn formatting() -> anyhow::Result<()> {
    must(cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> anyhow::Result<()> {
    must(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))
}

fn generated() -> anyhow::Result<()> {
    if !run::on_path("capnp") {
        needs::debian_packages(&["capnproto"])?;
    }
    schema::run(true)
}

fn documentation() -> anyhow::Result<()> {
    must(cargo().args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Licences, banned crates and sources need nothing from outside. Advisories need RustSec's database, a git repository: where it was
/// fetched before (`cargo deny fetch`), they are checked too, otherwise the run says that they were not.
fn dependencies() -> anyhow::Result<()> {
    if !succeeds(cargo().args(["deny", "--version"])) {
        eprintln!("cargo-deny is not here and is built once; this takes some minutes");
        must(cargo().args(["install", "--locked", "cargo-deny", "--version", CARGO_DENY]))?;
    }
    must(cargo().args(["deny", "--locked", "check", "bans", "licenses", "sources"]))?;
    if advisories_here() {
        return must(cargo().args(["deny", "--locked", "--offline", "check", "advisories"]));
    }
    eprintln!("advisories: not checked, RustSec's database is not on this machine (`cargo deny fetch` brings it)");
    Ok(())
}

fn advisories_here() -> bool {
    let Some(home) =
        std::env::var_os("CARGO_HOME").map(Into::into).or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
    else {
        return false;
    };
    let databases: &Path = &home.join("advisory-dbs");
    // `find` succeeds whether or not it finds: what counts is that it names something.
    let found = Command::new("find").arg(databases).args(["-name", "RUSTSEC-*", "-print", "-quit"]).output();
    databases.is_dir() && found.is_ok_and(|found| !found.stdout.is_empty())
}
