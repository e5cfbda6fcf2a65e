//! The Python programs in `peers/`, each a service and its visitors in one process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};

use crate::{
    Node,
    process::{Running, program},
};

/// A started program, whose service listens.
pub struct Peer {
    /// Where.
    pub url: String,
    process: Running,
}

impl Peer {
    /// Starts `peers/SCRIPT`.
    pub fn start(script: &str, arguments: &[&str]) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
        let mut command = program("POTERNE_E2E_PYTHON");
        // The checkout may be somebody else's: nothing is written beside the sources.
        command.arg("-B").arg(file).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::start(&mut command);
        let mut line = String::new();
        BufReader::new(process.stdout()).read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{script} did not start, see above"));
        Self { url: told["url"].as_str().unwrap().to_owned(), process }
    }

    /// Tells it the way in, and waits until it has run its rows. What failed is on the test's own stderr.
    pub fn visit(mut self, node: &Node, hostname: &str) {
        let told = json!({
            "hostname": hostname,
            "http": node.text("http"),
            "https": node.text("https"),
            "ca_file": node.text("ca_file"),
            "state_dir": node.text("state_dir"),
        });
        writeln!(self.process.stdin(), "{told}").unwrap();
        let ended = self.process.wait();
        assert!(ended.success(), "the rows failed, see above");
    }
}
