//! The stock agent's own commands against the node's API, and what curl is then told there.
//!
//! They find the API by `TUNNEL_API_URL` and the right to use it by a `cert.pem`.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poterne_e2e::{Agent, Curl, Kind, Node, Raw, eventually, process::program};
use serde_json::{Value, json};

const OURS: Kind = Kind { stock: false, protocol: "quic" };
const STOCK: Kind = Kind { stock: true, protocol: "quic" };

/// A node, and the stock agent's user.
struct User {
    node: Node,
    certificate: PathBuf,
}

impl User {
    fn new() -> Self {
        let node = Node::demo();
        let login = json!({
            "zoneID": node.text("zone_id"), "accountID": node.text("account_id"), "apiToken": node.text("api_token"),
        });
        let text = STANDARD.encode(login.to_string());
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        let certificate = node.file("cert.pem");
        let label = "ARGO TUNNEL TOKEN";
        fs::write(&certificate, format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))).unwrap();
        Self { node, certificate }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program("CLOUDFLARED_BIN");
        command.arg("tunnel").args(words).env("HOME", self.node.file("")).env("NO_AUTOUPDATE", "true");
        command.env("TUNNEL_API_URL", self.node.text("api")).env("TUNNEL_ORIGIN_CERT", &self.certificate);
        command
    }

    /// `cloudflared tunnel WORDS` ends well: all that it said.
    fn tunnel(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        said(&output)
    }

    /// It ends badly: all that it said.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
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

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn create_list_info_token_delete() {
    let user = User::new();
    let id = user.create("web");
    let file = user.node.file(&format!("{id}.json"));
    let credentials: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(credentials["TunnelID"], *id);
    assert_eq!(credentials["AccountTag"], user.node.text("account_id"));
    let made = user.account(&format!("/cfd_tunnel/{id}"));
    assert_eq!((&made["name"], &made["config_src"], &made["status"]), (&json!("web"), &json!("local"), &json!("inactive")));
    assert!(user.refused(&["create", "web"]).contains("tunnel with name already exists"));

    let listed = user.tunnel(&["list"]);
    assert!(listed.contains(&format!("{id} web")) && listed.contains(&format!("{} demo", user.node.tunnel)), "{listed}");
    let names = |words: &[&str]| {
        let listed: Value = serde_json::from_str(&user.tunnel(&[&["list", "--output", "json"], words].concat())).unwrap();
        listed.as_array().unwrap().iter().map(|tunnel| tunnel["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["demo", "web"]);
    assert_eq!(names(&["--name", "web"]), ["web"]);
    assert_eq!(names(&["--name-prefix", "we", "--exclude-name-prefix", "de"]), ["web"]);
    assert_eq!(names(&["--id", &user.node.tunnel]), ["demo"]);
    assert!(user.tunnel(&["info", "web"]).contains(&format!("{id} does not have any active connection")));

    let token: Value = serde_json::from_slice(&STANDARD.decode(user.tunnel(&["token", "web"]).trim()).unwrap()).unwrap();
    assert_eq!((&token["t"], &token["s"]), (&json!(id), &credentials["TunnelSecret"]));

    user.tunnel(&["delete", "web"]);
    assert!(!file.exists(), "its credentials go with it");
    assert!(user.account(&format!("/cfd_tunnel/{id}"))["deleted_at"].is_string());
    assert_eq!(names(&[]), ["demo"]);
    assert_eq!(names(&["--show-deleted"]), ["demo", "web"]);
    assert!(user.refused(&["info", "web"]).contains("neither the ID nor the name of any of your tunnels"));
    assert!(user.refused(&["delete", "web"]).contains("only be 1 non-deleted Tunnel named web"));
}

#[test]
fn info_cleanup_and_delete_of_a_tunnel_that_runs() {
    let user = User::new();
    let agent = Agent::connect(&user.node, OURS);
    let connections = format!("/cfd_tunnel/{}/connections", user.node.tunnel);
    let connectors = || user.account(&connections).as_array().unwrap().clone();
    let before = connectors();
    assert_eq!(before.len(), 1);
    let id = before[0]["id"].as_str().unwrap();
    let info = user.tunnel(&["info", "demo"]);
    let row = info.lines().find(|line| line.starts_with(id)).unwrap_or_else(|| panic!("{info}"));
    assert!(row.contains("127.0.0.1") && row.contains(before[0]["version"].as_str().unwrap()), "{row}");
    let location = before[0]["conns"][0]["colo_name"].as_str().unwrap();
    assert!(row.contains(&format!("4x{location}")), "{row}");
    assert!(user.tunnel(&["list"]).contains(&format!("4x{location}")));

    assert!(!user.refused(&["delete", "demo"]).is_empty());
    assert_eq!(user.node.get("/").status, 200, "it was not deleted");

    let ids = |connectors: &[Value]| {
        let connections = connectors.iter().flat_map(|connector| connector["conns"].as_array().unwrap());
        connections.map(|connection| connection["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let old = ids(&before);
    let told = user.tunnel(&["cleanup", "demo"]);
    assert!(!told.contains("Error"), "{told}");
    // The agent comes back by itself.
    eventually("all connections are new", || {
        let new = ids(&connectors());
        new.len() == 4 && !new.iter().any(|id| old.contains(id))
    });

    user.tunnel(&["delete", "--force", "demo"]);
    assert!(user.account(&format!("/cfd_tunnel/{}", user.node.tunnel))["deleted_at"].is_string());
    eventually("its connections end", || connectors().is_empty());
    eventually("the agent is refused, and says so", || agent.log().contains("Unauthorized"));
}

#[test]
fn route_dns_and_run() {
    let user = User::new();
    let origin = Raw::saying("by its own commands");
    let (web, other) = (user.create("web"), user.create("other"));
    let hostname = "app.poterne.localhost";
    let content = || {
        let found = user.records(hostname);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["type"], &found[0]["proxied"]), (&json!("CNAME"), &json!(true)));
        found[0]["content"].as_str().unwrap().to_owned()
    };
    let told = user.tunnel(&["route", "dns", "web", hostname]);
    assert!(told.contains(&format!("Added CNAME {hostname} which will route to this tunnel")), "{told}");
    assert_eq!(content(), format!("{web}.cfargotunnel.com"));
    let told = user.tunnel(&["route", "dns", "web", hostname]);
    assert!(told.contains(&format!("{hostname} is already configured to route to your tunnel")), "{told}");
    let told = user.refused(&["route", "dns", "other", hostname]);
    assert!(told.contains("1003") && told.contains("already exists"), "{told}");
    assert_eq!(content(), format!("{web}.cfargotunnel.com"));
    let told = user.tunnel(&["route", "dns", "--overwrite-dns", "other", hostname]);
    assert!(told.contains(&format!("{hostname} updated to route to your tunnel")), "{told}");
    assert_eq!(content(), format!("{other}.cfargotunnel.com"));
    // As the hosted service does.
    let told = user.tunnel(&["route", "dns", "web", "elsewhere.test"]);
    assert!(told.contains("Added CNAME elsewhere.test.poterne.localhost"), "{told}");

    let get = || Curl::http(&user.node, hostname, "/").run();
    assert!(get().is_error(530, 1033), "{:?}", get());
    let file = user.node.file(&format!("{other}.json"));
    let _agent = Agent::run_local(&user.node, STOCK, &other, &file, &origin.url());
    eventually("its credentials let it in", || !get().is_error(530, 1033));
    assert_eq!(get().text(), "by its own commands");
}
