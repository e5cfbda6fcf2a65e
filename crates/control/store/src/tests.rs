//! What the store keeps, refuses and survives.

use std::{net::IpAddr, os::unix::fs::MetadataExt};

use poterne_feed::Command;
use poterne_model::{
    AccountId, ConnectionId, ConnectionInfo, ConnectorId, ConnectorInfo, Name, RecordId, RecordType, TunnelId, ZoneId,
    ZoneStatus, tunnel::Transport,
};
use sqlx::Connection as _;

use crate::{
    Account, AccountKind, ConfigSource, Configuration, Record, RecordBrief, SealedSecret, Session, Store, StoreError, Touched,
    Tunnel, Zone,
};

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
const OTHER: AccountId = AccountId::from_bytes([2; 16]);
const ZONE: ZoneId = ZoneId::from_bytes([3; 16]);
const TUNNEL: TunnelId = TunnelId::from_bytes([4; 16]);

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn zone(id: u8, account: AccountId, apex: &str, status: ZoneStatus) -> Zone {
    let activated_at = (status == ZoneStatus::Active).then_some(7);
    let name_servers = vec![name("ns1.example.net"), name("ns2.example.net")];
    Zone {
        id: ZoneId::from_bytes([id; 16]),
        account,
        apex: name(apex),
        status,
        name_servers,
        paused: false,
        partial: false,
        created_at: 7,
        modified_at: 7,
        activated_at,
    }
}

fn record(id: u8, owner: &str, kind: RecordType, content: &str) -> Record {
    Record {
        id: RecordId::from_bytes([id; 16]),
        zone: ZONE,
        name: name(owner),
        kind,
        content: content.into(),
        priority: None,
        settings: "{}".into(),
        ttl_secs: 1,
        proxied: true,
        comment: Some("a note".into()),
        tags: vec!["team:web".into()],
        managed_by: None,
        created_at: 8,
        modified_at: 8,
        comment_modified_at: None,
        tags_modified_at: None,
    }
}

fn tunnel(id: TunnelId, name: &str) -> Tunnel {
    Tunnel {
        id,
        account: ACCOUNT,
        name: name.into(),
        config_source: ConfigSource::Remote,
        created_at: 9,
        deleted_at: None,
        conns_active_at: None,
        conns_inactive_at: None,
        first_connected_at: None,
        last_loss_at: None,
        quick: false,
        expires_at: None,
    }
}

fn connection(id: u8, at: u64) -> ConnectionInfo {
    ConnectionInfo {
        id: ConnectionId::from_bytes([id; 16]),
        index: id,
        transport: Transport::Quic,
        origin_ip: IpAddr::from([192, 0, 2, id]),
        location: "here".into(),
        opened_at: at,
        draining: false,
    }
}

async fn filled(store: Store) -> Store {
    let mut session = store.write().await.unwrap();
    for (id, kind) in [(ACCOUNT, AccountKind::Standard), (OTHER, AccountKind::Quick)] {
        let account = Account { id, name: "one".into(), kind, enforces_second_factor: false, created_at: 7 };
        session.insert_account(&account).await.unwrap();
    }
    session.insert_zone(&zone(3, ACCOUNT, "example.com", ZoneStatus::Active)).await.unwrap();
    session.commit().await.unwrap();
    store
}

#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

/// A store of its own; with PostgreSQL a database of the server that `POTERNE_POSTGRES` names.
struct Fixture {
    store: Store,
    url: Option<String>,
    _dir: Option<tempfile::TempDir>,
}

/// An empty database of the server that `POTERNE_POSTGRES` names.
async fn database() -> String {
    let server = std::env::var("POTERNE_POSTGRES").expect("POTERNE_POSTGRES names a server: `cargo xtask test` starts one");
    let mut admin = sqlx::PgConnection::connect(&server).await.unwrap();
    static MADE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let database = format!("test_{}_{number}", std::process::id());
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&mut admin).await.unwrap();
    server.replacen("/postgres?", &format!("/{database}?"), 1)
}

async fn begun(engine: Engine) -> Fixture {
    match engine {
        Engine::Sqlite => {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
            Fixture { store: filled(store).await, url: None, _dir: Some(dir) }
        }
        Engine::Postgres => {
            let url = database().await;
            let store = Store::connect(&url).await.unwrap();
            Fixture { store: filled(store).await, url: Some(url), _dir: None }
        }
    }
}

/// Each of these, once an engine.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Engine::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Engine::Postgres).await;
            })*
        }
    };
}

mod certificates;
mod deleted;
mod health_checks;
mod listed;
mod many;
mod newer;
mod notices;
mod origin_tls;
mod seen;
mod signed_in;
mod stored;
mod visitors;

on_both! {
    a_session_that_is_dropped_leaves_nothing_and_wakes_nobody,
    a_reader_keeps_its_state_while_another_writes,
    identities_conflict_and_deleted_names_are_free,
    the_records_that_answer_are_those_of_rfc_4592,
    secrets_and_versions_are_kept_in_order_and_go_with_their_tunnel,
    connections_come_and_go_and_the_tunnel_remembers,
    orders_wait_in_the_outbox_until_they_are_sent,
    groups_are_durable_together_and_told_apart,
    a_turn_that_fails_takes_nothing_of_the_others,
    callers_that_go_away_disturb_nobody,
    what_changed_is_known_until_it_is_forgotten,
    pages_follow_by_key_and_cut_no_name,
}

async fn all(session: &mut Session) -> (Vec<Account>, Vec<Zone>, Vec<Record>, Vec<Tunnel>) {
    (
        session.accounts().await.unwrap(),
        session.zones(None).await.unwrap(),
        session.records(None).await.unwrap(),
        session.tunnels(None).await.unwrap(),
    )
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_process_that_never_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    let store = filled(Store::open(&path).await.unwrap()).await;
    let mut session = store.write().await.unwrap();
    session.insert_record(&record(1, "app.example.com", RecordType::Cname, "x.example.org")).await.unwrap();
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    let change = session.commit().await.unwrap();
    let mut unfinished = store.write().await.unwrap();
    unfinished.insert_record(&record(2, "lost.example.com", RecordType::A, "192.0.2.1")).await.unwrap();
    // A copy of the files as they stand is what a kill leaves: nothing was closed, a transaction is open.
    let copy = dir.path().join("copy.sqlite");
    for suffix in ["", "-wal"] {
        std::fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).unwrap();
    }
    let reopened = Store::open(&copy).await.unwrap();
    assert_eq!(*reopened.changes().borrow(), change);
    let mut session = reopened.read().await.unwrap();
    let (accounts, zones, records, tunnels) = all(&mut session).await;
    assert_eq!((accounts.len(), zones.len()), (2, 1));
    assert_eq!(zones[0], zone(3, ACCOUNT, "example.com", ZoneStatus::Active));
    assert_eq!(records, [record(1, "app.example.com", RecordType::Cname, "x.example.org")]);
    assert_eq!(tunnels, [tunnel(TUNNEL, "web")]);
}

#[tokio::test]
async fn migrations_run_once_and_the_file_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    filled(Store::open(&path).await.unwrap()).await.close().await;
    let again = Store::open(&path).await.unwrap();
    assert_eq!(all(&mut again.read().await.unwrap()).await.0.len(), 2);
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.sqlite");
    std::fs::write(&path, "this is a text, and long enough not to be taken for an empty database file.").unwrap();
    let error = Store::open(&path).await.err().unwrap().to_string();
    assert!(error.contains("store.sqlite"), "{error}");
}

async fn a_session_that_is_dropped_leaves_nothing_and_wakes_nobody(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut changes = store.changes();
    changes.borrow_and_update();
    let mut session = store.write().await.unwrap();
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    drop(session);
    assert!(!changes.has_changed().unwrap());
    assert!(store.read().await.unwrap().tunnels(None).await.unwrap().is_empty());
    let mut session = store.write().await.unwrap();
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    let before = *changes.borrow();
    assert_eq!(session.commit().await.unwrap(), before + 1);
    assert!(changes.has_changed().unwrap());
}

async fn a_reader_keeps_its_state_while_another_writes(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut reader = store.read().await.unwrap();
    assert!(reader.tunnels(None).await.unwrap().is_empty());
    let mut writer = store.write().await.unwrap();
    writer.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    writer.commit().await.unwrap();
    assert!(reader.tunnels(None).await.unwrap().is_empty());
    assert_eq!(store.read().await.unwrap().tunnels(None).await.unwrap().len(), 1);
}

async fn identities_conflict_and_deleted_names_are_free(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let second = TunnelId::from_bytes([5; 16]);
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    assert!(matches!(session.insert_tunnel(&tunnel(second, "web")).await, Err(StoreError::Conflict("tunnel"))));
    session.delete_tunnel(TUNNEL, 10).await.unwrap();
    assert!(matches!(session.delete_tunnel(TUNNEL, 10).await, Err(StoreError::NotFound("tunnel"))));
    session.insert_tunnel(&tunnel(second, "web")).await.unwrap();
    assert_eq!(session.tunnel_named(ACCOUNT, "web").await.unwrap().unwrap().id, second);
    assert_eq!(session.tunnel(TUNNEL).await.unwrap().unwrap().deleted_at, Some(10));

    session.insert_zone(&zone(4, OTHER, "example.com", ZoneStatus::Pending)).await.unwrap();
    let other = ZoneId::from_bytes([4; 16]);
    assert!(matches!(session.set_zone_status(other, ZoneStatus::Active, 11).await, Err(StoreError::Conflict("zone"))));
    assert!(matches!(
        session.insert_zone(&zone(5, ACCOUNT, "example.com", ZoneStatus::Pending)).await,
        Err(StoreError::Conflict("zone"))
    ));

    let one = record(1, "a.example.com", RecordType::A, "192.0.2.1");
    session.insert_record(&one).await.unwrap();
    let same = Record { id: RecordId::from_bytes([2; 16]), ..one };
    assert!(matches!(session.insert_record(&same).await, Err(StoreError::Conflict("record"))));
    session.commit().await.unwrap();
}

async fn the_records_that_answer_are_those_of_rfc_4592(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    for (id, owner) in ["*.example.com", "sub.example.com", "deep.ent.example.com"].into_iter().enumerate() {
        session.insert_record(&record(u8::try_from(id).unwrap(), owner, RecordType::A, "192.0.2.1")).await.unwrap();
    }
    let zone = session.zone_named(ACCOUNT, &name("example.com")).await.unwrap().unwrap();
    for (host, expected) in [
        ("sub.example.com", Some("sub.example.com")),
        ("x.sub.example.com", None),
        ("x.y.example.com", Some("*.example.com")),
        ("ent.example.com", None),
        ("x.ent.example.com", None),
        ("notexample.com", None),
        ("example.com", None),
    ] {
        let records = session.records_answering(&zone, &name(host)).await.unwrap();
        assert_eq!(records.first().map(|record| record.name.as_str()), expected, "{host}");
    }
}

async fn secrets_and_versions_are_kept_in_order_and_go_with_their_tunnel(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    for number in [1, 2] {
        let secret = SealedSecret { digest: [number; 32], sealed: vec![number; 5], created_at: 9 };
        session.insert_secret(TUNNEL, &secret).await.unwrap();
        let configuration = Configuration { version: number.into(), json: format!("{{\"v\":{number}}}"), created_at: 9 };
        session.insert_configuration(TUNNEL, &configuration).await.unwrap();
        assert!(matches!(session.insert_configuration(TUNNEL, &configuration).await, Err(StoreError::Conflict(_))));
    }
    assert_eq!(session.secrets(TUNNEL).await.unwrap().iter().map(|secret| secret.digest[0]).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(session.configuration(TUNNEL).await.unwrap().unwrap().version, 2);
    let details = session.tunnel_details(TUNNEL).await.unwrap().unwrap();
    assert_eq!(details.digests, [[1; 32], [2; 32]]);
    assert_eq!(details.configuration, Some(Configuration { version: 2, json: "{\"v\":2}".into(), created_at: 9 }));
    assert_eq!(session.tunnel_page(None, 10).await.unwrap(), [details]);
    session.delete_tunnel(TUNNEL, 10).await.unwrap();
    assert!(session.secrets(TUNNEL).await.unwrap().is_empty());
    assert_eq!(session.tunnel_details(TUNNEL).await.unwrap(), None);
    assert!(session.tunnel_page(None, 10).await.unwrap().is_empty());
}

async fn connections_come_and_go_and_the_tunnel_remembers(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    let connector = ConnectorInfo {
        id: ConnectorId::from_bytes([6; 16]),
        version: "1".into(),
        arch: "linux_amd64".into(),
        features: vec!["a".into()],
        run_at: 100,
        connections: Vec::new(),
    };
    for id in [0, 1] {
        assert!(session.open_connection(TUNNEL, &connector, &connection(id, 100 + u64::from(id))).await.unwrap());
    }
    let expected = ConnectorInfo { connections: vec![connection(0, 100), connection(1, 101)], ..connector.clone() };
    assert_eq!(session.connectors(TUNNEL).await.unwrap(), [expected]);
    let facts =
        |tunnel: Tunnel| (tunnel.conns_active_at, tunnel.conns_inactive_at, tunnel.first_connected_at, tunnel.last_loss_at);
    let seconds = |number: i64| Some(number * 1_000_000);
    assert_eq!(facts(session.tunnel(TUNNEL).await.unwrap().unwrap()), (seconds(100), None, seconds(100), None));
    session.close_connection(TUNNEL, connection(0, 0).id, 110_000_000).await.unwrap();
    session.close_connection(TUNNEL, connection(0, 0).id, 999_000_000).await.unwrap();
    assert_eq!(facts(session.tunnel(TUNNEL).await.unwrap().unwrap()), (seconds(100), None, seconds(100), seconds(110)));
    session.forget_connections(120_000_000).await.unwrap();
    assert_eq!(facts(session.tunnel(TUNNEL).await.unwrap().unwrap()), (None, seconds(120), seconds(100), seconds(120)));
    assert_eq!(session.connection_count(TUNNEL).await.unwrap(), 0);
    session.open_connection(TUNNEL, &connector, &connection(2, 130)).await.unwrap();
    session.forget_connections(125_000_000).await.unwrap();
    let lost = session.tunnel(TUNNEL).await.unwrap().unwrap().last_loss_at;
    assert_eq!(lost, seconds(130), "no connection is lost before it is opened");
    session.delete_tunnel(TUNNEL, 10).await.unwrap();
    assert!(!session.open_connection(TUNNEL, &connector, &connection(3, 1)).await.unwrap(), "a deleted tunnel takes none");
}

async fn orders_wait_in_the_outbox_until_they_are_sent(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let order = Command::DropConnections { tunnel: TUNNEL, connector: Some(ConnectorId::from_bytes([6; 16])) };
    session.send_command(&order, 1).await.unwrap();
    session.commit().await.unwrap();
    let waiting = store.read().await.unwrap().outbox().await.unwrap();
    assert_eq!(waiting.iter().map(|(_, order)| order.clone()).collect::<Vec<_>>(), [order]);
    let mut session = store.write().await.unwrap();
    session.outbox_sent(waiting[0].0).await.unwrap();
    session.commit_silently().await.unwrap();
    assert!(store.read().await.unwrap().outbox().await.unwrap().is_empty());
}

/// As many writers as wait at once.
async fn groups_are_durable_together_and_told_apart(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let before = *store.changes().borrow();
    let writers = (0..64u8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut session = store.write().await.unwrap();
            session.insert_tunnel(&tunnel(TunnelId::from_bytes([number; 16]), &format!("tunnel {}", number / 2))).await?;
            session.commit().await
        })
    });
    let mut changes = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            Ok(change) => changes.push(change),
            // The second of a name: refused by itself, its neighbours in the group are not disturbed.
            Err(StoreError::Conflict("tunnel")) => {}
            Err(error) => panic!("{error}"),
        }
    }
    changes.sort_unstable();
    assert_eq!(changes, (before + 1..=before + 32).collect::<Vec<_>>());
    assert_eq!(*store.changes().borrow(), before + 32);
    assert_eq!(store.read().await.unwrap().tunnels(None).await.unwrap().len(), 32);
}

async fn a_turn_that_fails_takes_nothing_of_the_others(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let first = store.clone();
    let first = tokio::spawn(async move {
        let mut session = first.write().await.unwrap();
        session.insert_tunnel(&tunnel(TUNNEL, "kept")).await.unwrap();
        session.commit().await
    });
    let second = store.clone();
    let second = tokio::spawn(async move {
        let mut session = second.write().await.unwrap();
        session.insert_tunnel(&tunnel(TunnelId::from_bytes([5; 16]), "left")).await.unwrap();
        // A zone that is not there: the engine itself refuses it.
        let mut orphan = record(1, "a.example.com", RecordType::A, "192.0.2.1");
        orphan.zone = ZoneId::from_bytes([99; 16]);
        let error = session.insert_record(&orphan).await.unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{error}");
    });
    first.await.unwrap().unwrap();
    second.await.unwrap();
    let mut session = store.write().await.unwrap();
    session.insert_tunnel(&tunnel(TunnelId::from_bytes([6; 16]), "after")).await.unwrap();
    session.commit().await.unwrap();
    let names: Vec<_> = store.read().await.unwrap().tunnels(None).await.unwrap().into_iter().map(|tunnel| tunnel.name).collect();
    assert_eq!(names, ["kept", "after"]);
}

/// At whichever point of a turn they do: the future is polled so often, and dropped. One that shares its group is there before it.
async fn callers_that_go_away_disturb_nobody(engine: Engine) {
    async fn write(store: Store, number: u8) -> Result<u64, StoreError> {
        let mut session = store.write().await?;
        session.insert_tunnel(&tunnel(TunnelId::from_bytes([number; 16]), &format!("tunnel {number}"))).await?;
        session.commit().await
    }
    let Fixture { store, .. } = &begun(engine).await;
    let mut finished = 0;
    for polls in 1..80u8 {
        let stays = tokio::spawn(write(store.clone(), 2 * polls + 1));
        tokio::task::yield_now().await;
        let (mut going, mut left) = (Box::pin(write(store.clone(), 2 * polls)), polls);
        let went = std::future::poll_fn(|context| {
            if left == 0 {
                return std::task::Poll::Ready(None);
            }
            left -= 1;
            going.as_mut().poll(context).map(Some)
        });
        finished += u8::from(went.await.is_some());
        drop(going);
        stays.await.unwrap().unwrap();
    }
    assert!((1..79).contains(&finished), "some went away and some did not: {finished}");
    let names: Vec<_> = store.read().await.unwrap().tunnels(None).await.unwrap().into_iter().map(|tunnel| tunnel.name).collect();
    assert!((1..80).all(|number| names.contains(&format!("tunnel {}", 2 * number + 1))));
}

async fn what_changed_is_known_until_it_is_forgotten(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let begun = *store.changes().borrow();
    let mut session = store.write().await.unwrap();
    let one = record(1, "a.example.com", RecordType::A, "192.0.2.1");
    session.insert_record(&one).await.unwrap();
    let first = session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    session.delete_record(one.id).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.read().await.unwrap();
    let name = Touched::Name(ZONE, one.name.clone());
    let since = session.touched_since(begun, 10).await.unwrap().unwrap();
    assert!(since.len() == 2 && since.contains(&name) && since.contains(&Touched::Tunnel(TUNNEL)), "{since:?}");
    assert_eq!(session.touched_since(first, 10).await.unwrap().unwrap().len(), 2, "the name was touched again");
    assert_eq!(session.touched_since(begun, 1).await.unwrap(), None);
    drop(session);
    let mut session = store.write().await.unwrap();
    // Two accounts and a zone; the name came again later.
    assert_eq!(session.forget_touched(first, 2).await.unwrap(), 2);
    assert_eq!(session.forget_touched(first, 2).await.unwrap(), 1);
    session.commit_silently().await.unwrap();
    assert_eq!(store.read().await.unwrap().touched_since(0, 10).await.unwrap().unwrap().len(), 2);
}

async fn pages_follow_by_key_and_cut_no_name(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_zone(&zone(5, ACCOUNT, "example.org", ZoneStatus::Active)).await.unwrap();
    for (number, owner) in ["a", "b", "b", "b", "b", "c-d", "c", "*"].into_iter().enumerate() {
        let id = u8::try_from(number).unwrap();
        let content = format!("192.0.2.{id}");
        session.insert_record(&record(id, &format!("{owner}.example.com"), RecordType::A, &content)).await.unwrap();
        let other = Record { zone: ZoneId::from_bytes([5; 16]), ..record(id + 100, "www.example.org", RecordType::A, &content) };
        session.insert_record(&other).await.unwrap();
        let (id, name) = (TunnelId::from_bytes([id + 1; 16]), format!("tunnel-{id}"));
        session.insert_tunnel(&tunnel(id, &name)).await.unwrap();
        let secret = SealedSecret { digest: [id.as_bytes()[0]; 32], sealed: vec![1], created_at: 9 };
        session.insert_secret(id, &secret).await.unwrap();
    }
    session.commit().await.unwrap();
    let mut session = store.read().await.unwrap();
    for only in [None, Some(ZONE)] {
        let mut all: Vec<RecordBrief> = session.records(only).await.unwrap().into_iter().map(Into::into).collect();
        all.sort_by_key(|record| {
            (record.zone.to_string(), poterne_model::name::path(record.name.as_str()), record.content.clone())
        });
        assert_eq!(all.len(), if only.is_some() { 8 } else { 16 });
        for rows_max in 1..20 {
            let (mut read, mut after) = (Vec::new(), None);
            loop {
                let lines = session.record_lines(only, after, rows_max).await.unwrap();
                let page: Vec<RecordBrief> = lines.records().map(Result::unwrap).collect();
                if let Some(last) = page.last() {
                    let whole = all.iter().filter(|record| record.zone == last.zone && record.name == last.name).count();
                    assert_eq!(
                        page.iter().filter(|record| record.name == last.name).count(),
                        whole,
                        "{} of {rows_max}",
                        last.name
                    );
                }
                read.extend(page);
                after = lines.next();
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(read, all, "{rows_max} at a time");
        }
    }
    let whole = session.tunnel_page(None, 100).await.unwrap();
    assert!(whole.len() == 8 && whole.iter().all(|of| of.digests == [[of.id.as_bytes()[0]; 32]]));
    let (first, rest) = whole.split_at(3);
    assert_eq!(session.tunnel_page(None, 3).await.unwrap(), first);
    assert_eq!(session.tunnel_page(Some(first[2].id), 100).await.unwrap(), rest);
}

mod postgres_alone {
    use super::*;

    /// What an operator does when he restarts his database.
    #[tokio::test]
    async fn a_server_that_hung_up_is_found_again() {
        let fixture = begun(Engine::Postgres).await;
        let store = &fixture.store;
        let mut admin = sqlx::PgConnection::connect(fixture.url.as_deref().unwrap()).await.unwrap();
        let hang_up = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::raw_sql(hang_up).execute(&mut admin).await.unwrap();
        let mut session = store.write().await.unwrap();
        session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
        // In the middle of a turn: told, and nothing kept.
        sqlx::raw_sql(hang_up).execute(&mut admin).await.unwrap();
        assert!(session.commit().await.is_err());
        let mut session = store.write().await.unwrap();
        session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
        session.commit().await.unwrap();
    }
}
