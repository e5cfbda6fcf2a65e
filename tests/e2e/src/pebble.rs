//! A certificate authority: Debian's `pebble`, which asks a node's own name server, and looks at its own ports.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use poterne_keys::{CaSpec, Leaf, LocalCa};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Node, Reserved, Running, Setup, eventually, process::program};

/// What it is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// Customers alone get accounts, and this is the one there is.
    pub binding: Option<(&'static str, &'static str)>,
}

/// An authority that is about to be there: it has its address, so that a node can be told.
pub struct Pebble {
    /// Where its directory is.
    pub directory: String,
    /// PEM file that verifies it.
    pub ca_file: PathBuf,
    dir: TempDir,
    ports: [Reserved; 2],
    process: Option<Running>,
}

impl Pebble {
    /// Gives it an address, and a certificate for that.
    #[allow(clippy::new_without_default, reason = "no two are alike")]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = [Reserved::new(), Reserved::new()];
        let ca = LocalCa::generate(&CaSpec { name: "pebble's own".into(), permitted: Vec::new() }, SystemTime::now()).unwrap();
        let leaf = ca.issue(&["127.0.0.1".into(), "localhost".into()], SystemTime::now(), None).unwrap();
        let ca_file = dir.path().join("minica.pem");
        fs::write(&ca_file, ca.certificate_pem()).unwrap();
        fs::write(dir.path().join("cert.pem"), chain(&leaf)).unwrap();
        fs::write(dir.path().join("key.pem"), key(&leaf)).unwrap();
        let directory = format!("https://127.0.0.1:{}/dir", ports[0].port);
        Self { directory, ca_file, dir, ports, process: None }
    }

    /// What a node is told of it.
    pub fn settings(&self) -> Vec<String> {
        let (directory, ca_file) =
            (format!("acme.directory={}", self.directory), format!("acme.ca_file={}", self.ca_file.display()));
        // Whoever waits for a certificate asks more often than the API lets one token.
        vec![directory, ca_file, "control.rate_limit=0".to_owned()]
    }

    /// A node that orders of it, with these settings beside.
    pub fn node(&self, more: &[&str]) -> Node {
        let mut settings = self.settings();
        settings.extend(more.iter().map(ToString::to_string));
        let log = Some("info,poterne_control_notary=debug,poterne_control_app=debug");
        Node::bare_with(Setup { settings, log, ..Setup::default() })
    }

    /// Begins to serve: names are asked of the node, and proven at its ports.
    pub fn serve(&mut self, node: &Node, terms: Terms) {
        let port = |key: &str| node.text(key).parse::<SocketAddr>().unwrap().port();
        let mut config = json!({
            "listenAddress": format!("127.0.0.1:{}", self.ports[0].port),
            "managementListenAddress": format!("127.0.0.1:{}", self.ports[1].port),
            "certificate": self.dir.path().join("cert.pem"),
            "privateKey": self.dir.path().join("key.pem"),
            "httpPort": port("http"),
            "tlsPort": port("https"),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": terms.binding.is_some(),
        });
        if let Some((key_id, key)) = terms.binding {
            config["externalAccountMACKeys"] = json!({ key_id: key });
        }
        let file = self.dir.path().join("config.json");
        fs::write(&file, json!({ "pebble": config }).to_string()).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = Command::new("pebble");
        command
            .args(["-dnsserver", node.text("dns"), "-config"])
            .arg(&file)
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(Running::start(&mut command));
        eventually("the authority answers", || self.get(&self.directory).is_some());
    }

    /// Is gone.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Its root, as a file that verifies what it issues: another one after each start.
    pub fn root(&self) -> PathBuf {
        let path = self.dir.path().join("root.pem");
        let root = self.get(&format!("https://127.0.0.1:{}/roots/0", self.ports[1].port)).unwrap();
        fs::write(&path, root).unwrap();
        path
    }

    /// Whether it says of a certificate, by its serial number in hexadecimal, that it was revoked.
    pub fn status_of(&self, serial: &str) -> Option<Value> {
        let url = format!("https://127.0.0.1:{}/cert-status-by-serial/{serial}", self.ports[1].port);
        self.get(&url).and_then(|text| serde_json::from_str(&text).ok())
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn get(&self, url: &str) -> Option<String> {
        let mut command = Command::new("curl");
        let output =
            command.args(["--silent", "--fail", "--max-time", "10", "--cacert"]).arg(&self.ca_file).arg(url).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("== pebble\n{}", self.log());
        }
    }
}

/// Stands in front of an authority, and adds what it lacks (`peers/acme_proxy.py`).
pub struct Proxy {
    /// Where its directory is.
    pub directory: String,
    log: PathBuf,
    _port: Reserved,
    _process: Running,
}

impl Proxy {
    /// Of these modes: `ari`, `limited`, `nonces`.
    pub fn start(of: &Pebble, modes: &[&str]) -> Self {
        let (port, log) = (Reserved::new(), of.dir.path().join("proxy.log"));
        let told = json!({
            "port": port.port,
            "upstream": format!("127.0.0.1:{}", of.ports[0].port),
            "ca": of.ca_file,
            "cert": of.dir.path().join("cert.pem"),
            "key": of.dir.path().join("key.pem"),
            "log": log,
            "modes": modes,
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/acme_proxy.py");
        let mut command = program("POTERNE_E2E_PYTHON");
        command.arg("-B").arg(script).arg(told.to_string()).stdout(Stdio::piped());
        let mut process = Running::start(&mut command);
        let mut line = String::new();
        BufReader::new(process.stdout()).read_line(&mut line).unwrap();
        assert!(line.contains("ready"), "the proxy did not start, see above");
        Self { directory: format!("https://127.0.0.1:{}/dir", port.port), log, _port: port, _process: process }
    }

    /// What it noted of a kind, the first first.
    pub fn noted(&self, kind: &str) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let whole = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        whole.filter_map(|line| line.get(kind).cloned()).collect()
    }
}

/// A chain in PEM form.
pub fn chain(leaf: &Leaf) -> String {
    leaf.chain.iter().map(|der| pem("CERTIFICATE", der)).collect()
}

/// Its key in PEM form.
pub fn key(leaf: &Leaf) -> String {
    pem("PRIVATE KEY", leaf.key.secret_der())
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = body.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
