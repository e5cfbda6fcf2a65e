//! What survives: restarts, torn logs, damaged bases, compaction at any moment.

use std::{fs, path::Path};

use poterne_feed::Change;
use poterne_model::{
    AccountId, ChallengeId, Name, TunnelId, ZoneId, ZoneStatus,
    setting::{EdgeSettings, OriginSettings},
};

use crate::{Applied, ChallengeChunk, Chunk, ChunkKey, Keeper, Lookup, NameChunk, Shown, Snapshot, Target, ZoneHead, follow};

mod certificates;

const ZONE: ZoneId = ZoneId::from_bytes([1; 16]);

fn head(status: ZoneStatus) -> (ChunkKey, Chunk) {
    let apex = Name::parse("example.com").unwrap();
    let head = ZoneHead {
        id: ZONE,
        account: AccountId::from_bytes([2; 16]),
        apex,
        status,
        dns: None,
        origin: OriginSettings::default(),
        edge: EdgeSettings::default(),
        client: None,
        partial: false,
    };
    (ChunkKey::Zone(ZONE), Chunk::Zone(head))
}

fn name(name: &str, tunnel: u8) -> (ChunkKey, Chunk) {
    let target = Target::Tunnel(TunnelId::from_bytes([tunnel; 16]));
    (ChunkKey::Name(ZONE, Name::parse(name).unwrap()), Chunk::Name(NameChunk::leading_to(target)))
}

fn change(generation: u64, chunks: Vec<(ChunkKey, Chunk)>) -> Change {
    let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
    Change { generation, chunks }
}

/// Generation 1 is a zone and one name; each later one leads `app` elsewhere and adds a name.
fn history(length: u64) -> Vec<Change> {
    let first = change(1, vec![head(ZoneStatus::Active), name("app.example.com", 1)]);
    let next = |generation: u64| {
        let number = u8::try_from(generation).unwrap();
        change(generation, vec![name("app.example.com", number), name(&format!("n{generation}.example.com"), number)])
    };
    std::iter::once(first).chain((2..=length).map(next)).collect()
}

fn tunnel(snapshot: &Snapshot, host: &str) -> Option<u8> {
    match snapshot.route(host) {
        Lookup::Route { target: Target::Tunnel(id), .. } => Some(id.as_bytes()[0]),
        _ => None,
    }
}

/// Whatever was lost, what is there is one whole generation.
fn assert_whole(snapshot: &Snapshot) {
    let generation = snapshot.generation();
    assert_eq!(tunnel(snapshot, "app.example.com"), u8::try_from(generation).ok().filter(|generation| *generation > 0));
    for number in 2..=12u64 {
        let expected = u8::try_from(number).ok().filter(|_| number <= generation);
        assert_eq!(tunnel(snapshot, &format!("n{number}.example.com")), expected, "generation {generation}");
    }
}

fn log_file(dir: &Path) -> std::path::PathBuf {
    let mut logs: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("changes."));
    logs.sort();
    logs.pop().unwrap()
}

#[test]
fn a_restart_finds_the_last_generation_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for part in history(9).chunks(3) {
        let keeper = Keeper::open(dir.path()).unwrap();
        for change in part {
            assert_eq!(keeper.accept(change).unwrap(), Applied::Applied);
        }
        assert_whole(&keeper.handle().load());
    }
    let keeper = Keeper::open(dir.path()).unwrap();
    assert_eq!(keeper.handle().load().generation(), 9);
    assert_eq!(keeper.accept(&history(9)[8]).unwrap(), Applied::AlreadyThere);
    assert_eq!(keeper.accept(&history(9)[0]).unwrap(), Applied::Newer);
    assert!(keeper.accept(&history(11)[10]).is_err(), "a gap is refused");
    assert_whole(&keeper.handle().load());
}

#[test]
fn a_log_cut_at_any_byte_loads_to_a_whole_generation_and_takes_more() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    for change in history(4) {
        keeper.accept(&change).unwrap();
    }
    let log = log_file(dir.path());
    let bytes = fs::read(&log).unwrap();
    let mut generations = Vec::new();
    for length in 0..=bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(log.file_name().unwrap()), &bytes[..length]).unwrap();
        let keeper = Keeper::open(dir.path()).unwrap();
        let generation = keeper.handle().load().generation();
        assert_whole(&keeper.handle().load());
        generations.push(generation);
        let next = history(5).into_iter().find(|change| change.generation == generation + 1).unwrap();
        keeper.accept(&next).unwrap();
        assert_eq!(Keeper::open(dir.path()).unwrap().handle().load().generation(), generation + 1);
    }
    assert!(generations.is_sorted() && generations.first() == Some(&0) && generations.last() == Some(&4));
}

#[test]
fn a_flipped_byte_costs_what_follows_it_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    for change in history(3) {
        keeper.accept(&change).unwrap();
    }
    let log = log_file(dir.path());
    let bytes = fs::read(&log).unwrap();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x55;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(log.file_name().unwrap()), &bytes).unwrap();
        let keeper = Keeper::open(dir.path()).unwrap();
        assert!(keeper.handle().load().generation() < 3);
        assert_whole(&keeper.handle().load());
    }
}

#[test]
fn compaction_keeps_everything_and_drops_the_old_logs() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    for change in &history(12)[..8] {
        keeper.accept(change).unwrap();
    }
    keeper.compact().unwrap();
    for change in &history(12)[8..10] {
        keeper.accept(change).unwrap();
    }
    drop(keeper);
    let keeper = Keeper::open(dir.path()).unwrap();
    assert_eq!(keeper.handle().load().generation(), 10);
    assert_whole(&keeper.handle().load());
    keeper.compact().unwrap();
    keeper.compact().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "one base, one log");
    for change in &history(12)[10..] {
        keeper.accept(change).unwrap();
    }
    assert_whole(&Keeper::open(dir.path()).unwrap().handle().load());
}

#[test]
fn a_crash_between_the_steps_of_a_compaction_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    for change in &history(6)[..4] {
        keeper.accept(change).unwrap();
    }
    let old_log = (log_file(dir.path()), fs::read(log_file(dir.path())).unwrap());
    keeper.compact().unwrap();
    for change in &history(6)[4..] {
        keeper.accept(change).unwrap();
    }
    let base = fs::read(dir.path().join("base")).unwrap();
    // Stopped after the rename and before the old log was removed.
    fs::write(&old_log.0, &old_log.1).unwrap();
    assert_whole(&Keeper::open(dir.path()).unwrap().handle().load());
    assert_eq!(Keeper::open(dir.path()).unwrap().handle().load().generation(), 6);
    // Stopped in the middle of writing the base: it was never renamed.
    fs::remove_file(dir.path().join("base")).unwrap();
    fs::write(dir.path().join("base.new"), &base[..base.len() / 2]).unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    assert_eq!(keeper.handle().load().generation(), 6);
    assert_whole(&keeper.handle().load());
}

#[test]
fn a_damaged_base_is_set_aside_and_the_node_starts_empty() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("snapshot");
    let keeper = Keeper::open(&dir).unwrap();
    for change in history(3) {
        keeper.accept(&change).unwrap();
    }
    keeper.compact().unwrap();
    let base = fs::read(dir.join("base")).unwrap();
    fs::write(dir.join("base"), &base[..base.len() - 1]).unwrap();
    let keeper = Keeper::open(&dir).unwrap();
    assert_eq!(keeper.handle().load().generation(), 0);
    assert!(parent.path().join("snapshot.damaged/base").exists());
    keeper.accept(&history(1)[0]).unwrap();
}

#[test]
fn a_change_with_one_bad_chunk_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(dir.path()).unwrap();
    keeper.accept(&history(1)[0]).unwrap();
    let good = name("other.example.com", 9);
    let stray = name("other.example.org", 9);
    let mut unreadable = change(2, vec![good.clone()]);
    unreadable.chunks.push((Box::from([9, 9]), None));
    for bad in [change(2, vec![good.clone(), stray]), unreadable] {
        assert!(keeper.accept(&bad).is_err());
        assert_eq!(keeper.handle().load().generation(), 1);
        assert_eq!(tunnel(&keeper.handle().load(), "other.example.com"), None);
        assert_eq!(Keeper::open(dir.path()).unwrap().handle().load().generation(), 1, "nor on disk");
    }
    keeper.accept(&change(2, vec![good])).unwrap();
    assert_eq!(tunnel(&keeper.handle().load(), "other.example.com"), Some(9));
}

#[tokio::test]
async fn the_node_tells_what_became_of_each_change() {
    let dir = tempfile::tempdir().unwrap();
    let (mut control, node) = poterne_feed::in_process();
    let keeper = Keeper::open(dir.path()).unwrap();
    let mut generations = keeper.handle().subscribe();
    let follower = tokio::spawn(follow(keeper.clone(), node.changes, node.events));
    control.changes.send(history(3)[0].clone()).await.unwrap();
    generations.wait_for(|generation| *generation == 1).await.unwrap();
    control.changes.send(history(3)[2].clone()).await.unwrap();
    assert_eq!(control.events.recv().await.unwrap(), poterne_feed::Event::Applied { generation: 1 });
    assert!(matches!(control.events.recv().await.unwrap(), poterne_feed::Event::Refused { generation: 3, .. }));
    drop(control.changes);
    follower.await.unwrap();
}

#[test]
fn a_pending_zone_hides_nothing_and_the_most_specific_serving_zone_answers() {
    let own = |id: u8, apex: &str, status| {
        let id = ZoneId::from_bytes([id; 16]);
        let head = ZoneHead {
            id,
            account: AccountId::from_bytes([9; 16]),
            apex: Name::parse(apex).unwrap(),
            status,
            dns: None,
            origin: OriginSettings::default(),
            edge: EdgeSettings::default(),
            client: None,
            partial: false,
        };
        (ChunkKey::Zone(id), Chunk::Zone(head))
    };
    let first = change(
        1,
        vec![
            head(ZoneStatus::Active),
            name("*.example.com", 1),
            own(5, "squat.example.com", ZoneStatus::Pending),
            own(6, "example.com", ZoneStatus::Pending),
            own(7, "waiting.org", ZoneStatus::Pending),
            own(8, "child.example.com", ZoneStatus::Active),
        ],
    );
    let (_, snapshot) = Snapshot::default().apply(&first).unwrap();
    assert_eq!(tunnel(&snapshot, "x.squat.example.com"), Some(1));
    assert!(matches!(snapshot.route("x.child.example.com"), Lookup::NoHost(zone) if zone.apex.as_str() == "child.example.com"));
    assert!(matches!(snapshot.route("www.waiting.org"), Lookup::ZoneNotServing(zone) if zone.apex.as_str() == "waiting.org"));
    assert_eq!(snapshot.route("example.net"), Lookup::NoZone);
    let over = |name: &str| snapshot.zone_over(name).map(|zone| zone.head().id.as_bytes()[0]);
    assert_eq!(
        ["x.squat.example.com", "x.child.example.com", "www.waiting.org", "example.net"].map(over),
        [Some(1), Some(8), Some(7), None]
    );
    let gone = Change { generation: 2, chunks: vec![(ChunkKey::Zone(ZONE).encode(), None)] };
    let (_, snapshot) = snapshot.apply(&gone).unwrap();
    assert!(matches!(snapshot.route("www.example.com"), Lookup::ZoneNotServing(_)), "the other account's pending zone is left");
}

#[test]
fn of_two_certificates_the_later_serves_and_wildcards_cover_one_label() {
    use poterne_model::CertificatePackId;

    use crate::CertificateChunk;
    let ranked = |id: u8, names: &[&str], rank, not_after| {
        let names = names.iter().map(|name| Name::parse(name).unwrap()).collect();
        let id = CertificatePackId::from_bytes([id; 16]);
        let chunk = CertificateChunk { id, names, chain: Vec::new(), key: bytes::Bytes::new(), rank, not_after };
        (ChunkKey::Certificate(id), Chunk::Certificate(chunk))
    };
    let certificate = |id: u8, names: &[&str], not_after| ranked(id, names, 0, not_after);
    let first = change(1, vec![certificate(1, &["example.com", "*.example.com"], 10), certificate(2, &["a.example.com"], 5)]);
    let (_, one) = Snapshot::default().apply(&first).unwrap();
    let (_, two) = one.apply(&change(2, vec![certificate(3, &["*.example.com"], 20)])).unwrap();
    let id = |snapshot: &Snapshot, sni: &str| snapshot.certificate(sni).map(|certificate| certificate.id().as_bytes()[0]);
    assert_eq!((id(&one, "a.example.com"), id(&one, "b.example.com"), id(&one, "a.b.example.com")), (Some(2), Some(1), None));
    assert_eq!((id(&two, "b.example.com"), id(&two, "example.com"), id(&one, "b.example.com")), (Some(3), Some(1), Some(1)));
    let gone =
        Change { generation: 3, chunks: vec![(ChunkKey::Certificate(CertificatePackId::from_bytes([3; 16])).encode(), None)] };
    assert_eq!(id(&two.apply(&gone).unwrap().1, "b.example.com"), Some(1));
    let (_, brought) = two.apply(&change(3, vec![ranked(4, &["*.example.com"], 3, 7)])).unwrap();
    assert_eq!(id(&brought, "b.example.com"), Some(4), "what somebody brought is used before what lasts longer");
}

#[test]
fn a_host_is_proven_by_its_own_zone_for_its_time() {
    let shown = |id: u8, zone, host: &str, shown: fn(Name) -> Shown| {
        let id = ChallengeId::from_bytes([id; 16]);
        let shown = shown(Name::parse(host).unwrap());
        (ChunkKey::Challenge(id), Chunk::Challenge(ChallengeChunk { id, zone, expires_at: 100, shown }))
    };
    let http: fn(Name) -> Shown = |host| Shown::Http { host, token: "token".into(), text: "token.key".into() };
    let tls: fn(Name) -> Shown = |host| Shown::TlsAlpn { host, digest: [7; 32] };
    let stranger = ZoneId::from_bytes([9; 16]);
    let (account, apex) = (AccountId::from_bytes([8; 16]), Name::parse("www.example.com").unwrap());
    let waiting = ZoneHead {
        id: stranger,
        account,
        apex,
        status: ZoneStatus::Pending,
        dns: None,
        origin: OriginSettings::default(),
        edge: EdgeSettings::default(),
        client: None,
        partial: false,
    };
    let (_, snapshot) = Snapshot::default()
        .apply(&change(
            1,
            vec![
                head(ZoneStatus::Active),
                (ChunkKey::Zone(stranger), Chunk::Zone(waiting)),
                shown(1, ZONE, "www.example.com", http),
                shown(2, ZONE, "www.example.com", tls),
                shown(3, stranger, "a.www.example.com", http),
            ],
        ))
        .unwrap();
    assert_eq!(snapshot.http_challenge("www.example.com", "token", 99), Some("token.key"));
    for (host, token, now_secs) in [
        ("www.example.com", "token", 100),
        ("www.example.com", "toke", 99),
        ("example.com", "token", 99),
        ("a.www.example.com", "token", 99),
    ] {
        assert_eq!(snapshot.http_challenge(host, token, now_secs), None, "{host} {token}");
    }
    assert_eq!(
        (snapshot.tls_challenge("www.example.com", 99), snapshot.tls_challenge("www.example.com", 100)),
        (Some([7; 32]), None)
    );
}
