//! The demo as a person meets it: what it prints is pasted into a shell.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use poterne_e2e::{
    Agent, Api, Curl, Kind, Node, Raw, Running,
    process::{eventually, program},
};
use serde_json::json;

/// A demo, and what it printed until it was ready.
fn demo(state_home: &Path, arguments: &[&str]) -> (Running, Vec<String>) {
    let mut command = program("POTERNE_BIN");
    command.arg("demo").args(arguments).env("XDG_STATE_HOME", state_home).env("LC_ALL", "C");
    let mut process = Running::start(command.stdout(Stdio::piped()));
    let mut lines = Vec::new();
    for line in BufReader::new(process.stdout()).lines() {
        lines.push(line.unwrap());
        if lines.last().unwrap().starts_with("Ctrl-C") {
            return (process, lines);
        }
    }
    panic!("the demo ended: {lines:?}");
}

/// The printed line that begins like this.
fn line<'a>(lines: &'a [String], begins: &str) -> &'a str {
    lines
        .iter()
        .map(|line| line.trim())
        .find(|line| line.starts_with(begins))
        .unwrap_or_else(|| panic!("no {begins} in {lines:?}"))
}

fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The `http://` URL, as a browser opens it: `.localhost` is loopback.
fn browse(lines: &[String]) -> String {
    let url = line(lines, "http://demo.");
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    shell(&format!("curl --silent --show-error --resolve {authority}:127.0.0.1 {url}"))
}

#[test]
fn what_the_demo_prints_works_when_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("a state's home");
    let (mut process, lines) = demo(&home, &["--port-base", "0"]);
    assert!(shell(line(&lines, "curl --resolve")).contains("You came in through the gate"));
    assert!(browse(&lines).contains("You came in through the gate"));
    let verb = lines.iter().find(|line| line.contains("tunnel list")).unwrap();
    assert!(shell(verb).contains("demo"), "{verb}");
    process.terminate();
    assert!(process.end().success());
}

/// The demo listens at neither 80 nor 443.
#[test]
fn who_is_sent_to_https_arrives() {
    let node = Node::demo();
    let _agent = Agent::connect(&node, Kind { stock: false, protocol: "quic" });
    let setting = format!("/zones/{}/settings/always_use_https", node.text("zone_id"));
    Api::of(&node).done("PATCH", &setting, &json!({ "value": "on" }));
    let (host, port) = (&node.hostname, node.text("https").rsplit(':').next().unwrap());
    let told = Curl::http(&node, host, "/?a=b").with(&["--include"]).run();
    assert_eq!(told.status, 301);
    assert!(told.text().contains(&format!("location: https://{host}:{port}/?a=b\r\n")), "{}", told.text());
    let resolve = format!("{host}:{port}:127.0.0.1");
    let followed = ["--location", "--cacert", node.text("ca_file"), "--resolve", &resolve];
    let arrived = Curl::http(&node, host, "/").with(&followed).run();
    assert!(arrived.status == 200 && arrived.text().contains("You came in through the gate"), "{arrived:?}");
}

#[test]
fn two_demos_as_they_come_do_not_collide() {
    let origin = Raw::saying("a service of my own");
    let dir = tempfile::tempdir().unwrap();
    let (_first, lines) = demo(dir.path(), &[]);
    let (_second, own) = demo(dir.path(), &["--url", &origin.url()]);
    assert!(own.iter().any(|line| line.contains("all ports moved up by")), "{own:?}");
    assert_eq!(browse(&own), "a service of my own");
    assert!(browse(&lines).contains("You came in through the gate"));
    assert_ne!(line(&lines, "http://demo."), line(&own, "http://demo."));
}

#[test]
fn a_stop_is_not_held_by_an_open_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (mut process, lines) = demo(dir.path(), &["--port-base", "0"]);
    let url = line(&lines, "http://demo.");
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--no-buffer", "--resolve", &format!("{authority}:127.0.0.1"), &format!("{url}events")]);
    let mut visitor = Running::start(curl.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut first = String::new();
    BufReader::new(visitor.stdout()).read_line(&mut first).unwrap();
    assert_eq!(first, "event: tick\n");
    process.terminate();
    eventually("the demo ends", || !process.runs());
    assert!(process.end().success());
}
