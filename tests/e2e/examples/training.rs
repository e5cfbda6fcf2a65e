//! `cargo xtask dist` runs this between its two builds.

use poterne_e2e::training::{Amount, train};

fn main() {
    train(Amount::WHOLE);
}
