//! What a zone's rules make of requests on their way.

use poterne_model::{
    RuleId,
    ruleset::Phase,
    setting::{SslMode, UrlNormalization, normalization::NormalizationScope},
};
use poterne_rules::{
    Act, Change as FieldChange, Definition, Items, NamedList, Payload, Redirect, ZoneRules, definition::Response,
};

use super::*;

fn value(text: &str) -> Payload {
    Payload::Value(text.into())
}

fn computed(text: &str) -> Payload {
    Payload::Expression(text.into())
}

/// An edge whose zone `site.test` has these rules.
fn ruled(rules: Vec<(Phase, &str, Act)>) -> Edge {
    ruled_in(1, ZoneRules { rules: definitions(rules), ..ZoneRules::default() })
}

fn definitions(rules: Vec<(Phase, &str, Act)>) -> Vec<Definition> {
    let numbered = rules.into_iter().zip(1..);
    numbered
        .map(|((phase, expression, act), number)| Definition {
            id: RuleId::from_bytes([number; 16]),
            phase,
            expression: expression.into(),
            act,
        })
        .collect()
}

fn ruled_in(zone: u8, rules: ZoneRules) -> Edge {
    let edge = edge();
    let chunks = vec![(ChunkKey::Rules(ZoneId::from_bytes([zone; 16])).encode(), Some(Chunk::Rules(rules).encode()))];
    edge.snapshot.apply(&Change { generation: 2, chunks }).unwrap();
    edge
}

fn seen(edge: &Edge) -> (HeaderMap, String) {
    let (_, headers, uri) = edge.pretend.last.lock().unwrap().take().expect("it reached the tunnel");
    (headers, uri)
}

#[tokio::test]
async fn paths_are_put_in_normal_form_without_any_rule() {
    let edge = edge();
    for (asked, sent) in [("/a/../%62?q=%zz", "/b?q=%zz"), ("/a//b", "/a/b"), ("/a%2fb", "/a%2Fb"), ("/a?//", "/a?//")] {
        assert!(edge.get("site.test", asked).await.starts_with("HTTP/1.1 200 "), "{asked}");
        assert_eq!(seen(&edge).1, sent);
    }
    for asked in ["/a/../cdn-cgi/trace", "//cdn-cgi/x"] {
        assert!(edge.get("site.test", asked).await.starts_with("HTTP/1.1 404 "), "{asked}");
    }
    for asked in ["/100%", "/a%00"] {
        assert!(edge.get("site.test", asked).await.starts_with("HTTP/1.1 400 "), "{asked}");
        assert!(edge.pretend.last.lock().unwrap().is_none());
    }
}

#[tokio::test]
async fn the_origin_may_want_the_path_as_it_came() {
    let normalization = UrlNormalization { scope: NormalizationScope::Incoming, ..UrlNormalization::default() };
    let block = (Phase::FirewallCustom, "http.request.uri.path eq \"/admin\"", Act::Block(None));
    let edge = ruled_in(1, ZoneRules { normalization, rules: definitions(vec![block]), ..ZoneRules::default() });
    edge.get("site.test", "/x/..//a").await;
    assert_eq!(seen(&edge).1, "/x/..//a");
    assert!(edge.get("site.test", "/x/..//admin").await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn redirects_answer_and_keep_the_query() {
    let edge = ruled(vec![
        (
            Phase::DynamicRedirect,
            "http.host eq \"www.site.test\"",
            Act::Redirect {
                target: computed("concat(\"https://site.test\", http.request.uri.path)"),
                status: 308,
                keeps_query: true,
            },
        ),
        (
            Phase::DynamicRedirect,
            "http.request.uri.path eq \"/nothing\"",
            Act::Redirect { target: computed("http.referer"), status: 302, keeps_query: false },
        ),
    ]);
    let told = edge.get("www.site.test", "/a?b=1").await;
    assert!(told.starts_with("HTTP/1.1 308 ") && told.contains("\r\nlocation: https://site.test/a?b=1\r\n"), "{told}");
    assert!(told.contains("cf-ray: ") && edge.pretend.last.lock().unwrap().is_none());
    assert!(edge.get("site.test", "/a?b=1").await.starts_with("HTTP/1.1 200 "));
    let told = edge.get("site.test", "/nothing").await;
    assert!(told.starts_with("HTTP/1.1 500 ") && told.contains("cf-error-type: 1037\r\n"), "{told}");
    // The edge's own path is not a zone's to redirect.
    assert!(edge.get("www.site.test", "/cdn-cgi/trace").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn rewrites_reach_the_origin_with_their_fields_and_its_answer_is_changed() {
    let fields = |fields: &[(&str, FieldChange)]| {
        Act::Fields(fields.iter().map(|(name, change)| ((*name).into(), change.clone())).collect())
    };
    let edge = ruled(vec![
        (
            Phase::Transform,
            "starts_with(http.request.uri.path, \"/old/\")",
            Act::Rewrite {
                path: Some(computed("regex_replace(http.request.uri.path, \"^/old\", \"/new\")")),
                query: Some(value("from=old")),
            },
        ),
        (
            Phase::Origin,
            "true",
            Act::Route { host_header: Some(name("inner.site.test")), sni: None, host: None, port: Some(8443) },
        ),
        (
            Phase::LateTransform,
            "http.request.uri.path contains \"/new\"",
            fields(&[
                ("x-forwarded-proto", FieldChange::Set(value("gopher"))),
                ("x-host", FieldChange::Set(computed("http.host"))),
                ("x-ray", FieldChange::Set(computed("cf.ray_id"))),
                ("x-many", FieldChange::Add(value("2"))),
                ("x-secret", FieldChange::Remove),
            ]),
        ),
        (
            Phase::ResponseHeadersTransform,
            "http.response.code eq 200 and http.request.headers[\"x-many\"][0] eq \"1\"",
            fields(&[("server", FieldChange::Set(value("mine"))), ("x-path", FieldChange::Set(computed("http.request.uri")))]),
        ),
    ]);
    let told =
        edge.ask(None, "GET /old/a?b HTTP/1.1\r\nHost: site.test\r\nX-Many: 1\r\nX-Secret: s\r\nX-Host: forged\r\n\r\n").await;
    assert!(told.contains("\r\nserver: mine\r\n") && told.contains("\r\nx-path: /new/a?from=old\r\n"), "{told}");
    let (head, uri) = seen(&edge);
    assert_eq!(uri, "/new/a?from=old");
    for (field, expected) in [("host", "inner.site.test"), ("x-forwarded-proto", "gopher"), ("x-host", "site.test")] {
        assert_eq!(head[field], expected);
    }
    assert_eq!(head["x-ray"], head["cf-ray"]);
    assert_eq!(head.get_all("x-many").iter().count(), 2);
    assert!(!head.contains_key("x-secret"));
    let told = edge.get("site.test", "/other").await;
    assert!(told.contains("\r\nserver: poterne\r\n") && !told.contains("x-path"), "{told}");
}

#[tokio::test]
async fn a_firewall_answers_with_its_page_or_the_rules_own() {
    let answer = Response { status: 451, content_type: "application/json".into(), content: "{\"no\":1}".into() };
    let edge = ruled(vec![
        (Phase::FirewallCustom, "http.user_agent contains \"friend\"", Act::Skip),
        (Phase::FirewallCustom, "http.request.uri.path eq \"/mine\"", Act::Block(Some(answer))),
        (Phase::FirewallCustom, "starts_with(http.request.uri.path, \"/wp-\") or ip.src in {192.0.2.0/24}", Act::Block(None)),
    ]);
    let told = edge.get("site.test", "/mine").await;
    assert!(told.starts_with("HTTP/1.1 451 ") && told.ends_with("{\"no\":1}"), "{told}");
    assert!(told.contains("content-type: application/json\r\n"), "{told}");
    let told = edge.get("site.test", "/%77p-login.php").await;
    assert!(told.starts_with("HTTP/1.1 403 ") && told.contains("cf-error-type: 1020\r\n"), "{told}");
    for path in ["/mine", "/wp-login.php"] {
        let told = edge.ask(Some("site.test"), &format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n\r\n")).await;
        assert!(told.contains("alt-svc: h3="), "who is refused may come by HTTP/3 all the same: {told}");
    }
    let friend = "GET /wp-login.php HTTP/1.1\r\nHost: site.test\r\nUser-Agent: a friend\r\n\r\n";
    assert!(edge.ask(None, friend).await.starts_with("HTTP/1.1 200 "));
    assert!(edge.get("clear.test", "/mine").await.starts_with("HTTP/1.1 200 "), "another zone's rules are its own");
}

#[tokio::test]
async fn the_mode_of_one_request_is_its_own() {
    let full = (Phase::ConfigSettings, "starts_with(http.request.uri.path, \"/tls\")", Act::Config { ssl: Some(SslMode::Full) });
    let edge = ruled_in(3, ZoneRules { rules: definitions(vec![full]), ..ZoneRules::default() });
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: clear.test\r\n\r\n");
    assert!(edge.ask(Some("clear.test"), &ask("/tls/a")).await.starts_with("HTTP/1.1 200 "));
    let told = edge.ask(Some("clear.test"), &ask("/a")).await;
    assert!(told.starts_with("HTTP/1.1 302 ") && told.contains("location: http://clear.test/a\r\n"), "{told}");
}

#[tokio::test]
async fn an_origin_that_a_rule_names_passes_the_guard() {
    let route = Act::Route { host_header: None, sni: None, host: Some(name("elsewhere.example")), port: None };
    let edge = ruled(vec![(Phase::Origin, "http.host eq \"documented.site.test\"", route)]);
    // There is no resolver here: the record's address would have been refused by the guard, with 1002.
    let told = edge.get("documented.site.test", "/").await;
    assert!(told.starts_with("HTTP/1.1 530 ") && told.contains("cf-error-type: 1016\r\n"), "{told}");
}

#[tokio::test]
async fn an_accounts_rules_hold_for_all_its_zones_and_a_zones_own_come_after() {
    let edge = ruled(vec![
        (Phase::FirewallCustom, "http.request.uri.path eq \"/zone\"", Act::Block(None)),
        (
            Phase::ResponseHeadersTransform,
            "true",
            Act::Fields(vec![("x-zone".into(), FieldChange::Set(computed("cf.zone.name")))]),
        ),
    ]);
    let redirect = Redirect {
        source: "clear.test/old".into(),
        target: "https://new.test/".into(),
        status: 308,
        subpaths: true,
        keeps_suffix: true,
        ..Redirect::default()
    };
    let account = ZoneRules {
        rules: definitions(vec![
            (Phase::FirewallCustom, "http.request.uri.path eq \"/account\" and cf.zone.name ne \"other.test\"", Act::Block(None)),
            (
                Phase::Redirect,
                "http.request.full_uri in $moved",
                Act::RedirectFrom { list: "moved".into(), key: "http.request.full_uri".into() },
            ),
        ]),
        lists: vec![NamedList { name: "moved".into(), items: Items::Redirects(vec![redirect]) }],
        ..ZoneRules::default()
    };
    let chunks = vec![(ChunkKey::AccountRules(ACCOUNT).encode(), Some(Chunk::AccountRules(account).encode()))];
    edge.snapshot.apply(&Change { generation: 3, chunks }).unwrap();
    let status = async |host: &str, path: &str| edge.get(host, path).await.split(' ').nth(1).unwrap().to_owned();
    for (host, path, expected) in [
        ("site.test", "/account", "403"),
        ("clear.test", "/account", "403"),
        ("site.test", "/zone", "403"),
        ("clear.test", "/zone", "200"),
        ("site.test", "/old", "200"),
    ] {
        assert_eq!(status(host, path).await, expected, "{host}{path}");
    }
    let told = edge.get("clear.test", "/old/%61?b=c").await;
    assert!(told.starts_with("HTTP/1.1 308 ") && told.contains("location: https://new.test/a\r\n"), "{told}");
    assert!(edge.get("site.test", "/").await.contains("x-zone: site.test\r\n"));
    assert!(!edge.get("clear.test", "/").await.contains("x-zone"));
}
