//! Zones shared with Knot DNS; see `dig_nsd`.

use poterne_e2e::name_server::Program;

use super::dig_nsd::{is_given_to, is_taken_from};

#[test]
fn it_has_a_zone_of_ours() {
    is_given_to(Program::Knot, "hmac-sha384");
}

#[test]
fn we_have_a_zone_of_its() {
    is_taken_from(Program::Knot, "hmac-sha256", false);
}
