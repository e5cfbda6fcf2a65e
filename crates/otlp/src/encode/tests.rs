//! Against octets that PyPI's `opentelemetry-proto` made of the same spans; the end-to-end rows have it read ours.

use poterne_telemetry::trace::{Context, Parent};

use super::*;

fn spans() -> Vec<Span> {
    let parent = Parent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let id = |digits: &[u8]| Parent::parse(&[b"00-4bf92f3577b34da6a3ce929d0e0e4736-", digits, b"-01"].concat()).unwrap().span;
    let context = Context { trace: parent.trace, parent: Some(parent.span), span: id(b"0102030405060708"), sampled: true };
    let start = SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789);
    let server = Span {
        context,
        kind: Kind::Server,
        name: "GET",
        start,
        duration: Duration::from_millis(250),
        attributes: vec![
            ("http.request.method", Value::Word("GET")),
            ("url.path", Value::Text("/é".into())),
            ("http.response.status_code", Value::Number(502)),
            ("poterne.below", Value::Number(-1)),
            ("poterne.cut", Value::Truth(false)),
        ],
        events: Vec::new(),
        error: Some(String::new()),
    };
    let below = Context { parent: Some(context.span), span: id(b"1112131415161718"), ..context };
    let event =
        Event { name: "poterne.again", after: Duration::from_millis(2), attributes: vec![("error.type", Value::Word("lost"))] };
    let client = Span {
        context: below,
        kind: Kind::Client,
        attributes: vec![("url.full", Value::Text("x".repeat(200)))],
        events: vec![event],
        error: Some("gone".into()),
        ..server.clone()
    };
    vec![server, client]
}

#[test]
fn octets_are_those_of_the_reference_implementation() {
    let resource = [("service.name".to_owned(), "poterne".to_owned())];
    let ours = hex::encode(request(&resource, "1.2.3", &spans()));
    assert_eq!(ours, include_str!("reference.hex").trim());
}

#[test]
fn a_span_that_begins_a_trace_has_no_parent_and_none_is_remote() {
    let mut spans = spans();
    spans.truncate(1);
    spans[0].context.parent = None;
    spans[0].error = None;
    let ours = request(&[], "1", &spans);
    let flags = [0x85, 0x01, 0x01, 0x01, 0, 0];
    assert!(ours.ends_with(&flags), "{ours:x?}");
    assert!(!ours.windows(8).any(|octets| octets == [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
}

#[test]
fn clocks_at_their_ends_are_told() {
    assert_eq!(nanoseconds(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
    assert_eq!(in_nanoseconds(Duration::MAX), u64::MAX);
}
