//! The verbs without a running node, and what the program says when something is wrong.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{path::Path, process::Command};

fn poterne(state_dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_poterne")).args(arguments).arg("--state-dir").arg(state_dir).output().unwrap();
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
