//! The demo as a user's shell sees it: a child process, its one line of JSON, requests through it, and its end.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;

/// A bound for things that either happen or are broken; nothing is asserted about how long they take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Demo {
    child: Child,
    ready: Value,
}

impl Demo {
    fn start(state_dir: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_poterne"))
            .args(["demo", "--json", "--port-base", "0", "--state-dir"])
            .arg(state_dir)
            .args(arguments)
            .env_remove("LANG")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        match receiver.recv_timeout(PATIENCE).ok().and_then(|line| serde_json::from_str(&line).ok()) {
            Some(ready) => Self { child, ready },
            None => {
                let _ = child.kill();
                panic!("the demo did not get ready: {:?}", child.wait());
            }
        }
    }

    fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {}", self.ready))
    }

    /// Status line, fields and body of a GET in clear.
    fn get(&self, host: &str, path: &str) -> String {
        let address: SocketAddr = self.text("http").parse().unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n\r\n", address.port()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn interrupt(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let status = self.child.wait().unwrap();
        self.child = Command::new("true").spawn().unwrap(); // `drop` has nothing left to end
        status
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn verb(state_dir: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_poterne")).args(arguments).arg("--state-dir").arg(state_dir).output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_url_works_the_end_is_clean_and_the_second_run_finds_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &[]);
    for key in
        ["state_dir", "http", "https", "tunnel", "api", "metrics", "ca_file", "account_id", "zone_id", "url", "tunnel_token"]
    {
        demo.text(key);
    }
    assert_eq!(demo.text("zone"), "poterne.localhost");
    assert!(demo.ready["dns"].is_string() && demo.ready["dns_tls"].is_string() && demo.ready.get("dashboard").is_none());
    let (hostname, tunnel_id) = (demo.text("hostname").to_owned(), demo.text("tunnel_id").to_owned());
    let zone_id = demo.text("zone_id").to_owned();
    let answer = demo.get(&hostname, "/");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("You came in through the gate"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\ncf-ray: "), "{answer}");
    let (done, text) = verb(dir.path(), &["tunnel", "list"]);
    assert!(done && text.lines().any(|line| line.contains(&tunnel_id) && line.contains("  1  ")), "{text}");
    let ca = std::fs::read_to_string(demo.text("ca_file")).unwrap();
    assert_eq!(ca.matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(demo.interrupt().code(), Some(0));

    let demo = Demo::start(dir.path(), &[]);
    assert_eq!((demo.text("tunnel_id"), demo.text("zone_id")), (tunnel_id.as_str(), zone_id.as_str()));
    assert_eq!(std::fs::read_to_string(demo.text("ca_file")).unwrap(), ca);
    assert!(demo.get(&hostname, "/").starts_with("HTTP/1.1 200"));
    assert_eq!(demo.interrupt().code(), Some(0));
}

#[test]
fn a_second_run_leaves_the_route_that_the_user_changed() {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", service.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in service.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nnew");
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &[]);
    let (hostname, tunnel) = (demo.text("hostname").to_owned(), demo.text("tunnel_id").to_owned());
    let (done, text) = verb(dir.path(), &["tunnel", "route", &hostname, &tunnel, &url, "--http-host-header", "new.home"]);
    assert!(done, "{text}");
    assert_eq!(demo.interrupt().code(), Some(0));

    let demo = Demo::start(dir.path(), &[]);
    assert!(demo.get(&hostname, "/").ends_with("new"), "the user's service is still served");
    assert_eq!(demo.interrupt().code(), Some(0));

    // What is named is published; and what the demo itself routed gives way to its sample site again.
    let demo = Demo::start(dir.path(), &["--url", &url]);
    assert!(demo.get(&hostname, "/").ends_with("new"));
    assert_eq!(demo.interrupt().code(), Some(0));
    let demo = Demo::start(dir.path(), &[]);
    assert!(demo.get(&hostname, "/").contains("You came in through the gate"));
}

#[test]
fn two_demos_with_one_state_directory_do_not_collide() {
    let dir = tempfile::tempdir().unwrap();
    let first = Demo::start(dir.path(), &[]);
    let second = Demo::start(dir.path(), &[]);
    assert_ne!(first.text("state_dir"), second.text("state_dir"));
    for demo in [&first, &second] {
        assert!(demo.get(demo.text("hostname"), "/").starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn a_service_of_ones_own_is_published_and_verbs_change_the_running_node() {
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", service.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in service.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nmy own one");
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &["--url", &url]);
    let answer = demo.get(demo.text("hostname"), "/");
    assert!(answer.ends_with("my own on"), "{answer}");

    // A second name, given while the node runs, works as soon as the verb has answered.
    let other = "other.poterne.localhost";
    assert!(!demo.get(other, "/").starts_with("HTTP/1.1 200"));
    let (done, text) = verb(dir.path(), &["tunnel", "route", other, demo.text("tunnel_id"), &url, "--json"]);
    assert!(done, "{text}");
    let answer = demo.get(other, "/");
    assert!(answer.ends_with("my own on"), "{answer}");
}

#[test]
fn without_its_agent_the_demo_says_that_none_is_connected() {
    let dir = tempfile::tempdir().unwrap();
    let demo = Demo::start(dir.path(), &["--no-agent"]);
    let answer = demo.get(demo.text("hostname"), "/");
    assert!(answer.starts_with("HTTP/1.1 530") && answer.contains("1033"), "{answer}");
    assert!(demo.text("tunnel_token").len() > 80);
}

#[test]
fn a_backup_of_a_running_node_is_the_same_node_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    let demo = Demo::start(&here, &["--no-agent"]);
    let file = dir.path().join("node.tar");
    let poterne = |words: &[&str], state_dir: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_poterne")).args(words).arg("--state-dir").arg(state_dir).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let path = file.to_str().unwrap();
    let (done, _, error) = poterne(&["backup", path], &here);
    assert!(done, "{error}");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap()) & 0o777, 0o600);
    let (done, _, error) = poterne(&["backup", path], &here);
    assert!(!done && error.contains("node.tar"), "nothing is written over: {error}");
    let (done, _, error) = poterne(&["restore", path], &there);
    assert!(done, "{error}");
    let (done, _, error) = poterne(&["restore", path], &there);
    assert!(!done && error.contains("holds a state already"), "{error}");
    let (done, token, error) = poterne(&["tunnel", "token", "demo"], &there);
    assert!(done, "{error}");
    let claims = |token: &str| -> Value {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        serde_json::from_slice(&BASE64_STANDARD.decode(token.trim()).unwrap()).unwrap()
    };
    let (before, after) = (claims(demo.text("tunnel_token")), claims(&token));
    // The account, the tunnel, its secret, and the authority that agents pin.
    for key in ["a", "t", "s"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(before["p"]["k"], after["p"]["k"]);
    // Cut off in the middle: refused, and the whole one is taken by the same directory afterwards.
    let (whole, again) = (std::fs::read(&file).unwrap(), dir.path().join("again"));
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let (done, _, error) = poterne(&["restore", path], &again);
    assert!(!done, "{error}");
    std::fs::write(&file, &whole).unwrap();
    let (done, _, error) = poterne(&["restore", path], &again);
    assert!(done, "{error}");
    std::fs::write(&file, b"this is no archive, and long enough that it could be one").unwrap();
    let (done, _, error) = poterne(&["restore", path], &dir.path().join("nowhere"));
    assert!(!done && error.contains("is no backup of Poterne"), "{error}");
}
