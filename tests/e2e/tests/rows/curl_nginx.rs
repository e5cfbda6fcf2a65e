//! The everyday pair.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread,
};

use poterne_e2e::{
    Agent, Api, Curl, Kind, Nginx, Node, Setup,
    certificate::{self, Authority},
    eventually,
    origin::Raw,
};
use serde_json::{Value, json};

columns!(pages_and_bodies, rules_act_when_they_are_saved, pages_come_compressed; ours alone: a_zones_settings_are_obeyed, visitors_are_asked_who_they_are, uploads_that_a_service_does_not_take_hold_nobody_up, visitors_who_never_read_hold_nobody_up);

fn pages_and_bodies(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    assert!(node.get("/hello").is_error(530, 1033), "without an agent: {:?}", node.get("/hello"));

    let mut agent = Agent::connect(&node, kind);
    assert_eq!((node.get("/hello").status, node.get("/hello").text().as_str()), (200, "Hello, world\n"));
    assert_eq!(node.get("/absent").status, 404);
    let ask = |path, options: &[&str]| Curl::http(&node, &node.hostname, path).with(options).run();
    assert_eq!(ask("/hello", &["--head"]).status, 200, "HEAD has a head and no body");
    let seen = ask("/host", &["-H", "X-Forwarded-Proto: gopher", "-H", "CF-Connecting-IP: 192.0.2.1"]).text();
    assert_eq!(seen, format!("{}|http|127.0.0.1", node.hostname), "what a visitor forges is overwritten");
    let big = node.get("/big");
    assert_eq!((big.status, big.body.len()), (200, 16 << 20));
    assert!(big.body.iter().all(|byte| *byte == 7));
    let upload = dir.path().join("www/big");
    assert_eq!(ask("/hello", &["-T", upload.to_str().unwrap()]).status, 405, "nginx takes the body and refuses the method");

    for version in ["--http1.1", "--http2"] {
        let answer = Curl::https(&node, &node.hostname, "/hello").with(&[version]).run();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world\n"), "{version}");
    }

    agent.kill();
    eventually("the loss is noticed", || node.get("/hello").is_error(530, 1033));
    let _agent = Agent::connect(&node, kind);
    assert_eq!(node.get("/hello").status, 200);
}

/// No pause anywhere: what a call has answered is obeyed.
fn rules_act_when_they_are_saved(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    let _agent = Agent::connect(&node, kind);
    let api = Api::of(&node);
    let phase = |phase: &str| format!("/zones/{}/rulesets/phases/{phase}/entrypoint", node.text("zone_id"));
    let rule = |action: &str, expression: &str, parameters: Value| json!({ "rules": [{ "action": action, "expression": expression, "action_parameters": parameters }] });
    let put = |name: &str, body: &Value| api.done("PUT", &phase(name), body);
    let ask = |path: &str, options: &[&str]| Curl::http(&node, &node.hostname, path).with(options).run();
    assert_eq!(ask("/old/hello", &[]).status, 404);

    let rewrite = json!({ "uri": { "path": { "expression": "regex_replace(http.request.uri.path, \"^/old/\", \"/\")" } } });
    put("http_request_transform", &rule("rewrite", "starts_with(http.request.uri.path, \"/old/\")", rewrite));
    assert_eq!((ask("/old/hello", &[]).status, ask("/old/hello", &[]).text().as_str()), (200, "Hello, world\n"));
    assert_eq!(ask("/old/../%6Fld//hello", &["--path-as-is"]).status, 200, "rules see the normal form, and so does the service");

    // The agent's ingress rules see the name that the rule gives.
    node.route("inner.poterne.localhost", &nginx.url);
    put("http_request_origin", &rule("route", "true", json!({ "host_header": "inner.poterne.localhost" })));
    eventually("the agent knows the name", || ask("/host", &[]).status == 200);
    let fields = json!({ "headers": { "X-Forwarded-Proto": { "operation": "set", "expression": "http.request.headers[\"x-kind\"][0]" } } });
    put("http_request_late_transform", &rule("rewrite", "true", fields));
    assert_eq!(ask("/host", &["-H", "X-Kind: gopher"]).text(), "inner.poterne.localhost|gopher|127.0.0.1");

    let fields = json!({ "headers": {
        "X-Status": { "operation": "set", "expression": "http.response.code" }, "Last-Modified": { "operation": "remove" } } });
    put("http_response_headers_transform", &rule("rewrite", "http.request.uri.path eq \"/hello\"", fields));
    let told = ask("/hello", &["--include"]).text();
    assert!(told.contains("x-status: 200") && !told.to_lowercase().contains("last-modified"), "{told}");

    let target = json!({ "from_value": { "status_code": 308, "preserve_query_string": true,
        "target_url": { "expression": "concat(\"https://\", http.host, \"/hello\")" } } });
    put("http_request_dynamic_redirect", &rule("redirect", "http.request.uri.path eq \"/moved\"", target));
    let told = ask("/moved?a=1", &["--include"]);
    assert_eq!(told.status, 308);
    assert!(told.text().contains(&format!("location: https://{}/hello?a=1\r\n", node.hostname)), "{}", told.text());

    put(
        "http_request_firewall_custom",
        &rule("block", "cf.tls_version eq \"TLSv1.2\" and starts_with(cf.bot_management.ja4, \"t12d\")", json!({})),
    );
    let over_tls = |most: &str| Curl::https(&node, &node.hostname, "/hello").with(&["--tls-max", most]).run().status;
    assert_eq!((over_tls("1.2"), over_tls("1.3"), ask("/hello", &[]).status), (403, 200, 200));
    put(
        "http_request_firewall_custom",
        &rule("block", "http.user_agent contains \"curl\" and ip.src in {127.0.0.0/8}", json!({})),
    );
    assert!(ask("/hello", &[]).is_error(403, 1020), "{:?}", ask("/hello", &[]));
    assert_eq!(ask("/hello", &["-A", "friend"]).status, 200);
    let bad =
        api.ask("PUT", &phase("http_request_firewall_custom"), &rule("block", "http.user_agnt eq \"x\"", json!({}))).unwrap();
    assert_eq!((bad.status, bad.codes()), (400, vec![20127]), "{}", bad.body);
    assert!(ask("/hello", &[]).is_error(403, 1020), "what was in force stays");
    put("http_request_firewall_custom", &json!({ "rules": [] }));
    assert_eq!(ask("/hello", &[]).status, 200);
}

fn pages_come_compressed(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    let _agent = Agent::connect(&node, kind);
    let long = "Ceux qui passent par la poterne ne passent pas par la porte.\n".repeat(20_000);
    fs::write(dir.path().join("www/long"), &long).unwrap();
    for version in ["--http1.1", "--http2"] {
        let ask =
            |path, options: &[&str]| Curl::https(&node, &node.hostname, path).with(&[version, "--include"]).with(options).run();
        for coding in ["gzip", "br", "zstd"] {
            let accepted = format!("Accept-Encoding: {coding}");
            let packed = ask("/long", &["--header", &accepted]);
            assert!(packed.exit == 0 && packed.body.len() < long.len() / 20, "{coding}: {}", packed.body.len());
            // curl unpacks by the field, with libraries that are not ours.
            let unpacked = ask("/long", &["--header", &accepted, "--compressed"]);
            let (head, body) =
                unpacked.text().split_once("\r\n\r\n").map(|(head, body)| (head.to_lowercase(), body.to_owned())).unwrap();
            assert!(unpacked.exit == 0 && body == long, "{coding}: {}", unpacked.told);
            for field in [format!("content-encoding: {coding}"), "vary: accept-encoding".into(), "etag: w/\"".into()] {
                assert!(head.contains(&field), "{field} in {head}");
            }
        }
        for (path, options) in [
            ("/long", &["--header", "Accept-Encoding: identity"][..]),
            ("/long", &["--head", "--compressed"]),
            ("/long", &["--compressed", "--range", "0-99"]),
            ("/hello", &["--compressed"]),
        ] {
            let plain = ask(path, options);
            assert!(
                plain.exit == 0 && !plain.text().to_lowercase().contains("content-encoding"),
                "{path} {options:?}: {plain:?}"
            );
        }
    }
}

fn a_zones_settings_are_obeyed(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    let _agent = Agent::connect(&node, kind);
    let (api, zone) = (Api::of(&node), node.text("zone_id").to_owned());
    let set = |id: &str, value: Value| api.done("PATCH", &format!("/zones/{zone}/settings/{id}"), &json!({ "value": value }));
    let https = |path, options: &[&str]| Curl::https(&node, &node.hostname, path).with(options).run();

    assert_eq!(https("/hello", &["--tls-max", "1.2"]).status, 200);
    set("min_tls_version", json!("1.3"));
    let refused = https("/hello", &["--tls-max", "1.2", "--verbose"]);
    assert!(refused.exit == 35 && refused.told.contains("protocol version"), "{refused:?}");
    assert_eq!(https("/hello", &[]).status, 200);
    set("min_tls_version", json!("1.2"));
    set("tls_1_3", json!("off"));
    let refused = https("/hello", &["--tlsv1.3", "--verbose"]);
    assert!(refused.exit == 35 && refused.told.contains("protocol version"), "{refused:?}");
    let one = https("/hello", &["--verbose"]);
    assert!(one.status == 200 && one.told.contains("TLSv1.2") && !one.told.contains("alt-svc"), "{one:?}");
    set("tls_1_3", json!("on"));
    assert!(https("/hello", &["--verbose"]).told.contains("accepted h2"));
    set("http2", json!("off"));
    assert!(https("/hello", &["--verbose"]).told.contains("accepted http/1.1"));

    set("security_header", json!({ "strict_transport_security": { "enabled": true, "max_age": 600, "preload": true } }));
    for (path, status) in [("/hello", 200), ("/absent", 404)] {
        let told = https(path, &["--include"]);
        assert!(told.status == status && told.text().contains("strict-transport-security: max-age=600; preload\r\n"), "{told:?}");
    }
    set("always_use_https", json!("on"));
    let sent = Curl::http(&node, &node.hostname, "/hello?a=b").with(&["--include"]).run();
    let port = node.text("https").rsplit(':').next().unwrap();
    let there = format!("location: https://{}:{port}/hello?a=b\r\n", node.hostname);
    assert!(sent.status == 301 && sent.text().contains(&there), "{sent:?}");
    assert_eq!(Curl::http(&node, &node.hostname, "/cdn-cgi/trace").run().status, 200);

    assert_eq!(https("/host", &[]).text(), format!("{}|https|127.0.0.1", node.hostname));
    let managed = json!({ "managed_request_headers": [{ "id": "remove_visitor_ip_headers", "enabled": true }] });
    api.done("PATCH", &format!("/zones/{zone}/managed_headers"), &managed);
    assert_eq!(https("/host", &[]).text(), format!("{}|https|", node.hostname), "the very next request");
}

/// No pause anywhere here either.
fn visitors_are_asked_who_they_are(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    let _agent = Agent::connect(&node, kind);
    let (api, zone) = (Api::of(&node), format!("/zones/{}", node.text("zone_id")));
    let host = node.hostname.as_str();
    let keep = |name: &str, (certificate, key): (&str, &str)| {
        let file = dir.path().join(name);
        fs::write(&file, format!("{certificate}{key}")).unwrap();
        file.to_str().unwrap().to_owned()
    };
    // One of the zone's own authority, and one of an authority that the account brought.
    let (request, key) = certificate::request();
    let issued = api.done("POST", &format!("{zone}/client_certificates"), &json!({ "csr": request, "validity_days": 7 }));
    let ann = keep("ann.pem", (issued["certificate"].as_str().unwrap(), &key));
    let authority = Authority::new("devices");
    let (certificate, key) = authority.client("bob");
    let bob = keep("bob.pem", (&certificate, &key));
    let brought = api.done(
        "POST",
        &format!("/accounts/{}/mtls_certificates", api.account),
        &json!({ "ca": true, "certificates": authority.pem(), "name": "devices" }),
    );

    let expression = "not cf.tls_client_auth.cert_verified or cf.tls_client_auth.cert_revoked";
    let rule = json!({ "rules": [{ "action": "block", "expression": expression }] });
    api.done("PUT", &format!("{zone}/rulesets/phases/http_request_firewall_custom/entrypoint"), &rule);
    let managed = json!({ "managed_request_headers": [{ "id": "add_client_certificate_headers", "enabled": true }] });
    api.done("PATCH", &format!("{zone}/managed_headers"), &managed);
    let come = |shows: Option<&str>, version: &str| {
        let mut curl = Curl::https(&node, host, "/shown").with(&[version, "-H", "Client-Cert: :forged:"]);
        if let Some(file) = shows {
            curl = curl.with(&["--cert", file]);
        }
        let answer = curl.run();
        (answer.status, answer.text())
    };
    let hosts = |more: Value| {
        let mut body = json!({ "hostnames": [host] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        api.done("PUT", &format!("{zone}/certificate_authorities/hostname_associations"), &body);
    };
    assert_eq!(come(Some(&ann), "--http2").0, 403, "nobody asks yet");
    hosts(json!({}));
    for version in ["--http1.1", "--http2"] {
        assert_eq!(come(None, version).0, 403, "{version}: the handshake went on, and the rule blocks");
        let (status, told) = come(Some(&ann), version);
        assert!(status == 200 && told.starts_with("true|true||:") && told.ends_with(':'), "{version}: {status} {told}");
        assert!(!told.contains("forged"), "{told}");
        assert_eq!(come(Some(&bob), version).0, 403, "{version}: nobody here vouches for it");
    }
    hosts(json!({ "mtls_certificate_id": brought["id"] }));
    assert!(come(Some(&bob), "--http2").1.starts_with("true|true|CN=bob|:"), "{:?}", come(Some(&bob), "--http2"));
    assert_eq!(come(Some(&ann), "--http2").0, 200, "both may vouch");

    let one = format!("{zone}/client_certificates/{}", issued["id"].as_str().unwrap());
    assert_eq!(api.done("DELETE", &one, &Value::Null)["status"], "revoked");
    assert_eq!((come(Some(&ann), "--http1.1").0, come(Some(&bob), "--http1.1").0), (403, 200));
    api.done("PATCH", &one, &Value::Null);
    assert_eq!(come(Some(&ann), "--http1.1").0, 200);
    // HTTP/3 asks, too.
    let told = Curl::https(&node, host, "/shown").with(&["--cert", &ann, "--include"]).run().text();
    assert!(told.to_lowercase().contains("alt-svc: h3="), "{told}");
}

/// More of them than a connection of the agent's, which all share, could once hold unread.
fn visitors_who_never_read_hold_nobody_up(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let settings = ["edge.stalled_mib_max=16".to_owned()];
    let node = Node::serve_with(&nginx.url, Setup { settings: settings.into(), ..Setup::default() });
    let _agent = Agent::run_with(&node, kind, &node.token, &["--ha-connections", "1"]);
    eventually("the agent is connected", || node.get("/hello").status == 200);
    let at: SocketAddr = node.text("http").trim_start_matches("http://").parse().unwrap();
    let visitors: Vec<TcpStream> = (0..150)
        .map(|_| {
            let mut visitor = TcpStream::connect(at).unwrap();
            write!(visitor, "GET /big HTTP/1.1\r\nHost: {}\r\n\r\n", node.hostname).unwrap();
            visitor
        })
        .collect();
    let told = || {
        let text = node.metrics();
        let count = text.lines().find_map(|line| line.strip_prefix("poterne_answers_let_go_total ")).unwrap();
        count.parse::<usize>().unwrap()
    };
    eventually("those beyond what may lie there are let go", || {
        let answered = Curl::http(&node, &node.hostname, "/hello").with(&["--max-time", "5"]).run();
        assert_eq!(answered.status, 200, "{answered:?}");
        told() >= 150 - 16
    });
    let big = node.get("/big");
    assert_eq!((big.status, big.body.len()), (200, 16 << 20), "whoever reads is let alone");
    drop(visitors);
}

/// Two of them were once as much as an agent let wait of all on a connection, requests' heads included.
fn uploads_that_a_service_does_not_take_hold_nobody_up(kind: Kind) {
    let service = Raw::start(|path, stream| {
        if path == "/upload" {
            // Takes nothing, and holds the connection open.
            loop {
                thread::park();
            }
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
    let node = Node::serve(&service.url());
    let _agent = Agent::run_with(&node, kind, &node.token, &["--ha-connections", "1"]);
    eventually("the agent is connected", || node.get("/").status == 200);
    let at: SocketAddr = node.text("http").trim_start_matches("http://").parse().unwrap();
    let uploads: Vec<TcpStream> = (0..12)
        .map(|_| {
            let mut visitor = TcpStream::connect(at).unwrap();
            visitor.set_nonblocking(true).unwrap();
            write!(visitor, "POST /upload HTTP/1.1\r\nHost: {}\r\nContent-Length: 100000000\r\n\r\n", node.hostname).unwrap();
            visitor
        })
        .collect();
    let (piece, mut still) = (vec![7; 1024 * 1024], 0);
    eventually("each upload waits for its service", || {
        // As much as is taken of them, until nothing is.
        let taken: usize = uploads.iter().map(|mut upload| upload.write(&piece).unwrap_or_default()).sum();
        still = if taken == 0 { still + 1 } else { 0 };
        let answered = Curl::http(&node, &node.hostname, "/").with(&["--max-time", "5"]).run();
        assert_eq!(answered.status, 200, "{answered:?}");
        still == 10
    });
}
