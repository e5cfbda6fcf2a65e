//! What a signature costs where it is made: `cargo bench -p poterne-dns-sign`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use poterne_dns_sign::{Algorithm, KeyPair, Set, Validity, ZoneKey, key::ZONE_FLAGS, rrsig::ANSWER_SECS};
use poterne_dns_wire::rtype;

fn main() {
    divan::main();
}

#[divan::bench(args = [13, 15])]
fn sign_an_address(bencher: divan::Bencher<'_, '_>, algorithm: u8) {
    let (pair, _) = KeyPair::generate(Algorithm::try_from(algorithm).unwrap()).unwrap();
    let key = ZoneKey::new(pair, ZONE_FLAGS, b"\x07example\x03com\0");
    let owner = b"\x03www\x07example\x03com\0";
    let set = Set { owner, rtype: rtype::A, ttl_secs: 300, records: &[&[192, 0, 2, 1]] };
    bencher.bench(|| key.sign(divan::black_box(&set), Validity::from_now(0, ANSWER_SECS, owner)).unwrap());
}
