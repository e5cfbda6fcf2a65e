//! Many requests over few connections, as `h2load` makes them.

use std::process::Command;

use poterne_e2e::{Agent, Kind, Node};

columns!(a_thousand_streams_are_all_answered);

fn a_thousand_streams_are_all_answered(kind: Kind) {
    let node = Node::demo();
    let _agent = Agent::connect(&node, kind);
    let port = node.text("https").rsplit(':').next().unwrap();
    let url = format!("https://{}:{port}/", node.hostname);
    let connect = format!("--connect-to={}", node.text("https"));
    // HTTP/2 with as many streams as are offered, and HTTP/1.1 with requests one behind another on a connection.
    for options in [&["-m", "100", "-c", "4"][..], &["--h1", "-m", "1", "-c", "20"]] {
        let output = Command::new("h2load").args(options).args(["-n", "1000", &connect, &url]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"), "{options:?}: {said}");
        assert!(said.contains("status codes: 1000 2xx"), "{options:?}: {said}");
    }
}
