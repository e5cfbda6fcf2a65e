//! The API against its own description, by PyPI's `schemathesis` and `openapi-spec-validator`: `peers/with_schemathesis.py`.

use poterne_e2e::{Client, Node};

#[test]
fn the_document_is_valid() {
    Client::run("with_schemathesis.py", &["document"], &Node::demo());
}

#[test]
fn the_api_is_what_its_document_says() {
    Client::run("with_schemathesis.py", &["fuzz"], &Node::demo());
}
