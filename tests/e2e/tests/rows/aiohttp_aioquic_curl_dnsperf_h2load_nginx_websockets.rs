//! What `cargo xtask dist` trains with, in small: a way that cannot be gone any more would break the next build of what is packaged.

use poterne_e2e::training::{Amount, train};

#[test]
fn every_way_of_the_training_can_be_gone() {
    train(Amount::SAMPLE);
}
