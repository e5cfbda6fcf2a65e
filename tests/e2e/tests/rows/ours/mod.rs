//! What visitors break on the wire: bytes that no client writes.

mod failures;
mod secrets;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use poterne_e2e::{Agent, Kind, Node};

columns!(a_bad_chunk_is_the_visitors_fault);

/// Everything a visitor is told who writes this.
fn told(node: &Node, request: &str) -> String {
    let mut visitor = TcpStream::connect(node.text("http")).unwrap();
    visitor.write_all(request.replace("HOST", &node.hostname).as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A visitor that broke the rules may also be reset.
    let _ = visitor.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn a_bad_chunk_is_the_visitors_fault(kind: Kind) {
    let node = Node::demo();
    let status_line = told(&node, "GET / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n");
    assert!(status_line.starts_with("HTTP/1.1 530 Origin Not Reachable\r\n"), "{status_line}");
    let _agent = Agent::connect(&node, kind);
    let head = "POST /count HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n";
    let good = told(&node, &format!("{}3\r\nabc\r\n0\r\n\r\n", head.replace("Host", "Connection: close\r\nHost")));
    assert!(good.starts_with("HTTP/1.1 200 ") && good.contains("\"bytes\":3"), "{good}");
    for chunks in ["nonsense\r\n", "3\r\nabc\r\nnonsense\r\n", "3\r\nabcdef\r\n"] {
        let answer = told(&node, &format!("{head}{chunks}"));
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("cf-error-type: 400"), "{chunks:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{chunks:?}: {answer}");
    }
}
