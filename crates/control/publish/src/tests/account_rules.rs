//! What an account's rules make of requests for all its zones, and which rulesets rules execute, from the verb to the nodes.

use poterne_control_app::ItemsChange;
use poterne_control_store::RulesetOwner;
use poterne_model::{
    At, ZoneId,
    ruleset::{Phase, Ruleset},
};
use poterne_rules::{Act, Items, ZoneRules};
use serde_json::{Value, json};

use super::*;

const FIREWALL: &str = "http_request_firewall_custom";

impl Node {
    fn account_rules(&self) -> Option<ZoneRules> {
        self.handle.load().account_rules(self.app.account()).map(|rules| rules.rules().clone())
    }

    fn zone_rules(&self, zone: ZoneId) -> Option<ZoneRules> {
        self.handle.load().zone(zone)?.rules().map(|rules| rules.rules().clone())
    }

    async fn put(&self, owner: RulesetOwner, phase: &str, rules: Value) -> Ruleset {
        self.app.entry_point_put(&OPERATOR, owner, phase, &At::body(&json!({ "rules": rules }))).await.unwrap()
    }

    async fn custom(&self, owner: RulesetOwner, rules: Value) -> Ruleset {
        let body = json!({ "name": "mine", "kind": "custom", "phase": FIREWALL, "rules": rules });
        self.app.ruleset_create(&OPERATOR, owner, &At::body(&body)).await.unwrap()
    }

    async fn list(&self, name: &str, kind: &str) -> poterne_model::ListId {
        let body = json!({ "name": name, "kind": kind });
        self.app.list_create(&OPERATOR, self.app.account(), &At::body(&body)).await.unwrap().list.id
    }

    async fn append(&self, list: poterne_model::ListId, items: Value) {
        let append = ItemsChange::Append;
        self.app.list_write(&OPERATOR, self.app.account(), list, append, &At::body(&items)).await.unwrap();
    }
}

fn block(expression: &str) -> Value {
    json!({ "action": "block", "expression": expression })
}

fn execute(ruleset: &Ruleset) -> Value {
    json!({ "action": "execute", "expression": "true", "action_parameters": { "id": ruleset.id } })
}

/// How many items the list of that name has, as it travels.
fn items(rules: &ZoneRules, name: &str) -> Option<usize> {
    rules.lists.iter().find(|list| list.name == name).map(|list| match &list.items {
        Items::Networks(all) => all.len(),
        Items::Numbers(all) => all.len(),
        Items::Hosts(all) => all.len(),
        Items::Redirects(all) => all.len(),
    })
}

#[tokio::test]
async fn an_accounts_rules_are_obeyed_when_the_verb_answers() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let owner = RulesetOwner::Account(node.app.account());
    assert_eq!(node.account_rules(), None, "an account that has none is told of none");
    let custom = node.custom(owner, json!([block("http.host in $hosts")])).await;
    assert_eq!(node.account_rules(), None, "nothing executes it");
    node.put(owner, FIREWALL, json!([execute(&custom)])).await;
    let rules = node.account_rules().unwrap();
    assert_eq!((&rules.rules[0].act, rules.executed[0].rules.len()), (&Act::Execute(custom.id), 0), "there is no such list");
    let hosts = node.list("hosts", "hostname").await;
    for (host, count) in [("*.a.test", 1), ("b.test", 2)] {
        node.append(hosts, json!([{ "hostname": { "url_hostname": host } }])).await;
        let rules = node.account_rules().unwrap();
        assert_eq!((rules.executed[0].rules.len(), items(&rules, "hosts")), (1, Some(count)));
    }
    let moved = node.list("moved", "redirect").await;
    let leads = json!([{ "action": "redirect", "expression": "true", "action_parameters": { "from_list": { "name": "moved", "key": "http.request.full_uri" } } }]);
    node.put(owner, Phase::Redirect.as_str(), leads).await;
    node.append(
        moved,
        json!([{ "redirect": { "source_url": "a.test/old", "target_url": "https://b.test/", "subpath_matching": true } }]),
    )
    .await;
    let rules = node.account_rules().unwrap();
    let list = rules.lists.iter().find(|list| list.name == "moved").unwrap();
    let Items::Redirects(redirects) = &list.items else { panic!("{list:?}") };
    let [redirect] = &redirects[..] else { panic!("{redirects:?}") };
    assert_eq!((redirect.source.as_str(), redirect.target.as_str(), redirect.status), ("a.test/old", "https://b.test/", 301));
    assert!(redirect.subpaths && redirect.keeps_suffix && !redirect.subdomains && !redirect.keeps_query);

    // What a restart reads as a whole is what steps made of it.
    let generation = node.handle.load().generation();
    node.stop.cancel();
    drop(node);
    let node = Node::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "second.test").await.unwrap();
    assert_eq!((node.handle.load().generation(), node.account_rules()), (generation + 1, Some(rules)));
    for phase in [FIREWALL, Phase::Redirect.as_str()] {
        node.put(owner, phase, json!([])).await;
    }
    assert_eq!(node.account_rules(), None);
}

#[tokio::test]
async fn a_zone_executes_rulesets_of_its_own_and_of_its_account() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "example.test").await.unwrap().id;
    let other = node.app.zone_add(&OPERATOR, "other.test").await.unwrap().id;
    let (owner, account) = (RulesetOwner::Zone(zone), RulesetOwner::Account(node.app.account()));
    let own = node.custom(owner, json!([block("true")])).await;
    let shared = node.custom(account, json!([block("ip.src in $bad")])).await;
    node.put(owner, FIREWALL, json!([execute(&own), execute(&shared)])).await;
    let bad = node.list("bad", "ip").await;
    node.append(bad, json!([{ "ip": "192.0.2.7" }])).await;
    let rules = node.zone_rules(zone).unwrap();
    let told: Vec<_> = rules.executed.iter().map(|executed| (executed.id, executed.rules.len())).collect();
    assert_eq!((told, items(&rules, "bad")), (vec![(own.id, 1), (shared.id, 1)], Some(1)));
    // A change of what it executes is a change of the zone's, and of no other's.
    let add = json!({ "action": "log", "expression": "true" });
    node.app.rule_add(&OPERATOR, account, shared.id, &At::body(&add)).await.unwrap();
    node.app.rule_add(&OPERATOR, owner, own.id, &At::body(&add)).await.unwrap();
    let rules = node.zone_rules(zone).unwrap();
    assert_eq!(rules.executed.iter().map(|executed| executed.rules.len()).collect::<Vec<_>>(), [2, 2]);
    assert_eq!((node.zone_rules(other), node.account_rules()), (None, None));
}
