//! What asking a rule costs, and compiling one.
#![allow(missing_docs)]

use std::time::Duration;

use divan::black_box;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use poterne_rules::{Computed, Condition, Facts, Moment, url::normal_path};

fn main() {
    divan::main();
}

const CONDITIONS: &[&str] = &[
    "true",
    "http.host eq \"www.example.com\"",
    "ip.src in {192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32}",
    "http.request.uri.path contains \"/wp-login.php\"",
    "starts_with(http.request.uri.path, \"/api/\") and http.request.method in {\"POST\" \"PUT\" \"DELETE\"}",
    "http.request.uri.path wildcard \"/files/*/raw/*\"",
    "http.user_agent matches r\"(?i)(curl|wget|python-requests)/\"",
    "lower(http.request.uri.path) contains \"/admin\"",
    "any(http.request.headers[\"x-forwarded-proto\"][*] eq \"http\")",
    "http.request.cookies[\"session\"][0] eq \"abc\"",
    "len(http.request.uri.query) gt 1000 or http.request.uri.path.extension in {\"php\" \"asp\" \"cgi\"}",
];

const TEXTS: &[&str] = &[
    "concat(\"https://example.com\", http.request.uri.path)",
    "regex_replace(http.request.uri.path, \"^/files/([a-z]+)/\", \"/f/${1}/\")",
    "wildcard_replace(http.request.full_uri, \"https://*/files/*\", \"https://${1}/f/${2}\")",
];

fn with<T>(ask: impl FnOnce(&Facts<'_>) -> T) -> T {
    let fields = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "fr,en;q=0.5"),
        ("cookie", "theme=dark; session=abc; seen=1"),
        ("x-forwarded-proto", "https"),
    ];
    let fields = fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let headers = HeaderMap::from_iter(fields);
    ask(&Facts {
        method: "GET",
        version: Version::HTTP_2,
        secure: true,
        host: "www.example.com",
        path: "/files/reports/2026/raw/summary.html",
        query: "page=2&sort=name",
        raw_path: "/files/reports/2026/raw/summary.html",
        raw_query: "page=2&sort=name",
        headers: &headers,
        source: [203, 0, 113, 9].into(),
        local: ([198, 51, 100, 1], 443).into(),
        ray: "0123456789abcdef-LOC",
        zone: "example.com",
        ja4: None,
        tls: [None; 2],
        certificate: None,
        at: Duration::from_secs(1_800_000_000),
        answer: None,
    })
}

#[divan::bench(args = CONDITIONS)]
fn condition(bencher: divan::Bencher<'_, '_>, text: &str) {
    let condition = Condition::compile(text, Moment::Request).expect("it is an expression");
    with(|facts| bencher.bench_local(|| condition.holds(black_box(facts))));
}

#[divan::bench(args = TEXTS)]
fn text(bencher: divan::Bencher<'_, '_>, text: &str) {
    let computed = Computed::compile(text, Moment::Request).expect("it is an expression");
    with(|facts| bencher.bench_local(|| computed.text(black_box(facts))));
}

#[divan::bench(args = CONDITIONS)]
fn compile(text: &str) -> Condition {
    Condition::compile(black_box(text), Moment::Request).expect("it is an expression")
}

#[divan::bench(args = ["/files/reports/2026/raw/summary.html", "/%7Euser/./a//b"])]
fn normal(path: &str) -> usize {
    normal_path(black_box(path), poterne_model::setting::UrlNormalization::default().kind).map_or(0, |path| path.len())
}
