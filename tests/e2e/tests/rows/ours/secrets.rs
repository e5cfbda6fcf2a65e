//! What is secret stays so: in no log, no error and no audit log, at whatever level a node logs.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poterne_e2e::{Agent, Api, Node, Raw, Setup, failures::OURS};
use serde_json::{Value, json};

/// Texts that must be found nowhere, each with what it is.
#[derive(Default)]
struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn add(&mut self, what: &str, text: &str) {
        assert!(text.len() >= 12, "{what} is too short to be looked for");
        self.0.push((what.to_owned(), text.to_owned()));
    }

    /// A tunnel's token is secret, and so is the secret within, in the spellings in which it might be shown.
    fn add_tunnel_token(&mut self, what: &str, token: &str) {
        self.add(what, token);
        let inside: Value = serde_json::from_slice(&STANDARD.decode(token).unwrap()).unwrap();
        let secret = inside["s"].as_str().unwrap();
        self.add(&format!("{what}, the secret"), secret);
        let bytes = STANDARD.decode(secret).unwrap();
        self.add(&format!("{what}, the secret in digits"), &bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.add(&format!("{what}, the secret in numbers"), &format!("{bytes:?}")[1..40]);
    }

    fn check(&self, place: &str, text: &str) {
        for (what, secret) in &self.0 {
            assert!(!text.contains(secret.as_str()), "{place} holds {what}");
        }
    }
}

#[test]
fn no_secret_is_told_in_logs_errors_or_the_trace() {
    let origin = Raw::saying("fine");
    let mut node = Node::serve_with(&origin.url(), Setup { log: Some("debug"), ..Setup::default() });
    let api = Api::of(&node);
    let mut secrets = Secrets::default();
    let mut errors = String::new();
    let mut refused = |told: &poterne_e2e::api::Told| {
        assert!(told.status >= 400, "{told:?}");
        errors += &format!("{}\n{}\n", told.head, told.body);
    };
    secrets.add("the administrator's token", api.fields[0].1.trim_start_matches("Bearer "));

    // Tokens of the API: made, shown wrongly, rolled, deleted.
    let groups = api.done("GET", "/user/tokens/permission_groups", &Value::Null);
    let group = groups.as_array().unwrap().iter().find(|group| group["name"] == "Account Settings Read").unwrap()["id"].clone();
    let policies = json!([{ "effect": "allow", "permission_groups": [{ "id": group }],
        "resources": { format!("com.cloudflare.api.account.{}", api.account): "*" } }]);
    for base in ["/user/tokens".to_owned(), format!("/accounts/{}/tokens", api.account)] {
        let made = api.done("POST", &base, &json!({ "name": "reader", "policies": policies }));
        let (id, first) = (made["id"].as_str().unwrap(), made["value"].as_str().unwrap());
        secrets.add("a token", first);
        assert_eq!(api.with_token(first).get("/accounts").unwrap().status, 200);
        refused(&api.with_token(first).ask("DELETE", &format!("/accounts/{}", api.account), &Value::Null).unwrap());
        let rolled = api.done("PUT", &format!("{base}/{id}/value"), &json!({}));
        secrets.add("a rolled token", rolled.as_str().unwrap());
        refused(&api.with_token(first).get("/accounts").unwrap());
        api.done("DELETE", &format!("{base}/{id}"), &Value::Null);
        refused(&api.with_token(rolled.as_str().unwrap()).get("/user/tokens/verify").unwrap());
    }
    for (what, fields) in [
        ("a guess", vec![("Authorization", "Bearer guessed-but-somebodys-elsewhere")]),
        ("a token in the wrong scheme", vec![("Authorization", "Basic d3JvbmctYnV0LXNlY3JldA==")]),
        ("a key", vec![("X-Auth-Email", "ada@example.com"), ("X-Auth-Key", "0123456789abcdef0123456789abcdef01234")]),
    ] {
        let secret = fields.last().unwrap().1.rsplit(' ').next().unwrap();
        secrets.add(what, secret);
        refused(&api.with_fields(&fields).get("/zones").unwrap());
    }

    // Tunnels: made with a secret of one's own, with a wrong one, in a body that is cut off; another secret; run.
    let tunnels = format!("/accounts/{}/cfd_tunnel", api.account);
    let own = STANDARD.encode([0xA7; 32]);
    let made = api.done("POST", &tunnels, &json!({ "name": "own", "tunnel_secret": own }));
    let tunnel = format!("{tunnels}/{}", made["id"].as_str().unwrap());
    secrets.add_tunnel_token("a tunnel's token", made["token"].as_str().unwrap());
    let next = STANDARD.encode([0x5C; 40]);
    api.done("PATCH", &tunnel, &json!({ "tunnel_secret": next }));
    secrets
        .add_tunnel_token("a tunnel's next token", api.done("GET", &format!("{tunnel}/token"), &Value::Null).as_str().unwrap());
    secrets.add("a wrong secret", "not-base64-but-secret!");
    refused(&api.ask("POST", &tunnels, &json!({ "name": "wrong", "tunnel_secret": "not-base64-but-secret!" })).unwrap());
    secrets.add("a secret that is a number", "918273645546372819");
    refused(&api.ask("POST", &tunnels, &json!({ "name": "wrong", "tunnel_secret": 918_273_645_546_372_819_u64 })).unwrap());
    secrets.add("a secret in a body cut off", "cut-off-but-secret");
    refused(&api.ask_text("POST", &tunnels, r#"{"name":"cut","tunnel_secret":"cut-off-but-secret"#).unwrap());
    secrets.add_tunnel_token("the node's tunnel's token", &node.token);
    secrets.add_tunnel_token("the same by its verb", node.verb(&["tunnel", "token", &node.tunnel]).unwrap().trim());
    let agent = Agent::connect(&node, OURS);
    assert_eq!(node.get("/").text(), "fine");
    let stale = Agent::run(&node, OURS, made["token"].as_str().unwrap());
    poterne_e2e::eventually("an agent with a former secret is refused", || node.log().contains("registration was refused"));
    let rules = json!([{ "hostname": node.hostname, "service": "http://user:pass-word-in-a-url@localhost:1" }, { "service": "http_status:404" }]);
    secrets.add("a password in a service's address", "pass-word-in-a-url");
    let told = api.ask("PUT", &format!("{tunnel}/configurations"), &json!({ "config": { "ingress": rules } })).unwrap();
    if told.status >= 400 {
        refused(&told);
    } else {
        // A configuration is told to whoever may read it: it is no secret of the node's. It is still none of its log's.
        secrets.0.pop();
        assert!(!node.log().contains("pass-word-in-a-url"));
    }

    // The verbs that make what is secret, and a backup, which holds all of it.
    let certificate = node.verb(&["cert", "site.test"]).unwrap();
    let inner: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
    let login: Value = serde_json::from_slice(&STANDARD.decode(inner).unwrap()).unwrap();
    secrets.add("a certificate's token", login["apiToken"].as_str().unwrap());
    let made: Value =
        serde_json::from_str(&node.verb(&["token", "create", "--name", "ci", "--permissions", "Zone Read", "--json"]).unwrap())
            .unwrap();
    secrets.add("a token of the operator's", made["secret"].as_str().unwrap());
    node.verb(&["backup", node.file("backup.tar").to_str().unwrap()]).unwrap();
    secrets.add("the node key", fs::read_to_string(node.file("state/node.key")).unwrap().split_whitespace().nth(1).unwrap());

    let words = [
        api.get(&format!("/accounts/{}/audit_logs?per_page=1000", api.account)).unwrap(),
        api.get(&format!("/accounts/{}/logs/audit?since=2020-01-01&before=2100-01-01&limit=1000", api.account)).unwrap(),
        api.get("/user/audit_logs?per_page=1000").unwrap(),
        api.get("/user/tokens").unwrap(),
        api.get(&tunnel).unwrap(),
    ];
    assert!(words[0].result().as_array().unwrap().len() > 5);
    for told in &words {
        secrets.check("an answer", &told.body.to_string());
    }
    secrets.check("an error", &errors);
    secrets.check("the agent's log", &agent.log());
    secrets.check("the log of an agent that was refused", &stale.log());
    drop((agent, stale));
    node.process.terminate();
    assert!(node.process.end().success());
    let log = node.log();
    assert!(log.contains("\"DEBUG\"") || log.contains("DEBUG"), "the log is one of debugging");
    secrets.check("the node's log", &log);
}
