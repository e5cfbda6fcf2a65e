//! The agents' own commands against the node's API, and what curl is then told there: ours and the stock one's, with the same words.
//!
//! They find the API by `TUNNEL_API_URL` and the right to use it by a `cert.pem`; [`login`] is ours alone.

mod login;
mod networks;
mod tunnels;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poterne_e2e::{Curl, Kind, Node, process::program};
use serde_json::{Value, json};

const OURS: Kind = Kind { stock: false, protocol: "quic" };
const STOCK: Kind = Kind { stock: true, protocol: "quic" };

/// Makes a test of each row for each agent's commands.
macro_rules! both {
    ($($row:ident),+ $(,)?) => {
        mod ours {
            $(#[test] fn $row() { super::$row(super::OURS); })+
        }
        mod stock_agent {
            $(#[test] fn $row() { super::$row(super::STOCK); })+
        }
    };
}
use both;

/// A node, and the user of an agent.
struct User {
    node: Node,
    kind: Kind,
    certificate: PathBuf,
}

impl User {
    /// Has the `cert.pem` that both agents read.
    fn new(kind: Kind) -> Self {
        let node = Node::demo();
        let login = json!({
            "zoneID": node.text("zone_id"), "accountID": node.text("account_id"), "apiToken": node.text("api_token"),
        });
        let text = STANDARD.encode(login.to_string());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        let certificate = node.file("cert.pem");
        let label = "ARGO TUNNEL TOKEN";
        fs::write(&certificate, format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))).unwrap();
        Self { node, kind, certificate }
    }

    /// Of the same node, with the other agent.
    fn with(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    fn variables(&self) -> [(&'static str, &OsStr); 2] {
        [("TUNNEL_API_URL", self.node.text("api").as_ref()), ("TUNNEL_ORIGIN_CERT", self.certificate.as_os_str())]
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = bare(self.kind, &self.node.file(""));
        command.arg("tunnel").args(words).envs(self.variables());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// `tunnel WORDS` ends well: all that it said.
    fn tunnel(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// It ends well: its stdout alone.
    fn shown(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same in JSON.
    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.shown(&[words, &["--output", "json"]].concat())).unwrap()
    }

    /// It ends badly: all that it said.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// `tunnel create`: the id that was printed.
    fn create(&self, name: &str) -> String {
        let told = self.tunnel(&["create", name]);
        let (_, id) = told.rsplit_once(&format!("Created tunnel {name} with id ")).unwrap_or_else(|| panic!("{told}"));
        id.trim().to_owned()
    }

    /// What the API has at this path of the account.
    fn account(&self, path: &str) -> Value {
        self.api(&format!("/accounts/{}{path}", self.node.text("account_id")))
    }

    fn records(&self, name: &str) -> Vec<Value> {
        let found = self.api(&format!("/zones/{}/dns_records?name={name}", self.node.text("zone_id")));
        found.as_array().unwrap().clone()
    }

    fn api(&self, path: &str) -> Value {
        let answer = Curl::api(&self.node, path).run();
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice::<Value>(&answer.body).unwrap()["result"].take()
    }
}

/// The agent's program, with nothing of the user's own to be found.
fn bare(kind: Kind, home: &Path) -> Command {
    let mut command = program(if kind.stock { "CLOUDFLARED_BIN" } else { "POTERNE_AGENT_BIN" });
    command.env("HOME", home).env("NO_AUTOUPDATE", "true");
    command
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The line that begins so.
fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no line {begin:?} in {text}"))
}
