//! From verb to route, over a real store and real files.

use std::{
    net::IpAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use poterne_control_app::{
    AcmeSettings, App, AppError, Caller, ConfigSource, Leads, OriginKeys, QUICK_LIFE, RecordOutcome, Rotation, Service, Settings,
};
use poterne_control_store::{Record, Store};
use poterne_feed::{Command, ControlEnd, Event};
use poterne_keys::{NodeKey, digest_matches, random_bytes};
use poterne_model::{
    ConnectionId, ConnectionInfo, ConnectorId, Name, RecordId, RecordType, TunnelId, TunnelStatus, ZoneStatus, tunnel::Transport,
};
use poterne_snapshot::{Keeper, Lookup, NodeChunk, SnapshotHandle, Target, follow};
use poterne_tunnel_proto::{config::TunnelConfig, token::TunnelToken};
use tokio_util::sync::CancellationToken;

use crate::Publisher;

mod account_rules;
mod ahead;
mod certificates;
mod challenges;
mod cookies;
mod edge;
mod signed;

const OPERATOR: Caller = Caller::Operator;

/// A node without sockets: store, verbs, publisher and snapshot as `apps/poterne` joins them.
struct Node {
    app: App,
    store: Store,
    handle: SnapshotHandle,
    commands: tokio::sync::mpsc::Receiver<Command>,
    now: Arc<AtomicU64>,
    stop: CancellationToken,
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

impl Node {
    async fn start(dir: &Path) -> Self {
        Self::start_with(dir, AcmeSettings::default()).await
    }

    async fn start_with(dir: &Path, acme: AcmeSettings) -> Self {
        let node_key = NodeKey::load_or_create(&dir.join("node.key")).unwrap();
        let store = Store::open(&dir.join("store.sqlite")).await.unwrap();
        let settings = Settings {
            cname_suffix: None,
            edges: vec!["edge.example.net:7844".into()],
            pin: [7; 32],
            nameservers: vec![name("ns1.example.net"), name("ns2.example.net")],
            tunnel_domain: Some(name("tunnel.example.net")),
            quick_domain: Some(name("quick.example.net")),
            node_names: vec![name("node.example.net")],
            nodes: 1,
            public_addresses: Vec::new(),
            origins_allowed: Vec::new(),
            management_hostname: None,
            acme,
            sends_mail: false,
            pages: String::new(),
            activate: vec!["poterne.localhost".into(), "*.test".into()],
        };
        let now = Arc::new(AtomicU64::new(1_800_000_000));
        let clock = now.clone();
        let clock = Arc::new(move || UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::SeqCst)));
        let app = App::open(store.clone(), &node_key, settings, clock, None).await.unwrap();
        let keeper = Keeper::open(&dir.join("snapshot")).unwrap();
        let handle = keeper.handle();
        let (control, node) = poterne_feed::in_process();
        tokio::spawn(follow(keeper, node.changes, node.events));
        let ControlEnd { changes, commands, mut events } = control;
        let chunk = NodeChunk { tunnel_domain: Some(name("tunnel.example.net")), ..NodeChunk::default() };
        let publisher = Publisher::new(app.clone(), store.clone(), handle.clone(), changes, commands, chunk);
        app.wait_for(publisher.live());
        let stop = CancellationToken::new();
        tokio::spawn(publisher.run(stop.clone()));
        let recorder = app.clone();
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                recorder.record_event(event).await.unwrap();
            }
        });
        Self { app, store, handle, commands: node.commands, now, stop }
    }

    fn target(&self, host: &str) -> Option<Target> {
        match self.handle.load().route(host) {
            Lookup::Route { target, .. } => Some(target.clone()),
            _ => None,
        }
    }

    async fn tunnel(&self, name: &str) -> TunnelId {
        self.app.tunnel_create(&OPERATOR, name, ConfigSource::Remote).await.unwrap().tunnel.id
    }

    /// A record as the API will make them.
    async fn record(&self, zone: &str, owner: &str, kind: RecordType, content: &str) {
        let mut session = self.store.write().await.unwrap();
        let zone = session.zone_named(self.app.account(), &name(zone)).await.unwrap().unwrap().id;
        let (id, name) = (RecordId::from_bytes(random_bytes()), name(owner));
        let (content, proxied) = (content.to_owned(), !matches!(kind, RecordType::Other(_)));
        let (comment, tags, managed_by) = (None, Vec::new(), None);
        let record = Record {
            id,
            zone,
            name,
            kind,
            content,
            priority: None,
            settings: "{}".into(),
            ttl_secs: 1,
            proxied,
            comment,
            tags,
            managed_by,
            created_at: 1,
            modified_at: 1,
            comment_modified_at: None,
            tags_modified_at: None,
        };
        session.insert_record(&record).await.unwrap();
        session.commit().await.unwrap();
    }

    async fn reaches(&self, host: &str, expected: Option<Target>) {
        let mut generations = self.handle.subscribe();
        let reached = tokio::time::timeout(Duration::from_secs(10), async {
            while self.target(host) != expected {
                generations.changed().await.unwrap();
            }
        });
        reached.await.unwrap_or_else(|_| panic!("{host} leads to {:?}, not to {expected:?}", self.target(host)));
    }

    async fn connect(&self, tunnel: TunnelId, number: u8) -> ConnectionId {
        let connection = ConnectionInfo {
            id: ConnectionId::from_bytes(random_bytes()),
            index: number,
            transport: Transport::Quic,
            origin_ip: [192, 0, 2, 1].into(),
            location: "here".into(),
            opened_at: self.now.load(Ordering::SeqCst),
            draining: false,
        };
        let id = connection.id;
        let connector = ConnectorId::from_bytes([9; 16]);
        let (version, arch, features) = ("1".into(), "linux_amd64".into(), Vec::new());
        self.app.record_event(Event::ConnectionOpened { tunnel, connector, version, arch, features, connection }).await.unwrap();
        id
    }
}

#[tokio::test]
async fn a_routed_hostname_is_live_when_the_verb_answers() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "Example.COM.").await.unwrap();
    assert_eq!((zone.status, zone.name_servers.len()), (ZoneStatus::Pending, 2));
    let tunnel = node.tunnel("web").await;
    let routed = node.app.tunnel_route(&OPERATOR, "app.example.com", "web", "http://localhost:8080").await.unwrap();
    assert_eq!((routed.record, routed.config_version), (RecordOutcome::New, Some(1)));
    assert!(matches!(node.handle.load().route("app.example.com"), Lookup::ZoneNotServing(_)), "a pending zone serves nothing");
    node.app.zone_activate(&OPERATOR, "example.com").await.unwrap();
    assert_eq!(node.target("app.example.com"), Some(Target::Tunnel(tunnel)));
    let again = node.app.tunnel_route(&OPERATOR, "app.example.com", &tunnel.to_string(), "http://localhost:8080").await.unwrap();
    assert_eq!((again.record, again.config_version), (RecordOutcome::Unchanged, Some(1)));
    for hostname in ["*.example.com", "example.com"] {
        node.app.tunnel_route(&OPERATOR, hostname, "web", "http://localhost:8081").await.unwrap();
    }
    for host in ["x.y.example.com", "example.com"] {
        assert_eq!(node.target(host), Some(Target::Tunnel(tunnel)), "{host}");
    }
    let snapshot = node.handle.load().clone();
    let chunk = snapshot.tunnel(tunnel).unwrap();
    let remote = chunk.remote.as_ref().unwrap();
    assert_eq!(remote.version, 3);
    assert!(String::from_utf8_lossy(&remote.json).contains("http://localhost:8081"));
    let generations = node.app.generations(&OPERATOR, None, Duration::ZERO).await.unwrap();
    assert!(generations.is_live && generations.change == *node.store.changes().borrow());
    assert_eq!(generations.nodes.len(), 1);
    assert_eq!(
        (generations.nodes[0].name.as_str(), generations.nodes[0].live.generation),
        ("node.example.net", snapshot.generation())
    );
    assert!(matches!(node.app.generations(&Caller::Anybody, None, Duration::ZERO).await, Err(AppError::NotFound(_))));
    let token = TunnelToken::parse(node.app.tunnel_token(&OPERATOR, "web").await.unwrap().as_str()).unwrap();
    assert!(digest_matches(&chunk.secret_digests, token.secret.expose()));
    assert_eq!((token.tunnel, token.account), (tunnel, node.app.account().to_string()));
    assert_eq!(token.poterne.unwrap().edges, ["edge.example.net:7844"]);
}

#[tokio::test]
async fn what_the_agent_should_mind_reaches_it_and_where_a_name_leads_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    let tunnel = node.tunnel("web").await;
    assert_eq!(node.app.tunnel_route_of(&OPERATOR, "nas.example.test").await.unwrap(), None);
    let origin = OriginKeys { no_tls_verify: Some(true), ..OriginKeys::default() };
    let service = Service { url: "https://nas:5001".into(), origin };
    node.app.tunnel_route(&OPERATOR, "nas.example.test", "web", service).await.unwrap();
    let remote = node.handle.load().tunnel(tunnel).unwrap().remote.clone().unwrap();
    let config = TunnelConfig::from_json(&remote.json).unwrap();
    assert_eq!(config.ingress[0].origin_request.no_tls_verify, Some(true));
    let leads = Leads { tunnel, service: Some("https://nas:5001".into()) };
    assert_eq!(node.app.tunnel_route_of(&OPERATOR, "nas.example.test").await.unwrap(), Some(leads));
    // A record alone leads to the tunnel, whose rules decide.
    node.record("example.test", "alias.example.test", RecordType::Cname, "nas.example.test").await;
    let leads = Leads { tunnel, service: None };
    assert_eq!(node.app.tunnel_route_of(&OPERATOR, "alias.example.test").await.unwrap(), Some(leads));
}

#[tokio::test]
async fn refusals_name_their_reason_and_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    node.tunnel("web").await;
    node.record("example.test", "taken.example.test", RecordType::A, "192.0.2.1").await;
    let before = *node.store.changes().borrow();
    let route = async |hostname, tunnel, service| {
        node.app.tunnel_route(&OPERATOR, hostname, tunnel, service).await.unwrap_err().to_string()
    };
    for (error, expected) in [
        (route("app.elsewhere.org", "web", "http://localhost:1").await, "`poterne zone add elsewhere.org`"),
        (route("app.example.test", "nobody", "http://localhost:1").await, "no tunnel \"nobody\""),
        (route("taken.example.test", "web", "http://localhost:1").await, "exists already"),
        (route("app.example.test", "web", "http://localhost:1/path").await, "configuration is wrong"),
        (route("node.example.net", "web", "http://localhost:1").await, "node's own names"),
        (route("_acme.example.test", "web", "http://localhost:1").await, "underscore"),
        (node.app.tunnel_create(&OPERATOR, "web", ConfigSource::Remote).await.unwrap_err().to_string(), "exists already"),
        (node.app.zone_add(&OPERATOR, "example.test").await.unwrap_err().to_string(), "exists already"),
        (node.app.zone_add(&OPERATOR, "localhost").await.unwrap_err().to_string(), "single label"),
        (node.app.zone_add(&OPERATOR, "10.0.0.1").await.unwrap_err().to_string(), "looks like an address"),
        (node.app.zone_add(&OPERATOR, "x.quick.example.net").await.unwrap_err().to_string(), "given to tunnels"),
        (node.app.zone_activate(&OPERATOR, "none.org").await.unwrap_err().to_string(), "poterne zone add none.org"),
    ] {
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    }
    assert_eq!(*node.store.changes().borrow(), before);
    assert!(matches!(node.app.zone_list(&Caller::Anybody).await, Err(AppError::NotFound("zone"))));
}

#[tokio::test]
async fn a_restart_serves_from_disk_and_publishes_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    let tunnel = node.tunnel("web").await;
    node.app.tunnel_route(&OPERATOR, "app.example.test", "web", "http://localhost:1").await.unwrap();
    let account = node.app.account();
    let generation = node.handle.load().generation();
    node.stop.cancel();
    drop(node);
    let loaded = Keeper::open(&dir.path().join("snapshot")).unwrap();
    assert_eq!(loaded.handle().load().generation(), generation);
    drop(loaded);
    let node = Node::start(dir.path()).await;
    assert_eq!(node.target("app.example.test"), Some(Target::Tunnel(tunnel)), "before anything is published");
    assert_eq!(node.app.account(), account);
    node.app.tunnel_token(&OPERATOR, "web").await.unwrap();
    node.app.zone_add(&OPERATOR, "second.test").await.unwrap();
    assert_eq!(node.handle.load().generation(), generation + 1, "one change, of the new zone alone");
}

#[tokio::test]
async fn connections_end_with_the_node_that_held_them() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let tunnel = node.tunnel("web").await;
    node.connect(tunnel, 0).await;
    node.connect(tunnel, 1).await;
    // kill -9: nobody is told. The next one knows when the node was alive.
    let killed = node.now.load(Ordering::SeqCst) + 100;
    let node_key = NodeKey::load_or_create(&dir.path().join("node.key")).unwrap();
    let started = |now: u64| {
        let clock = Arc::new(move || UNIX_EPOCH + Duration::from_secs(now));
        let last_alive = Some(UNIX_EPOCH + Duration::from_secs(killed));
        App::open(node.store.clone(), &node_key, Settings::default(), clock, last_alive)
    };
    let status = async |app: App| {
        let info = app.tunnel_info(&OPERATOR, "web").await.unwrap();
        assert!(info.connectors.is_empty());
        (info.status, info.since)
    };
    // A short restart is forgiven as any loss is; after an hour nothing is left to forgive.
    let first = node.now.load(Ordering::SeqCst);
    assert_eq!(status(started(killed + 3).await.unwrap()).await, (TunnelStatus::Healthy, Some(first)));
    assert_eq!(status(started(killed + 40).await.unwrap()).await, (TunnelStatus::Degraded, Some(killed)));
    assert_eq!(status(started(killed + 3600).await.unwrap()).await, (TunnelStatus::Down, Some(killed)));
}

#[tokio::test]
async fn a_lost_snapshot_is_published_anew() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    let tunnel = node.tunnel("web").await;
    node.app.tunnel_route(&OPERATOR, "app.example.test", "web", "http://localhost:1").await.unwrap();
    node.stop.cancel();
    drop(node);
    std::fs::remove_dir_all(dir.path().join("snapshot")).unwrap();
    let node = Node::start(dir.path()).await;
    node.reaches("app.example.test", Some(Target::Tunnel(tunnel))).await;
}

#[tokio::test]
async fn chains_lead_where_they_end_and_follow_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    let tunnel = node.tunnel("web").await;
    node.app.tunnel_route(&OPERATOR, "app.example.test", "web", "http://localhost:1").await.unwrap();
    let stranger = TunnelId::from_bytes([8; 16]);
    for (owner, kind, content) in [
        ("www.example.test", RecordType::Cname, "app.example.test".to_owned()),
        ("own.example.test", RecordType::Cname, format!("{tunnel}.tunnel.example.net")),
        ("loop.example.test", RecordType::Cname, "loop.example.test".into()),
        ("foreign.example.test", RecordType::Cname, format!("{stranger}.cfargotunnel.com")),
        ("direct.example.test", RecordType::A, "192.0.2.7".into()),
        ("away.example.test", RecordType::Cname, "origin.example.org".into()),
        ("*.example.test", RecordType::Cname, "app.example.test".into()),
        ("text.example.test", RecordType::Other("TXT".into()), "\"x\"".into()),
    ] {
        node.record("example.test", owner, kind, &content).await;
    }
    let address: IpAddr = [192, 0, 2, 7].into();
    node.reaches("any.example.test", Some(Target::Tunnel(tunnel))).await;
    node.reaches("text.example.test", None).await;
    for (host, expected) in [
        ("www.example.test", Target::Tunnel(tunnel)),
        ("own.example.test", Target::Tunnel(tunnel)),
        ("loop.example.test", Target::Broken),
        ("foreign.example.test", Target::UnknownTunnel(stranger)),
        ("direct.example.test", Target::Origin(vec![address])),
        ("away.example.test", Target::OriginName(name("origin.example.org"))),
    ] {
        assert_eq!(node.target(host), Some(expected), "{host}");
    }
    let deleted = node.app.tunnel_delete(&OPERATOR, "web", false).await.unwrap();
    assert_eq!(deleted.removed, [name("app.example.test")]);
    assert_eq!(deleted.left, [name("own.example.test")]);
    assert_eq!(node.target("own.example.test"), Some(Target::UnknownTunnel(tunnel)));
    assert!(node.handle.load().tunnel(tunnel).is_none());
    // `app` is gone; the chain goes on to the wildcard, which leads to `app`: a loop now.
    assert_eq!(node.target("www.example.test"), Some(Target::Broken));
}

#[tokio::test]
async fn a_connected_tunnel_is_deleted_only_by_force_and_its_agents_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path()).await;
    let tunnel = node.tunnel("web").await;
    let info = node.app.tunnel_info(&OPERATOR, "web").await.unwrap();
    assert_eq!((info.status, info.since), (TunnelStatus::Inactive, None));
    let first = node.connect(tunnel, 0).await;
    node.connect(tunnel, 1).await;
    let info = node.app.tunnel_info(&OPERATOR, "web").await.unwrap();
    assert_eq!((info.status, info.connectors[0].connections.len()), (TunnelStatus::Healthy, 2));
    let at = node.now.load(Ordering::SeqCst) + 5;
    let connector = ConnectorId::from_bytes([9; 16]);
    let closed = Event::ConnectionClosed { tunnel, connector, connection: first, at, reason: "gone".into() };
    node.app.record_event(closed).await.unwrap();
    node.now.store(at + 40, Ordering::SeqCst);
    assert_eq!(node.app.tunnel_list(&OPERATOR).await.unwrap()[0].status, TunnelStatus::Degraded);
    let error = node.app.tunnel_delete(&OPERATOR, "web", false).await.unwrap_err();
    assert!(matches!(error, AppError::TunnelConnected { connections: 1, .. }), "{error}");
    node.app.tunnel_delete(&OPERATOR, "web", true).await.unwrap();
    assert_eq!(node.commands.recv().await, Some(Command::DropConnections { tunnel, connector: None }));
    assert!(node.handle.load().tunnel(tunnel).is_none(), "the tunnel is gone before its agents are told");
    node.tunnel("web").await;
}

#[tokio::test]
async fn a_secret_is_rotated_in_two_steps_or_revoked_in_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::start(dir.path()).await;
    let tunnel = node.tunnel("web").await;
    let secret = |token: &poterne_control_app::Token| TunnelToken::parse(token.as_str()).unwrap().secret.expose().to_vec();
    let admits = |node: &Node, secret: &[u8]| digest_matches(&node.handle.load().tunnel(tunnel).unwrap().secret_digests, secret);
    let old = secret(&node.app.tunnel_token(&OPERATOR, "web").await.unwrap());
    let new = secret(&node.app.tunnel_rotate(&OPERATOR, "web", Rotation::Begin).await.unwrap());
    assert!(admits(&node, &old) && admits(&node, &new) && old != new);
    assert_eq!(secret(&node.app.tunnel_rotate(&OPERATOR, "web", Rotation::Finish).await.unwrap()), new);
    assert!(!admits(&node, &old) && admits(&node, &new));
    let last = secret(&node.app.tunnel_rotate(&OPERATOR, "web", Rotation::Revoke).await.unwrap());
    assert!(!admits(&node, &new) && admits(&node, &last));
    assert_eq!(node.commands.recv().await, Some(Command::DropConnections { tunnel, connector: None }));
}

#[tokio::test]
async fn a_quick_tunnel_is_live_at_once_and_ends_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let source: IpAddr = [203, 0, 113, 9].into();
    let quick = node.app.quick_tunnel_create(source).await.unwrap();
    assert_eq!(node.target(quick.hostname.as_str()), Some(Target::Tunnel(quick.id)));
    let chunk = node.handle.load().tunnel(quick.id).unwrap().clone();
    assert!(chunk.quick && chunk.remote.is_none() && digest_matches(&chunk.secret_digests, quick.secret.expose()));
    assert_ne!(quick.account, node.app.account());
    assert!(node.app.tunnel_list(&OPERATOR).await.unwrap().is_empty(), "it is not the operator's");
    node.now.fetch_add(QUICK_LIFE.as_secs() - 1, Ordering::SeqCst);
    assert_eq!(node.app.expire_quick_tunnels().await.unwrap(), 0);
    node.now.fetch_add(1, Ordering::SeqCst);
    assert_eq!(node.app.expire_quick_tunnels().await.unwrap(), 1);
    node.reaches(quick.hostname.as_str(), None).await;
}

/// A publisher that is stepped by hand, and a node that takes only what the test takes.
struct ByHand {
    publisher: Publisher,
    store: Store,
    app: App,
    handle: SnapshotHandle,
    changes: tokio::sync::mpsc::Receiver<poterne_feed::Change>,
    _commands: tokio::sync::mpsc::Receiver<Command>,
}

impl ByHand {
    async fn start(dir: &Path) -> Self {
        let node_key = NodeKey::load_or_create(&dir.join("node.key")).unwrap();
        let store = Store::open(&dir.join("store.sqlite")).await.unwrap();
        let settings = Settings { activate: vec!["*.test".into()], ..Settings::default() };
        let clock = Arc::new(|| UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let app = App::open(store.clone(), &node_key, settings, clock, None).await.unwrap();
        let handle = SnapshotHandle::empty();
        let (control, node) = poterne_feed::in_process();
        let (changes, commands, chunk) = (control.changes, control.commands, NodeChunk::default());
        let publisher = Publisher::new(app.clone(), store.clone(), handle.clone(), changes, commands, chunk);
        Self { publisher, store, app, handle, changes: node.changes, _commands: node.commands }
    }

    /// Publishes, and obeys each change; returns how many chunks each had.
    async fn obey(&mut self) -> Vec<usize> {
        let mut sizes = Vec::new();
        let Self { publisher, changes, handle, .. } = self;
        let mut published = std::pin::pin!(publisher.converge());
        loop {
            tokio::select! {
                done = &mut published => {
                    done.unwrap();
                    break;
                }
                change = changes.recv() => {
                    let change = change.unwrap();
                    sizes.push(change.chunks.len());
                    handle.apply(&change).unwrap();
                }
            }
        }
        sizes
    }

    async fn hosts(&self, hosts: &[&str]) {
        let mut session = self.store.write().await.unwrap();
        let zone = session.zone_named(self.app.account(), &name("example.test")).await.unwrap().unwrap().id;
        for host in hosts {
            let record = Record {
                id: RecordId::from_bytes(random_bytes()),
                zone,
                name: name(host),
                kind: RecordType::A,
                content: "192.0.2.1".into(),
                ttl_secs: 1,
                proxied: true,
                comment: None,
                tags: Vec::new(),
                managed_by: None,
                created_at: 1,
                modified_at: 1,
                priority: None,
                settings: "{}".into(),
                comment_modified_at: None,
                tags_modified_at: None,
            };
            session.insert_record(&record).await.unwrap();
        }
        session.commit().await.unwrap();
    }

    fn is_routed(&self, host: &str) -> bool {
        matches!(self.handle.load().route(host), Lookup::Route { .. })
    }
}

#[tokio::test]
async fn what_a_node_did_not_take_is_owed_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    node.obey().await;
    node.hosts(&["one.example.test"]).await;
    node.publisher.limits.apply_timeout = Duration::from_millis(1);
    let change = *node.store.changes().borrow();
    assert!(node.publisher.converge().await.is_err());
    // The name, and the zone's head with its next serial number.
    assert_eq!(node.changes.recv().await.unwrap().chunks.len(), 2, "and is lost");
    node.app.wait_for(node.publisher.live());
    assert!(!node.app.generations(&OPERATOR, Some(change), Duration::ZERO).await.unwrap().is_live);
    node.hosts(&["two.example.test"]).await;
    node.publisher.limits.apply_timeout = Duration::from_secs(60);
    assert_eq!(node.obey().await, [3]);
    assert!(node.is_routed("one.example.test") && node.is_routed("two.example.test"));
    assert!(node.app.generations(&OPERATOR, Some(change), Duration::ZERO).await.unwrap().is_live);
    assert!(node.obey().await.is_empty(), "nothing is owed any more");
}

#[tokio::test]
async fn too_much_is_read_anew_and_sent_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    node.obey().await;
    node.publisher.limits.touched_max = 2;
    node.publisher.limits.chunks_max = 2;
    let hosts = ["a.example.test", "b.example.test", "c.example.test", "d.example.test", "e.example.test"];
    node.hosts(&hosts).await;
    assert_eq!(node.obey().await, [2, 2, 2]);
    assert!(hosts.iter().all(|host| node.is_routed(host)));
}

/// What nothing told of is found by looking again.
#[tokio::test]
async fn rounds_put_right_what_was_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "example.test").await.unwrap();
    node.obey().await;
    node.hosts(&["one.example.test"]).await;
    let mut session = node.store.write().await.unwrap();
    let change = session.change().await.unwrap();
    session.forget_touched(change, 100).await.unwrap();
    session.commit_silently().await.unwrap();
    assert!(node.obey().await.is_empty() && !node.is_routed("one.example.test"));
    let handle = node.handle.clone();
    let mut changes = node.changes;
    let obeys = tokio::spawn(async move { handle.apply(&changes.recv().await.unwrap()).unwrap() });
    node.publisher.round().await.unwrap();
    obeys.await.unwrap();
    assert!(matches!(node.handle.load().route("one.example.test"), Lookup::Route { .. }));
}

/// A file of very many names is read of its zone as a whole, and sent in pieces under one serial number.
#[tokio::test]
async fn a_large_file_is_one_publication() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "example.test").await.unwrap().id;
    node.hosts(&["h7.example.test", "before.example.test"]).await;
    node.obey().await;
    node.publisher.limits.chunks_max = 4000;
    let file = |count: u32| {
        let lines: String = (0..count).map(|number| format!("h{number} 300 A 192.0.2.{}\n", number % 250)).collect();
        bytes::Bytes::from(lines)
    };
    let serial = |node: &ByHand| node.handle.load().zone(zone).unwrap().head().dns.as_ref().unwrap().serial;
    let before = serial(&node);
    let done = node.app.record_import(&OPERATOR, zone, file(9000), false).await.unwrap();
    assert_eq!((done.added, done.parsed), (9000, 9000));
    assert_eq!(node.obey().await, [4000, 4000, 1000, 1]);
    assert_eq!(u64::from(serial(&node)), *node.store.changes().borrow());
    assert!(serial(&node) > before);
    let names = |node: &ByHand| node.handle.load().zone(zone).unwrap().names_len();
    assert_eq!(names(&node), 9001, "at one name there was a record already");
    let filter = || poterne_control_store::AuditFilter { zone_name: Some("example.test".into()), ..Default::default() };
    let (events, count) = node.app.audit_of_account(&OPERATOR, node.app.account(), filter(), 0, 10).await.unwrap();
    let traced = events.iter().find(|event| event.action == "rec_import").unwrap();
    assert!(traced.new_value.as_ref().unwrap().contains("\"records_added\":9000") && count < 10, "{count}");
    // The same once more, and again when all is read anew: there is nothing to tell.
    let done = node.app.record_import(&OPERATOR, zone, file(9000), false).await.unwrap();
    assert_eq!((done.added, done.parsed), (0, 9000));
    assert!(node.obey().await.is_empty());
    node.publisher.world = None;
    assert!(node.obey().await.is_empty());
    // Names that go are found by what is not read any more.
    let mut session = node.store.write().await.unwrap();
    for record in session.records(Some(zone)).await.unwrap().iter().filter(|record| record.name.as_str().starts_with("h12")) {
        session.delete_record(record.id).await.unwrap();
    }
    session.touch_all_names(zone).await.unwrap();
    session.commit().await.unwrap();
    assert_eq!(node.obey().await, [111, 1]);
    assert_eq!(names(&node), 8890);
    node.publisher.world = None;
    assert!(node.obey().await.is_empty());
}

/// A node that did not take a piece is sent what it lacks the next time.
#[tokio::test]
async fn a_large_file_that_a_node_took_half_of_is_owed() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = ByHand::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "example.test").await.unwrap().id;
    node.obey().await;
    let lines: String = (0..6000).map(|number| format!("h{number} 300 A 192.0.2.1\n")).collect();
    node.app.record_import(&OPERATOR, zone, lines.into(), false).await.unwrap();
    node.publisher.limits.apply_timeout = Duration::from_millis(1);
    assert!(node.publisher.converge().await.is_err());
    assert_eq!(node.changes.recv().await.unwrap().chunks.len(), 6000, "and is lost");
    node.publisher.limits.apply_timeout = Duration::from_secs(60);
    assert_eq!(node.obey().await, [6001]);
    assert_eq!(node.handle.load().zone(zone).unwrap().names_len(), 6000);
}

#[tokio::test]
async fn rules_and_normalization_are_obeyed_when_the_verb_answers() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let zone = node.app.zone_add(&OPERATOR, "example.test").await.unwrap().id;
    let rules = |node: &Node| node.handle.load().zone(zone).and_then(|zone| zone.rules()).map(|rules| rules.rules().clone());
    assert_eq!(rules(&node), None, "a zone that has none is told of none");
    let owner = poterne_control_store::RulesetOwner::Zone(zone);
    let put = async |phase: &str, body: serde_json::Value| {
        node.app.entry_point_put(&OPERATOR, owner, phase, &poterne_model::At::body(&body)).await.unwrap()
    };
    let block = |expression: &str| serde_json::json!({ "rules": [{ "action": "block", "expression": expression }] });
    let made = put("http_request_firewall_custom", block("http.host eq \"a.example.test\"")).await;
    assert_eq!(rules(&node).unwrap().rules[0].id, made.rules[0].id);
    put("http_ratelimit", serde_json::json!({ "rules": [] })).await;
    let unfilled = put("http_request_firewall_custom", block("ip.src.country eq \"FR\"")).await;
    assert_eq!((unfilled.version, rules(&node)), (2, None), "it is kept, and no edge is told");
    let body = serde_json::json!({ "type": "rfc3986", "scope": "incoming" });
    node.app.url_normalization_put(&OPERATOR, zone, &poterne_model::At::body(&body)).await.unwrap();
    put("http_request_firewall_custom", block("true")).await;
    let obeyed = rules(&node).unwrap();
    assert_eq!((serde_json::to_value(obeyed.normalization).unwrap(), obeyed.rules.len()), (body, 1));
    node.app.ruleset_delete(&OPERATOR, owner, made.id).await.unwrap();
    assert_eq!(rules(&node).unwrap().rules, []);
    // Lists come and go with their items.
    let list = serde_json::json!({ "name": "bad", "kind": "ip" });
    put("http_request_firewall_custom", block("ip.src in $bad")).await;
    let account = node.app.account();
    assert_eq!(rules(&node).unwrap().rules, [], "no list, no rule");
    let list = node.app.list_create(&OPERATOR, account, &poterne_model::At::body(&list)).await.unwrap().list.id;
    let append = poterne_control_app::ItemsChange::Append;
    for (address, count) in [("192.0.2.0/24", 1), ("198.51.100.7", 2)] {
        let items = serde_json::json!([{ "ip": address }]);
        node.app.list_write(&OPERATOR, account, list, append, &poterne_model::At::body(&items)).await.unwrap();
        let obeyed = rules(&node).unwrap();
        let poterne_rules::Items::Networks(networks) = &obeyed.lists[0].items else { panic!("no list of addresses") };
        assert_eq!((obeyed.rules.len(), networks.len()), (1, count));
    }
    let listed = rules(&node);
    // What a restart reads as a whole is what steps made of it.
    let generation = node.handle.load().generation();
    node.stop.cancel();
    drop(node);
    let node = Node::start(dir.path()).await;
    node.app.zone_add(&OPERATOR, "second.test").await.unwrap();
    assert_eq!(node.handle.load().generation(), generation + 1);
    assert_eq!(rules(&node), listed);
    node.app.zone_delete(&OPERATOR, zone).await.unwrap();
    assert!(node.handle.load().zone(zone).is_none());
}
