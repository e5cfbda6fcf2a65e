//! Programs in `peers/` that are clients of the API: the node's ready line on their stdin is all that they are told.

use std::{
    env,
    ffi::OsString,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

use crate::{
    Node,
    process::{Running, program, told},
};

/// A started program, which runs its rows.
pub struct Client {
    process: Running,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    /// `peers/SCRIPT` in Python or, for `.cjs`, in Node.js.
    pub fn start(script: &str, rows: &[&str], node: &Node) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
        let mut command = if script.ends_with(".cjs") {
            let mut node_js = Command::new("node");
            node_js.env("NODE_PATH", told("POTERNE_E2E_NODE_MODULES"));
            node_js
        } else {
            let mut python = program("POTERNE_E2E_PYTHON");
            // The checkout may be somebody else's: nothing is written beside the sources.
            python.arg("-B");
            python
        };
        // Clients take what they are not told from their user's files and environment.
        for name in env::vars_os().map(|(name, _)| name).filter(is_a_clients) {
            command.env_remove(name);
        }
        command.arg(file).args(rows).current_dir(node.file("")).env("HOME", node.file(""));
        let mut process = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let (mut stdin, stdout) = (process.stdin(), BufReader::new(process.stdout()));
        writeln!(stdin, "{}", node.line).unwrap();
        Self { process, stdin, stdout }
    }

    /// Runs all of its rows. What failed is on the test's own stderr.
    pub fn run(script: &str, rows: &[&str], node: &Node) {
        Self::start(script, rows, node).end();
    }

    /// The next thing it says.
    pub fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the rows failed, see above: {line:?}"))
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        writeln!(self.stdin).unwrap();
    }

    /// Waits until it has run its rows.
    pub fn end(mut self) {
        let ended = self.process.wait();
        assert!(ended.success(), "the rows failed, see above");
    }
}

fn is_a_clients(name: &OsString) -> bool {
    ["CLOUDFLARE_", "LEXICON_", "TUNNEL_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix))
}
