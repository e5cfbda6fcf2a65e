//! What is checked of the sources themselves: no file longer than a reader's patience, `unsafe` forbidden in every crate.

use std::{fs, path::Path};

use anyhow::bail;

use crate::run;

/// Lines of one Rust file; generated code aside.
const LINES_MAX: usize = 700;

/// The crate that may hold an `unsafe` block, for the reason its page gives.
const WITH_UNSAFE: &str = "crates/allocator/src/lib.rs";

pub(crate) fn check() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    for dir in ["apps", "crates", "tests", "xtask", "fuzz"] {
        visit(&run::root().join(dir), &mut faults)?;
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn visit(dir: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "generated" && name != "target" {
                visit(&path, faults)?;
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        faults.extend(judge(&path, &name, &text));
    }
    Ok(())
}

fn judge(path: &Path, name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{}: {lines} lines, more than {LINES_MAX}: cut it where a reader would", path.display()));
    }
    let crate_root = matches!(name, "lib.rs" | "main.rs") && path.parent().is_some_and(|dir| dir.ends_with("src"));
    let lint = if path.ends_with(WITH_UNSAFE) { "#![deny(unsafe_code)]" } else { "#![forbid(unsafe_code)]" };
    if crate_root && !text.contains(lint) {
        faults.push(format!("{}: the crate does not say {lint}", path.display()));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_open_doors_are_told() {
        let faults = judge(Path::new("a/src/lib.rs"), "lib.rs", &"\n".repeat(701));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("701 lines"));
        assert!(judge(Path::new("a/src/lib.rs"), "lib.rs", "#![forbid(unsafe_code)]").is_empty());
        assert!(judge(Path::new("a/src/x.rs"), "x.rs", "").is_empty());
    }
}
