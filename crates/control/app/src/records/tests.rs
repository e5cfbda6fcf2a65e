//! A file taken in at once, beside its records inserted one by one.

use std::{sync::OnceLock, time::UNIX_EPOCH};

use poterne_control_store::{ConfigSource, Session, Store, Zone};
use poterne_keys::{NodeKey, random_bytes};
use poterne_model::{Entry, Name, RecordId, conflict::Conflict, entry::Place, name};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::{
    lines::Lines,
    plan::{self, conflict_zone},
};
use crate::{App, AppError, Caller, Settings};

const OPERATOR: Caller = Caller::Operator;

struct World {
    runtime: Runtime,
    app: App,
    store: Store,
    tunnel: String,
    _dir: tempfile::TempDir,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (runtime, dir) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
        let (app, store, tunnel) = runtime.block_on(async {
            let store = Store::open(&dir.path().join("store.sqlite")).await.unwrap();
            let settings = Settings {
                tunnel_domain: Some(Name::parse("tunnel.example.net").unwrap()),
                activate: vec!["*.test".into()],
                ..Settings::default()
            };
            let clock = std::sync::Arc::new(|| UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000));
            let app = App::open(store.clone(), &NodeKey::generate(), settings, clock, None).await.unwrap();
            let tunnel = app.tunnel_create(&OPERATOR, "web", ConfigSource::Remote).await.unwrap().tunnel.id;
            (app, store, tunnel.to_string())
        });
        World { runtime, app, store, tunnel, _dir: dir }
    })
}

/// A record, without what is drawn when it is made.
type Kept = (String, String, String, Option<u16>, u32, bool, String, Option<String>, Vec<String>, [i64; 4]);

async fn kept(session: &mut Session, zone: &Zone) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    for record in session.records(Some(zone.id)).await.unwrap() {
        let times = [
            record.created_at,
            record.modified_at,
            record.comment_modified_at.unwrap_or(-1),
            record.tags_modified_at.unwrap_or(-1),
        ];
        let (name, kind) = (record.name.to_string(), record.kind.as_str().to_owned());
        let (settings, comment, tags) = (record.settings, record.comment, record.tags);
        all.push((name, kind, record.content, record.priority, record.ttl_secs, record.proxied, settings, comment, tags, times));
        assert_eq!(record.managed_by, None);
    }
    all.sort();
    all
}

/// What a file comes to, one record after another: each compared with what its name has by then, written, and walked from.
async fn one_by_one(app: &App, session: &mut Session, zone: &Zone, file: &[u8]) -> Result<(usize, usize), AppError> {
    let places = app.places(zone);
    let mut read = None;
    places.place(|place: &Place<'_>| {
        read = Some(poterne_control_zonefile::import(file, place, false));
        Ok(())
    })?;
    let told = |errors: Vec<poterne_control_zonefile::LineError>| {
        AppError::ZoneFile(errors.into_iter().map(|error| (error.code(), error.to_string())).collect())
    };
    let read = read.unwrap().map_err(told)?;
    let mut added = 0;
    for (line, entry) in read.entries {
        match app.check(session, zone, &entry, None).await {
            Ok(()) => {}
            Err(AppError::Conflict(Conflict::Exists { .. } | Conflict::Identical { .. })) => continue,
            Err(AppError::Conflict(conflict)) => {
                return Err(AppError::ZoneFile(vec![(conflict.code(), format!("line {line}: {conflict}"))]));
            }
            Err(error) => return Err(error),
        }
        let record = places.record(RecordId::from_bytes(random_bytes()), entry, None, app.now());
        session.insert_record(&record).await?;
        app.lead(session, zone, &record).await?;
        added += 1;
    }
    Ok((added, read.parsed))
}

fn owner() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["@", "a", "b", "c", "a.b", "x.a.b", "*", "*.b", "*.sub", "sub", "y.sub", "d", "e", "f", "g", "h"])
}

/// `Z` stands for the zone, `T` for a tunnel's id.
fn data() -> impl Strategy<Value = String> {
    let target = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "@",
        "x.b",
        "a.b",
        "y.sub",
        "n.n.b",
        "q",
        "x.a.b",
        "away.example.net.",
        "sub.example.net.",
        "T.cfargotunnel.com.",
        "T.tunnel.example.net.",
        "00000000-0000-4000-8000-000000000000.cfargotunnel.com.",
    ]);
    prop_oneof![
        6 => (0u8..4).prop_map(|number| format!("A 192.0.2.{number}")),
        1 => (0u8..3).prop_map(|number| format!("AAAA 2001:db8::{number}")),
        2 => prop::sample::select(vec!["TXT x", "TXT \"x\"", "TXT \"y z\"", "MX 1 mx.example.net.", "MX 2 MX.example.net.", "TYPE65280 \\# 1 0a",
            "SRV 1 2 3 srv", "CAA 0 issue \"ca.example\"", "CAA 0 ISSUE \"ca.example\""]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["NS ns.example.net.", "DS 1 13 2 ab", "DS 1 13 2 AB"]).prop_map(str::to_owned),
        6 => target.prop_map(|target| format!("CNAME {target}")),
    ]
}

fn line() -> impl Strategy<Value = String> {
    let comment = prop::sample::select(vec![
        "",
        "",
        "",
        " ; cf_tags=cf-proxied:true",
        " ; cf_tags=cf-flatten-cname:true,own:er",
        " ; a note",
    ]);
    (owner(), prop::sample::select(vec!["", "300 ", "60 "]), data(), comment)
        .prop_map(|(owner, ttl, data, comment)| format!("{owner} {ttl}{data}{comment}\n"))
}

/// A chain as long as a walk goes, and longer, from either end.
fn chain() -> impl Strategy<Value = String> {
    (2usize..12, any::<bool>(), any::<bool>()).prop_map(|(length, turned, ends)| {
        let link = |at: usize| format!("l{at} CNAME l{}\n", (at + 1) % if ends { usize::MAX } else { length });
        let links: Vec<String> = (0..length).map(link).collect();
        if turned { links.into_iter().rev().collect() } else { links.concat() }
    })
}

fn file() -> impl Strategy<Value = String> {
    let lines = |most: usize| prop::collection::vec(line(), 0..most).prop_map(|lines| lines.concat());
    prop_oneof![
        3 => lines(12),
        2 => lines(60),
        1 => (lines(8), chain(), lines(8)).prop_map(|(before, chain, after)| before + &chain + &after),
        // Many CNAMEs that stand, so that those after them are looked up all at once.
        1 => (lines(6), lines(6)).prop_map(|(before, after)| {
            let many: String = (0..40).map(|at| format!("m{at} CNAME m{}\n", at / 8 + 100)).collect();
            before + &many + &after
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 400, ..ProptestConfig::default() })]
    /// The same records, or the same words: whatever the zone has, whatever the file says, whatever zones lie below and beside.
    #[test]
    fn a_file_at_once_is_its_records_one_by_one(before in file(), after in file(), sub in any::<bool>()) {
        let world = world();
        let fill = |text: &str| text.replace("T.", &format!("{}.", world.tunnel));
        let (before, after) = (fill(&before), fill(&after));
        let (told, expected) = world.runtime.block_on(async {
            let (app, apex) = (&world.app, format!("z{}.test", RecordId::from_bytes(random_bytes())));
            let zone = app.zone_add(&OPERATOR, &apex).await.unwrap();
            if sub {
                let sub = app.zone_add(&OPERATOR, &format!("sub.{apex}")).await.unwrap();
                let file = format!("y CNAME a.{apex}.\n@ A 192.0.2.9\n");
                app.record_import(&OPERATOR, sub.id, file.into(), false).await.unwrap();
            }
            // What the zone has before: as much of it as stands together, and what leads in circles.
            let mut session = world.store.write().await.unwrap();
            for line in before.lines() {
                let _ = one_by_one(app, &mut session, &zone, line.as_bytes()).await;
            }
            session.commit().await.unwrap();
            let mut session = world.store.write().await.unwrap();
            let expected = match one_by_one(app, &mut session, &zone, after.as_bytes()).await {
                Ok(counts) => Ok((counts, kept(&mut session, &zone).await)),
                Err(error) => Err((error.to_string(), kept(&mut world.store.read().await.unwrap(), &zone).await)),
            };
            // Taken back.
            drop(session);
            let told = app.record_import(&OPERATOR, zone.id, after.clone().into(), false).await;
            let stands = kept(&mut world.store.read().await.unwrap(), &zone).await;
            let told = match told {
                Ok(done) => Ok(((done.added, done.parsed), stands)),
                Err(error) => Err((error.to_string(), stands)),
            };
            (told, expected)
        });
        prop_assert_eq!(told, expected, "{:?} and then {:?}", before, after);
    }
}

#[test]
fn lines_are_in_the_order_of_their_paths() {
    let world = world();
    let zone = world.runtime.block_on(world.app.zone_add(&OPERATOR, "ordered.test")).unwrap();
    // Names that are the same for longer than what is compared at first, those above and below others, and each of them twice.
    let name = |number: usize| match number % 5 {
        0 => "@".to_owned(),
        1 => format!("{}{}", "x".repeat(number % 17), number * 7 % 23),
        2 => format!("a{}.b.{}", number % 3, "y".repeat(number % 15 + 1)),
        3 => format!("*.{}", "x".repeat(number % 13 + 1)),
        _ => format!("{}-{}", "x".repeat(12), number % 11),
    };
    let file: String = (0..700).map(|number| format!("{} A 192.0.2.{}\n", name(number * 31 % 350), number % 250)).collect();
    let (lines, _) = Lines::read(file.as_bytes(), &world.app.places(&zone), false, &conflict_zone(&zone)).unwrap();
    let mut expected: Vec<u32> = (0..700).collect();
    expected.sort_by(|one, other| lines.path(*one).cmp(lines.path(*other)));
    assert_eq!(lines.order(), expected);
}

#[test]
fn what_stands_at_names_is_the_same_however_it_is_read() {
    let world = world();
    world.runtime.block_on(async {
        let zone = world.app.zone_add(&OPERATOR, "read.test").await.unwrap();
        let file: String = (0..6000).map(|at| format!("h{at} A 192.0.2.1\nh{at} TXT \"number {at}\"\n")).collect();
        let done = world.app.record_import(&OPERATOR, zone.id, file.into(), false).await.unwrap();
        assert_eq!(done.added, 12_000);
        let asked = "h1 A 192.0.2.1\nh22 A 192.0.2.2\nh5999 TXT x\nnew A 192.0.2.1\n";
        let places = world.app.places(&zone);
        let (lines, parsed) = Lines::read(asked.as_bytes(), &places, false, &conflict_zone(&zone)).unwrap();
        assert_eq!((lines.len(), parsed), (4, 4));
        let order = lines.order();
        let mut found: Vec<Vec<(String, Vec<Entry>)>> = Vec::new();
        for most in [1, u32::MAX] {
            let mut session = world.store.read().await.unwrap();
            let mut existing = plan::Existing::new(&mut session, &zone, &lines, order, most).await.unwrap();
            let mut all = Vec::new();
            for at in order {
                let path = lines.path(*at);
                if let Some(entries) = existing.at(&mut session, path).await.unwrap() {
                    all.push((name::of_path(path), entries));
                }
            }
            found.push(all);
        }
        assert_eq!(found[0], found[1]);
        let names: Vec<&str> = found[0].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["h1.read.test", "h22.read.test", "h5999.read.test"]);
        assert!(found[0].iter().all(|(_, entries)| entries.len() == 2));
    });
}

#[test]
fn many_records_of_one_name_are_not_compared_with_each_other() {
    let world = world();
    world.runtime.block_on(async {
        let zone = world.app.zone_add(&OPERATOR, "many.test").await.unwrap();
        // A thousand names of a thousand addresses would be half a billion comparisons; here are eight, and each line is there twice.
        let lines = |address: u32| format!("n{} A {}\n", address % 8, std::net::Ipv4Addr::from(0x0a00_0000 + address));
        let file: String = (0..8000).chain(0..8000).map(lines).collect();
        let done = world.app.record_import(&OPERATOR, zone.id, file.clone().into(), false).await.unwrap();
        assert_eq!((done.added, done.parsed), (8000, 16_000));
        let one_more = file + "n3 A 192.0.2.1\nn5 A 192.0.2.1\n";
        let refused = world.app.record_import(&OPERATOR, zone.id, one_more.into(), false).await.unwrap_err();
        assert!(refused.to_string().contains("line 16001: n3.many.test has 1000 records"), "{refused}");
    });
}
