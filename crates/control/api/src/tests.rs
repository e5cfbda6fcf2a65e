//! The routes as a client meets them.

use std::{net::IpAddr, sync::Arc, time::UNIX_EPOCH};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, header},
};
use http_body_util::BodyExt;
use poterne_control_app::{App, QUICK_CREATIONS_MAX, Settings};
use poterne_control_store::Store;
use poterne_control_wire::{QuickAnswerError, parse_quick_answer};
use poterne_keys::NodeKey;
use poterne_model::Name;
use tower::ServiceExt;

use crate::{ClientIp, RATE_LIMIT, router};

const VISITOR: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

async fn node(quick_domain: Option<&str>) -> (tempfile::TempDir, Router) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let settings = Settings {
        edges: vec!["edge.example.net:7844".into()],
        pin: [7; 32],
        quick_domain: quick_domain.map(|domain| Name::parse(domain).unwrap()),
        ..Settings::default()
    };
    let app = App::open(store, &NodeKey::generate(), settings, Arc::new(|| UNIX_EPOCH), None).await.unwrap();
    (dir, router(app, RATE_LIMIT))
}

async fn ask(router: &Router, method: &str, path: &str) -> (Response<()>, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let request = request.extension(ClientIp(VISITOR)).body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn a_quick_tunnel_is_answered_with_all_an_agent_needs() {
    let (_dir, router) = node(Some("quick.example.net")).await;
    let mut names = Vec::new();
    for path in ["/tunnel", "/tunnel/"] {
        let (head, body) = ask(&router, "POST", path).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(head.headers()[header::CONTENT_TYPE], "application/json");
        let tunnel = parse_quick_answer(&body).unwrap();
        assert!(tunnel.hostname.is_within(&Name::parse("quick.example.net").unwrap()));
        assert_eq!(tunnel.secret().unwrap().len(), 32);
        assert_eq!(tunnel.p.as_ref().unwrap().pin(), Some([7; 32]));
        assert_eq!(tunnel.p.as_ref().unwrap().e, ["edge.example.net:7844"]);
        assert_eq!(tunnel.account_tag.len(), 32);
        names.push(tunnel.hostname.clone());
    }
    assert_ne!(names[0], names[1]);
}

#[tokio::test]
async fn where_quick_tunnels_are_off_the_answer_says_so() {
    let (_dir, router) = node(None).await;
    let (head, body) = ask(&router, "POST", "/tunnel").await;
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    assert!(matches!(parse_quick_answer(&body), Err(QuickAnswerError::Refused(text)) if text.contains("quick_domain")));
}

#[tokio::test]
async fn one_address_gets_only_so_many() {
    let (_dir, router) = node(Some("quick.example.net")).await;
    for _ in 0..QUICK_CREATIONS_MAX {
        assert_eq!(ask(&router, "POST", "/tunnel").await.0.status(), StatusCode::OK);
    }
    let (head, body) = ask(&router, "POST", "/tunnel").await;
    assert_eq!(head.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(head.headers()[header::RETRY_AFTER], "3600");
    assert!(matches!(parse_quick_answer(&body), Err(QuickAnswerError::Refused(text)) if text.contains("971")));
}

#[tokio::test]
async fn everything_else_is_the_apis_own_no_route() {
    let (_dir, router) = node(Some("quick.example.net")).await;
    for (method, path) in [
        ("GET", "/tunnel"),
        ("GET", "/"),
        ("GET", "/client/v4/nothing"),
        ("POST", "/client/v4/accounts/0/nothing"),
        ("DELETE", "/tunnel/x"),
        ("OPTIONS", "/tunnel"),
    ] {
        let (head, body) = ask(&router, method, path).await;
        assert_eq!(head.status(), StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(head.headers()[header::CONTENT_TYPE], "application/json");
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&value["success"], &value["result"]), (&false.into(), &serde_json::Value::Null), "{method} {path}");
        assert_eq!((&value["errors"][0]["code"], &value["errors"][1]["code"]), (&7003.into(), &7000.into()));
    }
}

mod v4 {
    use poterne_control_app::Caller;
    use serde_json::{Value, json};

    use super::*;

    /// A node with a token that may do everything.
    struct Client {
        router: Router,
        app: App,
        token: String,
        account: String,
        _dir: tempfile::TempDir,
    }

    struct Told {
        status: u16,
        headers: axum::http::HeaderMap,
        body: Value,
    }

    impl Told {
        fn codes(&self) -> Vec<i64> {
            let codes = |errors: &Value| errors.as_array().unwrap().iter().map(|error| error["code"].as_i64().unwrap()).collect();
            codes(&self.body["errors"])
        }

        fn result(&self) -> &Value {
            assert_eq!((self.status, &self.body["success"]), (200, &json!(true)), "{}", self.body);
            assert_eq!(self.body["messages"], json!([]));
            &self.body["result"]
        }
    }

    async fn client() -> Client {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
        let app = App::open(store, &NodeKey::generate(), Settings::default(), Arc::new(|| UNIX_EPOCH), None).await.unwrap();
        let (_, token) = app.api_token_of_operator(&Caller::Operator, "all", &["all".into()]).await.unwrap();
        let account = app.account().to_string();
        Client { router: router(app.clone(), 0), app, token, account, _dir: dir }
    }

    impl Client {
        async fn send(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Told {
            let mut request = Request::builder().method(method).uri(format!("/client/v4{path}")).extension(ClientIp(VISITOR));
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            assert_eq!(head.headers[header::CONTENT_TYPE], "application/json", "{path}: exactly, without a charset");
            assert!(head.headers.contains_key("cf-ray"));
            let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
            Told { status: head.status.as_u16(), headers: head.headers, body }
        }

        async fn ask(&self, method: &str, path: &str, body: Value) -> Told {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            self.send(method, path, &[("authorization", &format!("Bearer {}", self.token))], &body).await
        }

        async fn get(&self, path: &str) -> Told {
            self.ask("GET", path, Value::Null).await
        }
    }

    #[tokio::test]
    async fn credentials_are_asked_for_and_told_apart() {
        let client = client().await;
        assert_eq!(client.send("GET", "/zones", &[], "").await.codes(), [9106]);
        let unknown = client.send("GET", "/zones", &[("authorization", "Bearer nobodys")], "").await;
        assert_eq!((unknown.status, unknown.codes()), (403, vec![9109]));
        let unknown = client.send("GET", "/user/tokens/verify", &[("authorization", "Bearer nobodys")], "").await;
        assert_eq!((unknown.status, unknown.codes()), (401, vec![1000]));
        let key = client.send("GET", "/zones", &[("x-auth-email", "a@example.com"), ("x-auth-key", "k")], "").await;
        assert_eq!((key.status, key.codes()), (403, vec![9103]));
        assert_eq!(client.get("/user/tokens/verify").await.result()["status"], "active");
        assert_eq!(client.get("/user").await.result()["email"], "admin@poterne.localhost");
    }

    #[tokio::test]
    async fn what_is_not_there_is_no_success() {
        let client = client().await;
        for path in ["/nothing", "/zones/short", "/zones/x/y/z", &format!("/accounts/{}/cfd_tunnel/1", client.account)] {
            let told = client.get(path).await;
            assert_eq!((told.status, told.codes()), (404, vec![7003, 7000]), "{path}");
        }
        let told = client.ask("PUT", "/zones", Value::Null).await;
        assert_eq!((told.status, told.codes()), (405, vec![10405]));
        let told = client.get(&format!("/zones/{}", "0".repeat(32))).await;
        assert_eq!((told.status, told.codes()), (404, vec![7003]));
    }

    #[tokio::test]
    async fn zones_are_made_found_paused_and_deleted() {
        let client = client().await;
        let made = client.ask("POST", "/zones", json!({ "name": "Example.COM", "jump_start": false })).await;
        let zone = made.result();
        assert_eq!((&zone["name"], &zone["status"], &zone["type"]), (&json!("example.com"), &json!("pending"), &json!("full")));
        assert!(made.body.to_string().len() < 8191, "small clients have small buffers");
        let path = format!("/zones/{}", zone["id"].as_str().unwrap());
        let again = client.ask("POST", "/zones", json!({ "name": "example.com", "account": { "id": client.account } })).await;
        assert_eq!((again.status, again.codes()), (400, vec![1061]));
        for query in ["/zones?name=example.com", "/zones/?name=EXAMPLE.com", "/zones?name=contains:ampl&per_page=1000"] {
            let told = client.get(query).await;
            assert_eq!(told.result().as_array().unwrap().len(), 1, "{query}");
        }
        assert_eq!(client.get("/zones?name=www.example.com").await.result(), &json!([]));
        let past = client.get("/zones?per_page=1&page=2").await;
        assert_eq!((past.result(), &past.body["result_info"]["total_count"]), (&json!([]), &json!(1)));
        assert_eq!(client.ask("PATCH", &path, json!({ "paused": true, "plan": { "id": "x" } })).await.result()["paused"], true);
        // Some clients send a body with every request.
        assert_eq!(client.ask("GET", &path, json!({})).await.result()["paused"], true);
        assert_eq!(client.ask("DELETE", &path, json!({})).await.result()["id"], zone["id"]);
        assert_eq!(client.get(&path).await.status, 404);
    }

    #[tokio::test]
    async fn tunnels_are_made_configured_and_deleted_as_the_agents_program_asks() {
        let client = client().await;
        let base = format!("/accounts/{}/cfd_tunnel", client.account);
        let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let made = client.ask("POST", &base, json!({ "name": "web", "tunnel_secret": secret })).await;
        let id = made.result()["id"].as_str().unwrap().to_owned();
        assert_eq!(made.result()["credentials_file"]["TunnelSecret"], secret);
        assert_eq!((&made.result()["config_src"], &made.result()["status"]), (&json!("local"), &json!("inactive")));
        let again = client.ask("POST", &base, json!({ "name": "web" })).await;
        assert_eq!((again.status, again.codes()), (409, vec![1013]));
        assert_eq!(again.headers["x-should-retry"], "false");
        let path = format!("{base}/{id}");
        assert!(client.get(&format!("{path}/token")).await.result().is_string());
        let found = async |query: &str| client.get(&format!("{base}?{query}")).await.result().as_array().unwrap().len();
        assert_eq!(found(&format!("uuid={id}")).await, 1);
        assert_eq!(found("is_deleted=false&name=web").await, 1);
        assert_eq!(found("name=we").await, 0);
        assert_eq!(found("name_prefix=we&exclude_prefix=x").await, 1);
        assert_eq!(found("uuid=4577e670-7d8a-4f6e-992f-f9785f6e2e9d").await, 0);
        assert_eq!(client.get(&format!("{path}/configurations")).await.result()["version"], 0);
        let wrong = client
            .ask(
                "PUT",
                &format!("{path}/configurations"),
                json!({ "config": { "ingress": [{ "hostname": "a.b", "service": "http://x" }] } }),
            )
            .await;
        assert_eq!(wrong.status, 400, "the last rule is no catch-all");
        let config = json!({ "ingress": [{ "hostname": "a.example.com", "service": "http://localhost:1" }, { "service": "http_status:404" }] });
        let set = client.ask("PUT", &format!("{path}/configurations"), json!({ "config": config })).await;
        assert_eq!((&set.result()["version"], &set.result()["config"]), (&json!(1), &config));
        assert_eq!(client.ask("PATCH", &path, json!({ "name": "site" })).await.result()["name"], "site");
        assert_eq!(client.ask("DELETE", &format!("{path}/connections"), Value::Null).await.result(), &json!({}));
        assert!(client.ask("DELETE", &path, Value::Null).await.result()["deleted_at"].is_string());
        assert!(client.get(&path).await.result()["deleted_at"].is_string(), "a deleted tunnel is still told of");
        assert_eq!(found("is_deleted=false").await, 0);
        assert_eq!(found("").await, 1);
        client.ask("POST", &base, json!({ "name": "site" })).await.result();
    }

    #[tokio::test]
    async fn a_name_is_routed_once_and_again_only_when_told_to() {
        let client = client().await;
        let zone =
            client.ask("POST", "/zones", json!({ "name": "example.com" })).await.result()["id"].as_str().unwrap().to_owned();
        let base = format!("/accounts/{}/cfd_tunnel", client.account);
        let mut paths = Vec::new();
        for name in ["one", "two"] {
            let made = client.ask("POST", &base, json!({ "name": name })).await;
            paths.push(format!("/zones/{zone}/tunnels/{}/routes", made.result()["id"].as_str().unwrap()));
        }
        let body = |overwrite: bool| json!({ "type": "dns", "user_hostname": "app", "overwrite_existing": overwrite });
        let routed = client.ask("PUT", &paths[0], body(false)).await;
        assert_eq!((&routed.result()["cname"], &routed.result()["name"]), (&json!("new"), &json!("app.example.com")));
        assert_eq!(client.ask("PUT", &paths[0], body(false)).await.result()["cname"], "unchanged");
        let taken = client.ask("PUT", &paths[1], body(false)).await;
        assert_eq!((taken.status, taken.codes()), (400, vec![1003]));
        assert_eq!(client.ask("PUT", &paths[1], body(true)).await.result()["cname"], "updated");
    }

    #[tokio::test]
    async fn a_token_does_what_its_policies_say_and_no_more() {
        let client = client().await;
        let zone =
            client.ask("POST", "/zones", json!({ "name": "example.com" })).await.result()["id"].as_str().unwrap().to_owned();
        let groups = client.get("/user/tokens/permission_groups").await;
        let id =
            |name: &str| groups.result().as_array().unwrap().iter().find(|group| group["name"] == name).unwrap()["id"].clone();
        let policies = json!([{
            "effect": "allow", "permission_groups": [{ "id": id("Zone Read") }],
            "resources": { "com.cloudflare.api.account.zone.*": "*" },
        }]);
        let made = client.ask("POST", "/user/tokens", json!({ "name": "reader", "policies": policies })).await;
        let (token, secret) = (made.result()["id"].as_str().unwrap(), made.result()["value"].as_str().unwrap());
        let reader = Client {
            token: secret.into(),
            router: client.router.clone(),
            app: client.app.clone(),
            account: client.account.clone(),
            _dir: tempfile::tempdir().unwrap(),
        };
        assert_eq!(reader.get("/zones").await.result().as_array().unwrap().len(), 1);
        let told = reader.ask("DELETE", &format!("/zones/{zone}"), Value::Null).await;
        assert_eq!((told.status, told.codes()), (403, vec![10000]), "seen, and not to be changed");
        let told = reader.get(&format!("/accounts/{}/cfd_tunnel", client.account)).await;
        assert_eq!(told.status, 404, "nothing of the account may be seen");
        // What is changed counts at once.
        let off = json!({ "name": "reader", "policies": policies, "status": "disabled" });
        client.ask("PUT", &format!("/user/tokens/{token}"), off).await.result();
        assert_eq!(reader.get("/zones").await.codes(), [9109]);
        assert_eq!(reader.get("/user/tokens/verify").await.result()["status"], "disabled");
        client.ask("DELETE", &format!("/user/tokens/{token}"), Value::Null).await.result();
        assert_eq!(reader.get("/user/tokens/verify").await.codes(), [1000]);
        assert!(client.get(&format!("/user/tokens/{token}")).await.status == 404);
    }

    #[tokio::test]
    async fn bodies_that_are_none_are_named() {
        let client = client().await;
        let bearer = format!("Bearer {}", client.token);
        let told = client.send("POST", "/zones", &[("authorization", &bearer), ("content-type", "application/json")], "{").await;
        assert_eq!((told.status, told.codes()), (400, vec![6007]));
        let told = client.send("POST", "/zones", &[("authorization", &bearer), ("content-type", "text/xml")], "<zone/>").await;
        assert_eq!(told.status, 415);
        let told = client.ask("POST", "/zones", json!({ "name": 7 })).await;
        assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!("/name")));
        let told = client.ask("POST", "/zones", json!({ "name": "192.0.2.1" })).await;
        assert_eq!(told.codes(), [1049]);
    }

    #[tokio::test]
    async fn whoever_asks_too_often_is_told_when_to_come_back() {
        let client = client().await;
        let client = Client { router: router(client.app.clone(), 2), ..client };
        for left in ["1", "0"] {
            let told = client.get("/user").await;
            assert_eq!(told.headers["ratelimit"], format!("\"default\";r={left};t=60"));
        }
        let told = client.get("/user").await;
        assert_eq!((told.status, told.codes()), (429, vec![971]));
        assert_eq!(told.headers["retry-after"], "60");
    }
}
