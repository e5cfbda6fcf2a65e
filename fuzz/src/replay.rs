//! Gives every file of a corpus to its check.

use std::{fs, path::Path};

/// `root` is `fuzz/corpus`; a target whose corpus is missing or empty fails, since its replay would prove nothing.
pub fn replay(root: &Path, target: &str, check: fn(&[u8])) {
    let dir = root.join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("the directory can be read").path();
        // Shown by the harness when the check fails.
        println!("{}", path.display());
        check(&fs::read(&path).expect("the file can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", dir.display());
}
