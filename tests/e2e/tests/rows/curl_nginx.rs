//! The everyday pair.

use poterne_e2e::{Agent, Curl, Kind, Nginx, Node, eventually};

columns!(pages_and_bodies);

fn pages_and_bodies(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    assert!(node.get("/hello").is_error(530, 1033), "without an agent: {:?}", node.get("/hello"));

    let mut agent = Agent::connect(&node, kind);
    assert_eq!((node.get("/hello").status, node.get("/hello").text().as_str()), (200, "Hello, world\n"));
    assert_eq!(node.get("/absent").status, 404);
    let ask = |path, options: &[&str]| Curl::http(&node, &node.hostname, path).with(options).run();
    assert_eq!(ask("/hello", &["--head"]).status, 200, "HEAD has a head and no body");
    let seen = ask("/host", &["-H", "X-Forwarded-Proto: gopher", "-H", "CF-Connecting-IP: 192.0.2.1"]).text();
    assert_eq!(seen, format!("{}|http|127.0.0.1", node.hostname), "what a visitor forges is overwritten");
    let big = node.get("/big");
    assert_eq!((big.status, big.body.len()), (200, 16 << 20));
    assert!(big.body.iter().all(|byte| *byte == 7));
    let upload = dir.path().join("www/big");
    assert_eq!(ask("/hello", &["-T", upload.to_str().unwrap()]).status, 405, "nginx takes the body and refuses the method");

    for version in ["--http1.1", "--http2"] {
        let answer = Curl::https(&node, &node.hostname, "/hello").with(&[version]).run();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world\n"), "{version}");
    }

    agent.kill();
    eventually("the loss is noticed", || node.get("/hello").is_error(530, 1033));
    let _agent = Agent::connect(&node, kind);
    assert_eq!(node.get("/hello").status, 200);
}
