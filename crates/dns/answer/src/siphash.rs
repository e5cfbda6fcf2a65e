//! SipHash-2-4 (Aumasson and Bernstein), which server cookies are made with so that servers of different make understand each other's
//! (RFC 9018 §4.4). The standard library has SipHash-1-3, and the older one only behind a deprecated type.

/// The hash of `message` under `key`; its octets stand on the wire in little-endian order.
pub(crate) fn siphash_2_4(key: &[u8; 16], message: &[u8]) -> [u8; 8] {
    let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|octet| key[at + octet]));
    let (k0, k1) = (half(0), half(8));
    let mut state =
        [k0 ^ 0x736f_6d65_7073_6575, k1 ^ 0x646f_7261_6e64_6f6d, k0 ^ 0x6c79_6765_6e65_7261, k1 ^ 0x7465_6462_7974_6573];
    let (words, rest) = message.as_chunks::<8>();
    for word in words {
        absorb(&mut state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // The lowest octet of the length.
    last[7] = message.len().to_le_bytes()[0];
    absorb(&mut state, u64::from_le_bytes(last));
    state[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut state));
    (state[0] ^ state[1] ^ state[2] ^ state[3]).to_le_bytes()
}

fn absorb(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    round(state);
    round(state);
    state[0] ^= word;
}

fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of its authors: key 00 to 0f, messages of 0, 1, 8 and 15 octets counted up.
    #[test]
    fn it_gives_its_authors_vectors() {
        let key = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let message: Vec<u8> = (0..15).collect();
        for (length, expected) in [
            (0, [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]),
            (1, [0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74]),
            (8, [0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]),
            (15, [0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1]),
        ] {
            assert_eq!(siphash_2_4(&key, &message[..length]), expected, "{length}");
        }
    }
}
