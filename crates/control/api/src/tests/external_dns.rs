//! What external-dns sends (0.21, with the Go SDK 5.1), request by request as it was recorded, and what it reads of the answers.
//!
//! `tests/e2e` runs the program itself where somebody has it; this runs everywhere.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Client, client};

/// The members that it reads of a record, of the types that its SDK declares.
#[derive(Debug, Deserialize)]
struct Record {
    id: String,
    name: String,
    r#type: String,
    content: String,
    proxied: bool,
    ttl: f64,
    comment: Option<String>,
    tags: Vec<String>,
}

/// As its pager asks: the first page without a number, then one by one until a page is empty.
async fn pages(client: &Client, path: &str, query: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let query = match page {
            1 => query.to_owned(),
            page => [&format!("page={page}"), query].join("&"),
        };
        let told = client.get(&format!("{path}?{query}")).await;
        let items = told.result().as_array().unwrap().clone();
        if items.is_empty() {
            return all;
        }
        all.extend(items);
    }
    unreachable!("a page is empty")
}

async fn records(client: &Client, zone: &str) -> Vec<Record> {
    let found = pages(client, &format!("{zone}/dns_records"), "per_page=100").await;
    let mut found: Vec<Record> = found.into_iter().map(|record| serde_json::from_value(record).unwrap()).collect();
    found.sort_by_key(|record| (record.name.clone(), record.content.clone()));
    found
}

/// A member of `posts`: whatever the type, all members are there.
fn post(name: &str, kind: &str, content: &str, ttl: u32, proxied: bool, priority: u16) -> Value {
    json!({
        "comment": "", "content": content, "name": format!("{name}.cluster.test"), "priority": priority, "proxied": proxied,
        "tags": [], "ttl": ttl, "type": kind,
    })
}

const OWNER: &str = "\"heritage=external-dns,external-dns/owner=one,external-dns/resource=crd/default/wanted\"";

#[tokio::test]
async fn its_batches_are_read_as_it_writes_them_and_its_reading_finds_what_it_wrote() {
    let client = client().await;
    let zone = client.zone("cluster.test").await;
    let zones = pages(&client, "/zones", "").await;
    assert_eq!((zones.len(), &zones[0]["name"]), (1, &json!("cluster.test")));
    // It asks whether a zone is paid for before it cuts comments of more than 100 characters.
    assert!(client.get(&zone).await.result()["plan"]["is_subscribed"].is_boolean());

    let mut noted = post("noted", "A", "192.0.2.4", 300, false, 0);
    (noted["comment"], noted["tags"]) = (json!("by a cluster"), json!(["owner:web", "team:net"]));
    let posts = json!([
        noted,
        post("mail", "MX", "mx1.example.org", 600, false, 10),
        post("text", "TXT", "\"v=spf1 -all\"", 600, false, 0),
        post("sub", "NS", "ns1.example.org", 3600, false, 0),
        post("app", "A", "192.0.2.1", 300, false, 0),
        post("app", "A", "192.0.2.2", 300, false, 0),
        post("www", "CNAME", "app.cluster.test", 1, true, 0),
        post("owner-a-app", "TXT", OWNER, 1, false, 0),
        post("*.wild", "AAAA", "2001:db8::1", 300, false, 0),
    ]);
    let batch = format!("{zone}/dns_records/batch");
    let made = client.ask("POST", &batch, json!({ "posts": posts })).await;
    let made = made.result();
    assert_eq!(made["posts"].as_array().unwrap().len(), 9, "{made}");
    assert_eq!((&made["puts"], &made["deletes"]), (&json!([]), &json!([])));

    let found = records(&client, &zone).await;
    let line = |record: &Record| format!("{} {} {} {}", record.name, record.r#type, record.content, record.ttl);
    let lines: Vec<_> = found.iter().map(line).collect();
    let owner = format!("owner-a-app.cluster.test TXT {OWNER} 1");
    let wanted = [
        "*.wild.cluster.test AAAA 2001:db8::1 300",
        "app.cluster.test A 192.0.2.1 300",
        "app.cluster.test A 192.0.2.2 300",
        "mail.cluster.test MX mx1.example.org 600",
        "noted.cluster.test A 192.0.2.4 300",
        owner.as_str(),
        "sub.cluster.test NS ns1.example.org 3600",
        "text.cluster.test TXT \"v=spf1 -all\" 600",
        "www.cluster.test CNAME app.cluster.test 1",
    ];
    assert_eq!(lines, wanted, "each is found by the name, type and content that it was made with");
    assert_eq!(
        (found[4].comment.as_deref(), &found[4].tags[..]),
        (Some("by a cluster"), &["owner:web".into(), "team:net".into()][..])
    );
    assert!(found[8].proxied && !found[1].proxied);

    // An update: one target of two goes, another comes, the third is proxied now; `puts` have no priority, but of MX.
    let id = |place: usize| found[place].id.clone();
    let put = |place: usize, mut members: Value| {
        members["id"] = json!(id(place));
        members.as_object_mut().unwrap().retain(|name, _| name != "priority");
        members
    };
    let change = json!({
        "deletes": [{ "id": id(2) }],
        "puts": [
            put(1, post("app", "A", "192.0.2.1", 1, true, 0)),
            put(4, post("noted", "A", "192.0.2.4", 300, false, 0)),
            put(5, post("owner-a-app", "TXT", OWNER, 1, false, 0)),
        ],
        "posts": [post("app", "A", "192.0.2.3", 1, true, 0)],
    });
    let done = client.ask("POST", &batch, change).await;
    assert_eq!(done.result()["deletes"][0]["id"], id(2));
    let after = records(&client, &zone).await;
    let app: Vec<_> = after.iter().filter(|record| record.name == "app.cluster.test").collect();
    assert_eq!(app.iter().map(|record| record.content.as_str()).collect::<Vec<_>>(), ["192.0.2.1", "192.0.2.3"]);
    assert!(app.iter().all(|record| record.proxied));
    assert_eq!((app[0].id.clone(), after.len()), (id(1), 9));
    let noted = after.iter().find(|record| record.name.starts_with("noted")).unwrap();
    assert_eq!((&noted.comment, noted.tags.len()), (&None, 0), "an empty comment is none");
}

#[tokio::test]
async fn a_batch_that_is_refused_leaves_nothing_and_its_parts_go_one_by_one() {
    let client = client().await;
    let zone = client.zone("cluster.test").await;
    let (good, bad) = (post("good", "A", "192.0.2.1", 300, false, 0), post("bad", "A", "192.0.2.2", 7, false, 0));
    let batch = client.ask("POST", &format!("{zone}/dns_records/batch"), json!({ "posts": [good, bad] })).await;
    assert_eq!((batch.status, batch.codes()), (400, vec![9021]));
    assert!(records(&client, &zone).await.is_empty());

    let path = format!("{zone}/dns_records");
    let made = client.ask("POST", &path, good).await;
    let record: Record = serde_json::from_value(made.result().clone()).unwrap();
    assert_eq!(client.ask("POST", &path, bad).await.codes(), [9021]);
    // A single replacement has all members, as a single create.
    let put = client.ask("PUT", &format!("{path}/{}", record.id), post("good", "A", "192.0.2.9", 1, true, 0)).await;
    let record: Record = serde_json::from_value(put.result().clone()).unwrap();
    assert!(record.proxied && record.content == "192.0.2.9");
    let gone = client.ask("DELETE", &format!("{path}/{}", record.id), Value::Null).await;
    assert_eq!(gone.result()["id"], record.id);
    assert_eq!(client.ask("DELETE", &format!("{path}/{}", record.id), Value::Null).await.status, 404);
}
