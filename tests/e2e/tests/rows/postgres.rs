//! A node whose store is a PostgreSQL database that comes and goes.

use std::{thread, time::Duration};

use poterne_e2e::{
    Agent, Setup, eventually,
    failures::{OURS, Scene, again_and_again, is_refused, writers},
    postgres::{Database, Mood, Way},
};

fn on(url: String) -> Setup {
    // A fast machine writes more than the API lets one token.
    let settings = vec![format!("control.store={url}"), "control.rate_limit=0".to_owned()];
    Setup { settings, ..Setup::default() }
}

fn scene() -> (Scene, Way) {
    let way = Database::new().way();
    (Scene::new(on(way.url())), way)
}

#[test]
fn a_node_killed_again_and_again_loses_nothing() {
    again_and_again(on(Database::new().url()));
}

#[test]
fn a_database_that_is_gone_refuses_changes_and_nothing_else() {
    let (scene, way) = scene();
    assert_eq!(scene.record("before").status, 200);
    way.set(Mood::Closed);
    is_refused(&scene.record("meanwhile"), 503, 10_000_503);
    let told = scene.api.get("/zones").unwrap();
    is_refused(&told, 503, 10_000_503);
    // Who asks is remembered for a moment; afterwards that is not known either, which makes nobody a stranger.
    eventually("nobody can be looked up", || {
        let told = scene.api.get("/user/tokens/verify").unwrap();
        assert!(matches!(told.status, 200 | 503), "{told:?}");
        told.status == 503
    });
    scene.serves();
    // Agents come and go, too: it is the edge that lets them in.
    let _second = Agent::run(&scene.node, OURS, &scene.node.token);
    eventually("another agent is let in", || scene.node.log().matches("an agent registered a connection").count() >= 8);
    way.set(Mood::Open);
    scene.recovers("after");
    assert!(scene.has("before") && !scene.has("meanwhile"));
    assert_eq!(scene.node.connectors(), 2);
    scene.serves();
}

#[test]
fn a_database_that_comes_and_goes_keeps_what_was_acknowledged() {
    let (scene, way) = scene();
    let names: Vec<String> = (0..3).map(|writer| format!("w{writer}")).collect();
    let accounts = writers::at_once(&scene.api, &scene.zone, &names, 7, || {
        for _ in 0..4 {
            thread::park_timeout(Duration::from_millis(700));
            way.set(Mood::Closed);
            thread::park_timeout(Duration::from_millis(300));
            way.set(Mood::Open);
        }
        thread::park_timeout(Duration::from_secs(1));
    });
    let acknowledged = writers::check(&scene.api, &scene.zone, &accounts);
    assert!(acknowledged > 20, "the writers hardly wrote: {acknowledged}");
    scene.recovers("after");
}

/// What was lost on its way was not kept, and is told so.
#[test]
fn a_commit_that_is_lost_is_refused() {
    let (scene, way) = scene();
    let mut refused = 0;
    for n in 0..20 {
        way.set(Mood::LosesCommit);
        let name = format!("n{n}");
        let told = scene.record(&name);
        way.set(Mood::Open);
        // Nodes commit what they tell, too: it may have been that one.
        if told.status != 200 {
            is_refused(&told, 503, 10_000_503);
            refused += 1;
        }
        assert_eq!(scene.has(&name), told.status == 200, "{name}");
    }
    assert!(refused > 0 && way.lost() >= refused);
    scene.recovers("after");
}

/// What was kept is told so, though the answer to its commit was lost.
#[test]
fn a_commit_whose_answer_is_lost_is_found_out_about() {
    let (scene, way) = scene();
    for n in 0..10 {
        way.set(Mood::LosesAnswer);
        let name = format!("n{n}");
        assert_eq!(scene.record(&name).status, 200);
        way.set(Mood::Open);
        assert!(scene.has(&name));
    }
    assert!(way.lost() >= 10);
    scene.recovers("after");
}

/// And where nobody can be asked, nobody claims to know.
#[test]
fn a_commit_that_nobody_can_be_asked_about_is_in_doubt() {
    let (scene, way) = scene();
    let told = (0..20).find_map(|n| {
        way.set(Mood::LosesAnswerAndCloses);
        let told = scene.record(&format!("n{n}"));
        way.set(Mood::Open);
        eventually("the database is back", || scene.api.get("/zones").is_ok_and(|told| told.status == 200));
        (told.codes() == [10_000_502]).then_some((n, told))
    });
    let (n, told) = told.expect("the answer to a change was lost");
    assert_eq!((told.status, told.field("x-should-retry")), (500, Some("false")), "{told:?}");
    assert!(scene.has(&format!("n{n}")), "it was kept in fact");
    scene.recovers("after");
}
