//! What Terraform's stock provider sends (5.16), and what it compares of the answers with what its user has written down.
//!
//! `tests/e2e` runs the program itself where somebody has it; this runs everywhere. A member that the user has set and that comes back
//! otherwise is a plan that never ends, and so is one that the user has not set and that comes back set: so each answer is compared,
//! member by member, with what was sent.

use serde_json::{Map, Value, json};

use super::{Client, client};

/// What is read of a resource is what was written: the members that were sent come back as they were, and these others are null, absent
/// or empty.
fn reads_back(read: &Value, sent: &Value, unset: &[&str]) {
    fn contains(read: &Value, sent: &Value, place: &str) {
        match (read, sent) {
            (Value::Object(read), Value::Object(sent)) => {
                for (name, value) in sent {
                    contains(read.get(name).unwrap_or(&Value::Null), value, &format!("{place}/{name}"));
                }
            }
            (Value::Array(read), Value::Array(sent)) if read.len() == sent.len() => {
                for (number, (read, sent)) in read.iter().zip(sent).enumerate() {
                    contains(read, sent, &format!("{place}/{number}"));
                }
            }
            // Numbers are numbers of one kind there.
            (read, sent) => {
                assert!(read == sent || read.as_f64().is_some_and(|n| Some(n) == sent.as_f64()), "{place}: {read}, not {sent}")
            }
        }
    }
    contains(read, sent, "");
    for name in unset {
        let value = &read[*name];
        let is_empty = value.is_null() || value == &json!([]) || value == &json!({}) || value == &json!("");
        assert!(is_empty, "{name} was not set and reads {value}");
    }
}

/// One resource: made, read, changed, read, deleted, gone.
struct Resource<'a> {
    client: &'a Client,
    /// Where it is made.
    all: String,
    /// Where it is, without the id.
    one: String,
    /// PUT or PATCH.
    change: &'static str,
    /// Members that the user leaves out.
    unset: &'static [&'static str],
}

impl Resource<'_> {
    async fn lives(&self, made: Value, changed: Value) {
        let id = self.made(&made).await;
        let path = format!("{}/{id}", self.one);
        let told = self.client.ask(self.change, &path, changed.clone()).await;
        reads_back(told.result(), &changed, &[]);
        let now = if self.change == "PATCH" { merged(made, changed) } else { changed };
        reads_back(self.client.get(&path).await.result(), &now, self.unset);
        self.gone(&path).await;
        assert_eq!(self.client.get(&path).await.status, 404, "only then it is forgotten: {path}");
    }

    async fn made(&self, body: &Value) -> String {
        let told = self.client.ask("POST", &self.all, body.clone()).await;
        let made = told.result().clone();
        let id = made["id"].as_str().unwrap().to_owned();
        let sent = without_secrets(body);
        reads_back(&made, &sent, &[]);
        reads_back(self.client.get(&format!("{}/{id}", self.one)).await.result(), &sent, self.unset);
        id
    }

    async fn gone(&self, path: &str) {
        let told = self.client.ask("DELETE", path, Value::Null).await;
        assert!(matches!(told.status, 200 | 204), "{}", told.body);
    }
}

fn merged(mut into: Value, from: Value) -> Value {
    let members: Map<String, Value> = from.as_object().unwrap().clone();
    into.as_object_mut().unwrap().extend(members);
    into
}

/// What is written and never read.
fn without_secrets(body: &Value) -> Value {
    let mut kept = body.clone();
    kept.as_object_mut().unwrap().retain(|name, _| !["tunnel_secret", "secret"].contains(&name.as_str()));
    kept
}

#[tokio::test]
async fn zones_and_records_of_every_kind_of_value() {
    let client = client().await;
    let made = json!({ "account": { "id": client.account }, "name": "terraform.test", "paused": false, "type": "full" });
    let zones = Resource {
        client: &client,
        all: "/zones".into(),
        one: "/zones".into(),
        change: "PATCH",
        unset: &["vanity_name_servers"],
    };
    let zone = zones.made(&made).await;
    let zone = format!("/zones/{zone}");
    reads_back(
        client.ask("PATCH", &zone, json!({ "paused": true })).await.result(),
        &json!({ "paused": true, "type": "full" }),
        &[],
    );
    // The data source looks a zone up by its name.
    assert_eq!(
        client.get("/zones?direction=desc&match=all&name=terraform.test&order=status").await.result()[0]["name"],
        "terraform.test"
    );

    let unset: &[&str] = &["comment", "tags", "data", "priority", "settings"];
    let content = |kind: &str, content: &str| json!({ "name": "a.terraform.test", "type": kind, "content": content, "ttl": 300, "proxied": false });
    let data =
        |kind: &str, data: Value| json!({ "name": "a.terraform.test", "type": kind, "data": data, "ttl": 600, "proxied": false });
    let records = |unset| Resource {
        client: &client,
        all: format!("{zone}/dns_records"),
        one: format!("{zone}/dns_records"),
        change: "PUT",
        unset,
    };
    for (made, changed, unset) in [
        (content("A", "192.0.2.1"), content("A", "192.0.2.2"), unset),
        (content("AAAA", "2001:db8::1"), content("AAAA", "2001:db8::2"), unset),
        (content("CNAME", "b.example.org"), content("CNAME", "c.example.org"), unset),
        (content("TXT", "v=spf1 -all"), content("TXT", "\"quoted; text\""), unset),
        (content("NS", "ns1.example.org"), content("NS", "ns2.example.org"), unset),
        (
            merged(content("A", "192.0.2.1"), json!({ "comment": "one", "tags": ["owner:web"], "proxied": true, "ttl": 1 })),
            merged(
                content("A", "192.0.2.1"),
                json!({ "comment": "two", "tags": ["owner:web", "team:net"], "settings": { "ipv4_only": true }, "proxied": true, "ttl": 1 }),
            ),
            &["data", "priority"],
        ),
        (
            merged(content("MX", "mx1.example.org"), json!({ "priority": 10 })),
            merged(content("MX", "mx1.example.org"), json!({ "priority": 20 })),
            &["comment", "tags", "data", "settings"],
        ),
        (
            merged(
                data("SRV", json!({ "priority": 1, "weight": 5, "port": 5060, "target": "sip.example.org" })),
                json!({ "priority": 1 }),
            ),
            merged(
                data("SRV", json!({ "priority": 1, "weight": 6, "port": 5060, "target": "sip.example.org" })),
                json!({ "priority": 1 }),
            ),
            &["comment", "tags", "settings"],
        ),
        (
            data("CAA", json!({ "flags": 0, "tag": "issue", "value": "ca.example" })),
            data("CAA", json!({ "flags": 0, "tag": "issue", "value": "other.example" })),
            &["comment", "tags", "priority", "settings"],
        ),
        (
            data("HTTPS", json!({ "priority": 1, "target": ".", "value": "alpn=\"h3,h2\"" })),
            data("HTTPS", json!({ "priority": 2, "target": ".", "value": "alpn=\"h3,h2\"" })),
            &["comment", "tags", "settings"],
        ),
    ] {
        records(unset).lives(made, changed).await;
    }
    // Relative names and @ come back whole; it knows them by the zone's name.
    for (written, name) in [("@", "terraform.test"), ("relative", "relative.terraform.test")] {
        let told = client
            .ask(
                "POST",
                &format!("{zone}/dns_records"),
                json!({ "name": written, "type": "A", "content": "192.0.2.1", "ttl": 1 }),
            )
            .await;
        assert_eq!(told.result()["name"], name);
    }
}

#[tokio::test]
async fn settings_of_a_zone() {
    let client = client().await;
    let zone = client.zone("terraform.test").await;
    let header = json!({ "enabled": true, "include_subdomains": true, "max_age": 86400, "nosniff": true, "preload": false });
    for (setting, value) in [
        ("always_use_https", json!("on")),
        ("min_tls_version", json!("1.3")),
        ("browser_cache_ttl", json!(3600)),
        ("ciphers", json!(["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])),
        ("security_header", json!({ "strict_transport_security": header.clone() })),
    ] {
        let (path, sent) = (format!("{zone}/settings/{setting}"), json!({ "value": value }));
        let told = client.ask("PATCH", &path, sent.clone()).await;
        reads_back(told.result(), &sent, &["time_remaining"]);
        assert_eq!(told.result()["value"], value, "no member more");
        assert_eq!(client.get(&path).await.result()["value"], value);
    }
    // Of an object it sends the members that were changed.
    let part = json!({ "value": { "strict_transport_security": { "include_subdomains": false } } });
    let path = format!("{zone}/settings/security_header");
    client.ask("PATCH", &path, part).await.result();
    let header = merged(header, json!({ "include_subdomains": false }));
    assert_eq!(client.get(&path).await.result()["value"], json!({ "strict_transport_security": header }));
    let soa = json!({ "expire": 604_800, "min_ttl": 1800, "refresh": 10000, "retry": 2400, "rname": "hostmaster.terraform.test", "ttl": 3600 });
    for (method, path, sent) in [
        ("PATCH", "dns_settings", json!({ "flatten_all_cnames": false, "soa": soa })),
        ("PUT", "url_normalization", json!({ "scope": "incoming", "type": "rfc3986" })),
        ("PATCH", "dnssec", json!({ "status": "active" })),
    ] {
        let path = format!("{zone}/{path}");
        let told = client.ask(method, &path, sent.clone()).await;
        assert_eq!(told.status, 200, "{path}: {}", told.body);
        let read = client.get(&path).await;
        // A zone that nobody delegated here is signed and waits for its DS.
        if path.ends_with("dnssec") {
            assert!(matches!(read.result()["status"].as_str(), Some("active" | "pending")), "{}", read.body);
        } else {
            reads_back(read.result(), &sent, &[]);
        }
    }
}

#[tokio::test]
async fn tunnels_their_configuration_and_private_networks() {
    let client = client().await;
    let account = format!("/accounts/{}", client.account);
    let resource = |all: &str, unset| Resource {
        client: &client,
        all: format!("{account}/{all}"),
        one: format!("{account}/{all}"),
        change: "PATCH",
        unset,
    };
    let tunnels = resource("cfd_tunnel", &[]);
    let secret = "AQIDBAUGBwgBAgMEBQYHCAECAwQFBgcIAQIDBAUGBwg=";
    let made = json!({ "config_src": "cloudflare", "name": "home", "tunnel_secret": secret });
    let tunnel = tunnels.made(&made).await;
    let path = format!("{account}/cfd_tunnel/{tunnel}");
    reads_back(
        client.ask("PATCH", &path, json!({ "name": "home, renamed" })).await.result(),
        &json!({ "name": "home, renamed" }),
        &[],
    );
    let config = json!({ "config": {
        "ingress": [
            { "hostname": "app.terraform.test", "originRequest": { "connectTimeout": 10, "noTLSVerify": true }, "service": "http://127.0.0.1:8080" },
            { "hostname": "other.terraform.test", "path": "^/api", "service": "http_status:204" },
            { "service": "http_status:404" },
        ],
        "originRequest": { "httpHostHeader": "app.internal", "keepAliveConnections": 50 },
    } });
    let put = client.ask("PUT", &format!("{path}/configurations"), config.clone()).await;
    reads_back(put.result(), &config, &[]);
    let read = client.get(&format!("{path}/configurations")).await;
    assert_eq!(read.result()["config"]["ingress"], config["config"]["ingress"], "no member more");
    reads_back(read.result(), &config, &[]);
    assert_eq!(read.result()["source"], "cloudflare");

    let networks = resource("teamnet/virtual_networks", &[]);
    let network = networks.made(&json!({ "comment": "a lab", "name": "lab" })).await;
    let route =
        json!({ "comment": "behind home", "network": "10.44.0.0/16", "tunnel_id": tunnel, "virtual_network_id": network });
    let routes = resource("teamnet/routes", &[]);
    let id = routes.made(&route).await;
    let route = format!("{account}/teamnet/routes/{id}");
    let changed = json!({ "comment": "behind home, still" });
    reads_back(client.ask("PATCH", &route, changed.clone()).await.result(), &changed, &["deleted_at"]);
    reads_back(client.get(&route).await.result(), &merged(changed, json!({ "network": "10.44.0.0/16" })), &["deleted_at"]);
    routes.gone(&route).await;
    networks.gone(&format!("{account}/teamnet/virtual_networks/{network}")).await;
    // What was deleted is told of still, with a date.
    client.ask("DELETE", &path, Value::Null).await.result();
    for path in [path, route] {
        assert!(client.get(&path).await.body["result"]["deleted_at"].is_string(), "{path}");
    }
}

#[tokio::test]
async fn rulesets_lists_and_access_rules() {
    let client = client().await;
    let zone = client.zone("terraform.test").await;
    let rule = |reference: &str, action: &str, expression: &str| json!({ "action": action, "description": "", "enabled": true, "expression": expression, "ref": reference });
    let ruleset = |rules: Value| json!({ "description": "", "kind": "zone", "name": "firewall", "phase": "http_request_firewall_custom", "rules": rules });
    let mut skips = rule("offices", "skip", "ip.src eq 192.0.2.1");
    (skips["action_parameters"], skips["logging"]) = (json!({ "ruleset": "current" }), json!({ "enabled": true }));
    let rulesets =
        Resource { client: &client, all: format!("{zone}/rulesets"), one: format!("{zone}/rulesets"), change: "PUT", unset: &[] };
    rulesets
        .lives(ruleset(json!([skips, rule("admin", "block", "true")])), ruleset(json!([rule("admin", "block", "false"), skips])))
        .await;
    let mut limit = rule("login", "block", "true");
    limit["ratelimit"] = json!({
        "characteristics": ["cf.colo.id", "ip.src"], "mitigation_timeout": 600, "period": 60, "requests_per_period": 10, "requests_to_origin": false,
    });
    let of_phase =
        |phase: &str, rules: Value| json!({ "description": "", "kind": "zone", "name": phase, "phase": phase, "rules": rules });
    rulesets.made(&of_phase("http_ratelimit", json!([limit]))).await;

    let lists = format!("/accounts/{}/rules/lists", client.account);
    let made = client.ask("POST", &lists, json!({ "description": "", "kind": "ip", "name": "offices" })).await;
    let list = format!("{lists}/{}", made.result()["id"].as_str().unwrap());
    // It writes a description always, and takes an empty one that is told for one that nobody wrote down.
    assert!(client.get(&list).await.result().get("description").is_none());
    let operation = client
        .ask("PUT", &format!("{list}/items"), json!([{ "comment": "one", "ip": "192.0.2.0/24" }, { "ip": "2001:db8::/32" }]))
        .await;
    let operation = format!("{lists}/bulk_operations/{}", operation.result()["operation_id"].as_str().unwrap());
    assert_eq!(client.get(&operation).await.result()["status"], "completed");
    let items = client.get(&format!("{list}/items?per_page=500&search=")).await;
    let mut items = items.result().as_array().unwrap().clone();
    items.sort_by_key(|item| item["ip"].to_string());
    reads_back(&items[0], &json!({ "comment": "one", "ip": "192.0.2.0/24" }), &["asn", "hostname", "redirect"]);
    reads_back(&items[1], &json!({ "ip": "2001:db8::/32" }), &["comment", "asn", "hostname", "redirect"]);
    // An item by itself is looked for after it was added.
    client.ask("POST", &format!("{list}/items"), json!([{ "ip": "203.0.113.8" }])).await.result();
    let found = client.get(&format!("{list}/items?search=203.0.113.8")).await.result()[0].clone();
    let item = client.get(&format!("{list}/items/{}", found["id"].as_str().unwrap())).await;
    reads_back(item.result(), &json!({ "ip": "203.0.113.8" }), &["comment"]);
    client.ask("DELETE", &format!("{list}/items"), json!({ "items": [{ "id": found["id"] }] })).await.result();

    let rules = format!("{zone}/firewall/access_rules/rules");
    let access = Resource { client: &client, all: rules.clone(), one: rules, change: "PATCH", unset: &[] };
    let rule =
        json!({ "configuration": { "target": "ip", "value": "198.51.100.4" }, "mode": "block", "notes": "noticed <here>" });
    access.lives(rule, json!({ "mode": "challenge" })).await;
}

#[tokio::test]
async fn tokens_come_back_in_the_order_and_with_the_text_that_they_were_written_in() {
    let client = client().await;
    let zone = client.zone("terraform.test").await;
    let zone = zone.trim_start_matches("/zones/");
    // The data source sends the name as it stands in the configuration, which may be encoded there already.
    let group = async |query: &str| {
        let found = client.get(&format!("/user/tokens/permission_groups?{query}")).await;
        assert_eq!(found.result().as_array().unwrap().len(), 1, "{query}");
        found.result()[0]["id"].clone()
    };
    let second = group("name=Zone%20Read").await;
    let group = group("name=DNS%2520Write&scope=com.cloudflare.api.account.zone").await;
    let token = |name: &str| {
        json!({
            "condition": { "request_ip": { "in": ["127.0.0.0/8"], "not_in": ["127.0.0.9/32"] } },
            // Of instants it compares what they mean, not how they are written.
            "expires_on": "2099-01-01T00:00:00.000000Z",
            "name": name,
            "policies": [
                { "effect": "allow", "permission_groups": [{ "id": group }, { "id": second }], "resources": { format!("com.cloudflare.api.account.zone.{zone}"): "*" } },
                { "effect": "deny", "permission_groups": [{ "id": second }], "resources": { "com.cloudflare.api.account.zone.*": "*" } },
            ],
        })
    };
    for base in ["/user/tokens".to_owned(), format!("/accounts/{}/tokens", client.account)] {
        let tokens = Resource { client: &client, all: base.clone(), one: base.clone(), change: "PUT", unset: &["not_before"] };
        let id = tokens.made(&token("dns")).await;
        let path = format!("{base}/{id}");
        // It compares the text of `resources`, as HCL's jsonencode writes it: names in order, no space.
        let raw = client.get(&path).await.result()["policies"][0]["resources"].to_string();
        assert_eq!(raw, format!("{{\"com.cloudflare.api.account.zone.{zone}\":\"*\"}}"));
        let told = client.ask("PUT", &path, merged(token("renamed"), json!({ "status": "active" }))).await;
        reads_back(told.result(), &token("renamed"), &[]);
        tokens.gone(&path).await;
    }
}

#[tokio::test]
async fn a_notification_policy_is_told_with_the_ways_that_were_written() {
    let client = client().await;
    let base = format!("/accounts/{}/alerting/v3", client.account);
    let hook = json!({ "name": "pager", "secret": "a-secret-of-some-length", "url": "https://hooks.example.org/x" });
    let hook = client.ask("POST", &format!("{base}/destinations/webhooks"), hook).await.result()["id"].clone();
    let mechanisms = json!({ "webhooks": [{ "id": hook }] });
    let policy = json!({ "alert_type": "tunnel_health_event", "enabled": true, "mechanisms": mechanisms, "name": "tunnels" });
    let made = client.ask("POST", &format!("{base}/policies"), policy).await;
    let told = client.get(&format!("{base}/policies/{}", made.result()["id"].as_str().unwrap())).await;
    assert_eq!(told.result()["mechanisms"], mechanisms, "no way more: an empty one is not one that was left out");
    assert!(["filters", "description"].iter().all(|unset| told.result().get(unset).is_none()), "{}", told.body);
}
