//! `cargo xtask schema`: the Cap'n Proto code that is checked in. There is no schema compiler in Rust, so generation is kept out of
//! the build.

use crate::run;

pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let mut command = run::cargo();
    command.args(["run", "--quiet", "--package", "poterne-tunnel-schema-compiler", "--"]);
    if check {
        command.arg("--check");
    }
    run::must(&mut command)
}
