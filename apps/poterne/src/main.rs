//! x
fn main() {
    print!("{}", poterne_node::config::keys::template());
}
