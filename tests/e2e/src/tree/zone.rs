//! A zone of the node's, through its API, and its life outside: what a registrar would see to, and a registry that reads CDS.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use super::{NEW, Tree, answer};
use crate::{Api, Node, eventually};

/// How often a look may be asked for, in seconds, and one more.
const LOOK_SECS: u64 = 301;

/// The zone.
pub struct Zone {
    /// The API of its node.
    pub api: Api,
    /// Its name.
    pub apex: String,
    /// Where the API has it.
    pub path: String,
    log: PathBuf,
}

impl Zone {
    /// Adds one; it waits for its delegation.
    pub fn add(node: &Node, apex: &str) -> Self {
        Self::add_of(node, apex, "full")
    }

    /// Adds one that keeps its own name servers; it waits for its proof there.
    pub fn add_partial(node: &Node, apex: &str) -> Self {
        Self::add_of(node, apex, "partial")
    }

    fn add_of(node: &Node, apex: &str, kind: &str) -> Self {
        let api = Api::of(node);
        let made = api.done("POST", "/zones", &json!({ "name": apex, "type": kind, "account": { "id": api.account } }));
        let path = format!("/zones/{}", made["id"].as_str().unwrap());
        Self { api, apex: apex.to_owned(), path, log: node.file("node.log") }
    }

    /// Makes a record.
    pub fn record(&self, kind: &str, name: &str, content: &str, is_proxied: bool) -> Value {
        let mut body = json!({ "type": kind, "name": name, "content": content, "ttl": 300 });
        if matches!(kind, "A" | "AAAA" | "CNAME") {
            body["proxied"] = Value::Bool(is_proxied);
            body["ttl"] = json!(if is_proxied { 1 } else { 300 });
        }
        if let ("MX", Some((priority, host))) = (kind, content.split_once(' ')) {
            body["priority"] = priority.parse::<u16>().unwrap().into();
            body["content"] = host.into();
        }
        self.api.done("POST", &format!("{}/dns_records", self.path), &body)
    }

    /// What the API says of it.
    pub fn shown(&self) -> Value {
        self.api.get(&self.path).unwrap().result().clone()
    }

    /// Its status.
    pub fn status(&self) -> String {
        self.shown()["status"].as_str().unwrap().to_owned()
    }

    /// Some minutes pass, the node is asked to look at its delegation, and has looked.
    pub fn look(&self, tree: &Tree) {
        let looks = || {
            let zone = format!("\"zone\":\"{}\"", self.apex);
            let log = fs::read_to_string(&self.log).unwrap();
            log.lines().filter(|line| line.contains("looked at a zone's delegation") && line.contains(&zone)).count()
        };
        tree.clock.put_forward(LOOK_SECS);
        let before = looks();
        self.api.done("PUT", &format!("{}/activation_check", self.path), &Value::Null);
        eventually("the node has looked at the zone's delegation", || looks() > before);
    }

    /// The registrar names the node's name servers, and the node sees it.
    pub fn come(&self, tree: &Tree) {
        tree.delegate(&self.apex, &[NEW[0].name, NEW[1].name], &[]);
        self.look(tree);
        assert_eq!(self.status(), "active");
    }

    /// Has it signed; its DS record, as tag, algorithm, type and digest.
    pub fn sign(&self, algorithm: &str) -> String {
        let body = json!({ "status": "active", "algorithm": algorithm });
        let told = self.api.done("PATCH", &format!("{}/dnssec", self.path), &body);
        assert_eq!((&told["status"], &told["algorithm"]), (&json!("pending"), &json!(algorithm)), "{told}");
        told["ds"].as_str().unwrap().split_once(" DS ").unwrap().1.to_owned()
    }

    /// How it is signed.
    pub fn dnssec(&self) -> Value {
        self.api.get(&format!("{}/dnssec", self.path)).unwrap().result().clone()
    }

    /// The registrar has this DS, and the node sees it.
    pub fn secure(&self, tree: &Tree, ds: &str) {
        tree.set_ds(&self.apex, &[ds.to_owned()]);
        self.look(tree);
        assert_eq!(self.dnssec()["status"], "active");
    }

    /// The DS records that the zone asks its parent for (CDS, RFC 7344); none where it asks for none (RFC 8078).
    pub fn wanted_ds(&self) -> Vec<String> {
        let all = answer(NEW[0].v4, &self.apex, "CDS");
        all.into_iter().map(|data| packed(&data, 3)).filter(|data| data != "0 0 0 00").collect()
    }

    /// The registry does as the zone asks, and the node sees it.
    pub fn follow(&self, tree: &Tree) {
        tree.set_ds(&self.apex, &self.wanted_ds());
        self.look(tree);
    }

    /// Its DNSKEY records: flags, protocol, algorithm and key.
    pub fn keys(&self) -> Vec<String> {
        answer(NEW[0].v4, &self.apex, "DNSKEY").into_iter().map(|data| packed(&data, 3)).collect()
    }
}

/// `dig` breaks long data after so many fields; here it is one again.
fn packed(data: &str, fields: usize) -> String {
    let words: Vec<&str> = data.split_whitespace().collect();
    format!("{} {}", words[..fields].join(" "), words[fields..].concat())
}
