//! dns-lexicon's provider: `peers/with_lexicon.py`.

use poterne_e2e::{Client, Node};

#[test]
fn create_list_update_delete() {
    Client::run("with_lexicon.py", &["verbs"], &Node::demo());
}
