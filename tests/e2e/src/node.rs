//! A node, and its verbs as its operator types them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Curl, Running,
    curl::Answered,
    process::{eventually, program},
};

/// A running node in a directory of its own.
pub struct Node {
    /// What it wrote when it was ready.
    pub line: Value,
    /// The hostname that leads to the service under test.
    pub hostname: String,
    /// Its tunnel.
    pub tunnel: String,
    /// All an agent needs.
    pub token: String,
    /// The process.
    pub process: Running,
    dir: TempDir,
    setup: Setup,
}

/// What a served node is told beside its ports.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// More settings, as in `control.store=sqlite`.
    pub settings: Vec<String>,
    /// What it logs; none: `info`.
    pub log: Option<&'static str>,
    /// Where it keeps its state; none: in the node's own directory.
    pub state: Option<PathBuf>,
    /// Variables beside those of the test.
    pub environment: Vec<(String, String)>,
}

impl Node {
    /// `poterne demo --no-agent`: its hostname leads to the demo's sample site.
    pub fn demo() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = program("POTERNE_BIN");
        command.args(["demo", "--json", "--no-agent", "--port-base", "0", "--state-dir"]).arg(dir.path().join("state"));
        let (process, line) = start(&mut command, dir.path(), "info");
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        let (hostname, tunnel, token) = (text("hostname"), text("tunnel_id"), text("tunnel_token"));
        Self { line, hostname, tunnel, token, process, dir, setup: Setup::default() }
    }

    /// The same, its hostname led to this service.
    pub fn leading_to(url: &str) -> Self {
        let node = Self::demo();
        node.route(&node.hostname, url);
        node
    }

    /// `poterne serve` with ports that the kernel chose, and a zone, a tunnel and a hostname made by its verbs.
    pub fn serve(url: &str) -> Self {
        Self::serve_with(url, Setup::default())
    }

    /// The same, told more.
    pub fn serve_with(url: &str, setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports: Vec<_> = LISTENERS.iter().map(|(setting, _)| format!("{setting}=127.0.0.1:0")).collect();
        let (process, line) = serve(dir.path(), &ports, &setup);
        let hostname = "app.site.test".to_owned();
        let mut node = Self { line, hostname, tunnel: String::new(), token: String::new(), process, dir, setup };
        node.verb(&["zone", "add", "site.test"]).unwrap();
        node.verb(&["zone", "activate", "site.test"]).unwrap();
        let created: Value = serde_json::from_str(&node.verb(&["tunnel", "create", "home", "--json"]).unwrap()).unwrap();
        node.tunnel = created["tunnel"]["id"].as_str().unwrap().to_owned();
        node.token = created["token"].as_str().unwrap().to_owned();
        node.route(&node.hostname, url);
        node
    }

    /// `poterne serve` with ports that the kernel chose and these settings, and with nothing made but an API token, which is in its line
    /// as the demo's is.
    pub fn bare(settings: &[String]) -> Self {
        Self::bare_with(Setup { settings: settings.to_vec(), ..Setup::default() })
    }

    /// The same, told more.
    pub fn bare_with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports: Vec<_> = LISTENERS.iter().map(|(setting, _)| format!("{setting}=127.0.0.1:0")).collect();
        let (process, line) = serve(dir.path(), &ports, &setup);
        let [hostname, tunnel, token] = [(); 3].map(|()| String::new());
        let mut node = Self { line, hostname, tunnel, token, process, dir, setup };
        let made = node.verb(&["token", "create", "--name", "test", "--permissions", "all", "--json"]).unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        node.line["api_token"] = made["secret"].clone();
        node
    }

    /// `kill -9`, then the same node again on the same ports and the same state.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.restart();
    }

    /// The same node again, which has ended, on the same ports and the same state.
    pub fn restart(&mut self) {
        let ports: Vec<_> = LISTENERS
            .iter()
            .map(|(setting, key)| {
                let address = self.text(key).trim_start_matches("http://").trim_end_matches("/client/v4");
                format!("{setting}={address}")
            })
            .collect();
        let told = self.line.take();
        (self.process, self.line) = serve(self.dir.path(), &ports, &self.setup);
        if let Some(token) = told.get("api_token") {
            self.line["api_token"] = token.clone();
        }
    }

    /// A key of the ready line.
    pub fn text(&self, key: &str) -> &str {
        self.line[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.line))
    }

    /// What it counts.
    pub fn metrics(&self) -> String {
        let address = self.text("metrics").trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    /// The node's API at its root: where quick tunnels are asked for.
    pub fn quick_service(&self) -> &str {
        self.text("api").trim_end_matches("/client/v4")
    }

    /// A file in the node's own directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What `poterne WORDS` printed, or the error it ended with.
    pub fn verb(&self, words: &[&str]) -> Result<String, String> {
        let output = program("POTERNE_BIN").args(words).args(["--state-dir", self.text("state_dir")]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// `poterne tunnel route`.
    pub fn route(&self, hostname: &str, url: &str) {
        self.verb(&["tunnel", "route", hostname, &self.tunnel, url]).unwrap();
    }

    /// `poterne tunnel info`, in JSON.
    pub fn info(&self) -> Value {
        self.info_of(&self.tunnel)
    }

    fn info_of(&self, tunnel: &str) -> Value {
        serde_json::from_str(&self.verb(&["tunnel", "info", tunnel, "--json"]).unwrap()).unwrap()
    }

    /// A request in clear for the node's hostname.
    pub fn get(&self, path: &str) -> Answered {
        Curl::http(self, &self.hostname, path).run()
    }

    /// Waits until the tunnel answers.
    pub fn wait_for_agents(&self, count: usize) {
        self.wait_for_agents_of(&self.tunnel, count);
    }

    /// The same of another tunnel.
    pub fn wait_for_agents_of(&self, tunnel: &str, count: usize) {
        eventually("the agents are connected", || whole(&self.info_of(tunnel)) == count);
    }

    /// Agents connected now, each with all its connections.
    pub fn connectors(&self) -> usize {
        whole(&self.info())
    }

    /// What the node logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("node.log")).unwrap()
    }
}

/// Settings of the listeners, and the keys of the ready line that say what they became.
const LISTENERS: [(&str, &str); 7] = [
    ("edge.http", "http"),
    ("edge.https", "https"),
    ("dns.listen", "dns"),
    ("dns.listen_tls", "dns_tls"),
    ("tunnel.listen", "tunnel"),
    ("control.listen", "api"),
    ("control.metrics", "metrics"),
];

/// How many agents have all their connections.
fn whole(info: &Value) -> usize {
    let connectors = info["connectors"].as_array().map_or(&[][..], Vec::as_slice);
    connectors.iter().filter(|connector| connector["connections"].as_array().is_some_and(|all| all.len() == 4)).count()
}

fn serve(dir: &Path, ports: &[String], setup: &Setup) -> (Running, Value) {
    let mut command = program("POTERNE_BIN");
    command
        .args(["serve", "--ready-fd", "1", "--config"])
        .arg(dir.join("poterne.toml"))
        .arg("--state-dir")
        .arg(setup.state.clone().unwrap_or_else(|| dir.join("state")));
    fs::write(dir.join("poterne.toml"), "version = 1\n").unwrap();
    command.args(["--set", "node.public_addresses=127.0.0.1"]);
    for setting in ports.iter().chain(&setup.settings) {
        command.args(["--set", setting]);
    }
    start(command.envs(setup.environment.iter().cloned()), dir, setup.log.unwrap_or("info"))
}

/// Starts a node and waits for its one line; its log goes to a file that a failed test shows.
fn start(command: &mut std::process::Command, dir: &Path, log: &str) -> (Running, Value) {
    let file = fs::OpenOptions::new().create(true).append(true).open(dir.join("node.log")).unwrap();
    let mut process = Running::start(command.env("POTERNE_LOG", log).stdout(Stdio::piped()).stderr(file));
    let mut line = String::new();
    BufReader::new(process.stdout()).read_line(&mut line).unwrap();
    let line = serde_json::from_str(&line)
        .unwrap_or_else(|_| panic!("no node: {line:?} {}", fs::read_to_string(dir.join("node.log")).unwrap()));
    (process, line)
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in
                fs::read_dir(self.dir.path()).unwrap().flatten().filter(|entry| entry.path().extension() == Some("log".as_ref()))
            {
                eprintln!("== {}\n{}", entry.path().display(), fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
    }
}
