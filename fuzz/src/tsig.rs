//! Checks of `poterne-dns-tsig`.

use poterne_dns_tsig::{Algorithm, Answering, Asking, Key, find};

const NOW: u64 = 1_700_000_000;

fn key(algorithm: Algorithm) -> Key {
    Key::new("xfr.key", algorithm, &(0..32).collect::<Vec<u8>>())
}

/// A message, as a server and as a client meet it: what is found of a signature lies at its end, and what holds was signed so.
pub fn tsig(data: &[u8]) {
    let mut asking = Asking::begin(key(Algorithm::HmacSha256), &mut b"\x12\x34\x01\0\0\0\0\0\0\0\0\0".to_vec(), NOW);
    // Nobody could have answered that.
    assert!(asking.verify(data, NOW).is_err());
    let Ok(Some(found)) = find(data) else { return };
    assert!(found.at >= 12 && found.at < data.len());
    let unsigned = found.unsigned(data);
    assert!(unsigned.len() == found.at && find(&unsigned).is_ok_and(|more| more.is_none()));
    let keys = |name: &[u8], algorithm| Some(key(algorithm)).filter(|key| key.name() == name);
    if Answering::verify(data, &found, NOW, keys).is_ok() {
        assert!(found.tsig.time.abs_diff(NOW) <= u64::from(found.tsig.fudge) && found.tsig.mac.len() >= 32);
    }
    // Written again it is the same, but for a name that was compressed.
    let mut again = unsigned;
    again[..2].copy_from_slice(&data[..2]);
    found.tsig.append(&mut again);
    assert!(find(&again) == Ok(Some(found)));
}
