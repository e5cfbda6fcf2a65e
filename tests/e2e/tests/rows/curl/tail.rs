//! An agent's log, read from elsewhere while curl makes something to log: by `poterne tail` on the node's own machine.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use poterne_e2e::{Agent, Curl, Kind, Node, Raw, Running, Setup, eventually, process::program};
use serde_json::Value;

columns!(an_agents_log_is_read_on_the_node, an_agents_log_is_read_from_anywhere; ours alone: one_agent_of_two_is_meant);

/// A node under whose management hostname every resolver finds it.
pub(super) struct Scene {
    pub(super) node: Node,
    _origin: Raw,
}

impl Scene {
    pub(super) fn new() -> Self {
        let origin = Raw::saying("something to log");
        let settings = vec!["tunnel.management_hostname=localhost".to_owned()];
        let setup = Setup { settings, ..Setup::default() };
        Self { node: Node::serve_with(&origin.url(), setup), _origin: origin }
    }

    /// The stock agent cannot be told by its edge which hostname is meant.
    pub(super) fn agent(&self, kind: Kind) -> Agent {
        let flags: &[&str] = if kind.stock { &["--management-hostname", "localhost"] } else { &[] };
        Agent::connect_with(&self.node, kind, flags)
    }

    /// The management hostname as clients are given it.
    pub(super) fn hostname(&self) -> String {
        format!("localhost:{}", self.node.text("https").rsplit(':').next().unwrap())
    }
}

/// A client that reads a log into a file.
pub(super) struct Reader {
    _process: Running,
    said: PathBuf,
}

impl Reader {
    pub(super) fn start(node: &Node, mut command: Command) -> Self {
        let said = node.file("tail.log");
        let file = File::create(&said).unwrap();
        let errors = file.try_clone().unwrap();
        Self { _process: Running::start(command.stdout(file).stderr(errors)), said }
    }

    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Makes requests until one of them is told, as JSON.
    pub(super) fn sees_requests(&self, node: &Node) -> Value {
        let mut found = None;
        eventually("a request is told", || {
            assert_eq!(node.get("/seen?secret=1").status, 200);
            let said = self.said();
            found = said.lines().find(|line| line.contains("/seen")).map(|line| serde_json::from_str::<Value>(line).unwrap());
            found.is_some()
        });
        found.unwrap()
    }
}

/// `poterne tail TUNNEL --json …`
fn poterne_tail(node: &Node, more: &[&str]) -> Command {
    let mut command = program("POTERNE_BIN");
    command.args(["tail", &node.tunnel, "--json", "--state-dir", node.text("state_dir")]).args(more);
    command
}

fn an_agents_log_is_read_on_the_node(kind: Kind) {
    let scene = Scene::new();
    let nobody = poterne_tail(&scene.node, &[]).output().unwrap();
    let told = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && told.contains("no agent of this tunnel is connected"), "{told}");

    let _agent = scene.agent(kind);
    let reader = Reader::start(&scene.node, poterne_tail(&scene.node, &["--event", "http"]));
    let entry = reader.sees_requests(&scene.node);
    assert_eq!((&entry["event"], &entry["fields"]["connIndex"].is_u64()), (&"http".into(), &true), "{entry}");
    if !kind.stock {
        assert!(!reader.said().contains("secret"), "{}", reader.said());
    }
    assert!(!scene.node.log().contains("eyJ"), "no token is logged: {}", scene.node.log());

    // Someone who opens the edge's door in clear, or with no token, is told so.
    let get = |url: &str| Curl::https(&scene.node, "localhost", url).run();
    let refused = get("/logs");
    assert!(refused.status == 400 && refused.text().contains("1001"), "{refused:?}");
    let clear = Curl::http(&scene.node, "localhost", "/ping?access_token=x").run();
    assert!(clear.status == 403 && clear.text().contains("1008"), "{clear:?}");
}

/// `poterne-agent tail`, with a cert.pem.
fn an_agents_log_is_read_from_anywhere(kind: Kind) {
    let scene = Scene::new();
    let node = &scene.node;
    let certificate = node.file("cert.pem");
    fs::write(&certificate, node.verb(&["cert", "site.test"]).unwrap()).unwrap();
    let command = |words: &[&str]| {
        let mut command = program("POTERNE_AGENT_BIN");
        command.args(words).env("HOME", node.file("")).env("SSL_CERT_FILE", node.text("ca_file"));
        command.env("TUNNEL_API_URL", node.text("api")).env("TUNNEL_ORIGIN_CERT", &certificate);
        command
    };
    let _agent = scene.agent(kind);
    let reader = Reader::start(node, command(&["tail", "home", "--output", "json", "--event", "http"]));
    let entry = reader.sees_requests(node);
    assert_eq!(entry["event"], "http", "{entry}");
    drop(reader);

    let output = command(&["tail", "token", "home"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let token = told["token"].as_str().unwrap();
    // Alone it is enough: it says where it is taken.
    let reader = Reader::start(node, command(&["tail", "--token", token, "--output", "json"]));
    reader.sees_requests(node);
    drop(reader);
    let output = command(&["management", "token", "--resource", "host_details", "home"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let refused = command(&["tail", "--token", told["token"].as_str().unwrap()]).output().unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("another resource") && words.contains("HTTP 403"), "{words}");
}

fn one_agent_of_two_is_meant(kind: Kind) {
    let scene = Scene::new();
    let (_first, _second) = (scene.agent(kind), scene.agent(kind));
    let connectors = scene.node.info()["connectors"].as_array().unwrap().clone();
    let token = |resource: &str| {
        let told = scene.node.verb(&["token", "create", "--name", resource, "--permissions", "all", "--json"]).unwrap();
        serde_json::from_str::<Value>(&told).unwrap()["secret"].as_str().unwrap().to_owned()
    };
    let (api, tunnel) = (scene.node.text("api"), &scene.node.tunnel);
    let bearer = format!("Authorization: Bearer {}", token("admin"));
    let ask = |path: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--header", &bearer, "--request", "POST"])
            .arg(format!("{api}{path}"))
            .output();
        serde_json::from_slice::<Value>(&output.unwrap().stdout).unwrap()
    };
    let accounts = Command::new("curl").args(["--silent", "--header", &bearer]).arg(format!("{api}/accounts")).output().unwrap();
    let accounts: Value = serde_json::from_slice(&accounts.stdout).unwrap();
    let account = accounts["result"][0]["id"].as_str().unwrap();
    let granted = ask(&format!("/accounts/{account}/cfd_tunnel/{tunnel}/management/host_details"));
    let granted = granted["result"].as_str().unwrap_or_else(|| panic!("{granted}"));
    assert_eq!(connectors.len(), 2);
    for connector in &connectors {
        let id = connector["id"].as_str().unwrap();
        for _ in 0..3 {
            let path = format!("/host_details?access_token={granted}&connector_id={id}");
            let answer = Curl::https(&scene.node, "localhost", &path).run();
            let details: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
            assert_eq!(details["connector_id"], *id);
        }
    }
    let path = format!("/host_details?access_token={granted}&connector_id=4577e670-7d8a-4f6e-992f-f9785f6e2e9d");
    assert_eq!(Curl::https(&scene.node, "localhost", &path).run().status, 530);
}
