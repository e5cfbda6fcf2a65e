//! Many records at once.

use poterne_model::{Name, RecordId, RecordType, name};

use super::{ACCOUNT, Engine, Fixture, ZONE, begun, name as parsed, record};
use crate::{NewRecord, Record, StoreError, Touched, record::CNAMES_TO};

on_both! {
    many_records_are_those_that_one_after_the_other_are,
    many_records_come_all_or_not_at_all,
    many_records_go_at_once,
    who_leads_to_a_name_is_asked_of_an_index,
}

fn path(number: u32) -> String {
    name::path(&format!("h{number}.example.com"))
}

fn new(number: u32, path: &str) -> NewRecord<'_> {
    let mut id = [7; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let is_odd = number % 2 == 1;
    NewRecord {
        id: RecordId::from_bytes(id),
        path,
        kind: if is_odd { "MX" } else { "A" },
        content: if is_odd { "mx.example.net" } else { "192.0.2.1" },
        priority: is_odd.then_some(10),
        ttl_secs: 300,
        proxied: !is_odd,
        settings: if is_odd { "{}" } else { r#"{"ipv4_only":true}"# },
        comment: is_odd.then_some("a note"),
        tags: if is_odd { "[]" } else { r#"["team:web"]"# },
        created_at: 8,
        modified_at: 9,
        comment_modified_at: is_odd.then_some(10),
        tags_modified_at: (!is_odd).then_some(11),
    }
}

async fn many_records_are_those_that_one_after_the_other_are(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let before = session.change().await.unwrap();
    assert_eq!((session.follows(), session.record_count(ZONE, 10).await.unwrap()), (before, 0));
    let paths: Vec<String> = (0..1157).map(path).collect();
    let all: Vec<NewRecord<'_>> = paths.iter().zip(0..).map(|(path, number)| new(number, path)).collect();
    let batches = session.record_batches(ZONE);
    session.insert_records(batches.of(&all)).await.unwrap();
    session.touch_all_names(ZONE).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.read().await.unwrap();
    assert_eq!(session.touched_since(before, 10).await.unwrap().unwrap(), [Touched::Names(ZONE)]);
    assert_eq!((session.record_count(ZONE, 1000).await.unwrap(), session.record_count(ZONE, 2000).await.unwrap()), (1000, 1157));
    let (even, odd) = (path(46), path(47));
    for (number, path) in [(46, even), (47, odd)] {
        let new = new(number, &path);
        let owner = name::of_path(&path);
        let mut expected = record(0, &owner, RecordType::from(new.kind.to_owned()), new.content);
        (expected.id, expected.priority, expected.ttl_secs, expected.proxied) = (new.id, new.priority, new.ttl_secs, new.proxied);
        (expected.settings, expected.comment) = (new.settings.to_owned(), new.comment.map(str::to_owned));
        expected.tags = serde_json::from_str(new.tags).unwrap();
        (expected.created_at, expected.modified_at) = (8, 9);
        (expected.comment_modified_at, expected.tags_modified_at) = (new.comment_modified_at, new.tags_modified_at);
        assert_eq!(session.records_at(ZONE, &owner).await.unwrap(), [expected]);
    }
    let lines = session.record_lines(Some(ZONE), None, 5000).await.unwrap();
    let names: Vec<Name> = lines.records().map(|record| record.unwrap().name).collect();
    let mut sorted: Vec<String> = paths;
    sorted.sort();
    assert!(names.iter().map(|name| name::path(name.as_str())).eq(sorted));
    assert_eq!(session.zone_names().await.unwrap(), [parsed("example.com")]);
}

async fn many_records_come_all_or_not_at_all(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let paths: Vec<String> = (0..600).map(path).collect();
    let mut all: Vec<NewRecord<'_>> = paths.iter().zip(0..).map(|(path, number)| new(number, path)).collect();
    let other = new(3, &paths[590]);
    // The same record under another id, in the second statement.
    all[595] = NewRecord { id: RecordId::from_bytes([9; 16]), path: &paths[3], ..other };
    let mut session = store.write().await.unwrap();
    session.expect_much();
    let batches = session.record_batches(ZONE);
    assert!(matches!(session.insert_records(batches.of(&all)).await, Err(StoreError::Conflict("record"))));
    drop(session);
    assert_eq!(store.read().await.unwrap().record_count(ZONE, 10).await.unwrap(), 0);
    // Others are not disturbed, and so large a commit as was announced is kept as any is.
    let mut session = store.write().await.unwrap();
    session.expect_much();
    session.insert_records(batches.of(&all[..595])).await.unwrap();
    session.touch_names(ZONE, [parsed("h1.example.com"), parsed("h2.example.com")]).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.record_count(ZONE, 1000).await.unwrap(), 595);
    session.insert_record(&record(1, "a.example.com", RecordType::A, "192.0.2.1")).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(store.read().await.unwrap().record_count(ZONE, 1000).await.unwrap(), 596);
}

async fn many_records_go_at_once(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let records: Vec<Record> = (0..600_u32)
        .map(|number| {
            let mut id = [7; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let tags = if number % 2 == 0 { vec!["team:web".to_owned()] } else { Vec::new() };
            let one = record(0, &format!("h{number}.example.com"), RecordType::A, "192.0.2.1");
            Record { id: RecordId::from_bytes(id), tags, comment: Some("a note".into()), ..one }
        })
        .collect();
    let batches = session.record_batches(ZONE);
    session.insert_records(batches.of_records(&records)).await.unwrap();
    assert_eq!(session.records_at(ZONE, "h8.example.com").await.unwrap(), [records[8].clone()]);
    let absent = RecordId::from_bytes([9; 16]);
    let ids: Vec<RecordId> = records.iter().skip(30).map(|record| record.id).chain([absent]).collect();
    session.delete_records(ZONE, &ids).await.unwrap();
    session.delete_records(ZONE, &[records[1].id]).await.unwrap();
    session.delete_records(ZONE, &[]).await.unwrap();
    let mut left: Vec<RecordId> = session.records(Some(ZONE)).await.unwrap().into_iter().map(|record| record.id).collect();
    left.sort();
    let wanted: Vec<RecordId> = records.iter().take(30).map(|record| record.id).filter(|id| *id != records[1].id).collect();
    assert_eq!(left, wanted);
    // Of another zone none goes.
    session.delete_records(poterne_model::ZoneId::from_bytes([99; 16]), &wanted).await.unwrap();
    assert_eq!(session.record_count(ZONE, 100).await.unwrap(), 29);
}

async fn who_leads_to_a_name_is_asked_of_an_index(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    for (id, owner, target) in
        [(1, "a.example.com", "x.example.net"), (2, "b.example.com", "x.example.net"), (3, "c.example.com", "y.example.net")]
    {
        session.insert_record(&record(id, owner, RecordType::Cname, target)).await.unwrap();
    }
    session.insert_record(&record(4, "d.example.com", RecordType::Other("PTR".into()), "x.example.net")).await.unwrap();
    let leading = session.cnames_to(ACCOUNT, &parsed("x.example.net")).await.unwrap();
    assert_eq!(leading.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["a.example.com", "b.example.com"]);
    // PostgreSQL reads so few rows without any index.
    if let Engine::Sqlite = engine {
        let query = crate::database::query(CNAMES_TO).bind(ACCOUNT.to_string()).bind("x.example.net");
        let plan = query.explained(session.connection()).await.unwrap();
        assert!(plan.contains("record_cname"), "{plan}");
    }
}
