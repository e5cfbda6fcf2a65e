//! A zone's way from pending to active to moved and back, the parent's server being a real one on loopback and the time handed in.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use poterne_control_app::{App, AppError, AuditFilter, Caller, PartialProof, SeenDelegation, Settings as AppSettings, Zone};
use poterne_control_scout::Scout;
use poterne_control_store::Store;
use poterne_dns_resolver::{
    Resolver, Settings,
    testing::{Manner, TestServer},
};
use poterne_dns_sign::{Algorithm, keyset::Status};
use poterne_guard::{Guard, Range};
use poterne_keys::NodeKey;
use poterne_model::{Name, ZoneKind, ZoneStatus};
use poterne_telemetry::Metrics;

struct World {
    app: App,
    scout: Arc<Scout>,
    top: TestServer,
    hours: Arc<AtomicI64>,
    store: Store,
    node_key: NodeKey,
    resolver: Resolver,
    _root: TestServer,
    dir: tempfile::TempDir,
}

const OURS: &str = "@ NS a.nic.test.\nexample NS ns1.node.net.\nexample NS ns2.node.net.";
const THEIRS: &str = "@ NS a.nic.test.\nexample NS ns1.old.net.\nexample NS ns2.old.net.";

fn settings() -> AppSettings {
    let name = |text: &str| Name::parse(text).unwrap();
    AppSettings {
        nameservers: vec![name("ns1.node.net"), name("ns2.node.net")],
        cname_suffix: Some(name("cdn.node.net")),
        sends_mail: true,
        ..AppSettings::default()
    }
}

async fn opened(store: &Store, key: &NodeKey, secs: &Arc<AtomicI64>) -> App {
    let secs = Arc::clone(secs);
    let clock = move || UNIX_EPOCH + Duration::from_secs(secs.load(Ordering::Relaxed).unsigned_abs());
    App::open(store.clone(), key, settings(), Arc::new(clock), None).await.unwrap()
}

impl World {
    async fn new() -> Self {
        let plain = Manner::default();
        let root = TestServer::start("127.0.0.31", 0, plain).await;
        let port = root.address().port();
        // Two servers of the parent at two addresses: two points to see from.
        let root =
            root.with(".", "test. NS a.nic.test.\ntest. NS b.nic.test.\na.nic.test. A 127.0.0.32\nb.nic.test. A 127.0.0.33");
        let top = TestServer::start("127.0.0.32", port, plain).await.with("test", THEIRS);
        let allowed = vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }];
        let guard = Guard { allowed, own: Vec::new() };
        let resolver = Resolver::new(Settings {
            port,
            timeout: Duration::from_millis(300),
            tries: 1,
            ..Settings::new(vec![root.address().ip()], Vec::new(), guard)
        });
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
        let (node_key, secs) = (NodeKey::generate(), Arc::new(AtomicI64::new(1_000_000)));
        let app = opened(&store, &node_key, &secs).await;
        let scout = Scout::new(app.clone(), resolver.clone(), &Metrics::new());
        Self { app, scout, top, hours: secs, store, node_key, resolver, _root: root, dir }
    }

    fn later(&self, secs: i64) {
        self.hours.fetch_add(secs, Ordering::Relaxed);
    }

    async fn zone(&self, zone: &Zone) -> Zone {
        self.app.zone_get(&Caller::Operator, zone.id).await.unwrap().0
    }

    async fn trace(&self) -> Vec<String> {
        let (events, _) =
            self.app.audit_of_account(&Caller::Operator, self.app.account(), AuditFilter::default(), 0, 100).await.unwrap();
        events.iter().map(|event| format!("{} {}", event.door, event.action)).collect()
    }

    /// What the parent named when it was first looked at.
    async fn original_name_servers(&self, zone: &Zone) -> Option<Vec<Name>> {
        let zone = self.app.zone_get(&Caller::Operator, zone.id).await.unwrap();
        self.app.zone_listed(zone).await.unwrap().original_name_servers
    }
}

#[tokio::test]
async fn a_zone_becomes_active_when_its_parent_names_the_assigned_servers() {
    let world = World::new().await;
    let second = TestServer::start("127.0.0.33", world.top.address().port(), Manner::default()).await.with("test", THEIRS);
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    assert_eq!(world.scout.turn().await.unwrap(), 0, "not before a minute has passed");
    world.later(60);
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Pending);
    let original = world.original_name_servers(&zone).await;
    assert_eq!(original, Some(vec![Name::parse("ns1.old.net").unwrap(), Name::parse("ns2.old.net").unwrap()]));
    assert_eq!(world.scout.turn().await.unwrap(), 0, "the next is two minutes later");

    // One of the parent's servers is behind: not yet.
    world.top.set("test", OURS);
    world.later(120);
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Pending);
    second.set("test", OURS);
    // Whoever does not want to wait asks.
    world.app.activation_check(&Caller::Operator, zone.id).await.unwrap();
    let again = world.app.activation_check(&Caller::Operator, zone.id).await.unwrap_err();
    assert!(matches!(again, AppError::ChecksLimited { retry_secs: 300, .. }), "{again}");
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    let active = world.zone(&zone).await;
    assert_eq!((active.status, active.activated_at), (ZoneStatus::Active, Some(1_000_180_000_000)));
    assert!(world.trace().await.contains(&"node delegation".to_owned()), "{:?}", world.trace().await);
    assert_eq!(world.app.outbox_length().await.unwrap(), 1, "the owner is told");
    assert_eq!(world.original_name_servers(&zone).await, original, "it stays what it was at first");

    // Lost for a day: told once more, and not before.
    for server in [&world.top, &second] {
        server.set("test", THEIRS);
    }
    for (hours, status) in [
        (6, ZoneStatus::Active),
        (6, ZoneStatus::Active),
        (6, ZoneStatus::Active),
        (6, ZoneStatus::Active),
        (6, ZoneStatus::Moved),
    ] {
        world.later(hours * 3600);
        assert_eq!(world.scout.turn().await.unwrap(), 1);
        assert_eq!(world.zone(&zone).await.status, status);
    }
    assert_eq!(world.app.outbox_length().await.unwrap(), 2);
    for server in [&world.top, &second] {
        server.set("test", OURS);
    }
    world.later(3600);
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Active);
}

#[tokio::test]
async fn who_asks_while_a_look_is_under_way_is_not_forgotten() {
    let world = World::new().await;
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    world.later(60);
    assert_eq!(world.app.zones_due(16).await.unwrap().len(), 1);
    // The parent has answered, and what it said is not kept yet.
    world.later(1);
    world.app.activation_check(&Caller::Operator, zone.id).await.unwrap();
    world.top.set("test", OURS);
    world.later(1);
    world.app.delegation_seen(zone.id, &SeenDelegation::default()).await.unwrap();
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Active);
    assert_eq!(world.scout.turn().await.unwrap(), 0, "once");
}

#[tokio::test]
async fn the_schedule_survives_the_node() {
    let world = World::new().await;
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    world.later(60);
    // Taken up, and the node dies before it says what it saw.
    assert_eq!(world.app.zones_due(16).await.unwrap().len(), 1);
    assert_eq!(world.app.zones_due(16).await.unwrap().len(), 0);
    let app = opened(&world.store, &world.node_key, &world.hours).await;
    let scout = Scout::new(app, world.resolver.clone(), &Metrics::new());
    world.top.set("test", OURS);
    assert_eq!(scout.turn().await.unwrap(), 0);
    world.later(300);
    assert_eq!(scout.turn().await.unwrap(), 1);
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Active, "the server that does not answer has no say");
    assert!(world.dir.path().exists());
}

#[tokio::test]
async fn a_silent_parent_changes_nothing() {
    let world = World::new().await;
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    world.app.zone_activate(&Caller::Operator, "example.test").await.unwrap();
    assert!(world.trace().await.contains(&"operator activate".to_owned()), "{:?}", world.trace().await);
    world.top.behave(Manner { silent: true, ..Manner::default() });
    for _ in 0..6 {
        world.later(6 * 3600);
        assert_eq!(world.scout.turn().await.unwrap(), 1);
    }
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Active);
    assert_eq!(world.original_name_servers(&zone).await, None);
    // A private zone, that the world knows nothing of, is nobody's to lose.
    world.top.behave(Manner::default());
    world.top.set("test", "@ NS a.nic.test.");
    for _ in 0..6 {
        world.later(6 * 3600);
        assert_eq!(world.scout.turn().await.unwrap(), 1);
    }
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Active);
}

#[tokio::test]
async fn what_the_parent_shows_of_a_zones_keys_is_taken_in() {
    let world = World::new().await;
    let second = TestServer::start("127.0.0.33", world.top.address().port(), Manner::default()).await.with("test", OURS);
    world.top.set("test", OURS);
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    world.later(60);
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    assert_eq!(world.zone(&zone).await.status, ZoneStatus::Active);
    let status = async || world.app.zone_dnssec(&Caller::Operator, zone.id).await.unwrap().map(|signed| signed.status);

    world.app.zone_dnssec_enable(&Caller::Operator, zone.id, Algorithm::EcdsaP256Sha256).await.unwrap();
    assert_eq!(world.scout.turn().await.unwrap(), 0);
    world.later(60);
    assert_eq!(world.scout.turn().await.unwrap(), 1, "a minute after, not in six hours");
    assert_eq!(status().await, Some(Status::Pending));
    let wanted = world.app.ds_wanted(zone.id).await.unwrap();
    let [tag, more @ ..] = [u16::from_be_bytes([wanted[0][0], wanted[0][1]]), wanted[0][2].into(), wanted[0][3].into()];
    let digest: String = wanted[0][4..].iter().map(|octet| format!("{octet:02X}")).collect();
    let with_ds = format!("{OURS}\nexample DS {tag} {} {} {digest}", more[0], more[1]);

    // One of the parent's servers is behind: not yet.
    world.top.set("test", &with_ds);
    world.later(3600);
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    assert_eq!(status().await, Some(Status::Pending));
    second.set("test", &with_ds);
    world.later(3600);
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    assert_eq!(status().await, Some(Status::Active));
    world.later(3600);
    assert_eq!(world.scout.turn().await.unwrap(), 0, "nothing is waited for");

    // Signed no more: the keys go when the DS has been gone for long enough.
    world.app.zone_dnssec_disable(&Caller::Operator, zone.id).await.unwrap();
    world.later(60);
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    world.later(7 * 86_400);
    world.app.tend_zone_keys().await.unwrap();
    assert_eq!(status().await, Some(Status::PendingDisabled), "the parent still shows the DS");
    for server in [&world.top, &second] {
        server.set("test", OURS);
    }
    assert_eq!(world.scout.turn().await.unwrap(), 1);
    world.app.tend_zone_keys().await.unwrap();
    assert_eq!(status().await, Some(Status::PendingDisabled), "resolvers may remember it");
    world.later(3 * 86_400);
    world.app.tend_zone_keys().await.unwrap();
    assert_eq!(status().await, None);
}

const DAY: i64 = 24 * 3600;

async fn is_there(world: &World, zone: &Zone) -> bool {
    world.app.zone_get(&Caller::Operator, zone.id).await.is_ok()
}

#[tokio::test]
async fn a_pending_zone_is_deleted_after_28_days_and_not_untold() {
    let world = World::new().await;
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    let (told, one, nothing) = ((1, 0), (0, 1), (0, 0));
    world.later(21 * DAY - 1);
    assert_eq!(world.app.end_zones().await.unwrap(), nothing);
    world.later(1);
    assert_eq!(world.app.end_zones().await.unwrap(), told, "a week before");
    assert_eq!((world.app.end_zones().await.unwrap(), world.app.outbox_length().await.unwrap()), (nothing, 1));
    world.later(6 * DAY);
    assert_eq!(world.app.end_zones().await.unwrap(), told, "the day before");
    assert_eq!((world.app.end_zones().await.unwrap(), world.app.outbox_length().await.unwrap()), (nothing, 2));
    world.later(DAY - 1);
    assert_eq!(world.app.end_zones().await.unwrap(), nothing);
    world.later(1);
    assert_eq!(world.app.end_zones().await.unwrap(), one);
    assert!(!is_there(&world, &zone).await);
    assert_eq!(world.app.outbox_length().await.unwrap(), 3, "and that it is");
    assert!(world.trace().await.contains(&"node delete".to_owned()), "{:?}", world.trace().await);
    assert_eq!(world.app.end_zones().await.unwrap(), nothing);
    // The name is free again.
    world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
}

#[tokio::test]
async fn whoever_wants_a_zone_keeps_it() {
    let world = World::new().await;
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    world.later(27 * DAY);
    assert_eq!(world.app.end_zones().await.unwrap(), (1, 0), "a node that was away tells first");
    world.later(6 * DAY);
    world.app.activation_check(&Caller::Operator, zone.id).await.unwrap();
    world.later(20 * DAY);
    assert_eq!(world.app.end_zones().await.unwrap(), (0, 0), "four weeks from then");
    world.later(DAY);
    assert_eq!(world.app.end_zones().await.unwrap(), (1, 0));
    world.app.zone_activate(&Caller::Operator, "example.test").await.unwrap();
    world.later(400 * DAY);
    assert_eq!(world.app.end_zones().await.unwrap(), (0, 0));
    assert!(is_there(&world, &zone).await);
}

#[tokio::test]
async fn a_moved_zone_stays_for_a_week_after_it_was_told_and_comes_back_until_then() {
    let world = World::new().await;
    let second = TestServer::start("127.0.0.33", world.top.address().port(), Manner::default()).await;
    let delegate = |text: &str| {
        world.top.set("test", text);
        second.set("test", text);
    };
    let zone = world.app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    for round in 0..2 {
        delegate(OURS);
        world.later(6 * 3600);
        assert_eq!(world.scout.turn().await.unwrap(), 1);
        assert_eq!(world.zone(&zone).await.status, ZoneStatus::Active);
        assert_eq!(world.app.end_zones().await.unwrap(), (0, 0));
        delegate(THEIRS);
        for _ in 0..5 {
            world.later(6 * 3600);
            assert_eq!(world.scout.turn().await.unwrap(), 1);
        }
        assert_eq!(world.zone(&zone).await.status, ZoneStatus::Moved);
        assert_eq!(world.app.end_zones().await.unwrap(), (1, 0), "in round {round}");
        world.later(5 * DAY);
        assert_eq!(world.app.end_zones().await.unwrap(), (0, 0));
    }
    world.later(DAY);
    assert_eq!(world.app.end_zones().await.unwrap(), (1, 0));
    world.later(DAY);
    assert_eq!(world.app.end_zones().await.unwrap(), (0, 1));
    assert!(!is_there(&world, &zone).await);
}

#[tokio::test]
async fn where_nobody_can_be_told_every_zone_stays() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
    let days = Arc::new(AtomicI64::new(1));
    let clock = Arc::clone(&days);
    let clock = move || UNIX_EPOCH + Duration::from_secs((clock.load(Ordering::Relaxed) * DAY).unsigned_abs());
    let settings = AppSettings { sends_mail: false, ..settings() };
    let app = App::open(store, &NodeKey::generate(), settings, Arc::new(clock), None).await.unwrap();
    let zone = app.zone_add(&Caller::Operator, "example.test").await.unwrap();
    for _ in 0..50 {
        days.fetch_add(10, Ordering::Relaxed);
        assert_eq!(app.end_zones().await.unwrap(), (0, 0));
    }
    assert!(app.zone_get(&Caller::Operator, zone.id).await.is_ok());
}

#[tokio::test]
async fn a_partial_zone_is_active_while_its_own_servers_show_the_proof() {
    let world = World::new().await;
    let port = world.top.address().port();
    let delegated =
        "@ NS a.nic.test.\nexample NS ns1.old.test.\nexample NS ns2.old.test.\nns1.old A 127.0.0.34\nns2.old A 127.0.0.35";
    world.top.set("test", delegated);
    let without = "@ NS ns1.old.test.\n@ NS ns2.old.test.";
    let one = TestServer::start("127.0.0.34", port, Manner::default()).await.with("example.test", without);
    let two = TestServer::start("127.0.0.35", port, Manner::default()).await.with("example.test", without);
    let app = &world.app;
    let zone = app.zone_create_of(&Caller::Operator, app.account(), "example.test", ZoneKind::Partial).await.unwrap();
    assert!(zone.name_servers.is_empty());
    let status = async || world.zone(&zone).await.status;
    let after = async |secs| {
        world.later(secs);
        assert_eq!(world.scout.turn().await.unwrap(), 1);
        status().await
    };
    let shows = |text: &str| format!("{without}\ncloudflare-verify TXT \"{text}\"");
    let with = shows(&PartialProof::of(&zone).text);
    assert_eq!(after(60).await, ZoneStatus::Pending);
    two.set("example.test", &with);
    one.set("example.test", &shows(&app.account().to_string()));
    assert_eq!(after(120).await, ZoneStatus::Pending, "one of its servers shows something else");
    one.set("example.test", &with);
    assert_eq!(after(300).await, ZoneStatus::Active);
    let refused = app.zone_dnssec_enable(&Caller::Operator, zone.id, Algorithm::default()).await.unwrap_err();
    assert!(refused.to_string().contains("its own name servers"), "{refused}");
    one.set("example.test", without);
    assert_eq!(after(6 * 3600).await, ZoneStatus::Active, "they do not agree");
    two.set("example.test", without);
    for _ in 0..4 {
        assert_eq!(after(6 * 3600).await, ZoneStatus::Active);
    }
    assert_eq!(after(6 * 3600).await, ZoneStatus::Moved);
    one.set("example.test", &with);
    two.set("example.test", &with);
    assert_eq!(after(3600).await, ZoneStatus::Active);
}
