//! certbot's DNS plugin: `peers/with_certbot.py`.

use poterne_e2e::{Client, Node};

#[test]
fn challenges_come_and_go() {
    Client::run("with_certbot.py", &["authenticate"], &Node::demo());
}
