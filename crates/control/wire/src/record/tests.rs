//! What real clients send, and what they read back (api-v4 §0, §15, §17).

use poterne_model::{Entry, EntryError, Name, NameError, RecordId, ZoneId, entry::Place, proxy::Edge};
use serde_json::{Value, json};

use super::*;

fn place<T>(with: impl FnOnce(&Place<'_>) -> T) -> T {
    let apex = Name::parse("example.com").unwrap();
    let to_ascii = |text: &str| Err::<String, _>(NameError::new(text, "it is not ASCII"));
    with(&Place { apex: &apex, tunnel_domain: None, edge: Edge { addresses: &[], allows: &|_| false }, to_ascii })
}

fn create(request: &Value) -> Result<Entry, EntryError> {
    let draft = parse_draft(request.to_string().as_bytes()).unwrap_or_else(|error| panic!("{request}: {error}"));
    place(|place| draft.complete(place))
}

fn answer(entry: &Entry) -> Value {
    let zone_name = Name::parse("example.com").unwrap();
    let kept = Kept {
        id: RecordId::from_bytes([1; 16]),
        zone: ZoneId::from_bytes([2; 16]),
        zone_name: &zone_name,
        entry,
        proxiable: place(|place| place.is_proxiable(entry)),
        managed_by_tunnel: false,
        created_at: 1_767_322_998_123_456,
        modified_at: 1_767_322_998_000_000,
        comment_modified_at: Some(0),
        tags_modified_at: Some(0),
    };
    serde_json::to_value(RecordAnswer::from(kept)).unwrap()
}

fn created(request: Value) -> Value {
    answer(&create(&request).unwrap_or_else(|error| panic!("{request}: {error}")))
}

#[test]
fn an_answer_has_every_field() {
    let shown = created(json!({"name": "www", "type": "A", "content": "192.0.2.1", "ttl": 120}));
    let expected = json!({
        "id": "01010101010101010101010101010101", "zone_id": "02020202020202020202020202020202", "zone_name": "example.com",
        "name": "www.example.com", "type": "A", "content": "192.0.2.1", "proxiable": true, "proxied": false, "ttl": 120,
        "locked": false, "settings": {}, "comment": null, "tags": [],
        "meta": {"auto_added": false, "managed_by_apps": false, "managed_by_argo_tunnel": false},
        "created_on": "2026-01-02T03:03:18.123456Z", "modified_on": "2026-01-02T03:03:18.000000Z",
    });
    assert_eq!(shown, expected);
    let noted = created(
        json!({"name": "a", "type": "A", "content": "10.0.0.1", "comment": "x", "tags": ["a:b"], "settings": {"ipv4_only": "true"}}),
    );
    assert_eq!(
        (&noted["comment_modified_on"], &noted["tags_modified_on"]),
        (&json!("1970-01-01T00:00:00.000000Z"), &json!("1970-01-01T00:00:00.000000Z"))
    );
    assert_eq!((&noted["settings"], &noted["proxiable"]), (&json!({"ipv4_only": true}), &json!(false)));
    let key = created(json!({"name": "a", "type": "OPENPGPKEY", "content": "AQID"}));
    assert_eq!((&key["comment"], key.get("comment_modified_on")), (&json!(""), None));
}

#[test]
fn what_clients_send_for_nothing_is_nothing() {
    for request in [
        // lexicon, Caddy's module, the SDKs (api-v4 §0.11, §15.6, §15.8).
        json!({"name": "www.example.com", "type": "A", "content": "192.0.2.1", "data": null}),
        json!({"id": "", "name": "www", "type": "A", "content": "192.0.2.1", "data": {}, "created_on": "0001-01-01T00:00:00Z", "modified_on": "0001-01-01T00:00:00Z"}),
        json!({"name": "WWW.example.com.", "type": "a", "content": "192.0.2.1", "priority": "", "ttl": "1", "proxied": null, "comment": null, "tags": null, "settings": null, "meta": 7}),
        json!({"name": "www", "type": "A", "content": "192.0.2.1", "data": {"value": null}, "comment": "", "priority": 10, "ttl": 1.0}),
    ] {
        assert_eq!(created(request), created(json!({"name": "www", "type": "A", "content": "192.0.2.1"})));
    }
    for apex in ["@", "@.example.com", "example.com", "EXAMPLE.com."] {
        assert_eq!(created(json!({"name": apex, "type": "A", "content": "192.0.2.1"}))["name"], "example.com");
    }
}

#[test]
fn structured_records_are_answered_in_normal_form() {
    let srv = created(
        json!({"name": "_sip._tcp.example.com", "type": "SRV", "content": null, "data": {"service": "_sip", "proto": "_tcp", "name": "example.com.", "priority": "1", "weight": "2", "port": 5060, "target": "sip.example.com."}}),
    );
    assert_eq!(srv["data"], json!({"priority": 1, "weight": 2, "port": 5060, "target": "sip.example.com"}));
    assert_eq!((&srv["content"], &srv["priority"]), (&json!("2 5060 sip.example.com"), &json!(1)));
    let mx = created(json!({"name": "example.com", "type": "MX", "priority": "1", "content": "mx.example.com."}));
    assert_eq!((&mx["content"], &mx["priority"], mx.get("data")), (&json!("mx.example.com"), &json!(1), None));
    let loc = created(
        json!({"name": "l", "type": "LOC", "data": {"lat_degrees": 37, "lat_minutes": 46, "lat_seconds": 46.5, "lat_direction": "N", "long_degrees": 122, "long_minutes": 23, "long_seconds": 35, "long_direction": "W", "altitude": -1.25, "size": 100, "precision_horz": 0, "precision_vert": 0}}),
    );
    assert_eq!(
        (&loc["data"]["lat_seconds"], &loc["data"]["size"], &loc["data"]["altitude"]),
        (&json!(46.5), &json!(100), &json!(-1.25))
    );
    assert_eq!(loc["content"], "37 46 46.500 N 122 23 35.000 W -1.25 100.00 0.00 0.00");
    let https =
        created(json!({"name": "h", "type": "HTTPS", "data": {"priority": 1, "target": "foo.", "value": "alpn=\"h2,h3\""}}));
    assert_eq!((&https["content"], &https["data"]["target"]), (&json!("1 foo. alpn=\"h2,h3\""), &json!("foo.")));
}

#[test]
fn wrong_members_are_told_by_pointer() {
    let record = |member: &str, value: Value| json!({"name": "a", member: value}).to_string();
    for (member, value, pointer, code) in [
        ("name", json!(7), "/name", 1004),
        ("proxied", json!("yes"), "/proxied", 9003),
        ("ttl", json!("soon"), "/ttl", 9020),
        ("ttl", json!(-1), "/ttl", 9020),
        ("ttl", json!(1.5), "/ttl", 9020),
        ("ttl", json!(u64::from(u32::MAX) + 1), "/ttl", 9020),
        ("priority", json!(65_536), "/priority", 1004),
        ("data", json!([]), "/data", 1004),
        ("data", json!({"a/b~": {}}), "/data/a~1b~0", 1004),
        ("settings", json!({"flatten_cname": 1}), "/settings/flatten_cname", 1004),
        ("tags", json!(["a", 1]), "/tags/1", 1004),
        ("tags", json!("a"), "/tags", 1004),
        ("comment", json!({}), "/comment", 1004),
    ] {
        let error = parse_draft(record(member, value).as_bytes()).unwrap_err();
        assert_eq!((error.pointer(), error.code()), (Some(pointer), code), "{error}");
    }
    for body in ["", "[]", "null", "{", "\"x\"", &"[".repeat(100_000)] {
        assert!(matches!(parse_draft(body.as_bytes()), Err(RequestError::Malformed(_))), "{body:.9}");
    }
    let error = parse_draft(br#"{"ttl":"soon"}"#).unwrap_err().to_string();
    assert_eq!(error, "/ttl must be a whole number of seconds, not \"soon\"");
}

#[test]
fn a_batch_has_four_lists_any_of_which_may_be_missing() {
    let id = "0123456789abcdef0123456789abcdef";
    let body = json!({"deletes": [{"id": id}], "patches": [{"id": id, "ttl": 60}], "puts": null, "posts": [{"name": "a"}, {"name": "b"}]});
    let batch = parse_batch(body.to_string().as_bytes()).unwrap();
    assert_eq!((batch.deletes.len(), batch.patches.len(), batch.puts.len(), batch.posts.len()), (1, 1, 0, 2));
    assert_eq!((batch.patches[0].0.to_string().as_str(), batch.patches[0].1.ttl_secs), (id, Some(60)));
    assert_eq!(parse_batch(b"{}").unwrap(), Batch::default());
    for (body, pointer) in [
        (json!({"deletes": [{}]}), "/deletes/0/id"),
        (json!({"puts": [{"id": "x"}]}), "/puts/0/id"),
        (json!({"posts": {}}), "/posts"),
        (json!({"posts": [1]}), "/posts/0"),
        (json!({"posts": [{}, {"ttl": []}]}), "/posts/1/ttl"),
    ] {
        assert_eq!(parse_batch(body.to_string().as_bytes()).unwrap_err().pointer(), Some(pointer));
    }
    let many = json!({"posts": vec![json!({}); BATCH_OPERATIONS_MAX + 1]}).to_string();
    assert_eq!(parse_batch(many.as_bytes()), Err(RequestError::TooManyOperations(BATCH_OPERATIONS_MAX + 1)));
    let nothing = BatchAnswer { deletes: vec![], patches: vec![], puts: vec![], posts: vec![] };
    assert_eq!(serde_json::to_value(nothing).unwrap(), json!({"deletes": [], "patches": [], "puts": [], "posts": []}));
}

#[test]
fn times_have_microseconds_and_ends() {
    assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999999Z");
    assert!(timestamp(i64::MAX).starts_with("9999-12-") && timestamp(i64::MIN).starts_with("-009999-01-"));
}
