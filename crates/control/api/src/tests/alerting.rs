//! Webhooks and notification policies.

use std::{sync::Arc, time::UNIX_EPOCH};

use poterne_control_app::{
    App, Caller, ConfigSource, Settings,
    notice::Notice,
    outbox::{Attempt, Channel, Fate, Recipient},
};
use poterne_control_store::Store;
use poterne_keys::NodeKey;
use poterne_model::At;
use serde_json::{Value, json};

use super::{Client, client};
use crate::router;

fn base(client: &Client) -> String {
    format!("/accounts/{}/alerting/v3", client.account)
}

fn policy(webhook: &Value) -> Value {
    json!({ "name": "tunnels", "alert_type": "tunnel_update_event", "enabled": true,
        "mechanisms": { "webhooks": [{ "id": webhook }] }, "filters": { "event": ["create"] } })
}

/// The same, on a node that sends mail.
async fn mailing() -> Client {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let settings = Settings { sends_mail: true, pages: "https://node.example.net".into(), ..Settings::default() };
    let app = App::open(store, &NodeKey::generate(), settings, Arc::new(|| UNIX_EPOCH), None).await.unwrap();
    let (_, token) = app.api_token_of_operator(&Caller::Operator, "all", &["all".into()]).await.unwrap();
    let account = app.account().to_string();
    Client { router: router(app.clone(), 0), app, token, account, _dir: dir }
}

#[tokio::test]
async fn a_webhook_lives_and_its_secret_is_never_told() {
    let client = client().await;
    let hooks = format!("{}/destinations/webhooks", base(&client));
    let body = json!({ "name": "ops", "url": "https://hooks.example.com/x", "secret": "hush-hush" });
    let id = client.ask("POST", &hooks, body).await.result()["id"].clone();
    let one = format!("{hooks}/{}", id.as_str().unwrap());
    let told = client.get(&one).await;
    assert_eq!((&told.result()["type"], &told.result()["last_failure"]), (&json!("generic"), &json!(null)));
    assert_eq!(client.ask("PUT", &one, json!({ "name": "dev", "url": "https://hooks.example.com/y" })).await.result()["id"], id);
    let listed = client.get(&hooks).await;
    assert_eq!((&listed.result()[0]["name"], &listed.result()[0]["url"]), (&json!("dev"), &json!("https://hooks.example.com/y")));
    let trace = client.get(&format!("/accounts/{}/audit_logs", client.account)).await;
    for told in [&told.body, &listed.body, &trace.body] {
        assert!(!told.to_string().contains("hush-hush"), "{told}");
    }
    assert!(!trace.body.to_string().contains("hooks.example.com/x"), "the path of such a URL is a secret too");
    client.ask("DELETE", &one, Value::Null).await.result();
    assert_eq!(client.get(&one).await.codes(), [7003]);
}

#[tokio::test]
async fn a_url_that_leads_inside_is_refused_in_every_spelling() {
    let client = client().await;
    let hooks = format!("{}/destinations/webhooks", base(&client));
    for (url, why) in [
        ("https://127.0.0.1/", "loopback"),
        ("https://2130706433/", "loopback"),
        ("https://0x7f.1/", "loopback"),
        ("https://[::ffff:169.254.169.254]/", "link-local"),
        ("https://[64:ff9b::a00:1]/", "private"),
        ("https://10.1.2.3:8443/", "private"),
        ("https://9.9.9.9:25/", "port 25"),
        ("http://9.9.9.9/", "in clear"),
        ("ftp://example.com/", "scheme"),
        ("https://u:hush@example.com/", "a user or a password"),
        ("hooks.example.com", "no URL"),
    ] {
        let told = client.ask("POST", &hooks, json!({ "name": "x", "url": url })).await;
        let error = &told.body["errors"][0];
        assert_eq!((told.status, &error["source"]["pointer"]), (400, &json!("/url")), "{url}: {}", told.body);
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(why) && !message.contains("hush"), "{url}: {message}");
    }
    assert_eq!(client.get(&hooks).await.result(), &json!([]));
}

#[tokio::test]
async fn a_policy_names_members_and_own_webhooks_only() {
    let client = client().await;
    let base = base(&client);
    let body = json!({ "name": "ops", "url": "https://hooks.example.com/x" });
    let hook = client.ask("POST", &format!("{base}/destinations/webhooks"), body).await.result()["id"].clone();
    let policies = format!("{base}/policies");
    let id = client.ask("POST", &policies, policy(&hook)).await.result()["id"].clone();
    let one = format!("{policies}/{}", id.as_str().unwrap());
    let told = client.get(&one).await;
    assert_eq!(told.result()["mechanisms"], json!({ "webhooks": [{ "id": hook }] }));
    client.ask("PUT", &one, json!({ "enabled": false })).await.result();
    assert_eq!(client.get(&policies).await.result()[0]["enabled"], false);
    let hook_path = format!("{base}/destinations/webhooks/{}", hook.as_str().unwrap());
    assert_eq!(client.ask("DELETE", &hook_path, Value::Null).await.codes(), [10_000_409]);
    for (mechanisms, pointer) in [
        (json!({ "email": [{ "id": "stranger@example.com" }] }), "/mechanisms/email"),
        (json!({ "webhooks": [{ "id": "f".repeat(32) }] }), "/mechanisms/webhooks"),
    ] {
        let mut body = policy(&hook);
        body["mechanisms"] = mechanisms;
        let told = client.ask("POST", &policies, body).await;
        assert_eq!(told.body["errors"][0]["source"]["pointer"], pointer, "{}", told.body);
    }
    let mut unknown = policy(&hook);
    unknown["alert_type"] = json!("dos_attack_l7");
    assert_eq!(client.ask("POST", &policies, unknown).await.status, 400, "no engine tells of it");
    client.ask("DELETE", &one, Value::Null).await.result();
    client.ask("DELETE", &hook_path, Value::Null).await.result();
    let reader = client.reader("Notifications Read").await;
    assert_eq!(reader.get(&policies).await.result(), &json!([]));
    assert_eq!(reader.ask("POST", &policies, policy(&hook)).await.codes(), [10000]);
    let other = client.reader("DNS Write").await;
    assert_eq!(other.get(&policies).await.status, 404, "nothing of the account is to be seen");
}

#[tokio::test]
async fn what_can_be_told_and_how_is_listed() {
    let client = client().await;
    let alerts = client.get(&format!("{}/available_alerts", base(&client))).await;
    assert_eq!(alerts.result()["Tunnel"][0]["type"], "tunnel_health_event");
    let eligible = client.get(&format!("{}/destinations/eligible", base(&client))).await;
    let ways = &eligible.result()["tunnel_health_event"];
    assert_eq!((&ways[0]["type"], &ways[0]["eligible"]), (&json!("email"), &json!(false)), "no mail is sent from here");
    assert_eq!((&ways[1]["type"], &ways[1]["eligible"]), (&json!("webhook"), &json!(true)));
}

#[tokio::test]
async fn an_event_goes_to_whom_a_policy_names_and_a_failure_comes_again() {
    let client = client().await;
    let base = base(&client);
    let body = json!({ "name": "ops", "url": "https://hooks.example.com/x", "secret": "hush" });
    let hook = client.ask("POST", &format!("{base}/destinations/webhooks"), body).await.result()["id"].clone();
    client.ask("POST", &format!("{base}/policies"), policy(&hook)).await.result();
    let app = &client.app;
    app.tunnel_create(&Caller::Operator, "home", ConfigSource::Remote).await.unwrap();
    app.tunnel_delete(&Caller::Operator, "home", false).await.unwrap();
    assert!(app.outbox_take(Channel::Mail, 9).await.unwrap().is_empty());
    let taken = app.outbox_take(Channel::Webhook, 9).await.unwrap();
    let [dispatch] = &taken[..] else { panic!("the filter takes the making alone: {taken:?}") };
    assert!(matches!(&dispatch.notice, Notice::TunnelUpdate { name, deleted: false, .. } if name == "home"));
    let Recipient::Webhook { secret: Some(secret), .. } = &dispatch.to else { panic!("{:?}", dispatch.to) };
    assert_eq!(secret.expose(), b"hush");
    assert!(app.outbox_take(Channel::Webhook, 9).await.unwrap().is_empty(), "whoever takes it has it for a while");
    let fate = app.outbox_settle(dispatch, &Attempt::Failed("x".into())).await.unwrap();
    assert!(matches!(fate, Fate::Again(_)));
    assert_eq!(app.outbox_length().await.unwrap(), 1);
    let one = format!("{base}/destinations/webhooks/{}", hook.as_str().unwrap());
    assert_eq!(client.get(&one).await.result()["last_failure"], "1970-01-01T00:00:00.000000Z");
    assert_eq!(app.outbox_settle(dispatch, &Attempt::Taken).await.unwrap(), Fate::Delivered);
    assert_eq!(app.outbox_length().await.unwrap(), 0);
    assert_eq!(client.get(&one).await.result()["last_success"], "1970-01-01T00:00:00.000000Z");
}

#[tokio::test]
async fn a_secret_stays_with_the_place_it_was_given_for() {
    let client = client().await;
    let base = base(&client);
    let hooks = format!("{base}/destinations/webhooks");
    let body = |url: &str| json!({ "name": "ops", "url": url });
    for (url, stays) in [
        ("https://hooks.example.com/y?z", true),
        ("https://HOOKS.example.com:443/x", true),
        ("https://hooks.example.com:8443/x", false),
        ("http://hooks.example.com:443/x", false),
        ("https://hooks.example.net/x", false),
    ] {
        let mut with_secret = body("https://hooks.example.com/x");
        with_secret["secret"] = json!("hush");
        let hook = client.ask("POST", &hooks, with_secret).await.result()["id"].clone();
        let made = client.ask("POST", &format!("{base}/policies"), policy(&hook)).await.result()["id"].clone();
        let one = format!("{hooks}/{}", hook.as_str().unwrap());
        client.ask("PUT", &one, body(url)).await.result();
        client.app.tunnel_create(&Caller::Operator, "home", ConfigSource::Remote).await.unwrap();
        let taken = client.app.outbox_take(Channel::Webhook, 9).await.unwrap();
        let [dispatch] = &taken[..] else { panic!("{taken:?}") };
        let Recipient::Webhook { secret, .. } = &dispatch.to else { panic!("{:?}", dispatch.to) };
        assert_eq!(secret.as_ref().map(|secret| secret.expose()), stays.then_some(&b"hush"[..]), "{url}");
        client.app.outbox_settle(dispatch, &Attempt::Taken).await.unwrap();
        client.app.tunnel_delete(&Caller::Operator, "home", false).await.unwrap();
        client.ask("DELETE", &format!("{base}/policies/{}", made.as_str().unwrap()), Value::Null).await.result();
        client.ask("DELETE", &one, Value::Null).await.result();
    }
}

#[tokio::test]
async fn an_invitation_is_mailed_and_its_link_is_in_no_answer() {
    let client = mailing().await;
    let members = format!("/accounts/{}/members", client.account);
    let told = client.ask("POST", &members, json!({ "email": "ada@example.com", "roles": ["DNS"] })).await;
    assert_eq!(told.result()["invitation"], json!({ "by_mail": true }));
    let taken = client.app.outbox_take(Channel::Mail, 9).await.unwrap();
    let [dispatch] = &taken[..] else { panic!("{taken:?}") };
    let Notice::Invitation { link, account, .. } = &dispatch.notice else { panic!("{dispatch:?}") };
    let (page, secret) = link.expose().split_once('#').unwrap();
    assert_eq!((page, account.as_str()), ("https://node.example.net/invitation", "default"));
    assert!(matches!(&dispatch.to, Recipient::Mail(address) if address == "ada@example.com"));
    let listed = client.get(&members).await;
    let trace = client.get(&format!("/accounts/{}/audit_logs", client.account)).await;
    for told in [&told.body, &listed.body, &trace.body] {
        assert!(!told.to_string().contains(secret));
    }
    // Taken back: nobody is told any more.
    let one = format!("{members}/{}", told.result()["id"].as_str().unwrap());
    client.ask("DELETE", &one, Value::Null).await.result();
    assert_eq!(client.app.outbox_length().await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_is_mailed_one_invitation_after_another() {
    let client = mailing().await;
    let members = format!("/accounts/{}/members", client.account);
    let invite = async |address: &str| client.ask("POST", &members, json!({ "email": address, "roles": ["DNS"] })).await;
    for _ in 0..3 {
        let told = invite("ada@example.com").await;
        let one = format!("{members}/{}", told.result()["id"].as_str().unwrap());
        client.ask("DELETE", &one, Value::Null).await.result();
    }
    let told = invite("ada@example.com").await;
    assert_eq!((told.status, told.codes(), &told.headers["retry-after"]), (429, vec![971], &"600".parse().unwrap()));
    assert_eq!(client.get(&members).await.result().as_array().unwrap().len(), 1, "nothing of it was kept");
    invite("bob@example.com").await.result();
    let body = json!({ "email": "ada@example.com", "roles": ["DNS"] });
    client.app.member_invite(&Caller::Operator, client.app.account(), &At::body(&body)).await.unwrap();
    // Where no mail goes out, nobody is in need of it.
    let silent = super::client().await;
    let members = format!("/accounts/{}/members", silent.account);
    for _ in 0..5 {
        let told = silent.ask("POST", &members, body.clone()).await;
        let one = format!("{members}/{}", told.result()["id"].as_str().unwrap());
        silent.ask("DELETE", &one, Value::Null).await.result();
    }
}

#[tokio::test]
async fn a_tunnel_that_stays_away_is_told_once_and_one_that_comes_back_too() {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::Duration,
    };

    use poterne_feed::Event;
    use poterne_model::{ConnectionId, ConnectionInfo, ConnectorId, TunnelId, TunnelStatus, tunnel::Transport};

    let now = Arc::new(AtomicU64::new(1000));
    let clock = now.clone();
    let clock = Arc::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst)));
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let app = App::open(store, &NodeKey::generate(), Settings::default(), clock, None).await.unwrap();
    let (_, token) = app.api_token_of_operator(&Caller::Operator, "all", &["all".into()]).await.unwrap();
    let client = Client { router: router(app.clone(), 0), account: app.account().to_string(), app, token, _dir: dir };
    let app = &client.app;

    let tunnel = app.tunnel_create(&Caller::Operator, "home", ConfigSource::Remote).await.unwrap().tunnel.id;
    assert_eq!(app.tunnels_look().await.unwrap(), 0, "nobody wants to know");
    let base = base(&client);
    let body = json!({ "name": "ops", "url": "https://hooks.example.com/x" });
    let hook = client.ask("POST", &format!("{base}/destinations/webhooks"), body).await.result()["id"].clone();
    let mut wanted = policy(&hook);
    (wanted["alert_type"], wanted["filters"]) = (json!("tunnel_health_event"), json!({ "tunnel_id": [tunnel] }));
    client.ask("POST", &format!("{base}/policies"), wanted).await.result();
    assert_eq!(app.tunnels_look().await.unwrap(), 0, "what it was before anybody asked is no news");

    let opened = |at: u64, number: u8, tunnel: TunnelId| Event::ConnectionOpened {
        tunnel,
        connector: ConnectorId::from_bytes([1; 16]),
        version: "1".into(),
        arch: "linux_amd64".into(),
        features: Vec::new(),
        connection: ConnectionInfo {
            id: ConnectionId::from_bytes([number; 16]),
            index: number,
            transport: Transport::Quic,
            origin_ip: super::VISITOR,
            location: "here".into(),
            opened_at: at,
            draining: false,
        },
    };
    let told = async |expected: Option<(TunnelStatus, TunnelStatus)>| {
        assert_eq!(app.tunnels_look().await.unwrap(), usize::from(expected.is_some()));
        assert_eq!(app.tunnels_look().await.unwrap(), 0, "once");
        let taken = app.outbox_take(Channel::Webhook, 9).await.unwrap();
        let statuses: Vec<_> = taken
            .iter()
            .map(|dispatch| match &dispatch.notice {
                Notice::TunnelHealth { status, before, .. } => (*status, *before),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(statuses, Vec::from_iter(expected));
        for dispatch in &taken {
            app.outbox_settle(dispatch, &Attempt::Taken).await.unwrap();
        }
    };
    for number in [0, 1] {
        app.record_event(opened(1000, number, tunnel)).await.unwrap();
    }
    told(Some((TunnelStatus::Healthy, TunnelStatus::Inactive))).await;
    for number in [0, 1] {
        let (connector, connection) = (ConnectorId::from_bytes([1; 16]), ConnectionId::from_bytes([number; 16]));
        app.record_event(Event::ConnectionClosed { tunnel, connector, connection, at: 1100, reason: "gone".into() })
            .await
            .unwrap();
    }
    now.store(1110, Ordering::SeqCst);
    told(None).await;
    now.store(1135, Ordering::SeqCst);
    told(Some((TunnelStatus::Degraded, TunnelStatus::Healthy))).await;
    now.store(1165, Ordering::SeqCst);
    told(Some((TunnelStatus::Down, TunnelStatus::Degraded))).await;
    for number in [2, 3] {
        app.record_event(opened(1170, number, tunnel)).await.unwrap();
    }
    now.store(1171, Ordering::SeqCst);
    told(Some((TunnelStatus::Healthy, TunnelStatus::Down))).await;
}
