//! Looks for health checks, and which address visitors are spared.

use std::{collections::HashMap, sync::Mutex};

use poterne_model::{
    At, HealthCheckId,
    health_check::{Checked, HealthCheckTerms},
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::health::{
    self, Source, Whose,
    schedule::{Look, Told},
};

const WHOSE: Whose = Whose { zone: ZONE, account: ACCOUNT, identifies: None };

pub(super) fn look_at(at: SocketAddr, more: &Value) -> Look {
    let mut body = json!({ "name": "a", "address": at.ip().to_string(), "timeout": 1, "retries": 0,
        "http_config": { "port": at.port() }, "tcp_config": { "port": at.port() } });
    for (key, value) in more.as_object().unwrap() {
        match value.as_object() {
            Some(members) => members.iter().for_each(|(name, value)| body[key][name] = value.clone()),
            None => body[key] = value.clone(),
        }
    }
    let terms = Arc::new(HealthCheckTerms::read(&At::body(&body), None).unwrap());
    Look { check: HealthCheckId::from_bytes([1; 16]), whose: WHOSE, terms, number: 1 }
}

/// Answers each path in its own way, and keeps the heads of all requests.
async fn paths(heads: Arc<Mutex<Vec<String>>>) -> SocketAddr {
    origin(move |_, mut stream| {
        let heads = Arc::clone(&heads);
        async move {
            let head = heard(&mut stream, "\r\n\r\n").await?;
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            heads.lock().unwrap().push(head);
            let answer = match path.as_str() {
                "/ok" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nI am ALIVE",
                "/bad" => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
                "/to-ok" => "HTTP/1.1 302 Found\r\nLocation: ok\r\nContent-Length: 0\r\n\r\n",
                "/around" => "HTTP/1.1 302 Found\r\nLocation: /around\r\nContent-Length: 0\r\n\r\n",
                "/inside" => "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n",
                "/long" => "HTTP/1.1 200 OK\r\n\r\n",
                "/two" => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                _ => return heard(&mut stream, "never").await.map(drop),
            };
            stream.write_all(answer.as_bytes()).await?;
            if path == "/long" {
                // Without an end.
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            }
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn what_an_origin_answers_is_judged() {
    let heads = Arc::default();
    let (at, origins) = (paths(Arc::clone(&heads)).await, origins());
    let look = async |http: Value| origins.look(&look_at(at, &json!({ "http_config": http }))).await;
    let bad = |why: &str| Err(why.to_owned());
    assert_eq!(look(json!({ "path": "/ok", "header": { "Host": ["www.site.test"], "X-Key": ["k"] } })).await, Ok(()));
    let head = heads.lock().unwrap().pop().unwrap().to_ascii_lowercase();
    for line in ["get /ok http/1.1\r\n", "\r\nhost: www.site.test\r\n", "\r\nx-key: k\r\n", "\r\nconnection: close\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    assert_eq!(look(json!({ "path": "/ok", "expected_body": "alive" })).await, Ok(()));
    assert_eq!(look(json!({ "path": "/ok", "method": "HEAD" })).await, Ok(()));
    assert_eq!(look(json!({ "path": "/ok", "expected_body": "dead" })).await, bad("its answer does not hold the expected text"));
    assert_eq!(look(json!({ "path": "/long", "expected_body": "y" })).await, bad("its answer does not hold the expected text"));
    assert_eq!(look(json!({ "path": "/bad" })).await, bad("it answered 503, expected was 200"));
    assert_eq!(look(json!({ "path": "/bad", "expected_codes": ["5xx"] })).await, Ok(()));
    assert_eq!(look(json!({ "path": "/to-ok" })).await, bad("it answered 302, expected was 200"));
    assert_eq!(look(json!({ "path": "/to-ok", "follow_redirects": true })).await, Ok(()));
    let around = look(json!({ "path": "/around", "follow_redirects": true })).await.unwrap_err();
    assert!(around.contains("leads on and on"), "{around}");
    let inside = look(json!({ "path": "/inside", "follow_redirects": true })).await.unwrap_err();
    assert!(inside.contains("10.0.0.1 is a private address"), "the guard is asked of each place: {inside}");
    let two = look(json!({ "path": "/two" })).await.unwrap_err();
    assert!(two.contains("Transfer-Encoding"), "{two}");
}

#[tokio::test]
async fn who_is_late_is_asked_again_and_who_is_not_there_is_not() {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let (at, origins) = (paths(Arc::clone(&heads)).await, origins());
    let late = origins.look(&look_at(at, &json!({ "retries": 1, "http_config": { "path": "/silent" } }))).await;
    assert_eq!(late, Err("it did not answer within 1 seconds".to_owned()));
    assert_eq!(heads.lock().unwrap().len(), 2);
    assert_eq!(origins.look(&look_at(at, &json!({ "type": "TCP" }))).await, Ok(()));
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for kind in ["TCP", "HTTP", "HTTPS"] {
        let gone = origins.look(&look_at(nobody, &json!({ "type": kind, "retries": 5 }))).await.unwrap_err();
        assert!(gone.contains("the connection was refused"), "{gone}");
    }
    let private = look_at("10.0.0.1:80".parse().unwrap(), &json!({ "type": "TCP" }));
    assert!(origins.look(&private).await.unwrap_err().contains("is a private address"));
    let named = look_at(at, &json!({ "address": "origin.example" }));
    assert!(origins.look(&named).await.unwrap_err().contains("origin.example has no address"));
    let plain = origins.look(&look_at(at, &json!({ "type": "HTTPS" }))).await.unwrap_err();
    assert!(plain.contains("no certificate authority"), "a certificate is asked for: {plain}");
}

/// Two servers at one port of two addresses, which answer with their address; the second one's health is a word.
async fn pair(health: Arc<Mutex<&'static str>>) -> [SocketAddr; 2] {
    let serve = |listener: TcpListener, status: Arc<Mutex<&'static str>>| async move {
        let address = listener.local_addr().unwrap();
        while let Ok((mut stream, _)) = listener.accept().await {
            let status = Arc::clone(&status);
            tokio::spawn(async move {
                let head = heard(&mut stream, "\r\n\r\n").await?;
                let (text, status) = (address.ip().to_string(), *status.lock().unwrap());
                let status = if head.contains("/health") { status } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len());
                stream.write_all(answer.as_bytes()).await
            });
        }
    };
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap();
    let second = TcpListener::bind(("127.0.0.2", address.port())).await.unwrap();
    let other = second.local_addr().unwrap();
    tokio::spawn(serve(first, Arc::new(Mutex::new("200 OK"))));
    tokio::spawn(serve(second, health));
    [address, other]
}

/// Checks of a test's own, and what is told of them.
struct Given {
    checks: Mutex<Vec<Checked>>,
    version: watch::Sender<u64>,
    told: mpsc::UnboundedSender<Told>,
}

impl Source for Given {
    fn each(&self, show: &mut dyn FnMut(Whose, &Checked)) {
        self.checks.lock().unwrap().iter().for_each(|checked| show(WHOSE, checked));
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn tell(&self, told: Told) -> bool {
        self.told.send(told).is_ok()
    }
}

#[tokio::test]
async fn visitors_are_spared_an_address_that_a_check_calls_unhealthy() {
    let health = Arc::new(Mutex::new("500 Broken"));
    let [one, two] = pair(Arc::clone(&health)).await;
    let origins = origins();
    let both = || OriginRoute { place: Place::Addresses(vec![one.ip(), two.ip()]), ..route(one) };
    let seen = async || {
        let mut seen = HashMap::new();
        for _ in 0..64 {
            *seen.entry(text(origins.send(both(), get()).await).await).or_insert(0) += 1;
        }
        seen
    };
    assert_eq!(seen().await.len(), 2, "each has its share");

    let terms = look_at(two, &json!({ "interval": 5, "http_config": { "path": "/health" } })).terms;
    let checked = Checked { id: HealthCheckId::from_bytes([1; 16]), revision: 1, terms: (*terms).clone() };
    let (told, mut hears) = mpsc::unbounded_channel();
    let given = Arc::new(Given { checks: Mutex::new(vec![checked.clone()]), version: watch::Sender::new(0), told });
    let stop = CancellationToken::new();
    let metrics = Metrics::new();
    let running = tokio::spawn(health::run(Arc::clone(&origins), Arc::<Given>::clone(&given), &metrics, stop.clone()));
    let first = hears.recv().await.unwrap();
    assert_eq!((first.revision, first.why.as_deref()), (1, Some("it answered 500, expected was 200")));
    assert_eq!(seen().await.into_keys().collect::<Vec<_>>(), [one.ip().to_string()]);
    let alone = OriginRoute { place: Place::Addresses(vec![two.ip()]), ..route(one) };
    assert_eq!(text(origins.send(alone, get()).await).await, two.ip().to_string(), "who has no other goes there still");

    // Another check of the same is made at once, and finds it well.
    *health.lock().unwrap() = "200 OK";
    let again = Checked { revision: 2, terms: HealthCheckTerms { timeout_secs: 2, ..checked.terms }, ..checked };
    *given.checks.lock().unwrap() = vec![again];
    given.version.send_replace(1);
    let second = hears.recv().await.unwrap();
    assert_eq!((second.revision, second.why), (2, None));
    assert_eq!(seen().await.len(), 2);
    stop.cancel();
    running.await.unwrap();
}
