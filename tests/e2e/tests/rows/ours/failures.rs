//! A node that is killed, and one whose disk is full.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use poterne_e2e::{
    Setup,
    failures::{Scene, again_and_again, is_refused},
};
use serde_json::json;

#[test]
fn a_node_killed_again_and_again_loses_nothing() {
    again_and_again(Setup { settings: vec!["control.rate_limit=0".to_owned()], ..Setup::default() });
}

/// A file system of its own, as small as one is never given.
struct Small(PathBuf);

impl Small {
    /// None where it cannot be had: who is not root may not mount.
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "poterne"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    /// Leaves no room.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
#[allow(clippy::print_stderr, reason = "what was not tried is said")]
fn a_full_disk_refuses_changes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = Small::mount(&dir.path().join("disk"), "24m") else {
        eprintln!("left out: a full disk needs a file system of its own, which only root may mount");
        return;
    };
    let scene = Scene::new(Setup { state: Some(disk.0.join("state")), ..Setup::default() });
    let filler = disk.fill();
    // What the store has taken of the disk already it may still use: a while is needed.
    let text = "x".repeat(2000);
    let mut kept = Vec::new();
    let refused = (0..2000).find_map(|n| {
        let record = json!({ "type": "TXT", "name": format!("n{n}"), "content": text });
        let told = scene.api.ask("POST", &format!("{}/dns_records", scene.zone), &record).unwrap();
        if told.status == 200 {
            kept.push(format!("n{n}"));
            return None;
        }
        Some((n, told))
    });
    let (n, told) = refused.expect("the disk is full");
    is_refused(&told, 507, 10_000_507);
    for name in &kept {
        assert!(scene.has(name), "{name} was acknowledged");
    }
    assert!(!scene.has(&format!("n{n}")));
    scene.serves();
    is_refused(&scene.record("again"), 507, 10_000_507);
    fs::remove_file(filler).unwrap();
    scene.recovers("room");
    for name in &kept {
        assert!(scene.has(name), "{name} was acknowledged");
    }
    assert!(!scene.has("again"));
    scene.serves();
    drop(scene);
    drop(disk);
}
