//! The language, as users write it.

use http::{HeaderMap, HeaderName, HeaderValue, Version};
use proptest::prelude::*;

use super::*;
use crate::facts::Answer;

/// What Ann shows.
fn shown() -> poterne_model::ShownCertificate {
    let name = |rfc2253: &str, legacy: &str| poterne_model::visitor_certificate::DistinguishedName {
        rfc2253: rfc2253.into(),
        legacy: legacy.into(),
    };
    poterne_model::ShownCertificate {
        verified_by: None,
        der: b"der"[..].into(),
        not_before: 0,
        not_after: 1,
        validity: ["Jan  1 00:00:00 1970 GMT".into(), "Jan  1 00:00:01 1970 GMT".into()],
        serial: [0, 0x93, 0x6e][..].into(),
        subject: name("CN=ann,O=Us", "/O=Us/CN=ann"),
        issuer: name("CN=us", "/CN=us"),
        ski: [0xa5, 0xac][..].into(),
        issuer_ski: Box::default(),
        issuer_serial: Box::default(),
        sha1: [0xc1; 20],
        sha256: [0xc2; 32],
    }
}

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    fields
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .collect()
}

/// A request of a visitor who asks for much.
fn with<T>(ask: impl FnOnce(&Facts<'_>) -> T) -> T {
    let headers = headers(&[
        ("user-agent", "Mozilla/5.0 (X11)"),
        ("cookie", "session=abc; theme=dark"),
        ("cookie", "s%65en=1; session=again"),
        ("x-list", "One"),
        ("x-list", "Two"),
        ("x-number", "7"),
        ("authorization", r#"{"user":{"id":"ann","ages":[7,8]}}"#),
        ("accept-language", "fr;q=0.5, en"),
    ]);
    let answer = self::headers(&[("content-type", "Text/HTML; charset=utf-8"), ("set-cookie", "a"), ("set-cookie", "b")]);
    ask(&Facts {
        method: "GET",
        version: Version::HTTP_2,
        secure: true,
        host: "www.example.com",
        path: "/api/v1/users.JSON",
        query: "a=1&b=2&a=3&empty&q=x%20y",
        raw_path: "/api//v1/users.JSON",
        raw_query: "a=1&b=2&a=3&empty&q=x%20y",
        headers: &headers,
        source: "192.0.2.7".parse().unwrap(),
        local: "198.51.100.1:443".parse().unwrap(),
        ray: "0123456789abcdef-LOC",
        zone: "example.com",
        ja4: Some("t13d1516h2_8daaf6152771_e5627efa2ab1"),
        tls: [Some("TLSv1.3"), Some("AEAD-AES128-GCM-SHA256")],
        certificate: Some(Certificate { shown: &shown(), is_verified: true, is_revoked: false }),
        at: std::time::Duration::from_millis(1_800_000_000_123),
        answer: Some(Answer { status: 404, headers: &answer }),
    })
}

#[test]
fn a_handshake_and_a_certificate_are_asked_about() {
    for expression in [
        "cf.tls_version eq \"TLSv1.3\" and cf.tls_cipher eq \"AEAD-AES128-GCM-SHA256\"",
        "cf.bot_management.ja4 eq \"t13d1516h2_8daaf6152771_e5627efa2ab1\"",
        "cf.tls_client_auth.cert_presented and cf.tls_client_auth.cert_verified and not cf.tls_client_auth.cert_revoked",
        "cf.tls_client_auth.cert_subject_dn eq \"CN=ann,O=Us\" and cf.tls_client_auth.cert_subject_dn_rfc2253 contains \"ann\"",
        "cf.tls_client_auth.cert_subject_dn_legacy eq \"/O=Us/CN=ann\" and cf.tls_client_auth.cert_issuer_dn eq \"CN=us\"",
        "cf.tls_client_auth.cert_serial eq \"00936E\" and cf.tls_client_auth.cert_ski eq \"A5AC\"",
        "cf.tls_client_auth.cert_issuer_ski eq \"\" and cf.tls_client_auth.cert_issuer_serial eq \"\"",
        "cf.tls_client_auth.cert_not_after eq \"Jan  1 00:00:01 1970 GMT\"",
        "cf.tls_client_auth.cert_rfc9440 eq \":ZGVy:\"",
        "cf.tls_client_auth.cert_fingerprint_sha1 matches \"^(c1){20}$\" and cf.tls_client_auth.cert_fingerprint_sha256 matches \"^(c2){32}$\"",
    ] {
        assert!(holds(expression), "{expression}");
    }
    let without = |expression: &str| {
        let condition = Condition::compile(expression, Moment::Request).unwrap();
        with(|facts| condition.holds(&Facts { ja4: None, certificate: None, ..*facts })).unwrap()
    };
    assert!(without("not cf.tls_client_auth.cert_presented and not cf.tls_client_auth.cert_verified"));
    assert!(without("not cf.tls_client_auth.cert_revoked and cf.tls_client_auth.cert_subject_dn eq \"\""));
    assert!(!without("cf.bot_management.ja4 eq \"\""), "over QUIC there is none, not even an empty one");
}

fn holds(expression: &str) -> bool {
    let condition = Condition::compile(expression, Moment::Response).unwrap_or_else(|error| panic!("{error}"));
    with(|facts| condition.holds(facts)).unwrap()
}

fn computed(expression: &str) -> Option<String> {
    let computed = Computed::compile(expression, Moment::Response).unwrap_or_else(|error| panic!("{error}"));
    with(|facts| computed.text(facts)).unwrap().map(|text| String::from_utf8_lossy(&text).into_owned())
}

fn refused(expression: &str) -> String {
    match Condition::compile(expression, Moment::Request) {
        Ok(_) => panic!("{expression} is taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn conditions_hold_as_they_read() {
    for (expression, expected) in [
        ("true", true),
        ("not true", false),
        ("http.host eq \"www.example.com\"", true),
        ("http.host == \"www.example.com\" and ssl", true),
        ("http.host ne \"www.example.com\"", false),
        ("(http.request.method in {\"GET\" \"HEAD\"})", true),
        ("http.request.uri.path contains \"/v1/\"", true),
        ("http.request.uri.path matches \"^/api/v[0-9]+/\"", true),
        ("http.request.uri.path ~ r\"^/api/v\\d+/\"", true),
        (r#"http.user_agent matches "[\"X]\"?11""#, true),
        ("http.request.uri.path wildcard \"/API/*/users.json\"", true),
        ("http.request.uri.path strict wildcard \"/API/*\"", false),
        ("http.request.uri.path.extension eq \"json\"", true),
        ("http.request.uri.path.basename eq \"users.JSON\"", true),
        ("raw.http.request.uri.path eq \"/api//v1/users.JSON\"", true),
        ("http.request.full_uri eq \"https://www.example.com/api/v1/users.JSON?a=1&b=2&a=3&empty&q=x%20y\"", true),
        ("http.request.version in {\"HTTP/2\" \"HTTP/3\"}", true),
        ("ip.src eq 192.0.2.7", true),
        ("ip.src in {198.51.100.0/24 192.0.2.0/28}", true),
        ("ip.src in {192.0.2.1..192.0.2.6 2001:db8::/32}", false),
        ("ip.src in {::ffff:192.0.2.7}", true),
        ("ip.src ne 2001:db8::1", true),
        ("not ip.src in {192.0.2.0/24}", false),
        ("cf.edge.server_port in {80 443 8000..9000}", true),
        ("cf.edge.server_port & 1", true),
        ("cf.edge.server_port bitwise_and 4", false),
        ("http.request.timestamp.sec ge 1800000000 and http.request.timestamp.msec lt 0x7c", true),
        ("http.response.code eq 404", true),
        ("http.response.content_type.media_type eq \"text/html\"", true),
        ("any(http.response.headers[\"Set-Cookie\"][*] eq \"b\")", true),
        ("any(http.request.headers[\"x-list\"][*] eq \"Two\")", true),
        ("all(http.request.headers[\"x-list\"][*] eq \"Two\")", false),
        ("any(lower(http.request.headers[\"x-list\"][*])[*] eq \"two\")", true),
        ("any(starts_with(http.request.headers[\"x-list\"][*], \"Tw\"))", true),
        ("any(http.request.headers[\"x-list\"][*] contains \"n\" and http.request.headers[\"x-list\"][*] contains \"O\")", true),
        ("any(http.request.headers[\"x-list\"][*] contains \"n\" and http.request.headers[\"x-list\"][*] contains \"T\")", false),
        (
            "any(lower(http.request.headers[\"x-list\"][*])[*] eq \"one\" and not http.request.headers[\"x-list\"][*] eq \"Two\")",
            true,
        ),
        ("http.request.headers[\"x-list\"][1] eq \"Two\"", true),
        ("http.request.headers[\"x-list\"][2] eq \"Two\"", false),
        ("http.request.headers[\"x-list\"][2] ne \"Two\"", false),
        ("not http.request.headers[\"x-list\"][2] eq \"Two\"", true),
        ("all(http.request.headers[\"x-none\"][*] eq \"a\")", true),
        ("len(http.request.headers[\"x-none\"]) ge 0", false),
        ("len(http.request.headers[\"x-list\"]) eq 2", true),
        ("has_key(http.request.uri.args, \"empty\") and not has_key(http.request.uri.args, \"c\")", true),
        ("has_value(http.request.uri.args, \"3\") and has_value(http.request.uri.args[\"a\"], \"3\")", true),
        ("http.request.uri.args[\"a\"][1] eq \"3\"", true),
        ("http.request.uri.args[\"empty\"][0] eq \"\"", true),
        ("any(http.request.uri.args.names[*] eq \"b\")", true),
        ("http.request.cookies[\"seen\"][0] eq \"1\"", true),
        ("http.request.cookies[\"session\"][1] eq \"again\"", true),
        ("http.cookie eq \"session=abc; theme=dark; s%65en=1; session=again\"", true),
        ("http.referer eq \"\"", false),
        ("http.request.accepted_languages[0] eq \"en\"", true),
        ("cf.zone.name eq \"example.com\" and cf.threat_score eq 0 and cf.edge.client_tcp", true),
        ("starts_with(http.request.uri.path, \"/api/\") and ends_with(lower(http.request.uri.path), \".json\")", true),
        ("http.host eq \"a\" or http.host eq \"www.example.com\" and true", true),
        ("true xor true or false", false),
        ("true ^^ false", true),
        ("!false && !(false || false)", true),
        ("not false and false", false),
        ("http.host eq \"\\x77\\167w.example.com\"", true),
        ("http.host contains 77:77:77", true),
        ("http.host eq r##\"www.example.com\"##", true),
        ("true # and the rest is for people\n and true", true),
        ("\thttp.request.method\r\neq\n\"GET\" ", true),
        ("cidr(ip.src, 24, 48) eq 192.0.2.0 and cidr6(ip.src, 48) eq 192.0.2.7", true),
        ("lookup_json_string(http.request.headers[\"authorization\"][0], \"user\", \"id\") eq \"ann\"", true),
        ("lookup_json_integer(http.request.headers[\"authorization\"][0], \"user\", \"ages\", 1) eq 8", true),
        ("lookup_json_string(http.user_agent, \"user\") eq \"\"", false),
        ("http.request.uri.path lt \"/b\" and http.request.uri.path gt \"/a\"", true),
        ("len(concat(http.referer, \"ab\")) eq 2", true),
        ("ip.src in $offices", false),
        ("ip.src.country eq \"FR\"", false),
    ] {
        assert_eq!(holds(expression), expected, "{expression}");
    }
}

#[test]
fn functions_come_to_texts() {
    for (expression, expected) in [
        ("\"https://example.com/\"", Some("https://example.com/")),
        (
            "concat(\"https://\", http.host, \"/\", cf.edge.server_port, \"/\", ip.src, \"/\", ssl)",
            Some("https://www.example.com/443/192.0.2.7/true"),
        ),
        ("ip.src", Some("192.0.2.7")),
        ("http.request.uri.path eq \"/\"", Some("false")),
        ("upper(http.host)", Some("WWW.EXAMPLE.COM")),
        ("substring(http.host, 4)", Some("example.com")),
        ("substring(http.host, -3, -1)", Some("co")),
        ("regex_replace(http.request.uri.path, \"^/api/v([0-9]+)/(.*)$\", \"/v${1}-$$-${2}\")", Some("/v1-$-users.JSON")),
        ("regex_replace(http.request.uri.path, \"nothing\", \"x\")", Some("/api/v1/users.JSON")),
        (
            "wildcard_replace(http.request.full_uri, \"https://*.example.com/*\", \"https://${1}.example.net/${2}\")",
            Some("https://www.example.net/api/v1/users.JSON?a=1&b=2&a=3&empty&q=x%20y"),
        ),
        ("wildcard_replace(http.host, \"WWW.*\", \"${1}\", \"s\")", Some("www.example.com")),
        ("url_decode(http.request.uri.args[\"q\"][0])", Some("x y")),
        ("url_decode(\"%2525\")", Some("%25")),
        ("url_decode(\"%252525\", \"r\")", Some("%")),
        ("remove_query_args(http.request.uri.query, \"a\", \"q\")", Some("b=2&empty")),
        ("remove_bytes(http.host, \".w\")", Some("examplecom")),
        ("join(split(http.host, \".\", 2), \"+\")", Some("www+example.com")),
        ("split(http.host, \".\", 9)[2]", Some("com")),
        ("to_string(http.response.code)", Some("404")),
        ("encode_base64(\"a?>\")", Some("YT8+")),
        ("encode_base64(\"a?>b\", \"up\")", Some("YT8-Yg==")),
        ("decode_base64(\"YT8+\")", Some("a?>")),
        ("decode_base64(\"!\")", None),
        ("encode_base64(sha256(\"\"))", Some("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU")),
        ("http.referer", None),
        ("lower(http.referer)", None),
        ("uuidv4(cf.random_seed)", None),
    ] {
        assert_eq!(computed(expression).as_deref(), expected, "{expression}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_a_remedy() {
    for (expression, told) in [
        ("", "here stands the end"),
        ("http.request.uri.pth eq \"/\"", "did you mean http.request.uri.path?"),
        ("http.response.code eq 404", "once there is an answer"),
        ("http.host", "compare it, as in … eq \"a\""),
        ("http.host eq 1", "not a text"),
        ("http.host eq \"a", "does not end"),
        ("http.host eq \"\\q\"", "this escape is none"),
        ("http.host eq \"a\" http.host", "not an operator"),
        ("(true", "here stands the end, and not the \")\""),
        ("true)", "closes nothing"),
        ("ip.src eq \"192.0.2.1\"", "without quotes"),
        ("ip.src eq 192.0.2.0/24", "write in {…}"),
        ("ip.src gt 192.0.2.0", "not greater or smaller"),
        ("ip.src in {}", "nothing is in {}"),
        ("ip.src in {1.1.1.1, 2.2.2.2}", "leave the comma out"),
        ("ip.src in {1.1.1.9..1.1.1.1}", "from the smaller"),
        ("ip.src in {1.1.1.1/33}", "0 to 32 bits"),
        ("ip.src not in {1.1.1.1}", "stands before a whole comparison"),
        ("ip.src in $Offices", "small letters"),
        ("ssl eq true", "leave eq out"),
        ("cf.edge.server_port contains \"4\"", "contains compares a text"),
        ("http.host matches \"(\"", "no regular expression"),
        ("http.host matches \"a{1000}{1000}{100}\"", "too large"),
        ("http.host wildcard \"a**\"", "two stars"),
        ("http.host starts_with \"a\"", "is a function"),
        ("starts_with(\"a\", http.host)", "look"),
        ("lowr(http.host) eq \"a\"", "did you mean lower?"),
        ("lower(1) eq \"a\"", "lower takes a text here, and this is a number"),
        ("lower(http.host, 1) eq \"a\"", "belongs at the end of what lower takes"),
        ("any(http.host eq \"a\")", "write [*] behind the list"),
        ("http.request.headers[\"a\"][*] eq \"b\"", "write any(…) or all(…)"),
        ("http.request.headers[\"a\"] eq \"b\"", "item by item"),
        ("http.request.headers eq \"b\"", "asked by name"),
        ("http.request.headers[*] eq \"b\"", ".values"),
        ("any(http.request.headers[\"a\"][*] eq \"b\" and http.request.headers[\"c\"][*] eq \"d\")", "same list"),
        ("\"a\" eq http.host", "begins with a field"),
        ("split(http.host, \".\", 0)[0] eq \"a\"", "1 to 128"),
        ("regex_replace(regex_replace(http.host, \"a\", \"b\"), \"a\", \"b\") eq \"\"", "is the second"),
        ("regex_replace(http.host, \"(a)\", \"${2}\") eq \"\"", "does not have"),
        ("len(concat(http.host, http.request.headers.names)) gt 1", "join"),
        ("cf.edge.server_port eq 99999999999999999999", "64 bits"),
        ("lower eq \"a\"", "write its arguments in parentheses"),
        ("é", "'é'"),
    ] {
        let error = refused(expression);
        assert!(error.contains(told), "{expression}: {error}");
        assert!(error.contains('^') && error.contains("at character"), "{error}");
    }
    assert!(refused(&format!("http.host eq \"{}\"", "a".repeat(4096))).contains("4096"));
    assert!(refused(&format!("{}true", "not ".repeat(100))).contains("levels deep"));
    assert!(refused(&format!("{}true{}", "(".repeat(100), ")".repeat(100))).contains("levels deep"));
    assert!(refused(&vec!["http.host matches \"a\""; 17].join(" or ")).contains("more than 16"));
    assert!(Condition::compile(&format!("{}true{}", "(".repeat(60), ")".repeat(60)), Moment::Request).is_ok());
}

#[test]
fn what_is_lacking_is_named_once() {
    let condition =
        Condition::compile("ip.geoip.country eq \"FR\" or ip.geoip.country eq \"BE\" or ip.src in $offices", Moment::Request)
            .unwrap();
    let expected = Lacking { fields: vec!["ip.geoip.country".into()], lists: vec!["offices".into()] };
    assert_eq!(condition.lacking(), &expected);
    assert!(Condition::compile("any(http.request.body.form[\"a\"][*] eq \"b\")", Moment::Request).is_ok());
}

#[test]
fn an_evaluation_has_its_bound() {
    let many: HeaderMap = (0..200).map(|_| (HeaderName::from_static("x-a"), HeaderValue::from_static("aaaaaaaa"))).collect();
    let part = "any(regex_replace(http.request.headers.values[*], \"(a*)*b\", \"\")[*] contains \"x\")";
    let whole = format!(
        "not ({})",
        vec!["any(concat(http.request.headers.values[*], http.request.full_uri)[*] eq \"x\")"; 40].join(" or ")
    );
    assert!(Condition::compile(part, Moment::Request).is_ok());
    let condition = Condition::compile(&whole, Moment::Request).unwrap();
    let path = "/a".repeat(8000);
    let told = with(|facts| condition.holds(&Facts { headers: &many, path: &path, ..*facts }));
    assert_eq!(told, Err(Spent));
}

/// An expression of texts, and what it comes to by itself.
fn logic() -> impl Strategy<Value = (String, bool)> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|is| (is.to_string(), is)),
        (0i64..4, 0usize..6).prop_map(|(number, order)| {
            let (word, is) = [
                ("eq", number == 2),
                ("ne", number != 2),
                ("lt", number > 2),
                ("le", number >= 2),
                ("gt", number < 2),
                ("ge", number <= 2),
            ][order];
            (format!("len(\"ab\") {word} {number}"), is)
        }),
        "[a-c]{0,3}".prop_map(|text| (format!("lower(\"ABC\") contains \"{text}\""), "abc".contains(&text))),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(text, is)| (format!("not ({text})"), !is)),
            (inner.clone(), inner.clone()).prop_map(|((a, x), (b, y))| (format!("({a}) and ({b})"), x && y)),
            (inner.clone(), inner.clone()).prop_map(|((a, x), (b, y))| (format!("({a}) || ({b})"), x || y)),
            (inner.clone(), inner).prop_map(|((a, x), (b, y))| (format!("({a}) xor ({b})"), x ^ y)),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_taken_or_refused(text in "(http\\.host|ip\\.src|any|all|lower|\\(|\\)|\\[|\\*|\\]|\"|r#|eq|in|\\{|\\}|\\$|[a-z0-9.:/é\\\\ -]|not|and){0,40}") {
        for moment in [Moment::Request, Moment::Response] {
            if let Err(error) = Condition::compile(&text, moment) {
                prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at), "{}", error);
            }
            let _ = Computed::compile(&text, moment);
        }
    }

    #[test]
    fn logic_is_what_it_is_elsewhere((text, is) in logic()) {
        prop_assert_eq!(holds(&text), is, "{}", text);
    }

    #[test]
    fn precedence_is_not_and_xor_or(values in prop::collection::vec(any::<bool>(), 4)) {
        let [a, b, c, d] = values[..] else { unreachable!() };
        prop_assert_eq!(holds(&format!("{a} or {b} xor {c} and not {d}")), a || (b ^ (c && !d)));
    }
}
