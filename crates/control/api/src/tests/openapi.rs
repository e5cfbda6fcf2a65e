//! The document tells of what is there: no more, no less, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt;
use poterne_model::{
    Schema,
    permission::{GROUPS, Permission, Right, Subject},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Client, Told, client};
use crate::{
    all_routes,
    door::Door,
    limit::Limiter,
    mounted,
    openapi::document::document,
    routes::{Access, Listed},
};

/// Method and path of each operation of a document.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut out = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "patch"] {
            if let Some(operation) = item.get(method) {
                out.push((method.to_owned(), path.clone(), operation.clone()));
            }
        }
    }
    out
}

/// Method and path of each route that a router answers, as its `Debug` shows them: there is no other way to ask it.
fn routes(shown: &str) -> BTreeSet<(String, String)> {
    let shown = shown.split("fallback_router:").next().unwrap();
    let mut methods = BTreeMap::new();
    for part in shown.split("): MethodRouter(MethodRouter { ").skip(1) {
        methods.insert(methods.len(), part.split(", fallback:").next().unwrap().to_owned());
    }
    // The ids stand before each of them, in the same order.
    let ids = shown.split("): MethodRouter(MethodRouter { ").map(|part| part.rsplit_once("RouteId(").map_or("", |(_, id)| id));
    let ids: Vec<&str> = ids.take(methods.len()).collect();
    let paths = shown.split("paths: {").nth(1).unwrap().split('}').collect::<Vec<_>>().join("}");
    let path_of = |id: &str| {
        let at = paths.find(&format!("RouteId({id}): \"")).unwrap();
        paths[at..].split('"').nth(1).unwrap().to_owned()
    };
    let mut out = BTreeSet::new();
    for (place, id) in ids.iter().enumerate() {
        for part in methods[&place].split(", ") {
            let (method, endpoint) = part.split_once(": ").unwrap();
            if endpoint != "None" {
                assert!(endpoint == "Route" || endpoint == "BoxedHandler", "{endpoint}");
                out.insert((method.to_owned(), path_of(id)));
            }
        }
    }
    out
}

#[tokio::test]
async fn what_is_mounted_is_told_and_what_is_told_is_mounted() {
    let client = client().await;
    let door = Door { app: client.app.clone(), limiter: Arc::new(Limiter::new(0)) };
    let there = routes(&format!("{:?}", mounted(&door)));
    assert!(there.len() > 100, "{there:?}");
    let at_root = ["/tunnel", "/password", "/invitation"];
    let in_place = |path: &str| if at_root.contains(&path) { path.to_owned() } else { format!("/client/v4{path}") };
    let told: BTreeSet<_> =
        operations(&document(all_routes())).into_iter().map(|(method, path, _)| (method, in_place(&path))).collect();
    assert_eq!(there.difference(&told).collect::<Vec<_>>(), Vec::<&_>::new(), "mounted and not told of");
    assert_eq!(told.difference(&there).collect::<Vec<_>>(), Vec::<&_>::new(), "told of and not mounted");
}

#[test]
fn every_operation_is_told_whole() {
    let routes = all_routes();
    for operation in &routes.operations {
        let place = format!("{} {}", operation.method, operation.path);
        let named: Vec<&str> = operation.names().collect();
        let told: Vec<&str> = operation.variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(named, told, "{place}: the path's variables");
        let op = &operation.op;
        assert!(
            !op.query.is_empty() || !operation.reads_query,
            "{place}: its handler reads the query, its Op says nothing of it"
        );
        assert!(op.query.is_empty() || operation.reads_query, "{place}: its Op has parameters that its handler does not read");
        let has_body = op.body.is_some() || !op.other_bodies.is_empty();
        assert_eq!(has_body, operation.reads_body, "{place}: whether there is a body");
        assert!(op.plain.is_some() || operation.told != crate::openapi::operation::Told::Own, "{place}: what does it answer?");
        if let Access::Needs(_) = op.access {
            assert!(operation.asks_who, "{place}: who has the permission, if nobody is asked for?");
        }
        if op.listed != Listed::No {
            assert!(
                matches!(&operation.told, crate::openapi::operation::Told::Result(list) if list["type"] == "array"),
                "{place}"
            );
        }
        let mut names: Vec<&str> = op.query.iter().map(|parameter| parameter.name()).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{place}: a parameter twice");
        if let Some(body) = &op.body {
            let tree = body.clone().into_value();
            assert!(
                tree["title"].is_string() && tree["examples"][0] != Value::Null,
                "{place}: its body has no name, or no example"
            );
        }
    }
}

#[test]
fn every_name_that_is_referred_to_is_there() {
    let document = document(all_routes());
    let mut seen = 0;
    let mut left = vec![&document];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    seen += 1;
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                left.extend(members.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    assert!(seen > 500, "{seen}");
    let ids: BTreeSet<_> = operations(&document).iter().map(|(.., operation)| operation["operationId"].to_string()).collect();
    assert_eq!(ids.len(), operations(&document).len(), "each has its own");
}

/// Objects of every kind, and the path's variables that mean them; some mean another under each owner.
struct Scene {
    client: Client,
    variables: BTreeMap<&'static str, String>,
    of_owner: BTreeMap<(&'static str, &'static str), String>,
}

async fn scene() -> Scene {
    let client = client().await;
    let account = format!("/accounts/{}", client.account);
    let id = |told: &Told| told.result()["id"].as_str().unwrap().to_owned();
    let zone = client.zone("scene.test").await;
    let made = async |path: String, body: Value| id(&client.ask("POST", &path, body).await);
    let tunnel = made(format!("{account}/cfd_tunnel"), json!({ "name": "scene" })).await;
    let list = made(format!("{account}/rules/lists"), json!({ "name": "scene", "kind": "ip" })).await;
    let written = client.ask("POST", &format!("{account}/rules/lists/{list}/items"), json!([{ "ip": "198.51.100.1" }])).await;
    let operation = written.result()["operation_id"].as_str().unwrap().to_owned();
    let item = client.get(&format!("{account}/rules/lists/{list}/items")).await.result()[0]["id"].as_str().unwrap().to_owned();
    let rules = json!([{ "action": "block", "expression": "true" }]);
    let body = json!({ "name": "scene", "kind": "custom", "phase": "http_request_firewall_custom", "rules": rules });
    let invited = json!({ "email": "scene@example.com", "roles": ["DNS"] });
    let token = json!({ "name": "scene", "policies": [{ "permission_groups": [{ "id": "c4c0b111b94489de8ed41a7035ee9f09" }],
        "resources": { "com.cloudflare.api.account.zone.*": "*" } }] });
    let mut of_owner = BTreeMap::new();
    for (owner, path) in [("zones", zone.as_str()), ("accounts", account.as_str())] {
        let ruleset = client.ask("POST", &format!("{path}/rulesets"), body.clone()).await;
        of_owner.insert((owner, "ruleset"), id(&ruleset));
        of_owner.insert((owner, "rulesets/rule"), ruleset.result()["rules"][0]["id"].as_str().unwrap().to_owned());
    }
    let rule = json!({ "mode": "block", "configuration": { "target": "ip", "value": "192.0.2.1" } });
    for (owner, path) in [("zones", zone.as_str()), ("accounts", account.as_str()), ("user", "/user")] {
        let at = format!("{path}/firewall/access_rules/rules");
        of_owner.insert((owner, "access_rules/rule"), made(at, rule.clone()).await);
    }
    of_owner.insert(("accounts", "token"), made(format!("{account}/tokens"), token.clone()).await);
    of_owner.insert(("user", "token"), made("/user/tokens".into(), token).await);
    let alerting = format!("{account}/alerting/v3");
    let hook = json!({ "name": "scene", "url": "https://hooks.example.com/scene" });
    let webhook = made(format!("{alerting}/destinations/webhooks"), hook).await;
    let policy = json!({ "name": "scene", "alert_type": "tunnel_health_event", "enabled": true, "filters": {},
        "mechanisms": { "webhooks": [{ "id": webhook }] } });
    let record = json!({ "type": "A", "name": "scene", "content": "192.0.2.9" });
    let route = json!({ "network": "10.9.0.0/16", "tunnel_id": tunnel });
    let check = json!({ "name": "scene", "address": "9.9.9.9" });
    let variables = BTreeMap::from([
        ("account", client.account.clone()),
        ("zone", zone.trim_start_matches("/zones/").to_owned()),
        ("record", made(format!("{zone}/dns_records"), record).await),
        ("health_check", made(format!("{zone}/healthchecks"), check).await),
        ("route", made(format!("{account}/teamnet/routes"), route).await),
        ("network", made(format!("{account}/teamnet/virtual_networks"), json!({ "name": "scene" })).await),
        ("member", made(format!("{account}/members"), invited).await),
        ("policy", made(format!("{alerting}/policies"), policy).await),
        ("webhook", webhook),
        ("tunnel", tunnel),
        ("list", list),
        ("item", item),
        ("operation", operation),
        ("resource", "logs".into()),
        ("setting", "brotli".into()),
        ("phase", "http_request_firewall_custom".into()),
        ("version", "1".into()),
        ("ip", "10.9.9.9".into()),
        ("membership", client.get("/memberships").await.result()[0]["id"].as_str().unwrap().to_owned()),
    ]);
    Scene { client, variables, of_owner }
}

impl Scene {
    fn path(&self, template: &str) -> String {
        let owner = template.split('/').nth(1).unwrap();
        let kind = if template.contains("access_rules") { "access_rules" } else { "rulesets" };
        let of_owner = |name: &str| {
            let name = if name == "rule" { format!("{kind}/rule") } else { name.to_owned() };
            self.of_owner.iter().find(|((of, known), _)| *of == owner && *known == name).map(|(_, id)| id.clone())
        };
        let value = |name: &str| of_owner(name).or_else(|| self.variables.get(name).cloned()).unwrap_or_else(|| "0".repeat(32));
        let part = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => value(name),
            None => part.to_owned(),
        };
        template.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    /// Parameters that must be there.
    fn required(template: &str) -> &'static str {
        if template.ends_with("/logs/audit") { "since=2026-01-01&before=2027-01-01" } else { "" }
    }
}

/// Those that a program with a token calls: what signs people in is for browsers, and tried in [`super::sign_in`].
fn asked() -> impl Iterator<Item = crate::openapi::operation::Operation> {
    let is_for_browsers =
        |path: &str| path.starts_with("/poterne/") && !path.contains("login") || path.starts_with("/user/poterne/");
    all_routes().operations.into_iter().filter(move |operation| !is_for_browsers(&operation.path))
}

/// No example is refused for its shape.
#[tokio::test]
async fn examples_are_taken() {
    let mut wrong = Vec::new();
    for operation in asked().filter(|operation| operation.op.body.is_some()) {
        let scene = scene().await;
        let example = operation.op.body.clone().unwrap().into_value()["examples"][0].clone();
        let (method, path) = (operation.method.to_uppercase(), scene.path(&operation.path));
        let told = scene.client.ask(&method, &path, example).await;
        // What an example names need not be there.
        let named = [
            "NewRoute",
            "GoneItems",
            "DnssecRoll",
            "LoginClaim",
            "HoldChanges",
            "NewNotificationPolicy",
            "NotificationPolicyChanges",
            "NewTransferAcl",
            "NewTransferPeer",
            "NewTransferTsig",
            "NewIncomingTransfer",
            "NewOutgoingTransfer",
            "CertificatePackDraft",
            "CertificateRevocation",
            "VerificationChanges",
            "CustomCertificatePriorities",
            "CustomCertificateDraft",
            "CustomCertificateChanges",
            "OriginCertificateDraft",
            "OriginClientCertificateDraft",
            "OriginClientAuthHosts",
            "HostnameAssociations",
        ]
        .contains(&operation.op.body.clone().unwrap().into_value()["title"].as_str().unwrap());
        if told.status != 200 && !(named && [400, 404].contains(&told.status)) {
            wrong.push(format!("{method} {path}: {} {}", told.status, told.body));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each variation of an example is refused where it is wrong.
#[tokio::test]
async fn bodies_are_read_as_they_are_told() {
    let scene = scene().await;
    let (mut tried, mut wrong) = (0, Vec::new());
    for operation in asked().filter(|operation| operation.op.body.is_some()) {
        let tree = operation.op.body.clone().unwrap().into_value();
        let (method, path) = (operation.method.to_uppercase(), scene.path(&operation.path));
        for variation in Schema::variations(&tree) {
            let told = scene.client.ask(&method, &path, variation.body.clone()).await;
            let place = format!("{method} {path} with {}", variation.body.to_string().chars().take(300).collect::<String>());
            let pointer = told.body["errors"][0]["source"]["pointer"].as_str().unwrap_or_default();
            // Some readers say it of what stands around it, or of the first member that they miss in it; a record's errors have the
            // codes that clients know, and seldom a place.
            let near = pointer.starts_with(&variation.pointer) || variation.pointer.starts_with(pointer);
            if told.status != 400 || !near {
                wrong.push(format!("{place}: {}, {} at {pointer:?}", told.status, variation.pointer));
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 200, "{tried}");
}

/// What is told to be a truth value, a number, a word or an id is read as one: nonsense is refused by the parameter's name.
#[tokio::test]
async fn parameters_are_read_as_they_are_told() {
    let scene = scene().await;
    let (mut tried, mut wrong) = (0, Vec::new());
    for operation in all_routes().operations {
        for parameter in operation.op.query {
            let name = parameter.name().to_owned();
            let schema = parameter.into_object()["schema"].clone();
            let is_free = schema["type"] == "array" || schema.get("maxLength").is_some() && schema.get("format").is_none();
            let is_network = name.starts_with("network_");
            if is_free && !is_network {
                continue;
            }
            let path = format!("{}?{name}=no+sense&{}", scene.path(&operation.path), Scene::required(&operation.path));
            let told = scene.client.ask(&operation.method.to_uppercase(), &path, Value::Null).await;
            let message = told.body["errors"][0]["message"].as_str().unwrap_or_default();
            if told.status != 400 || !message.contains(&name) {
                wrong.push(format!("{} {path}: {}", operation.method, told.body));
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 50, "{tried}");
}

/// A token with the permission that is told gets in; one with every other permission does not.
#[tokio::test]
async fn permissions_are_asked_as_they_are_told() {
    let scene = scene().await;
    let mut callers = BTreeMap::new();
    let (mut tried, mut wrong) = (0, Vec::new());
    for operation in all_routes().operations {
        let Access::Needs(permission) = operation.op.access else { continue };
        let (holds, lacks) = match callers.entry(permission) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let gives = |group: &poterne_model::permission::PermissionGroup| group.gives(permission);
                let with = GROUPS.iter().find(|group| gives(group) && group.right == permission.right).unwrap();
                // Somebody who sees something of it, and may not do this.
                let level = permission.subject.level();
                let without =
                    GROUPS.iter().filter(|group| !gives(group) && group.level() == level).map(|group| group.name.into());
                let without: Vec<String> = without.collect();
                let caller = poterne_control_app::Caller::Operator;
                let (_, token) = scene.client.app.api_token_of_operator(&caller, "without", &without).await.unwrap();
                entry.insert((scene.client.reader(with.name).await, scene.client.with_token(&token)))
            }
        };
        let path = format!("{}?{}", scene.path(&operation.path), Scene::required(&operation.path));
        let method = operation.method.to_uppercase();
        let body = operation.op.body.clone().map_or(Value::Null, |body| body.into_value()["examples"][0].clone());
        let place = format!("{method} {path}");
        let refused = lacks.ask(&method, &path, body.clone()).await;
        if (refused.status, refused.codes()) != (403, vec![10000]) {
            wrong.push(format!("{place}, not allowed: {}", refused.body));
        }
        // What changes is not done: the scene is needed for the others. Nor what answers without an envelope.
        if permission.right == Right::Read && operation.op.plain.is_none() {
            let told = holds.ask(&method, &path, body).await;
            if told.status == 403 {
                wrong.push(format!("{place}, allowed: {}", told.body));
            }
        }
        tried += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 100, "{tried}");
    let of = |subject: Subject| Permission { subject, right: Right::Read };
    assert!(callers.contains_key(&of(Subject::DnsRecords)) && callers.contains_key(&of(Subject::AuditLogs)));
}

async fn get(client: &Client, path: &str, fields: &[(&str, &str)]) -> (StatusCode, axum::http::HeaderMap, String) {
    let mut request = Request::builder().uri(format!("/client/v4{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = client.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    (head.status, head.headers, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn the_document_is_for_everybody_and_sent_once() {
    let client = client().await;
    let (status, headers, body) = get(&client, "/openapi.json", &[]).await;
    assert_eq!((status.as_u16(), headers[header::CONTENT_TYPE].to_str().unwrap()), (200, "application/json"));
    assert!(headers.contains_key("cf-ray") && !body.contains('\n'));
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&document["openapi"], &document["servers"][0]["url"]), (&json!("3.1.1"), &json!("/client/v4")));
    let etag = headers[header::ETAG].to_str().unwrap().to_owned();
    let (status, again, body) = get(&client, "/openapi.json", &[("if-none-match", &format!("\"x\", W/{etag}"))]).await;
    assert_eq!((status.as_u16(), again[header::ETAG].to_str().unwrap(), body.as_str()), (304, etag.as_str(), ""));
}
