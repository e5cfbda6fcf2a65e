//! `kill -9` in the middle of writes.

use std::{thread, time::Duration};

use super::{SAID, Scene, writers};
use crate::{Setup, eventually};

/// Often enough to hit the inside of commits, and few enough for every run of the tests.
const ROUNDS: u64 = 8;

/// As many as commits are grouped for.
const WRITERS: usize = 4;

/// The same moments in every run.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whatever was acknowledged is there after each kill, and nothing is half-applied.
pub fn again_and_again(setup: Setup) {
    let mut scene = Scene::new(setup);
    let mut random = writers::Random(SEED);
    let mut accounts = Vec::new();
    for round in 0..ROUNDS {
        let names: Vec<String> = (0..WRITERS).map(|writer| format!("r{round}w{writer}")).collect();
        let pause = Duration::from_millis(50 + random.below(450));
        let Scene { node, api, zone, .. } = &mut scene;
        accounts.extend(writers::at_once(api, zone, &names, SEED + round * 100 + 1, || {
            thread::park_timeout(pause);
            node.process.kill();
        }));
        node.restart();
        *api = api.again(node);
        writers::check(api, zone, &accounts);
        eventually("the agent is back", || node.get("/").text() == SAID);
    }
    let acknowledged = writers::check(&scene.api, &scene.zone, &accounts);
    assert!(acknowledged > 10, "the writers hardly wrote: {acknowledged}");
    scene.recovers("last");
    scene.serves();
}
