//! Slow visitors, as `slowhttptest` plays them: each is let go within its time, and others are served meanwhile.

use std::{
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use poterne_e2e::{Agent, Kind, Node, Raw, Running};

/// What it says when every connection it held was taken from it.
const LET_GO: &str = "No open connections left";

/// Octets that no socket holds unread.
const MUCH: usize = 16 << 20;

#[test]
fn slow_heads_bodies_and_readers_are_let_go_and_others_served() {
    // A body is asked for before it is refused, and an answer is longer than what a reader that stalls has room for.
    let service = Raw::start(|_, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(&vec![b'x'; MUCH]);
    });
    let nodes: [Node; 3] = std::array::from_fn(|_| Node::demo());
    let _agents = nodes.each_ref().map(|node| Agent::connect(node, Kind { stock: false, protocol: "quic" }));
    nodes[2].route(&nodes[2].hostname, &service.url());
    let attacks = [
        ("slow heads", &["-H", "-i", "5"][..]),
        ("slow bodies", &["-B", "-s", "8192", "-i", "10"]),
        ("slow readers", &["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32"]),
    ];
    let mut running: Vec<_> = attacks
        .iter()
        .zip(&nodes)
        .map(|((what, options), node)| {
            let mut command = Command::new("slowhttptest");
            // Some 200 connections of one source, for 90 s at most; whoever asks beside them waits 5 s at most.
            command
                .args(*options)
                .args(["-c", "200", "-r", "100", "-l", "90", "-p", "5", "-u"])
                .arg(format!("http://{}/", node.text("http")));
            (what, Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null())))
        })
        .collect();
    for (what, process) in &mut running {
        let mut said = String::new();
        process.stdout().read_to_string(&mut said).unwrap();
        assert!(said.contains(LET_GO), "{what}: {said}");
        let probes: Vec<&str> = said.lines().filter(|line| line.contains("service available:")).collect();
        assert!(!probes.is_empty() && probes.iter().all(|line| line.contains("YES")), "{what}: {said}");
    }
    for node in &nodes {
        assert!(node.log().lines().all(|line| !line.contains("panicked")), "{}", node.log());
    }
}
