//! Migrations are read when the crate is compiled; cargo must notice a new one.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
