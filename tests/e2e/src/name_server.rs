//! Other name servers: Debian's NSD and Knot DNS, as secondaries of a node, and as its primaries.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::{self, Command, Stdio},
};

use tempfile::TempDir;

use crate::{Node, Running, certificate::Files, eventually};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `nsd`.
    Nsd,
    /// `knotd`.
    Knot,
}

/// A secret that both share.
#[derive(Debug, Clone, Copy)]
pub struct SharedKey {
    /// What both call it.
    pub name: &'static str,
    /// As in `hmac-sha256`.
    pub algorithm: &'static str,
    /// In base64.
    pub secret: &'static str,
}

/// A running name server.
pub struct NameServer {
    /// Where it is.
    pub at: SocketAddr,
    dir: TempDir,
    zone: &'static str,
    process: Running,
}

/// An address and a port that were free a moment ago: at an address of this process's own, where no other test's server takes it meanwhile.
/// These servers cannot be handed a socket.
pub fn free() -> SocketAddr {
    let [_, high, middle, low] = process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 64 | high, middle, low | 1);
    UdpSocket::bind((address, 0)).unwrap().local_addr().unwrap()
}

impl NameServer {
    /// A secondary of the node for a zone. It asks from its own address.
    pub fn secondary(program: Program, at: SocketAddr, zone: &'static str, node: &Node, key: SharedKey) -> Self {
        let (ip, port) = (at.ip(), port(node));
        let of_zone = match program {
            Program::Nsd => format!(
                "zone:\n  name: \"{zone}\"\n  zonefile: \"{zone}.zone\"\n  request-xfr: 127.0.0.1@{port} {name}\n  \
                 allow-notify: 127.0.0.1 {name}\n  outgoing-interface: {ip}\n",
                name = key.name
            ),
            Program::Knot => format!(
                "remote:\n  - id: node\n    address: 127.0.0.1@{port}\n    via: {ip}\n    key: {name}\n\
                 acl:\n  - id: notices\n    address: 127.0.0.1\n    key: {name}\n    action: notify\n\
                 zone:\n  - domain: {zone}\n    file: {zone}.zone\n    master: node\n    acl: notices\n",
                name = key.name
            ),
        };
        Self::start(program, at, zone, key, &of_zone, None, "")
    }

    /// NSD as a secondary of the node that asks over TLS, and verifies that the node is `name`, of this authority.
    pub fn secondary_over_tls(at: SocketAddr, zone: &'static str, node: &Node, key: SharedKey, name: &str) -> Self {
        let (ip, port) = (at.ip(), node.text("dns_tls").rsplit(':').next().unwrap());
        let of_zone = format!(
            "tls-auth:\n  name: node\n  auth-domain-name: \"{name}\"\nzone:\n  name: \"{zone}\"\n  zonefile: \"{zone}.zone\"\n  \
             request-xfr: 127.0.0.1@{port} {key} node\n  allow-notify: 127.0.0.1 {key}\n  outgoing-interface: {ip}\n",
            key = key.name
        );
        let server = format!("  tls-cert-bundle: \"{}\"\n", node.text("ca_file"));
        Self::start(Program::Nsd, at, zone, key, &of_zone, None, &server)
    }

    /// NSD as a primary of the node's that speaks TLS too, at `over_tls` (the same address, another port), with this certificate.
    pub fn primary_over_tls(
        (at, over_tls): (SocketAddr, SocketAddr),
        zone: &'static str,
        text: &str,
        node: &Node,
        key: SharedKey,
        files: &Files,
    ) -> Self {
        let (ip, port) = (at.ip(), port(node));
        let of_zone = format!(
            "zone:\n  name: \"{zone}\"\n  zonefile: \"{zone}.zone\"\n  provide-xfr: 127.0.0.1 {name}\n  \
             notify: 127.0.0.1@{port} {name}\n  store-ixfr: yes\n  create-ixfr: yes\n  outgoing-interface: {ip}\n",
            name = key.name,
        );
        let server = format!(
            "  ip-address: {ip}@{port}\n  tls-port: {port}\n  tls-service-key: \"{}\"\n  tls-service-pem: \"{}\"\n",
            files.key.display(),
            files.chain.display(),
            port = over_tls.port(),
        );
        Self::start(Program::Nsd, at, zone, key, &of_zone, Some(text), &server)
    }

    /// A primary of the node's, with a zone of this text. It tells the node of changes, from its own address where `own`.
    pub fn primary(
        program: Program,
        at: SocketAddr,
        zone: &'static str,
        text: &str,
        node: &Node,
        key: SharedKey,
        own: bool,
    ) -> Self {
        let (ip, port) = (at.ip(), port(node));
        let of_zone = match program {
            Program::Nsd => format!(
                "zone:\n  name: \"{zone}\"\n  zonefile: \"{zone}.zone\"\n  provide-xfr: 127.0.0.1 {name}\n  \
                 notify: 127.0.0.1@{port} {name}\n  store-ixfr: yes\n  create-ixfr: yes\n{via}",
                name = key.name,
                via = if own { format!("  outgoing-interface: {ip}\n") } else { String::new() },
            ),
            Program::Knot => format!(
                "remote:\n  - id: node\n    address: 127.0.0.1@{port}\n    key: {name}\n{via}\
                 acl:\n  - id: transfers\n    address: 127.0.0.1\n    key: {name}\n    action: transfer\n\
                 zone:\n  - domain: {zone}\n    file: {zone}.zone\n    notify: node\n    acl: transfers\n    \
                 zonefile-load: difference\n    journal-content: changes\n    zonefile-sync: -1\n",
                name = key.name,
                via = if own { format!("    via: {ip}\n") } else { String::new() },
            ),
        };
        Self::start(program, at, zone, key, &of_zone, Some(text), "")
    }

    /// `server`: more of NSD's settings, where it is NSD.
    fn start(
        program: Program,
        at: SocketAddr,
        zone: &'static str,
        key: SharedKey,
        of_zone: &str,
        text: Option<&str>,
        server: &str,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (here, SharedKey { name, algorithm, secret }) = (dir.path().display(), key);
        if let Some(text) = text {
            fs::write(dir.path().join(format!("{zone}.zone")), text).unwrap();
        }
        let (ip, port) = (at.ip(), at.port());
        let config = match program {
            Program::Nsd => format!(
                "server:\n  ip-address: {ip}@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{here}\"\n  database: \"\"\n  \
                 pidfile: \"\"\n  xfrdir: \"{here}\"\n  xfrdfile: \"{here}/xfrd.state\"\n  zonelistfile: \"{here}/zone.list\"\n  \
                 logfile: \"{here}/log\"\n  verbosity: 2\n  server-count: 1\n  xfrd-reload-timeout: 0\n{server}remote-control:\n  control-enable: no\n\
                 key:\n  name: \"{name}\"\n  algorithm: {algorithm}\n  secret: \"{secret}\"\n{of_zone}"
            ),
            Program::Knot => format!(
                "server:\n  listen: {ip}@{port}\n  rundir: {here}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
                 database:\n  storage: {here}\nlog:\n  - target: {here}/log\n    any: info\n\
                 key:\n  - id: {name}\n    algorithm: {algorithm}\n    secret: {secret}\n\
                 template:\n  - id: default\n    storage: {here}\n{of_zone}"
            ),
        };
        let file = dir.path().join("server.conf");
        fs::write(&file, config).unwrap();
        // Debian has them where only root looks.
        let (found, arguments): (_, &[&str]) = match program {
            Program::Nsd => ("nsd", &["-d", "-c"]),
            Program::Knot => ("knotd", &["-c"]),
        };
        let there = format!("/usr/sbin/{found}");
        let mut command = Command::new(if Path::new(&there).exists() { &there } else { found });
        command.args(arguments).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Running::start(&mut command);
        Self { at, dir, zone, process }
    }

    /// Gives its zone another text, and has it read again.
    pub fn change(&self, text: &str) {
        fs::write(self.dir.path().join(format!("{}.zone", self.zone)), text).unwrap();
        self.process.hang_up();
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// What `dig` shows of a name there, a line each, in order.
    pub fn answer(&self, name: &str, kind: &str) -> Vec<String> {
        let mut command = Command::new("dig");
        let (at, port) = (format!("@{}", self.at.ip()), self.at.port().to_string());
        command.args(["-r", &at, "-p", &port, "+norecurse", "+tries=1", "+time=5", "+short", name, kind]);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let mut lines: Vec<String> = text.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Waits until it shows this of a name.
    pub fn shows(&self, name: &str, kind: &str, expected: &[&str]) {
        let start = std::time::Instant::now();
        eventually(&format!("{name} {kind} is {expected:?} there"), || {
            let answer = self.answer(name, kind);
            if start.elapsed() > std::time::Duration::from_secs(30) {
                eprintln!("{answer:?}\n{}", self.log());
            }
            answer == expected
        });
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // Its children end with it where it ends by itself.
        self.process.terminate();
        let _ = self.process.wait();
    }
}

fn port(node: &Node) -> String {
    node.text("dns").rsplit(':').next().unwrap().to_owned()
}
