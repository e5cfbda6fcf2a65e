//! How the RFCs write what tests compare: octets in base64, names as text.

use base64::{Engine, prelude::BASE64_STANDARD};

pub(crate) fn octets(base64: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(base64).unwrap()
}

/// A name as it stands in records.
pub(crate) fn wire(name: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    poterne_dns_wire::name::push(name, &mut wire);
    wire
}
