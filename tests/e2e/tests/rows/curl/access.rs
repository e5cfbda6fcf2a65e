//! What is written of requests: the access log, and `poterne tail` of the node's own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use poterne_e2e::{Agent, Curl, Kind, Node, Raw, Running, Setup, eventually, process::program};
use serde_json::Value;

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
}

/// The line about this path, once it is there.
fn line_of(log: &Path, path: &str) -> Value {
    let mut found = None;
    eventually("the request is written", || {
        found = lines(log).into_iter().find(|line| line["path"] == path);
        found.is_some()
    });
    found.unwrap()
}

struct Scene {
    node: Node,
    log: PathBuf,
    _dir: tempfile::TempDir,
    _agent: Agent,
    _origin: Raw,
}

impl Scene {
    fn new(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("access.log");
        let origin = Raw::saying("twelve bytes");
        let mut settings = vec![format!("log.access={}", log.display())];
        settings.extend(more.split_whitespace().map(str::to_owned));
        let node = Node::serve_with(&origin.url(), Setup { settings, ..Setup::default() });
        let agent = Agent::connect(&node, Kind { stock: false, protocol: "quic" });
        Self { node, log, _dir: dir, _agent: agent, _origin: origin }
    }
}

#[test]
fn a_request_is_a_line_without_its_query() {
    let scene = Scene::new("");
    let node = &scene.node;
    let answer = Curl::https(node, &node.hostname, "/over/tls?token=secret").with(&["--include"]).run();
    assert_eq!(answer.status, 200);
    let line = line_of(&scene.log, "/over/tls");
    let ray = answer.text().lines().find_map(|line| line.strip_prefix("cf-ray: ").map(str::to_owned)).unwrap();
    assert_eq!(line["ray"], ray.trim());
    for (key, value) in [("visitor", "127.0.0.1"), ("method", "GET"), ("scheme", "https"), ("protocol", "HTTP/2")] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!((&line["host"], &line["tunnel"]), (&node.hostname.as_str().into(), &node.tunnel.as_str().into()));
    assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(200), Some(12)));
    assert!(line["zone"].is_string() && line["time"].as_str().unwrap().ends_with('Z') && line["duration_ms"].is_number());
    let ja4 = line["ja4"].as_str().unwrap();
    assert!(ja4.starts_with("t13d") && ja4.contains("h2_") && ja4.len() == 36, "{ja4}");
    assert!(!fs::read_to_string(&scene.log).unwrap().contains("secret"));

    // The same client is the same, and in clear there is none.
    assert_eq!(Curl::https(node, &node.hostname, "/again").run().status, 200);
    assert_eq!(line_of(&scene.log, "/again")["ja4"], ja4);
    assert_eq!(node.get("/in/clear").status, 200);
    let line = line_of(&scene.log, "/in/clear");
    assert!(line["ja4"].is_null() && line["protocol"] == "HTTP/1.1", "{line}");

    // What nobody serves is written too.
    assert_eq!(Curl::http(node, "nobody.test", "/nowhere").run().status, 409);
    let line = line_of(&scene.log, "/nowhere");
    assert!(line["status"] == 409 && line["zone"].is_null(), "{line}");

    // A rotated file is let go when the node is told.
    let rotated = scene.log.with_extension("1");
    fs::rename(&scene.log, &rotated).unwrap();
    node.verb(&["reload"]).unwrap();
    assert_eq!(node.get("/after").status, 200);
    line_of(&scene.log, "/after");
    assert!(lines(&rotated).iter().all(|line| line["path"] != "/after"));
}

#[test]
fn errors_are_written_whatever_the_share() {
    let scene = Scene::new("log.access_sample=0.0 log.access_query=true");
    let node = &scene.node;
    assert_eq!(node.get("/fine").status, 200);
    node.route(&node.hostname, "http://127.0.0.1:9");
    eventually("the service is gone", || node.get("/broken?why=1").status == 502);
    let line = line_of(&scene.log, "/broken");
    assert!(line["status"] == 502 && line["query"] == "why=1", "{line}");
    assert!(lines(&scene.log).iter().all(|line| line["path"] != "/fine"));
}

#[test]
fn requests_are_watched_by_what_they_are() {
    let scene = Scene::new("");
    let node = &scene.node;
    let watch = |name: &str, words: &[&str]| {
        let said = node.file(name);
        let mut command = program("POTERNE_BIN");
        command.args(["tail", "--state-dir", node.text("state_dir")]).args(words);
        let process = Running::start(command.stdout(File::create(&said).unwrap()));
        (process, said)
    };
    let all = watch("all.tail", &["--json"]);
    let some = watch("some.tail", &["--status", "4xx", "--method", "head,get", "--visitor", "127.0.0.0/8", "--host", "*.test"]);
    let none = watch("none.tail", &["--visitor", "192.0.2.1"]);
    let said = |path: &Path| fs::read_to_string(path).unwrap();
    eventually("both look on", || {
        assert_eq!(node.get("/seen?secret=1").status, 200);
        assert_eq!(Curl::http(node, "nobody.test", "/refused").run().status, 409);
        said(&all.1).contains("/seen") && said(&some.1).contains("/refused")
    });
    let line: Value = serde_json::from_str(said(&all.1).lines().find(|line| line.contains("/seen")).unwrap()).unwrap();
    assert!(line["status"] == 200 && line["bytes"] == 12, "{line}");
    assert!(
        said(&some.1).lines().all(|line| line.contains(" 409 GET http://nobody.test/refused HTTP/1.1 ")),
        "{}",
        said(&some.1)
    );
    assert_eq!(said(&none.1), "");
    assert!(!said(&all.1).contains("secret"));
}
