//! A node that is replaced by another program while visitors ask.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use poterne_e2e::{Agent, Api, Curl, Kind, Node, Orphan, Raw, Setup, eventually};
use serde_json::Value;

columns!(no_request_fails_while_a_node_is_replaced);

/// What visitors saw while something happened.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    failures: Mutex<Vec<String>>,
    enough: AtomicBool,
}

impl Seen {
    fn note(&self, answer: Result<(), String>) {
        match answer {
            Ok(()) => drop(self.answered.fetch_add(1, Ordering::Relaxed)),
            Err(failure) => self.failures.lock().unwrap().push(failure),
        }
    }

    fn is_enough(&self) -> bool {
        self.enough.load(Ordering::Relaxed)
    }

    /// Waits until so many more were answered.
    fn more(&self, count: usize) {
        let until = self.answered.load(Ordering::Relaxed) + count;
        eventually("visitors are answered", || self.answered.load(Ordering::Relaxed) >= until);
    }
}

fn right(answer: &str) -> Result<(), String> {
    let is_right = answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("still there");
    if is_right { Ok(()) } else { Err(format!("{answer:?}")) }
}

/// A connection a request.
fn anew(node: &Node, seen: &Seen) {
    while !seen.is_enough() {
        let ask = || -> std::io::Result<String> {
            let mut visitor = TcpStream::connect(node.text("http"))?;
            write!(visitor, "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.hostname)?;
            let mut answer = String::new();
            visitor.read_to_string(&mut answer)?;
            Ok(answer)
        };
        seen.note(ask().map_err(|error| error.to_string()).and_then(|answer| right(&answer)));
    }
}

/// As many requests on a connection as it takes, as browsers do: when it is closed between two, or says that it will be, another one is
/// opened, and what was asked on a closed one is asked again.
fn again(node: &Node, seen: &Seen) {
    while !seen.is_enough() {
        let mut visitor = TcpStream::connect(node.text("http")).unwrap();
        for asked in 0.. {
            if seen.is_enough() {
                return;
            }
            let wrote = write!(visitor, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", node.hostname);
            let mut answer = Vec::new();
            let mut byte = [0];
            while wrote.is_ok() && !answer.ends_with(b"still there") && matches!(visitor.read(&mut byte), Ok(1)) {
                answer.push(byte[0]);
            }
            let answer = String::from_utf8(answer).unwrap();
            if answer.is_empty() && asked > 0 {
                break;
            }
            seen.note(right(&answer));
            if answer.to_ascii_lowercase().contains("connection: close") {
                break;
            }
        }
    }
}

/// Over TLS and HTTP/2.
fn secure(node: &Node, seen: &Seen) {
    while !seen.is_enough() {
        let answer = Curl::https(node, &node.hostname, "/").run();
        let is_right = answer.status == 200 && answer.text() == "still there";
        seen.note(if is_right { Ok(()) } else { Err(format!("{answer:?}")) });
    }
}

/// Visitors of all kinds ask while `during` runs; none of them may fail.
fn under_load(node: &Node, during: impl FnOnce(&Seen)) {
    let seen = Seen::default();
    thread::scope(|scope| {
        for visitor in [anew, again, secure] {
            let seen = &seen;
            scope.spawn(move || visitor(node, seen));
        }
        seen.more(20);
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            during(&seen);
            seen.more(20);
        }));
        seen.enough.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    let (answered, failures) = (seen.answered.into_inner(), seen.failures.into_inner().unwrap());
    assert!(failures.is_empty(), "{} of {answered} failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
}

fn upgraded(node: &Node) -> Orphan {
    let told: Value = serde_json::from_str(&node.verb(&["upgrade", "--json"]).unwrap()).unwrap();
    Orphan::new(told["process"].as_u64().unwrap())
}

fn no_request_fails_while_a_node_is_replaced(kind: Kind) {
    let (go_on, told) = mpsc::channel();
    let told = Mutex::new(told);
    let origin = Raw::start(move |path, stream| {
        let _ = match path {
            "/slow" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 8\r\nConnection: close";
                let half = write!(stream, "{head}\r\n\r\nhalf");
                let _ = told.lock().unwrap().recv();
                half.and_then(|()| stream.write_all(b"done"))
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\nstill there"),
        };
    });
    let mut node = Node::serve(&origin.url());
    let _agent = Agent::connect(&node, kind);

    // One that is half way when the program is replaced gets the rest of the former one.
    let mut slow = Curl::http(&node, &node.hostname, "/slow").begin();
    let mut stdout = slow.stdout();
    let mut half = [0; 4];
    stdout.read_exact(&mut half).unwrap();
    let mut first = None;
    under_load(&node, |_| first = Some(upgraded(&node)));
    assert!(node.process.runs(), "it has something to end");
    go_on.send(()).unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "done200");
    assert!(node.process.end().success());
    let first = first.unwrap();
    node.wait_for_agents(1);

    // What control is asked meets the new one, and that can be replaced as well, once it knows that it is alone.
    node.verb(&["zone", "add", "other.test"]).unwrap();
    let mut last = first;
    // The stock agent waits longer after each loss of the last minutes: its visitors would not be spared so soon.
    if !kind.stock {
        let mut second = None;
        under_load(&node, |_| {
            eventually("the former program is known to be gone", || {
                let told = node.verb(&["upgrade", "--json"]);
                let told = told.map(|told| serde_json::from_str::<Value>(&told).unwrap());
                second = told.ok().map(|told| Orphan::new(told["process"].as_u64().unwrap()));
                second.is_some()
            });
        });
        eventually("the second has ended", || !last.runs());
        last = second.unwrap();
    }
    assert!(node.verb(&["zone", "list"]).unwrap().contains("other.test"));
    assert_eq!(node.get("/").text(), "still there");
    last.terminate();
    eventually("the last ends as any other", || !last.runs());
    assert_eq!(node.get("/").exit, 7, "nobody listens any more");
}

/// A program that says these words when it should, waits for each's answer, and ends then.
fn pretender(node: &Node, name: &str, words: &[(&str, &str)]) -> String {
    let hear = "dd bs=65536 count=1 2>/dev/null <&0";
    let lines: String = words
        .iter()
        .map(|(say, answer)| format!("printf '\"{say}\"' >&0\nuntil {hear} | grep -q {answer}; do :; done\n"))
        .collect();
    let file = node.file(name);
    fs::write(&file, format!("#!/bin/sh\n{lines}")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn systemd_is_told_which_process_serves() {
    let (dir, origin) = (tempfile::tempdir().unwrap(), Raw::saying("still there"));
    let path = dir.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    let told = || {
        let mut words = [0; 64];
        let length = supervisor.recv(&mut words).unwrap();
        String::from_utf8(words[..length].to_vec()).unwrap()
    };
    let environment = vec![("NOTIFY_SOCKET".to_owned(), path.to_str().unwrap().to_owned())];
    let mut node = Node::serve_with(&origin.url(), Setup { environment, ..Setup::default() });
    assert_eq!(told(), "READY=1");
    let successor = upgraded(&node);
    assert_eq!(told(), format!("MAINPID={}", successor.id()));
    assert!(node.process.end().success());
    successor.terminate();
    assert_eq!(told(), "STOPPING=1");
}

#[test]
fn a_program_that_cannot_start_changes_nothing() {
    let origin = Raw::saying("still there");
    let mut node = Node::serve(&origin.url());
    let api = Api::of(&node);
    let _agent = Agent::connect(&node, Kind { stock: false, protocol: "quic" });
    // One that is none, one whose configuration is wrong, and two that end when they have been given the state, and the agents.
    let late = pretender(&node, "late.sh", &[("prepared", "yours")]);
    let later = pretender(&node, "later.sh", &[("prepared", "yours"), ("ready", "agents")]);
    let wrong = || fs::write(node.file("poterne.toml"), "version = 1\n[edge]\nhtpp = []\n").unwrap();
    let refusals = [
        ("/nowhere/poterne", "/nowhere/poterne cannot be started"),
        ("/bin/false", "the new program ended before it was ready"),
        ("", "poterne.toml:3:1: unknown key \"htpp\""),
        (&late, "the new program ended before it was ready"),
        (&later, "the new program ended before it was ready"),
    ];
    under_load(&node, |seen| {
        for (program, expected) in refusals {
            let mut words = vec!["upgrade"];
            if program.is_empty() {
                wrong();
            } else {
                words.extend(["--program", program]);
            }
            let error = node.verb(&words).unwrap_err();
            assert!(error.contains(expected) && error.contains("the former program serves on"), "{error}");
            seen.more(5);
            // Control is there, by its verbs and by its API.
            assert!(node.verb(&["zone", "list"]).unwrap().contains("site.test"));
            assert_eq!(api.get("/accounts").unwrap().status, 200);
        }
    });
    eventually("agents are back", || node.connectors() == 1);
    assert!(node.metrics().contains("poterne_edge_requests_total"));
    node.process.terminate();
    assert!(node.process.end().success());
}
