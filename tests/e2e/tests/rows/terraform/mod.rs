//! Terraform (`TERRAFORM_BIN`) with the stock provider (`TERRAFORM_PROVIDER_DIR`: what `terraform providers mirror` leaves).
//!
//! What a user does with a configuration, and what they look for: the second plan has nothing to do. That is a sharp question, since
//! the provider compares whatever it reads back with what was written down, member by member. Each configuration here is applied,
//! changed, applied again and destroyed.

use std::{env, fs, path::PathBuf, process::Output};

use poterne_e2e::{Api, Node, process::program};
use serde_json::{Value, json};

const COMMON: &str = include_str!("common.tf");

/// A directory with a configuration, and the node that it is of.
struct Terraform {
    node: Node,
    api: Api,
    dir: PathBuf,
}

impl Terraform {
    /// Initialised.
    fn new(configuration: &str) -> Self {
        let node = Node::demo();
        let (api, dir) = (Api::of(&node), node.file("configuration"));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("common.tf"), COMMON).unwrap();
        let terraform = Self { node, api, dir };
        terraform.write(configuration);
        terraform.run(&["init"]);
        terraform
    }

    fn write(&self, configuration: &str) {
        fs::write(self.dir.join("main.tf"), configuration).unwrap();
    }

    /// `terraform WORDS`, with nothing of the user's own to be found and the provider from nowhere but the directory that was named.
    fn output(&self, words: &[&str], later: bool) -> Output {
        let providers = env::var("TERRAFORM_PROVIDER_DIR").expect("TERRAFORM_PROVIDER_DIR is set");
        let settings = self.node.file("terraform.rc");
        let mirror = format!("provider_installation {{\n  filesystem_mirror {{\n    path = {}\n  }}\n}}\n", json!(providers));
        fs::write(&settings, format!("disable_checkpoint = true\n{mirror}")).unwrap();
        let mut command = program("TERRAFORM_BIN");
        for (name, _) in env::vars_os() {
            if ["TF_", "CLOUDFLARE_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.current_dir(&self.dir).args(words).env("HOME", self.node.file("")).env("TF_CLI_CONFIG_FILE", settings);
        command.env("TF_IN_AUTOMATION", "true").env("TF_INPUT", "false").env("TF_CLI_ARGS", "-no-color");
        command.env("CLOUDFLARE_BASE_URL", self.node.text("api")).env("CLOUDFLARE_API_TOKEN", self.node.text("api_token"));
        command.env("TF_VAR_account", &self.api.account).env("TF_VAR_later", later.to_string());
        command.output().unwrap()
    }

    /// It ends well: what it printed.
    fn run(&self, words: &[&str]) -> String {
        self.run_as(words, false)
    }

    fn run_as(&self, words: &[&str], later: bool) -> String {
        let output = self.output(words, later);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether there is anything to do, and the plan in words.
    fn plan(&self, later: bool) -> (bool, String) {
        let output = self.output(&["plan", "-detailed-exitcode"], later);
        match output.status.code() {
            Some(0) => (false, said(&output)),
            Some(2) => (true, said(&output)),
            _ => panic!("plan: {}", said(&output)),
        }
    }

    /// There is something to do; it is done; then there is nothing to do.
    fn apply(&self, later: bool) {
        assert!(self.plan(later).0, "something is to be done");
        self.run_as(&["apply", "-auto-approve"], later);
        let (something, plan) = self.plan(later);
        assert!(!something, "a second run has nothing to do: {plan}");
    }

    fn destroy(&self) {
        self.run_as(&["destroy", "-auto-approve"], true);
    }

    /// An output of the configuration.
    fn value(&self, name: &str) -> Value {
        serde_json::from_str(&self.run(&["output", "-json", name])).unwrap()
    }

    fn text(&self, name: &str) -> String {
        self.value(name).as_str().unwrap().to_owned()
    }

    /// What the API has there.
    fn get(&self, path: &str) -> Value {
        self.api.get(path).unwrap().result().clone()
    }

    fn account(&self, path: &str) -> String {
        format!("/accounts/{}{path}", self.api.account)
    }

    /// The names of what the API has there.
    fn names(&self, path: &str) -> Vec<String> {
        let of = |item: &Value| item["name"].as_str().unwrap().to_owned();
        self.get(path).as_array().unwrap().iter().map(of).collect()
    }
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn a_zone_with_records_and_settings() {
    let terraform = Terraform::new(include_str!("dns.tf"));
    terraform.apply(false);
    let zone = terraform.text("zone");
    assert_eq!(terraform.text("found"), zone);
    assert_eq!(terraform.value("mail"), json!(["mx1.example.org", "mx2.example.org"]));
    let records = |query: &str| terraform.get(&format!("/zones/{zone}/dns_records?per_page=100&{query}"));
    let made = records("");
    assert_eq!(made.as_array().unwrap().len(), 15, "{made}");
    let www = records("name=www.terraform.test")[0].clone();
    assert_eq!(
        (&www["comment"], &www["tags"], &www["proxied"]),
        (&json!("made by a program"), &json!(["owner:web"]), &json!(true))
    );

    terraform.apply(true);
    let changed = records("");
    assert_eq!(changed.as_array().unwrap().len(), 15, "{changed}");
    let www_now = records("name=www.terraform.test")[0].clone();
    assert_eq!((&www_now["comment"], &www_now["tags"]), (&Value::Null, &json!(["owner:web", "team:net"])));
    assert_eq!(www_now["id"], www["id"], "changed, not made anew");
    let setting = |id: &str| terraform.get(&format!("/zones/{zone}/settings/{id}"))["value"].clone();
    assert_eq!((setting("browser_cache_ttl"), setting("always_use_https")), (json!(7200), json!("off")));
    assert_eq!(setting("security_header")["strict_transport_security"]["include_subdomains"], true);
    assert_eq!(terraform.get(&format!("/zones/{zone}"))["paused"], true);

    terraform.destroy();
    assert_eq!(terraform.api.get(&format!("/zones/{zone}")).unwrap().status, 404);
}

#[test]
fn tunnels_and_private_networks() {
    let terraform = Terraform::new(include_str!("tunnels.tf"));
    terraform.apply(false);
    let tunnel = terraform.text("tunnel");
    let path = terraform.account(&format!("/cfd_tunnel/{tunnel}"));
    assert_eq!(terraform.get(&format!("{path}/token")), terraform.value("token"));
    let ingress = |number: usize| terraform.get(&format!("{path}/configurations"))["config"]["ingress"][number].clone();
    assert_eq!(ingress(0)["service"], "http://127.0.0.1:8080");
    assert_eq!(ingress(0)["originRequest"], json!({ "connectTimeout": 10, "noTLSVerify": true }));

    terraform.apply(true);
    assert_eq!(terraform.text("tunnel"), tunnel, "renamed, not made anew");
    assert_eq!(terraform.get(&path)["name"], "home, renamed");
    assert_eq!((&ingress(0)["service"], &ingress(1)["path"]), (&json!("http://127.0.0.1:8081"), &json!("^/api")));
    let route = &terraform.get(&terraform.account("/teamnet/routes?is_deleted=false"))[0];
    assert_eq!((&route["network"], &route["comment"]), (&json!("10.44.0.0/16"), &json!("behind home, still")));

    terraform.destroy();
    assert!(!terraform.names(&terraform.account("/cfd_tunnel?is_deleted=false")).contains(&"home, renamed".into()));
    assert_eq!(terraform.get(&terraform.account("/teamnet/routes?is_deleted=false")), json!([]));
    assert!(!terraform.names(&terraform.account("/teamnet/virtual_networks?is_deleted=false")).contains(&"lab".into()));
}

#[test]
fn rulesets_lists_and_access_rules() {
    let terraform = Terraform::new(include_str!("rules.tf"));
    terraform.apply(false);
    let items = terraform.account(&format!("/rules/lists/{}/items", terraform.text("offices")));
    let addresses = || {
        let all = terraform.get(&items);
        let mut all: Vec<_> = all.as_array().unwrap().iter().map(|item| item["ip"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(addresses(), ["192.0.2.0/24", "198.51.100.6", "2001:db8::/32"]);

    terraform.apply(true);
    assert_eq!(addresses(), ["192.0.2.0/24", "198.51.100.7", "2001:db8::/32"]);

    terraform.destroy();
    assert_eq!(terraform.get(&terraform.account("/rules/lists")), json!([]));
    assert!(!terraform.names(&terraform.account("/rulesets")).contains(&"shared".into()));
    assert_eq!(terraform.get(&terraform.account("/firewall/access_rules/rules")), json!([]));
}

#[test]
fn tokens_and_notifications() {
    let terraform = Terraform::new(include_str!("tokens.tf"));
    terraform.apply(false);
    assert_eq!(terraform.value("accounts"), json!([terraform.api.account]));
    let limited = terraform.api.with_token(&terraform.text("secret"));
    assert_eq!(limited.get("/user/tokens/verify").unwrap().result()["status"], "active");
    assert_eq!(limited.get("/zones").unwrap().result().as_array().unwrap().len(), 1, "it sees the one zone that it is for");

    terraform.apply(true);
    assert_eq!(limited.get("/user/tokens/verify").unwrap().result()["status"], "active", "renamed, its secret stays");

    terraform.destroy();
    assert_eq!(limited.get("/user/tokens/verify").unwrap().status, 401);
    assert_eq!(terraform.get(&terraform.account("/alerting/v3/policies")), json!([]));
}

#[test]
fn what_is_there_already_is_imported() {
    let terraform = Terraform::new(
        r#"
        resource "cloudflare_zone" "there" {
          account = { id = var.account }
          name    = "there.test"
        }
        resource "cloudflare_dns_record" "there" {
          zone_id = cloudflare_zone.there.id
          name    = "www.there.test"
          type    = "A"
          content = "192.0.2.7"
          ttl     = 1
          proxied = true
          comment = "made by hand"
          tags    = ["owner:web"]
        }
        resource "cloudflare_zero_trust_tunnel_cloudflared" "there" {
          account_id = var.account
          name       = "there"
          config_src = "cloudflare"
        }
        "#,
    );
    let account = json!({ "id": terraform.api.account });
    let zone = terraform.api.done("POST", "/zones", &json!({ "name": "there.test", "account": account }));
    let zone = zone["id"].as_str().unwrap();
    let record = json!({
        "type": "A", "name": "www", "content": "192.0.2.7", "ttl": 1, "proxied": true, "comment": "made by hand", "tags": ["owner:web"],
    });
    let record = terraform.api.done("POST", &format!("/zones/{zone}/dns_records"), &record);
    let made = json!({ "name": "there", "config_src": "cloudflare" });
    let tunnel = terraform.api.done("POST", &terraform.account("/cfd_tunnel"), &made);
    let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
    terraform.run(&["import", "cloudflare_zone.there", zone]);
    terraform.run(&["import", "cloudflare_dns_record.there", &format!("{zone}/{}", id(&record))]);
    let path = format!("{}/{}", terraform.api.account, id(&tunnel));
    terraform.run(&["import", "cloudflare_zero_trust_tunnel_cloudflared.there", &path]);
    let (something, plan) = terraform.plan(false);
    assert!(!something, "what was imported is as it is written down: {plan}");
}

/// The provider takes a zone that is signed and waits for its DS for one that is not yet as it was written down.
#[test]
fn a_zone_is_signed_and_its_ds_is_told() {
    let terraform = Terraform::new(
        r#"
        resource "cloudflare_zone" "site" {
          account = { id = var.account }
          name    = "terraform.test"
        }
        resource "cloudflare_zone_dnssec" "site" {
          zone_id = cloudflare_zone.site.id
          status  = "active"
        }
        output "ds" {
          value = cloudflare_zone_dnssec.site.ds
        }
        output "zone" {
          value = cloudflare_zone.site.id
        }
        "#,
    );
    terraform.run(&["apply", "-auto-approve"]);
    let path = format!("/zones/{}/dnssec", terraform.text("zone"));
    let (told, ds) = (terraform.get(&path), terraform.text("ds"));
    assert_eq!((&told["status"], told["ds"].as_str()), (&json!("pending"), Some(ds.as_str())));
    assert!(terraform.plan(false).1.contains("\"pending\" -> \"active\""));
    terraform.run(&["apply", "-auto-approve"]);
    assert_eq!(terraform.text("ds"), ds, "asked for again, it has the same keys");
    terraform.destroy();
}

#[test]
fn what_went_meanwhile_is_made_again() {
    let terraform = Terraform::new(
        r#"
        resource "cloudflare_zone" "site" {
          account = { id = var.account }
          name    = "terraform.test"
        }
        resource "cloudflare_dns_record" "kept" {
          zone_id = cloudflare_zone.site.id
          name    = "kept.terraform.test"
          type    = "A"
          content = "192.0.2.1"
          ttl     = 300
        }
        output "record" {
          value = "/zones/${cloudflare_zone.site.id}/dns_records/${cloudflare_dns_record.kept.id}"
        }
        "#,
    );
    terraform.apply(false);
    let first = terraform.text("record");
    terraform.api.done("PATCH", &first, &json!({ "content": "192.0.2.2" }));
    terraform.apply(false);
    assert_eq!(terraform.get(&first)["content"], "192.0.2.1", "what somebody changed is put back");
    terraform.api.done("DELETE", &first, &Value::Null);
    terraform.apply(false);
    let second = terraform.text("record");
    assert_ne!(first, second);
    assert_eq!(terraform.get(&second)["content"], "192.0.2.1");
}

#[test]
fn what_is_refused_is_told_with_its_code() {
    let terraform = Terraform::new(
        r#"
        provider "cloudflare" {
          api_token = "0123456789012345678901234567890123456789"
        }
        resource "cloudflare_zone" "site" {
          account = { id = var.account }
          name    = "terraform.test"
        }
        "#,
    );
    let refused = |terraform: &Terraform| {
        let output = terraform.output(&["apply", "-auto-approve"], false);
        assert!(!output.status.success(), "{}", said(&output));
        said(&output)
    };
    let told = refused(&terraform);
    assert!(told.contains("403") && told.contains("9109"), "{told}");
    // The address may stand in the configuration, too.
    terraform.write(&format!(
        r#"
        provider "cloudflare" {{
          base_url = "{}/"
        }}
        resource "cloudflare_dns_record" "twice" {{
          for_each = toset(["192.0.2.1", "target.example.org"])
          zone_id  = "{}"
          name     = "twice.{}"
          type     = each.key == "192.0.2.1" ? "A" : "CNAME"
          content  = each.key
          ttl      = 1
        }}
        "#,
        terraform.node.text("api"),
        terraform.node.text("zone_id"),
        terraform.node.text("zone"),
    ));
    let told = refused(&terraform);
    assert!(told.contains("8105"), "{told}");
}
