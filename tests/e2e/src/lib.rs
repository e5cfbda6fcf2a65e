//! The whole system on loopback: the real programs as child processes, a real nginx behind them, real clients in front.
//!
//! `cargo xtask test` builds the programs, provides the peers and says where both are (`POTERNE_BIN`, `POTERNE_AGENT_BIN`,
//! `POTERNE_E2E_PYTHON`, `CLOUDFLARED_BIN`). A test carries in its name the peer it needs, so that leaving one out is a filter.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this crate is tests: a failed helper is a failed test")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// How long anything is waited for; only a failing test takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child process that ends with its owner.
pub struct Running(Child);

impl Running {
    /// Starts a program; its output goes nowhere unless it was redirected.
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that the test command built or was told of.
pub fn program(variable: &str) -> PathBuf {
    env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test`"))
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks until the answer is yes.
pub fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ask() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// A real nginx with a few files and an upload sink.
pub struct Nginx {
    /// Where it listens.
    pub url: String,
    _process: Running,
}

impl Nginx {
    /// Serves `dir`.
    pub fn start(dir: &Path) -> Self {
        let port = free_port();
        let www = dir.join("www");
        fs::create_dir_all(&www).unwrap();
        fs::write(www.join("hello"), "Hello, world\n").unwrap();
        fs::write(www.join("big"), vec![7; 16 << 20]).unwrap();
        let d = dir.display();
        let config = format!(
            "daemon off; master_process off; pid {d}/pid; error_log {d}/error.log;
            events {{ worker_connections 512; }}
            http {{ access_log off; client_max_body_size 0; default_type text/plain;
              client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
              server {{ listen 127.0.0.1:{port}; root {d}/www;
                location = /host {{ return 200 \"$host|$http_x_forwarded_proto|$http_cf_connecting_ip\"; }} }} }}"
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].into_iter().find(|path| Path::new(path).exists()).unwrap_or("nginx");
        let process = Running::start(Command::new(nginx).arg("-c").arg(&file).arg("-p").arg(dir));
        eventually("nginx answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { url: format!("http://127.0.0.1:{port}"), _process: process }
    }
}

/// A node without an agent, publishing a service.
pub struct Node {
    /// What `--json` printed.
    pub line: serde_json::Value,
    _process: Running,
}

impl Node {
    /// `poterne demo --no-agent`, its hostname led to `url` by the verb.
    pub fn start(state: &Path, url: &str) -> Self {
        let mut command = Command::new(program("POTERNE_BIN"));
        command.args(["demo", "--json", "--no-agent", "--port-base", "0", "--state-dir"]).arg(state);
        let mut process = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let node = Self { line: serde_json::from_str(&line).unwrap(), _process: process };
        let mut route = Command::new(program("POTERNE_BIN"));
        route.args([
            "tunnel",
            "route",
            node.text("hostname"),
            node.text("tunnel_id"),
            url,
            "--state-dir",
            node.text("state_dir"),
        ]);
        let routed = route.output().unwrap();
        assert!(routed.status.success(), "{}", String::from_utf8_lossy(&routed.stderr));
        node
    }

    /// A key of the ready line.
    pub fn text(&self, key: &str) -> &str {
        self.line[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.line))
    }

    /// Our agent or the stock one, over this transport.
    pub fn agent(&self, stock: bool, protocol: &str, token: &str) -> Running {
        let mut command;
        if stock {
            command = Command::new(program("CLOUDFLARED_BIN"));
            command.args(["tunnel", "--no-autoupdate", "--no-prechecks", "--cacert", self.text("ca_file")]);
            for _ in 0..4 {
                command.args(["--edge", self.text("tunnel")]);
            }
        } else {
            command = Command::new(program("POTERNE_AGENT_BIN"));
            command.arg("tunnel");
        }
        command.args(["--metrics", "127.0.0.1:0", "--protocol", protocol, "run", "--token", token]);
        Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// curl, in clear, to the demo's hostname: status and body.
    pub fn curl(&self, path: &str, more: &[&str]) -> (String, Vec<u8>) {
        self.curl_to(&format!("http://{}{path}", self.text("http")), more)
    }

    /// curl to any address of this node, with the demo's hostname.
    pub fn curl_to(&self, url: &str, more: &[&str]) -> (String, Vec<u8>) {
        let host = format!("Host: {}", self.text("hostname"));
        let output =
            Command::new("curl").args(["-s", "-m", "60", "-w", "%{http_code}", "-H", &host, url]).args(more).output().unwrap();
        let (body, status) = output.stdout.split_at(output.stdout.len() - 3);
        (String::from_utf8_lossy(status).into_owned(), body.to_vec())
    }
}
