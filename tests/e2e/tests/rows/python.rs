//! Another program at the node's SQLite file: Python's own `sqlite3`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use poterne_e2e::{
    Running, Setup,
    failures::{Scene, is_refused},
};

/// Holds the store until it is dropped or told to let go.
struct Holder {
    process: Running,
    stdin: ChildStdin,
}

impl Holder {
    fn hold(store: &Path) -> Self {
        let script = "import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute('BEGIN IMMEDIATE')
print('held', flush=True)
sys.stdin.readline()
connection.execute('ROLLBACK')";
        let mut command = Command::new("python3");
        command.args(["-c", script]).arg(store).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Running::start(&mut command);
        let mut line = String::new();
        BufReader::new(process.stdout()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "held");
        Self { stdin: process.stdin(), process }
    }

    fn let_go(mut self) {
        writeln!(self.stdin).unwrap();
        assert!(self.process.end().success());
    }
}

#[test]
fn a_store_that_is_held_for_long_refuses_changes_and_nothing_else() {
    let scene = Scene::new(Setup::default());
    let store = scene.node.file("state").join("store.sqlite");
    let holder = Holder::hold(&store);
    let begun = Instant::now();
    is_refused(&scene.record("meanwhile"), 503, 10_000_503);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(scene.api.get("/zones").unwrap().status, 200, "readers do not mind");
    scene.serves();
    holder.let_go();
    scene.recovers("after");
    assert!(!scene.has("meanwhile"));
}

#[test]
fn a_store_that_is_held_for_a_moment_is_waited_for() {
    let scene = Scene::new(Setup::default());
    let holder = Holder::hold(&scene.node.file("state").join("store.sqlite"));
    let told = thread::scope(|scope| {
        let asked = scope.spawn(|| scene.record("late"));
        thread::park_timeout(Duration::from_millis(700));
        holder.let_go();
        asked.join().unwrap()
    });
    assert_eq!(told.status, 200, "{told:?}");
    assert!(scene.has("late"));
}
