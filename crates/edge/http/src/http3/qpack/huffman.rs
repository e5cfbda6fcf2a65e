//! Strings in Huffman's code (RFC 7541 §5.2 and Appendix B, which RFC 9204 §4.1.2 takes over). Only read: what we write is short.
//!
//! The code is canonical: shorter codes are smaller numbers, and codes of one length follow each other in the order of their octets. So the
//! lengths say all of it.

use std::sync::LazyLock;

use bytes::{BufMut as _, Bytes, BytesMut};

/// The length of each octet's code, in bits.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
    28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7,
    6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24,
    23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22,
    23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27,
    26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
    24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
/// The length of the code that ends nothing here: its first bits pad the last octet, and it may not occur whole.
const END_BITS: u32 = 30;
const SHORTEST: u32 = 5;
/// Room for a number of each length.
const LENGTHS_MAX: usize = END_BITS as usize + 1;

/// Where the codes of each length begin and end, as the first of 32 bits, and the octets in the order of their codes.
struct Code {
    first: [u32; LENGTHS_MAX],
    /// One beyond the last; of the longest codes it excludes the end's own, which is the last of all.
    beyond: [u32; LENGTHS_MAX],
    /// Octets whose codes are shorter.
    before: [usize; LENGTHS_MAX],
    octets: Vec<u8>,
}

static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut octets: Vec<u8> = (0..=255).collect();
    octets.sort_by_key(|octet| LENGTHS[usize::from(*octet)]);
    let mut code = Code { first: [0; LENGTHS_MAX], beyond: [0; LENGTHS_MAX], before: [0; LENGTHS_MAX], octets };
    let (mut next, mut before) = (0u32, 0);
    for bits in SHORTEST..=END_BITS {
        let (at, count) = (bits as usize, LENGTHS.iter().filter(|length| u32::from(**length) == bits).count());
        code.first[at] = next;
        code.before[at] = before;
        next += u32::try_from(count).unwrap_or(0) << (32 - bits);
        code.beyond[at] = next;
        before += count;
    }
    code
});

/// What a string says; none where it is no string in this code.
pub(super) fn decode(coded: &[u8]) -> Option<Bytes> {
    let code = &*CODE;
    // The shortest code has five bits.
    let mut text = BytesMut::with_capacity(coded.len() * 8 / SHORTEST as usize);
    let (mut held, mut held_bits) = (0u64, 0u32);
    let mut rest = coded.iter();
    loop {
        while held_bits <= 56
            && let Some(octet) = rest.next()
        {
            held |= u64::from(*octet) << (56 - held_bits);
            held_bits += 8;
        }
        let window = (held >> 32) as u32;
        match (SHORTEST..=END_BITS).find(|bits| window < code.beyond[*bits as usize]) {
            Some(bits) if bits <= held_bits => {
                let at = bits as usize;
                let rank = code.before[at] + ((window - code.first[at]) >> (32 - bits)) as usize;
                text.put_u8(code.octets[rank]);
                held <<= bits;
                held_bits -= bits;
            }
            // RFC 7541 §5.2: at most seven bits of padding, all of them set.
            _ if held_bits < 8 && held == !(u64::MAX >> held_bits) => return Some(text.freeze()),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written bit by bit, from the codes' definition alone.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut order: Vec<u8> = (0..=255).collect();
        order.sort_by_key(|octet| LENGTHS[usize::from(*octet)]);
        let (mut codes, mut code, mut length) = ([0u32; 256], 0u32, LENGTHS[usize::from(order[0])]);
        for octet in order {
            let bits = LENGTHS[usize::from(octet)];
            code <<= bits - length;
            length = bits;
            codes[usize::from(octet)] = code;
            code += 1;
        }
        let mut bits = String::new();
        for octet in text {
            let (code, length) = (codes[usize::from(*octet)], usize::from(LENGTHS[usize::from(*octet)]));
            bits.push_str(&format!("{code:0length$b}"));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        bits.as_bytes().chunks(8).map(|octet| u8::from_str_radix(std::str::from_utf8(octet).unwrap(), 2).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        // RFC 7541, Appendix C.4 and C.6.
        for (coded, text) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("6402", "302"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ] {
            assert_eq!(decode(&bytes(coded)).as_deref(), Some(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn padding_is_short_and_set_and_the_end_is_no_octet() {
        assert_eq!(decode(&[]).as_deref(), Some(&b""[..]));
        assert_eq!(decode(&[0x07]).as_deref(), Some(&b"0"[..]));
        for wrong in ["00", "ff", "07ff", "ffffffff", "fffffffc", "0f00"] {
            assert_eq!(decode(&bytes(wrong)), None, "{wrong}");
        }
    }

    fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let read = decode(&encode(&text));
            prop_assert_eq!(read.as_deref(), Some(&text[..]));
        }

        #[test]
        fn no_octets_are_beyond_it(coded in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(text) = decode(&coded) {
                prop_assert_eq!(encode(&text), coded);
            }
        }
    }
}
