//! Names between text and labels.

use std::fmt;

/// Longest name in octets, its root label included (RFC 1035 §2.3.4).
pub const NAME_OCTETS_MAX: usize = 255;

/// Longest label in octets.
pub const LABEL_OCTETS_MAX: u8 = 63;

/// Appends a name's labels and the root. `text` is a [`poterne_model::Name`]'s, whose labels are bounded; the empty text is the root.
pub fn push(text: &str, to: &mut Vec<u8>) {
    for label in text.split('.').filter(|label| !label.is_empty()) {
        to.push(u8::try_from(label.len()).expect("a name's labels have at most 63 octets"));
        to.extend_from_slice(label.as_bytes());
    }
    to.push(0);
}

/// How many octets the uncompressed name at the start of `octets` takes, its root label included; none where none stands there.
pub fn length(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *octets.get(at)? {
            0 => return (at < NAME_OCTETS_MAX).then_some(at + 1),
            label if label <= LABEL_OCTETS_MAX => at += usize::from(label) + 1,
            _ => return None,
        }
        if at >= NAME_OCTETS_MAX {
            return None;
        }
    }
}

/// Where the name that stands at `at` of a message ends there: after its root label, or after its first pointer (RFC 1035 §4.1.4). A
/// pointer leads to a prior place; what stands there is not looked at.
pub fn skip(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            label if label <= LABEL_OCTETS_MAX => at += usize::from(label) + 1,
            pointer if pointer >= 0xc0 => {
                let low = *message.get(at + 1)?;
                let to = (usize::from(pointer & 0x3f) << 8) | usize::from(low);
                return (to < start).then_some(at + 2);
            }
            _ => return None,
        }
        if at - start >= NAME_OCTETS_MAX {
            return None;
        }
    }
}

/// A name in the form that names are looked up in: text as [`poterne_model::Name`] has it, on the stack.
///
/// Labels of the wire hold any octets. Those that no name kept here can hold become `?`, which none holds: such a name equals none that
/// is kept, and its ancestors are found all the same. So two names may be told apart no more where neither is kept.
#[derive(Clone, Copy)]
pub struct KeyName {
    octets: [u8; NAME_OCTETS_MAX],
    length: u8,
}

impl KeyName {
    /// Of an uncompressed name; none where it is malformed. The root is the empty text.
    pub fn of_wire(wire: &[u8]) -> Option<Self> {
        let end = length(wire)?;
        let mut octets = [0; NAME_OCTETS_MAX];
        let (mut from, mut to) = (0, 0);
        while from + 1 < end {
            let label = &wire[from + 1..=from + usize::from(wire[from])];
            if to > 0 {
                octets[to] = b'.';
                to += 1;
            }
            match label {
                b"*" => octets[to] = b'*',
                label => {
                    for (place, octet) in octets[to..].iter_mut().zip(label) {
                        *place = KEPT[usize::from(*octet)];
                    }
                }
            }
            to += label.len();
            from += label.len() + 1;
        }
        Some(Self { octets, length: u8::try_from(to).ok()? })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.octets[..usize::from(self.length)]).expect("only ASCII was put there")
    }
}

impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyName({})", self.as_str())
    }
}

/// What each octet of a label becomes.
const KEPT: [u8; 256] = {
    let mut kept = [b'?'; 256];
    let mut octet = 0;
    while octet < 128u8 {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_') {
            kept[octet as usize] = octet.to_ascii_lowercase();
        }
        octet += 1;
    }
    kept
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wire(text: &str) -> Vec<u8> {
        let mut wire = Vec::new();
        push(text, &mut wire);
        wire
    }

    fn key(wire: &[u8]) -> Option<String> {
        KeyName::of_wire(wire).map(|key| key.as_str().to_owned())
    }

    #[test]
    fn text_and_labels_are_two_forms_of_a_name() {
        assert_eq!(wire("www.example.com"), b"\x03www\x07example\x03com\0");
        assert_eq!(wire(""), b"\0");
        assert_eq!(key(b"\x03wWw\x07exAmple\x03COM\0after").unwrap(), "www.example.com");
        assert_eq!(key(b"\x01*\x07example\0").unwrap(), "*.example");
        assert_eq!(key(b"\0").unwrap(), "");
    }

    #[test]
    fn odd_octets_equal_nothing_that_is_kept() {
        assert_eq!(key(b"\x03a.b\x03com\0").unwrap(), "a?b.com");
        assert_eq!(key(b"\x02*a\x02a*\x01*\x03com\0").unwrap(), "?a.a?.*.com");
        assert_eq!(key(b"\x02\xc3\xa9\x03com\0").unwrap(), "??.com");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in [&b""[..], b"\x03ww", b"\x03www", b"\xc0\x0c", b"\x40a\0", b"\x80"] {
            assert_eq!(length(wrong), None, "{wrong:?}");
        }
        let long = wire(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join("."));
        assert_eq!((long.len(), length(&long)), (255, Some(255)));
        let longer = wire(&["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join("."));
        assert_eq!((longer.len(), length(&longer)), (256, None));
    }

    #[test]
    fn a_pointer_ends_a_name_and_leads_back() {
        let message = b"\x03www\0\x01a\xc0\x00";
        assert_eq!((skip(message, 0), skip(message, 5)), (Some(5), Some(9)));
        assert_eq!(
            (skip(b"\xc0\x00", 0), skip(b"\x01a\xc0\x00", 0), skip(b"\xc0", 0), skip(b"\x41", 0)),
            (None, None, None, None)
        );
    }

    proptest! {
        /// Any octets: what is a name has a key as long as its text, and nothing panics.
        #[test]
        fn any_octets_are_a_name_or_none(octets in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300) {
            let _ = skip(&octets, at);
            match length(&octets) {
                Some(1) => prop_assert_eq!(key(&octets).unwrap(), ""),
                Some(length) => prop_assert_eq!(key(&octets).unwrap().len(), length - 2),
                None => prop_assert_eq!(key(&octets), None),
            }
        }
    }
}
