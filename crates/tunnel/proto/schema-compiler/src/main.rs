//! Turns `crates/tunnel/proto/schema/*.capnp` into the Rust that is checked in under `crates/tunnel/proto/src/generated`.
//!
//! There is no schema compiler in pure Rust, so generation needs the `capnp` program (Debian's `capnproto`) and is kept out of the
//! build: nobody but the author of a schema change needs it. `cargo xtask schema` runs this; `--check` compares and writes nothing.
#![forbid(unsafe_code)]

use std::{env, path::PathBuf, process::ExitCode};

const SCHEMAS: [&str; 2] = ["stream.capnp", "tunnel.capnp"];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let check = match env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => return Err(format!("unknown argument {other:?}: give --check or nothing")),
    };
    let proto =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).ok_or("this crate lies inside tunnel/proto")?;
    let (schema, checked_in) = (proto.join("schema"), proto.join("src/generated"));
    let fresh = env::temp_dir().join(format!("poterne-schema-{}", std::process::id()));
    let output = if check { &fresh } else { &checked_in };

    let mut command = capnpc::CompilerCommand::new();
    command.src_prefix(&schema).output_path(output).default_parent_module(vec!["generated".into()]);
    for file in SCHEMAS {
        command.file(schema.join(file));
    }
    command.run().map_err(|e| format!("capnp compile failed ({e}): is Debian's package capnproto installed?"))?;
    if !check {
        return Ok(());
    }

    let mut stale = Vec::new();
    for file in SCHEMAS {
        let name = file.replace(".capnp", "_capnp.rs");
        let read = |path: PathBuf| std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()));
        if read(fresh.join(&name))? != read(checked_in.join(&name))? {
            stale.push(name);
        }
    }
    std::fs::remove_dir_all(&fresh).map_err(|e| format!("cannot remove {}: {e}", fresh.display()))?;
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("generated code is stale: {}; run `cargo xtask schema`", stale.join(", ")))
    }
}
