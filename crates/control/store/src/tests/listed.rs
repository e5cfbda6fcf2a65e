//! Lists: that what SQL says is what the model says, and that indexes answer what is asked often.

use std::collections::HashMap;

use poterne_model::{
    AuditId, Entry, Rdata, RecordId, RecordType, Rtype, TunnelId, TunnelStatus, ZoneId, ZoneKind, ZoneStatus,
    filter::{Condition, Order, OrderBy, RecordFilter, TagCondition, Text},
    name::path,
    rdata::Hosts,
    tunnel::{StatusFacts, connections_wanted, status},
};
use sqlx::migrate::Migrator;

use super::{ACCOUNT, Engine, Fixture, OTHER, ZONE, begun, connection, name, record, tunnel, zone};
use crate::{
    AuditFilter, Record, RecordQuery, StatusFilter, Store, StoreError, TextMatch, TunnelFilter, Zone, ZoneFilter, ZoneOrder,
    ZonesOf,
    database::{Query, query},
    published::{LINES, LINES_OF_ZONE},
    record::NEIGHBOURS,
};

on_both! {
    a_list_of_records_holds_what_the_filter_lets_pass,
    how_tunnels_are_is_told_by_the_database_as_by_the_model,
    tunnels_are_filtered,
    zones_are_those_that_may_be_seen_in_the_order_asked_for,
    indexes_answer_what_is_asked_often,
    names_of_before_are_turned_round,
}

fn entry(record: &Record) -> Entry {
    let rtype = Rtype::parse(record.kind.as_str()).unwrap();
    Entry {
        name: record.name.clone(),
        rdata: Rdata::parse(rtype, &record.content, record.priority, Hosts::default()).unwrap(),
        ttl_secs: record.ttl_secs,
        proxied: record.proxied,
        settings: Default::default(),
        comment: record.comment.clone(),
        tags: record.tags.clone(),
    }
}

async fn a_list_of_records_holds_what_the_filter_lets_pass(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let rows = [
        ("a", "A", "192.0.2.1", Some("Old_Mail 50%"), vec!["owner:Anna".to_owned()]),
        ("a", "A", "192.0.2.10", None, vec![]),
        ("b", "AAAA", "2001:db8::1", Some("é"), vec!["draft".to_owned()]),
        ("mx", "MX", "mail.example.net", None, vec![]),
        ("t", "TXT", "\"192.0.2.1\"", Some("mail"), vec![]),
        ("t", "TXT", "\"ab\" \"cd\"", None, vec!["say \"hi\"".to_owned()]),
        ("www", "CNAME", "mail.example.net", None, vec![]),
        ("*.www", "CNAME", "192-0-2-1.example.org", None, vec![]),
    ];
    for (number, (label, kind, content, comment, tags)) in rows.into_iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        let new = record(number, &format!("{label}.example.com"), RecordType::from(kind.to_owned()), content);
        let priority = (kind == "MX").then_some(10);
        let (ttl_secs, comment) = (60 + u32::from(number % 3), comment.map(str::to_owned));
        session.insert_record(&Record { comment, tags, priority, ttl_secs, proxied: number % 2 == 0, ..new }).await.unwrap();
    }
    let all = session.records(Some(ZONE)).await.unwrap();
    let mut conditions = vec![
        Condition::Proxied(true),
        Condition::HasComment(true),
        Condition::HasComment(false),
        Condition::Type(vec!["a".into(), "MX".into()]),
        Condition::Type(vec!["CNAME".into()]),
        Condition::Search("MAIL example".into()),
        Condition::Search("hi\"".into()),
        Condition::Search(" ".into()),
    ];
    let words = [
        "",
        ".",
        "192.0.2.1",
        "\"192.0.2.1\"",
        "2001:DB8:0::1",
        "MAIL.example.net.",
        "mx.example.com.",
        "bc",
        "_",
        "%",
        "É",
        "old_mail 50%",
    ];
    for word in words {
        for text in
            [Text::Exact(word.into()), Text::Contains(word.into()), Text::StartsWith(word.into()), Text::EndsWith(word.into())]
        {
            conditions.extend([Condition::Name(text.clone()), Condition::Content(text.clone()), Condition::Comment(text)]);
        }
    }
    let mut filters: Vec<RecordFilter> =
        conditions.iter().map(|one| RecordFilter { conditions: vec![one.clone()], ..Default::default() }).collect();
    for (one, other) in conditions.iter().zip(conditions.iter().skip(7)).chain(conditions.iter().map(|one| (one, &conditions[3])))
    {
        for any in [false, true] {
            filters.push(RecordFilter { any, conditions: vec![one.clone(), other.clone()], ..Default::default() });
        }
    }
    for tag in [TagCondition::Has("owner".into(), true), TagCondition::Is(Text::Contains("hi".into()))] {
        for any in [false, true] {
            filters.push(RecordFilter {
                any,
                conditions: vec![Condition::Proxied(true)],
                tags: vec![tag.clone()],
                ..Default::default()
            });
        }
    }
    let orders =
        [None, Some(OrderBy::Type), Some(OrderBy::Name), Some(OrderBy::Content), Some(OrderBy::Ttl), Some(OrderBy::Proxied)];
    for (number, filter) in filters.iter().enumerate() {
        let order = Order { by: orders[number % orders.len()], descending: number % 4 == 0 };
        let mut wanted: Vec<(Entry, RecordId)> = all.iter().map(|record| (entry(record), record.id)).collect();
        wanted.retain(|(entry, _)| filter.matches(entry));
        wanted.sort_by(|(one, _), (other, _)| order.compare(one, other));
        for (offset, count) in [(0, 100), (0, 2), (2, 2), (7, 1), (50, 3)] {
            let query = RecordQuery { zone: ZONE, filter, order };
            let keep = |record: Record| Ok::<_, StoreError>((entry(&record), record.id));
            let found = session.record_page(query, offset, count, keep, |(entry, _)| filter.matches(entry)).await.unwrap();
            let page: Vec<_> = wanted.iter().skip(usize::try_from(offset).unwrap()).take(count as usize).cloned().collect();
            assert_eq!(found, (page, wanted.len() as u64), "{filter:?} {order:?}, {count} after {offset}");
        }
    }
}

async fn how_tunnels_are_is_told_by_the_database_as_by_the_model(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let mut number = 0;
    // As many connections of one connector, of another, and those that say goodbye; the last loss, in seconds before now.
    for (one, other, draining) in [(0, 0, 0), (4, 0, 0), (2, 2, 0), (3, 1, 1), (0, 0, 2), (2, 0, 0), (1, 0, 0)] {
        for loss in [None, Some(0), Some(29), Some(30), Some(59), Some(60), Some(1000)] {
            for quick in [false, true] {
                number += 1;
                let id = TunnelId::from_bytes([number; 16]);
                let new = crate::Tunnel { quick, ..tunnel(id, &format!("t-{number}")) };
                session.insert_tunnel(&new).await.unwrap();
                let mut place = 0;
                for (of, count, draining) in [(1, one, false), (2, other, false), (3, draining, true)] {
                    for _ in 0..count {
                        place += 1;
                        let mut bytes = [number; 16];
                        bytes[0] = place;
                        let id_of = poterne_model::ConnectionId::from_bytes(bytes);
                        let live = poterne_model::ConnectionInfo { id: id_of, draining, ..connection(place, 5_000) };
                        let connector = poterne_model::ConnectorInfo {
                            id: poterne_model::ConnectorId::from_bytes([of; 16]),
                            version: "1".into(),
                            arch: "linux_amd64".into(),
                            features: Vec::new(),
                            run_at: 5_000,
                            connections: Vec::new(),
                        };
                        session.open_connection(id, &connector, &live).await.unwrap();
                        if draining {
                            let statement = "UPDATE connection SET draining = NOT draining WHERE id = $1 AND NOT draining";
                            query(statement).bind(id_of.to_string()).execute(session.connection()).await.unwrap();
                        }
                    }
                }
                if let Some(loss) = loss {
                    let at = (10_000_i64 - loss) * 1_000_000 + 999_999;
                    query("UPDATE tunnel SET last_loss_at = $2 WHERE id = $1")
                        .bind(id.to_string())
                        .bind(at)
                        .execute(session.connection())
                        .await
                        .unwrap();
                }
            }
        }
    }
    let now = 10_000 * 1_000_000 + 500_000;
    let mut seen = 0;
    for nodes in [0, 1, 2] {
        for wanted in TunnelStatus::ALL {
            let statuses = Some(StatusFilter { wanted: vec![wanted], nodes, now });
            let filter = TunnelFilter { statuses, ..TunnelFilter::default() };
            let (found, total) = session.tunnel_list(ACCOUNT, &filter, 0, 1000).await.unwrap();
            let mut right = Vec::new();
            for one in session.tunnels(Some(ACCOUNT)).await.unwrap() {
                let connectors = session.connectors(one.id).await.unwrap();
                let live = |of: &poterne_model::ConnectorInfo| of.connections.iter().filter(|one| !one.draining).count();
                let seconds = |at: i64| u64::try_from(at / 1_000_000).unwrap();
                let facts = StatusFacts {
                    connections_of_best: connectors.iter().map(live).max().unwrap_or(0),
                    connections: connectors.iter().map(live).sum(),
                    wanted: connections_wanted(nodes, one.quick),
                    last_loss: one.last_loss_at.map(seconds),
                    first_connected: one.first_connected_at.map(seconds),
                };
                if status(facts, 10_000).0 == wanted {
                    right.push(one);
                }
            }
            assert_eq!((found, total), (right.clone(), right.len() as u64), "{wanted:?} with {nodes} nodes");
            seen += right.len();
        }
    }
    assert_eq!(seen, 3 * usize::from(number), "each is in one word");
}

async fn tunnels_are_filtered(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    for (number, called) in ["web-1", "web-2", "WEB-3", "db%1", "db_1"].into_iter().enumerate() {
        let id = TunnelId::from_bytes([u8::try_from(number).unwrap() + 10; 16]);
        session
            .insert_tunnel(&crate::Tunnel { created_at: 100 - i64::try_from(number).unwrap(), ..tunnel(id, called) })
            .await
            .unwrap();
    }
    session.delete_tunnel(TunnelId::from_bytes([11; 16]), 500).await.unwrap();
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let none = TunnelFilter::default;
    for (filter, expected) in [
        (none(), &["db_1", "db%1", "WEB-3", "web-2", "web-1"][..]),
        (TunnelFilter { prefixes: texts(&["web-", "db_"]), ..none() }, &["db_1", "web-2", "web-1"]),
        (TunnelFilter { excluded: texts(&["web-", "db%"]), ..none() }, &["db_1", "WEB-3"]),
        (TunnelFilter { deleted: Some(false), prefixes: texts(&["web"]), ..none() }, &["web-1"]),
        (TunnelFilter { deleted: Some(true), ..none() }, &["web-2"]),
        (TunnelFilter { existed_at: Some(499), prefixes: texts(&["web"]), ..none() }, &["web-2", "web-1"]),
        (TunnelFilter { existed_at: Some(500), prefixes: texts(&["web"]), ..none() }, &["web-1"]),
        (TunnelFilter { existed_at: Some(96), ..none() }, &["db_1"]),
        (TunnelFilter { name: Some("WEB-3".into()), ..none() }, &["WEB-3"]),
        (TunnelFilter { id: Some(TunnelId::from_bytes([10; 16])), ..none() }, &["web-1"]),
        (TunnelFilter { active_at: Some(i64::MAX), ..none() }, &[]),
        (TunnelFilter { statuses: Some(StatusFilter { wanted: vec![], nodes: 1, now: 1 }), ..none() }, &[]),
    ] {
        let (found, total) = session.tunnel_list(ACCOUNT, &filter, 0, 100).await.unwrap();
        assert_eq!(found.iter().map(|tunnel| tunnel.name.as_str()).collect::<Vec<_>>(), expected, "{filter:?}");
        let (part, same) = session.tunnel_list(ACCOUNT, &filter, 1, 1).await.unwrap();
        assert_eq!((total, same), (expected.len() as u64, total), "{filter:?}");
        assert_eq!(part.first(), found.get(1));
    }
    assert_eq!(session.tunnel_count(ACCOUNT).await.unwrap(), 4);
    let ids: Vec<TunnelId> =
        (0..2000_u32).map(|number| TunnelId::from_bytes([u8::try_from(number % 256).unwrap(); 16])).collect();
    for asked in [&ids[..15], &ids[..]] {
        let names = session.tunnel_names(ACCOUNT, asked).await.unwrap();
        assert_eq!((names.len(), names[&TunnelId::from_bytes([11; 16])].as_str()), (5, "web-2"));
    }
}

async fn zones_are_those_that_may_be_seen_in_the_order_asked_for(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.rename_account(OTHER, "another", 8).await.unwrap();
    session.insert_zone(&zone(4, ACCOUNT, "b.test", ZoneStatus::Pending)).await.unwrap();
    let partial = Zone { partial: true, ..zone(5, OTHER, "a.test", ZoneStatus::Active) };
    session.insert_zone(&partial).await.unwrap();
    session.insert_zone(&zone(6, OTHER, "example.com", ZoneStatus::Pending)).await.unwrap();
    session.put_zone_setting(ZoneId::from_bytes([5; 16]), "x", &serde_json::json!(1), 9).await.unwrap();
    let of = |account, every, but: &[u8]| ZonesOf {
        account,
        every,
        but: but.iter().map(|id| ZoneId::from_bytes([*id; 16])).collect(),
    };
    let both = || vec![of(ACCOUNT, true, &[]), of(OTHER, true, &[])];
    let none = || ZoneFilter { seen: both(), ..ZoneFilter::default() };
    let name = |how| Some(how);
    for (filter, order, descending, expected) in [
        (none(), ZoneOrder::Name, false, "5 4 3 6"),
        (none(), ZoneOrder::Name, true, "3 6 4 5"),
        (none(), ZoneOrder::Status, false, "5 3 4 6"),
        (none(), ZoneOrder::Status, true, "4 6 5 3"),
        (none(), ZoneOrder::Account, true, "5 6 4 3"),
        (none(), ZoneOrder::AccountName, false, "5 6 4 3"),
        (ZoneFilter { seen: vec![], ..none() }, ZoneOrder::Name, false, ""),
        (ZoneFilter { seen: vec![of(ACCOUNT, true, &[3]), of(OTHER, false, &[6])], ..none() }, ZoneOrder::Name, false, "4 6"),
        (ZoneFilter { seen: vec![of(ACCOUNT, false, &[])], ..none() }, ZoneOrder::Name, false, ""),
        (ZoneFilter { name: name(TextMatch::Equal("example.com".into())), ..none() }, ZoneOrder::Name, false, "3 6"),
        (ZoneFilter { name: name(TextMatch::NotEqual("example.com".into())), ..none() }, ZoneOrder::Name, false, "5 4"),
        (ZoneFilter { name: name(TextMatch::EndsWith(".test".into())), ..none() }, ZoneOrder::Name, false, "5 4"),
        (ZoneFilter { name: name(TextMatch::EndsWith("a-longer-name.b.test".into())), ..none() }, ZoneOrder::Name, false, ""),
        (ZoneFilter { name: name(TextMatch::StartsWith("b.".into())), ..none() }, ZoneOrder::Name, false, "4"),
        (ZoneFilter { name: name(TextMatch::Contains("AMPL".into())), ..none() }, ZoneOrder::Name, false, ""),
        (ZoneFilter { name: name(TextMatch::Contains(String::new())), ..none() }, ZoneOrder::Name, false, "5 4 3 6"),
        (ZoneFilter { statuses: Some(vec![ZoneStatus::Active, ZoneStatus::Moved]), ..none() }, ZoneOrder::Name, false, "5 3"),
        (ZoneFilter { statuses: Some(vec![]), ..none() }, ZoneOrder::Name, false, ""),
        (ZoneFilter { accounts: vec![vec![OTHER], vec![OTHER, ACCOUNT]], ..none() }, ZoneOrder::Name, false, "5 6"),
        (
            ZoneFilter {
                any: true,
                accounts: vec![vec![OTHER]],
                name: name(TextMatch::Equal("b.test".into())),
                kinds: Some(vec![]),
                ..none()
            },
            ZoneOrder::Name,
            false,
            "5 4 6",
        ),
        (ZoneFilter { kinds: Some(vec![]), ..none() }, ZoneOrder::Name, false, ""),
        (ZoneFilter { kinds: Some(vec![ZoneKind::Partial]), ..none() }, ZoneOrder::Name, false, "5"),
        (ZoneFilter { kinds: Some(vec![ZoneKind::Full, ZoneKind::Secondary]), ..none() }, ZoneOrder::Name, false, "4 3 6"),
        (ZoneFilter { kinds: Some(ZoneKind::ALL.to_vec()), ..none() }, ZoneOrder::Name, false, "5 4 3 6"),
    ] {
        let (found, total) = session.zone_list(&filter, order, descending, 0, 10).await.unwrap();
        let ids: Vec<String> = found.iter().map(|zone| zone.id.as_bytes()[0].to_string()).collect();
        assert_eq!((ids.join(" ").as_str(), total), (expected, ids.len() as u64), "{filter:?} {order:?}");
        let (part, same) = session.zone_list(&filter, order, descending, 1, 1).await.unwrap();
        assert_eq!((part.first(), same), (found.get(1), total));
    }
    let settings = session.settings_of_zones([3, 5].into_iter().map(|id| ZoneId::from_bytes([id; 16])), "x").await.unwrap();
    assert_eq!(settings.into_keys().collect::<Vec<_>>(), [ZoneId::from_bytes([5; 16])]);
    assert_eq!(session.zones_pending().await.unwrap().len(), 2);
}

async fn indexes_answer_what_is_asked_often(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    for number in 0..3000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let new = record(1, &format!("host-{number}.example.com"), RecordType::A, "192.0.2.1");
        session.insert_record(&Record { id: RecordId::from_bytes(id), ..new }).await.unwrap();
        session.insert_tunnel(&tunnel(TunnelId::from_bytes(id), &format!("t-{number}"))).await.unwrap();
    }
    for number in 0..3000_u16 {
        let mut id = [7; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let pending = zone(4, OTHER, &format!("zone-{number}.test"), ZoneStatus::Pending);
        session.insert_zone(&crate::Zone { id: ZoneId::from_bytes(id), ..pending }).await.unwrap();
    }
    for number in 0..1000_u16 {
        let mut id = [9; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        let event = crate::AuditEvent {
            id: AuditId::from_bytes(id),
            at: i64::from(number),
            account: Some(if number % 2 == 0 { ACCOUNT } else { OTHER }),
            zone: None,
            actor: crate::Actor { kind: "system".into(), ..crate::Actor::default() },
            door: "API".into(),
            ray: None,
            action: "rec_add".into(),
            resource_kind: "dns_record".into(),
            resource: number.to_string(),
            old_value: None,
            new_value: Some("{}".repeat(100)),
        };
        session.insert_audit(&event).await.unwrap();
    }
    query("ANALYZE").execute(session.connection()).await.unwrap();
    let (of_zone, host) = (ZONE.to_string(), path("below.host-77.example.com"));
    let none = RecordFilter::default();
    let page = |filter| RecordQuery { zone: ZONE, filter, order: Order::default() }.ordered();
    let named = RecordFilter { conditions: vec![Condition::Name(Text::Exact("host-7.example.com".into()))], ..none.clone() };
    let mut first = page(&none);
    first.page(0, 100);
    let mut tunnels = TunnelFilter::default().select("SELECT *", ACCOUNT);
    tunnels.sql(" ORDER BY created_at, id").page(0, 20);
    let after = Some((900, AuditId::from_bytes([1; 16])));
    let mut trace = AuditFilter { account: Some(ACCOUNT), after, ..AuditFilter::default() }.ordered();
    trace.page(0, 10);
    let mut over = crate::zone::over(&name("www.zone-7.test"));
    over.sql(" AND (account = ").value(OTHER.to_string()).sql(" OR status IN ('active', 'moved'))");
    // SQLite keeps records in the order of this key itself.
    let records = match engine {
        Engine::Sqlite => "record USING PRIMARY KEY",
        Engine::Postgres => "record_path",
    };
    let asked: [(&str, Query); 8] = [
        (records, query(NEIGHBOURS).bind(&of_zone).bind(&host)),
        (records, query(LINES).bind(&of_zone).bind("").bind(50)),
        (records, query(LINES_OF_ZONE).bind(&of_zone).bind(&host).bind(50)),
        (records, first.into_query()),
        (records, page(&named).into_query()),
        ("tunnel_listed", tunnels.into_query()),
        ("audit_account", trace.into_query()),
        ("zone_name", over.into_query()),
    ];
    for (index, query) in asked {
        let sql = query.text().to_owned();
        let plan = query.explained(session.connection()).await.unwrap();
        assert!(plan.contains(index), "{sql}\n{plan}");
        for reads_all in [
            "SCAN record",
            "SCAN tunnel",
            "SCAN audit",
            "SCAN zone",
            "Seq Scan on record",
            "Seq Scan on tunnel",
            "Seq Scan on zone",
        ] {
            assert!(!plan.contains(reads_all), "{sql}\n{plan}");
        }
        // What is sorted is what the index does not order, and never a page of everything.
        let sorts_all = plan.contains("USE TEMP B-TREE FOR ORDER BY");
        assert!(!sorts_all || index == "zone_name", "{sql}\n{plan}");
    }
}

/// A store as it was before the column, with records in it, is opened by this version.
async fn names_of_before_are_turned_round(engine: Engine) {
    let names = ["example.com", "*.example.com", "a.b-c._d.example.com"];
    let rows = |names: &[&str]| {
        let row = |(number, name): (usize, &&str)| {
            format!(
                "INSERT INTO record (id, zone, name, type, content, ttl, proxied, created_at, modified_at)
                VALUES ('{number:032x}', '{ZONE}', '{name}', 'A', '192.0.2.1', 1, '1', 8, 8);"
            )
        };
        let owner = format!("INSERT INTO account (id, name, kind, created_at, modified_at) VALUES ('{ACCOUNT}', 'one', 'standard', 7, 7);
            INSERT INTO zone (id, account, name, status, created_at, modified_at) VALUES ('{ZONE}', '{ACCOUNT}', 'example.com', 'active', 7, 7);");
        owner + &names.iter().enumerate().map(row).collect::<String>()
    };
    let before = |all: &'static Migrator| Migrator::with_migrations(all.iter().filter(|one| one.version < 24).cloned().collect());
    let statements = sqlx::AssertSqlSafe(rows(&names));
    let (store, _dir) = match engine {
        Engine::Sqlite => {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("store.sqlite");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            before(&crate::open::SQLITE).run(&pool).await.unwrap();
            sqlx::raw_sql(statements).execute(&pool).await.unwrap();
            pool.close().await;
            (Store::open(&file).await.unwrap(), Some(dir))
        }
        Engine::Postgres => {
            let url = super::database().await;
            let pool = sqlx::PgPool::connect(&url).await.unwrap();
            before(&crate::open::POSTGRES).run(&pool).await.unwrap();
            sqlx::raw_sql(statements).execute(&pool).await.unwrap();
            pool.close().await;
            (Store::connect(&url).await.unwrap(), None)
        }
    };
    let mut session = store.read().await.unwrap();
    let lines = session.record_lines(None, None, 10).await.unwrap();
    let read: Vec<String> = lines.records().map(|record| record.unwrap().name.to_string()).collect();
    assert_eq!(read, ["example.com", "*.example.com", "a.b-c._d.example.com"]);
    let kept = session.records(Some(ZONE)).await.unwrap();
    let facts = |record: &Record| (record.id, record.priority, record.content.clone(), record.created_at, record.comment.clone());
    let id = |number: u8| RecordId::from_bytes([&[0; 15][..], &[number]].concat().try_into().unwrap());
    let expected = [0, 1, 2].map(|number| (id(number), None, "192.0.2.1".to_owned(), 8, None));
    assert_eq!(kept.iter().map(facts).collect::<Vec<_>>(), expected);
    let zone = session.zone(ZONE).await.unwrap().unwrap();
    let found: HashMap<&str, usize> = {
        let mut found = HashMap::new();
        for host in ["x.example.com", "b-c._d.example.com", "x._d.example.com"] {
            found.insert(host, session.records_answering(&zone, &name(host)).await.unwrap().len());
        }
        found
    };
    assert_eq!(found, HashMap::from([("x.example.com", 1), ("b-c._d.example.com", 0), ("x._d.example.com", 0)]));
    drop(session);
    // One that is there without a priority is there.
    let mut session = store.write().await.unwrap();
    let again = session.insert_record(&record(9, "example.com", RecordType::A, "192.0.2.1")).await;
    assert!(matches!(again, Err(StoreError::Conflict("record"))), "{again:?}");
}
