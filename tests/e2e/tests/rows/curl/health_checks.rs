//! Origins that are asked again and again, and who hears of it.

use std::{
    io::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use poterne_e2e::{Api, Node, Raw, eventually};
use serde_json::{Value, json};

#[test]
fn an_origins_health_is_known_and_told() {
    let (well, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(Mutex::new(0)));
    let (is_well, called) = (Arc::clone(&well), Arc::clone(&calls));
    let origin = Raw::start(move |path, stream| {
        let status = match path {
            "/hook" => {
                *called.lock().unwrap() += 1;
                "204 No Content"
            }
            "/health" if is_well.load(Ordering::SeqCst) => "200 OK",
            _ => "503 Service Unavailable",
        };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let mut node = Node::bare(&["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]".to_owned()]);
    let api = Api::of(&node);
    let (zone, alerting) = (api.zone(&node, "site.test"), format!("/accounts/{}/alerting/v3", api.account));
    let hook = json!({ "name": "ops", "url": format!("{}/hook", origin.url()) });
    let hook = api.done("POST", &format!("{alerting}/destinations/webhooks"), &hook)["id"].clone();
    let policy = json!({ "name": "health", "alert_type": "health_check_status_notification", "enabled": true,
        "mechanisms": { "webhooks": [{ "id": hook }] }, "filters": { "status": ["Unhealthy"] } });
    api.done("POST", &format!("{alerting}/policies"), &policy);
    // A webhook that is made is called once, to see whether it answers.
    let before = *calls.lock().unwrap();

    let check = |name: &str, more: Value| {
        let mut body = json!({ "name": name, "address": "127.0.0.1", "interval": 5, "timeout": 2,
            "http_config": { "path": "/health", "port": origin.address.port() } });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let made = api.done("POST", &format!("{zone}/healthchecks"), &body);
        format!("{zone}/healthchecks/{}", made["id"].as_str().unwrap())
    };
    let status = |check: &str| api.done("GET", check, &Value::Null)["status"].as_str().unwrap().to_owned();
    let good = check("good", json!({}));
    let tcp = check("tcp", json!({ "type": "TCP", "tcp_config": { "port": origin.address.port() } }));
    let secure = check("secure", json!({ "type": "HTTPS" }));
    let idle = check("idle", json!({ "suspended": true }));
    eventually("each was looked at", || [&good, &tcp].iter().all(|check| status(check) == "healthy"));
    eventually("what speaks no TLS is unhealthy", || status(&secure) == "unhealthy");
    let why = api.done("GET", &secure, &Value::Null)["failure_reason"].as_str().unwrap().to_owned();
    assert!(why.contains("within 2 seconds"), "it waits for a request in clear: {why}");
    assert_eq!(status(&idle), "suspended");
    eventually("the webhook hears of it", || *calls.lock().unwrap() > before);

    // What is known outlives the node, and what changed meanwhile is found out.
    node.kill_and_restart();
    let api = api.again(&node);
    let status = |check: &str| api.done("GET", check, &Value::Null)["status"].as_str().unwrap().to_owned();
    assert_eq!((status(&good), status(&secure)), ("healthy".to_owned(), "unhealthy".to_owned()));
    well.store(false, Ordering::SeqCst);
    eventually("it is looked at again", || status(&good) == "unhealthy");
    eventually("the other is looked at again, too", || node.metrics().contains("poterne_health_checks_unhealthy 2\n"));
    assert!(node.metrics().contains("poterne_health_checks 3\n"));
    api.done("DELETE", &good, &Value::Null);
    eventually("it is made no more", || node.metrics().contains("poterne_health_checks 2\n"));
}
