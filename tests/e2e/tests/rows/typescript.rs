//! The official TypeScript SDK: `peers/with_typescript.cjs`.

use poterne_e2e::{Client, Node};

#[test]
fn zones() {
    Client::run("with_typescript.cjs", &["zones"], &Node::demo());
}

#[test]
fn records() {
    Client::run("with_typescript.cjs", &["records"], &Node::demo());
}

#[test]
fn tunnels() {
    Client::run("with_typescript.cjs", &["tunnels"], &Node::demo());
}
