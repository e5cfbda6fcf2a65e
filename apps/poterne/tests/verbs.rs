//! The verbs without a running node, and what the program says when something is wrong.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

fn poterne(state_dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_poterne"))
        .args(arguments)
        .arg("--state-dir")
        .arg(state_dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_directory_without_state_is_not_made_one_by_a_verb() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("typo");
    let (code, _, error) = poterne(&missing, &["zone", "list"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("typo") && error.contains("poterne serve"), "{error}");
    assert!(!missing.exists());
}

#[test]
fn a_wrong_setting_ends_the_program_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("poterne.toml");
    std::fs::write(&file, "version = 1\n[edge]\nhtpp = []\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_poterne")).args(["config", "check", "--config"]).arg(&file).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("poterne.toml:3:1: unknown key \"htpp\" in [edge]; did you mean \"http\"?"), "{error}");
    assert_eq!(error.matches("htpp").count(), 1, "said once: {error}");
}

#[test]
fn a_wrong_command_line_ends_the_program_with_two() {
    let output = Command::new(env!("CARGO_BIN_EXE_poterne")).args(["zone", "burn"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_first_administrator_gets_a_password_and_so_does_whoever_lost_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let (config, state) = (dir.path().join("poterne.toml"), dir.path().join("state"));
    let mut init = Command::new(env!("CARGO_BIN_EXE_poterne"));
    init.args(["init", "--name", "node.example.net", "--address", "203.0.113.10", "--email", "Ada@example.net", "--config"]);
    let output = init.arg(&config).arg("--state-dir").arg(&state).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("poterne user password ada@example.net") && told.contains("the code pol_"), "{told}");
    let (_, list, _) = poterne(&state, &["user", "list"]);
    assert!(list.contains("ada@example.net  no        no             active"), "{list}");

    let mut set = Command::new(env!("CARGO_BIN_EXE_poterne"));
    set.args(["user", "password", "ada@example.net", "--state-dir"]).arg(&state);
    let mut set = set.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    set.stdin.take().unwrap().write_all(b"a few good words\n").unwrap();
    let output = set.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && told.contains("ada@example.net") && !told.contains("good words"), "{told}");
    let (_, list, _) = poterne(&state, &["user", "list"]);
    assert!(list.contains("ada@example.net  yes       no "), "{list}");

    let (_, made, _) = poterne(&state, &["user", "password", "ada@example.net", "--generate", "--json"]);
    assert!(made.contains("\"made\":\""), "{made}");
    let (_, link, _) = poterne(&state, &["user", "password", "ada@example.net", "--link"]);
    assert!(link.contains("\npol_"), "{link}");
    let (code, _, error) = poterne(&state, &["user", "password", "bob@example.net", "--generate"]);
    assert!(code == Some(1) && error.contains("poterne user list"), "{error}");
    let (code, _, error) = poterne(&state, &["user", "password", "ada@example.net"]);
    assert!(code == Some(1) && error.contains("--generate"), "{error}");
}
