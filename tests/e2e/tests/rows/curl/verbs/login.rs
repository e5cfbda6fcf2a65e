//! `poterne-agent login`, and the file it leaves for both agents.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt as _,
    process::{Output, Stdio},
};

use poterne_e2e::{Agent, Curl, Node, Raw, Running, eventually};

use super::{OURS, STOCK, bare, said};

/// `poterne-agent WORDS`, with this on stdin.
fn agent(node: &Node, words: &[&str], input: &str) -> Output {
    let mut command = bare(OURS, &node.file("home"));
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that needs none may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn good(node: &Node, words: &[&str], input: &str) -> String {
    let output = agent(node, words, input);
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    said(&output)
}

fn bad(node: &Node, words: &[&str], input: &str) -> String {
    let output = agent(node, words, input);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {}", said(&output));
    said(&output)
}

/// From nothing to a page: no variable is set, no edge is named.
#[test]
fn a_token_is_all_that_is_needed() {
    let node = Node::demo();
    let origin = Raw::saying("after a login");
    let url = node.quick_service();
    let told = good(&node, &["login", "--url", url, "--api-token", "-"], node.text("api_token"));
    assert!(told.contains("You are logged in"), "{told}");
    let file = node.file("home/.cloudflared/cert.pem");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    good(&node, &["tunnel", "create", "web"], "");
    let hostname = "web.poterne.localhost";
    good(&node, &["tunnel", "route", "dns", "web", hostname], "");
    let home = node.file("home");
    let _agent = Agent::run_named(&node, OURS, "web", &origin.url(), &[("HOME", home.as_os_str())]);
    eventually("the page is served", || Curl::http(&node, hostname, "/").run().text() == "after a login");

    let before = fs::read(&file).unwrap();
    let told = good(&node, &["tunnel", "login", "--url", url, "--api-token", "-"], node.text("api_token"));
    assert!(told.contains("logged in already"), "{told}");
    assert!(bad(&node, &["login", "--url", "https://other.example"], "").contains("another node"));
    assert_eq!(fs::read(&file).unwrap(), before, "it was left alone");
}

#[test]
fn what_the_operator_printed_is_taken_too() {
    let node = Node::demo();
    let printed = node.verb(&["cert", node.text("zone")]).unwrap();
    good(&node, &["login", "--url", node.quick_service(), "--api-token", "-"], &printed);
    assert!(good(&node, &["tunnel", "list"], "").contains(" demo "));
}

/// Over TLS, with the node's own authority: whom to trust is kept beside the token.
#[test]
fn a_node_with_its_own_authority_is_named_once() {
    let node = Node::demo();
    let port = node.text("https").rsplit(':').next().unwrap();
    let url = format!("https://node.poterne.localhost:{port}");
    let login = ["login", "--url", &url, "--api-token", "-"];
    assert!(bad(&node, &login, node.text("api_token")).contains("--cacert"));
    good(&node, &[&login[..], &["--cacert", node.text("ca_file")]].concat(), node.text("api_token"));
    assert!(good(&node, &["tunnel", "list"], "").contains(" demo "));

    // What the operator prints says all of it.
    let printed = node.verb(&[
        "cert",
        node.text("zone"),
        "--set",
        "node.name=node.poterne.localhost",
        "--set",
        &format!("edge.https=127.0.0.1:{port}"),
    ]);
    let file = node.file("printed.pem");
    fs::write(&file, printed.unwrap()).unwrap();
    let listed = good(&node, &["tunnel", "--origincert", file.to_str().unwrap(), "list"], "");
    assert!(listed.contains(" demo "), "{listed}");
}

/// No browser, no secret to carry: a code is read out, and the operator approves it.
#[test]
fn a_code_is_approved_by_the_operator() {
    let node = Node::demo();
    let begin = |path: &str| {
        let mut command = bare(OURS, &node.file(path));
        command.args(["login", "--url", node.quick_service()]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut agent = Running::start(&mut command);
        let code = BufReader::new(agent.stderr()).lines().find_map(|line| {
            let line = line.unwrap();
            line.trim().strip_prefix("poterne login approve ").map(|rest| rest.split(' ').next().unwrap().to_owned())
        });
        (agent, code.unwrap())
    };
    let (mut agent, code) = begin("home");
    let waiting = node.verb(&["login", "list"]).unwrap();
    assert!(waiting.contains(&code) && waiting.contains("127.0.0.1"), "{waiting}");
    assert!(node.verb(&["login", "approve", "0000-0000", node.text("zone")]).unwrap_err().contains("0000-0000"));
    let told = node.verb(&["login", "approve", &code.to_ascii_lowercase(), node.text("zone")]).unwrap();
    assert!(told.contains("It asked from 127.0.0.1"), "{told}");
    assert!(agent.end().success());
    assert!(self::agent(&node, &["tunnel", "list"], "").status.success());
    assert!(node.verb(&["token", "list"]).unwrap().contains("agent's certificate for"));

    let (mut agent, code) = begin("another");
    node.verb(&["login", "refuse", &code]).unwrap();
    assert_eq!(agent.end().code(), Some(1));
    assert!(!node.file("another/.cloudflared/cert.pem").exists());
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_written() {
    let node = Node::demo();
    let login = |more: &[&str], input: &str| {
        let words = [&["login", "--url", node.quick_service(), "--api-token", "-"], more].concat();
        bad(&node, &words, input)
    };
    let told = login(&[], "not-a-token-of-this-node-at-all-0123456789");
    assert!(told.contains("does not take that token") && !told.contains("not-a-token"), "{told}");
    assert!(login(&[], "").contains("no token was given"));
    assert!(login(&["--zone", "elsewhere.test"], node.text("api_token")).contains("no zone elsewhere.test"));
    assert!(bad(&node, &["login"], "").contains("which node?"));
    assert!(bad(&node, &["login", "--url", "http://node.example", "--api-token", "x"], "").contains("in the clear"));
    assert!(!node.file("home/.cloudflared/cert.pem").exists());

    node.verb(&["zone", "add", "second.test"]).unwrap();
    let told = login(&[], node.text("api_token"));
    assert!(told.contains("2 zones") && told.contains("second.test"), "{told}");
    good(
        &node,
        &["login", "--url", node.quick_service(), "--api-token", "-", "--zone", node.text("zone")],
        node.text("api_token"),
    );
}

mod stock_agent {
    use super::*;

    #[test]
    fn the_stock_agent_reads_what_ours_wrote() {
        let node = Node::demo();
        good(&node, &["login", "--url", node.quick_service(), "--api-token", "-"], node.text("api_token"));
        let mut command = bare(STOCK, &node.file("home"));
        let output = command.args(["tunnel", "list"]).env("TUNNEL_API_URL", node.text("api")).output().unwrap();
        assert!(output.status.success() && said(&output).contains(" demo "), "{}", said(&output));
    }
}
