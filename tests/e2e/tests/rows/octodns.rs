//! octodns: `peers/with_octodns.py`.

use poterne_e2e::{Client, Node};

#[test]
fn a_second_run_plans_nothing() {
    Client::run("with_octodns.py", &["sync"], &Node::demo());
}
