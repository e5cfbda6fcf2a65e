//! The node's name server, asked by the clients of BIND and Knot.

use std::process::Command;

use crate::Node;

/// One question.
#[derive(Debug, Clone)]
pub struct Dig {
    port: String,
    words: Vec<String>,
}

impl Dig {
    /// `dig @NODE NAME TYPE`.
    pub fn at(node: &Node, name: &str, kind: &str) -> Self {
        let port = node.text("dns").rsplit(':').next().unwrap().to_owned();
        Self { port, words: vec![name.to_owned(), kind.to_owned()] }
    }

    /// More words, as in `+tcp`.
    #[must_use]
    pub fn with(mut self, words: &[&str]) -> Self {
        self.words.extend(words.iter().map(ToString::to_string));
        self
    }

    /// All that is shown.
    pub fn text(&self) -> String {
        let mut command = Command::new("dig");
        command.args(["-r", "@127.0.0.1", "-p", &self.port, "+norecurse", "+tries=1", "+time=10"]).args(&self.words);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command:?}: {text}");
        text
    }

    /// The data of the answer, a line each, in order.
    pub fn answer(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.clone().with(&["+short"]).text().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}
