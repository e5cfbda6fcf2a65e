//! The sentence "a build needs cargo, rustc, gcc and binutils, and nothing else", proved by building with nothing else on PATH.
//!
//! On a target directory that is already full, only what changed is built: the proof is as good as the target is fresh, which in CI
//! it is.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

use crate::run::{self, must};

/// `cc` is what crates that contain C ask for; the rest is what gcc and the linker call.
const TOOLS: [(&str, &str); 9] = [
    ("cc", "gcc"),
    ("gcc", "gcc"),
    ("as", "as"),
    ("ld", "ld"),
    ("ar", "ar"),
    ("nm", "nm"),
    ("ranlib", "ranlib"),
    ("strip", "strip"),
    ("objcopy", "objcopy"),
];

/// What builds elsewhere ask for, and ours must not find.
const ABSENT: [&str; 8] = ["cmake", "make", "perl", "go", "clang", "protoc", "capnp", "pkg-config"];

pub(crate) fn build() -> anyhow::Result<()> {
    let dir = run::target().join("bare-path");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir)?;
    let toolchain = toolchain()?;
    for program in ["cargo", "rustc"] {
        link(&toolchain.join(program), &dir.join(program))?;
    }
    for (name, program) in TOOLS {
        let found =
            run::find_on_path(program).with_context(|| format!("{program} is not here: Debian's gcc and binutils have it"))?;
        link(&found, &dir.join(name))?;
    }
    for program in ABSENT {
        if dir.join(program).exists() {
            bail!("{program} is on the bare PATH");
        }
    }
    let mut cargo = Command::new(dir.join("cargo"));
    cargo.args(["build", "--locked"]).args(run::PROGRAMS_AND_TESTS);
    // The rustup shim and the outer cargo leave traces that would find the other programs again.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["CC", "CXX", "AR", "CMAKE", "RUSTC", "CARGO", "RUSTUP_TOOLCHAIN"].contains(&text.as_ref())
            || text.starts_with("CARGO_PKG_")
        {
            cargo.env_remove(&name);
        }
    }
    must(cargo.env("PATH", &dir))
}

/// The toolchain's own programs, not rustup's shims, which need rustup.
fn toolchain() -> anyhow::Result<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().context("rustc could not be started")?;
    let sysroot = String::from_utf8(output.stdout).context("the sysroot's path is text")?;
    Ok(Path::new(sysroot.trim()).join("bin"))
}

fn link(from: &Path, to: &Path) -> anyhow::Result<()> {
    symlink(from, to).with_context(|| format!("{} could not be linked", from.display()))
}
