//! The record that denies (RFC 4034 §4), as it is made when it is asked for (RFC 9824): it stands at the name that was asked for, and its
//! next name is the first there could be after it, so that it says something of that name alone. In a zone that is handed over whole it is
//! one of a chain, and its next name one that is there ([`chained`]).

use poterne_dns_wire::name::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX};
use smallvec::SmallVec;

/// The data of such a record; nearly all of them fit without an allocation.
pub type NsecData = SmallVec<[u8; 512]>;

/// The data of the NSEC record at `owner` (labels, in lower case) where these types are, which stand in their order, each once.
pub fn nsec(owner: &[u8], types: &[u16]) -> NsecData {
    let mut data = NsecData::new();
    push_next(owner, &mut data);
    push_bitmap(types, &mut data);
    data
}

/// The data of the NSEC record in a chain: the next name there is (labels, in lower case), and these types, in their order, each once.
pub fn chained(next: &[u8], types: &[u16]) -> NsecData {
    let mut data = NsecData::from_slice(next);
    push_bitmap(types, &mut data);
    data
}

/// The first name after `owner` in canonical order (RFC 4034 §6.1): `\000.` and the name itself, and where that is too long the immediate
/// successor at that length (RFC 4471 §3.1.2).
fn push_next(owner: &[u8], to: &mut NsecData) {
    if owner.len() + 2 <= NAME_OCTETS_MAX {
        to.extend_from_slice(&[1, 0]);
        to.extend_from_slice(owner);
        return;
    }
    let mut rest = owner;
    while let Some((&length, after)) = rest.split_first().filter(|(length, _)| **length != 0) {
        let (label, parent) = after.split_at_checked(usize::from(length)).unwrap_or((after, &[0]));
        if owner.len() < NAME_OCTETS_MAX && length < LABEL_OCTETS_MAX && rest.len() == owner.len() {
            to.push(length + 1);
            to.extend_from_slice(label);
            to.push(0);
            to.extend_from_slice(parent);
            return;
        }
        // The last octet that can be greater; what is after it goes.
        if let Some(at) = label.iter().rposition(|octet| *octet != 0xff) {
            to.push(u8::try_from(at + 1).unwrap_or(LABEL_OCTETS_MAX));
            to.extend_from_slice(&label[..at]);
            // Upper case counts as lower: after `@` comes `[`.
            to.push(if label[at] == b'@' { b'[' } else { label[at] + 1 });
            to.extend_from_slice(parent);
            return;
        }
        rest = parent;
    }
    // After the last name of all comes the root.
    to.push(0);
}

/// RFC 4034 §4.1.2: by windows of 256 types, of each as many octets as it needs.
fn push_bitmap(types: &[u16], to: &mut NsecData) {
    for window in types.chunk_by(|one, other| one >> 8 == other >> 8) {
        let [number, last] = window[window.len() - 1].to_be_bytes();
        let length = last / 8 + 1;
        to.extend_from_slice(&[number, length]);
        let start = to.len();
        to.resize(start + usize::from(length), 0);
        for rtype in window {
            let [_, low] = rtype.to_be_bytes();
            to[start + usize::from(low / 8)] |= 0x80 >> (low % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{base::name::Name, rdata::Nsec};
    use poterne_dns_wire::name;
    use proptest::prelude::*;

    use super::*;

    fn next(owner: &[u8]) -> Vec<u8> {
        let mut data = NsecData::new();
        push_next(owner, &mut data);
        data.to_vec()
    }

    fn canonical(one: &[u8], other: &[u8]) -> std::cmp::Ordering {
        domain::base::cmp::CanonicalOrd::canonical_cmp(Name::from_slice(one).unwrap(), Name::from_slice(other).unwrap())
    }

    #[test]
    fn the_example_of_rfc_4034_is_made() {
        // RFC 4034 §4.3.
        let data = nsec(b"\x05alfa\x07example\x03com\0", &[1, 15, 46, 47, 1234]);
        let mut bitmap = hex::decode("0006400100000003041b").unwrap();
        bitmap.extend([0; 26]);
        bitmap.push(0x20);
        assert!(data.ends_with(&bitmap), "{}", hex::encode(&data));
    }

    #[test]
    fn the_next_name_is_the_first_there_can_be() {
        assert_eq!(next(b"\x03www\x07example\0"), b"\x01\0\x03www\x07example\0");
        let long = |first: &[u8]| {
            let mut name = vec![u8::try_from(first.len()).unwrap()];
            name.extend(first);
            name::push(&["b".repeat(63), "c".repeat(63), "d".repeat(61)].join("."), &mut name);
            name
        };
        let full = long(&[b'a'; 63]);
        assert_eq!(full.len(), 255);
        let mut expected = full.clone();
        expected[63] = b'b';
        assert_eq!(next(&full), expected);
        assert_eq!(next(&long(&[b'a'; 62])), long(&[&[b'a'; 62][..], &[0]].concat()), "one octet fits still");
        let odd = next(&long(&[&[b'a'; 61][..], b"@\xff"].concat()));
        assert_eq!((odd[0], odd[62]), (62, b'['), "what comes after @ is no letter");
        let last = next(&long(&[0xff; 63]));
        assert_eq!(last[..2], [63, b'b']);
        assert_eq!(last[63], b'c', "the label that can be no greater is gone");
    }

    proptest! {
        /// Any name: what comes next is greater, and a name.
        #[test]
        fn the_next_name_is_greater(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=63), 0..5)) {
            let mut owner = Vec::new();
            for label in labels {
                if owner.len() + label.len() + 2 <= NAME_OCTETS_MAX {
                    owner.push(u8::try_from(label.len()).unwrap());
                    owner.extend(label.to_ascii_lowercase());
                }
            }
            owner.push(0);
            let next = next(&owner);
            prop_assert_eq!(name::length(&next), Some(next.len()));
            prop_assert!(canonical(&owner, &next).is_lt() || next == [0]);
        }

        /// Any types: another reader finds the same.
        #[test]
        fn another_reader_finds_the_types(types in prop::collection::btree_set(any::<u16>(), 1..20)) {
            let types: Vec<u16> = types.into_iter().collect();
            let data = nsec(b"\x01a\0", &types);
            let mut parser = octseq_parser(&data);
            let read = Nsec::parse(&mut parser).unwrap();
            prop_assert_eq!(read.types().iter().map(|rtype| rtype.to_int()).collect::<Vec<_>>(), types);
        }
    }

    fn octseq_parser(data: &[u8]) -> domain::dep::octseq::Parser<'_, [u8]> {
        domain::dep::octseq::Parser::from_ref(data)
    }
}
