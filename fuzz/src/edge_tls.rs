//! Checks of `poterne-edge-tls`.

use poterne_edge_tls::{
    CERTIFICATE_BYTES_MAX,
    client_hello::{Seen, seen},
    ja4::{HELLO_BYTES_MAX, of_records},
    read_certificate,
};

/// The first bytes of a connection: what has a fingerprint has one of the known shape, whatever follows and however it was cut into records.
pub fn client_hello(data: &[u8]) {
    first_message(data);
    let Some(fingerprint) = of_records(data) else { return };
    let parts: Vec<&str> = fingerprint.split('_').collect();
    assert!(parts.len() == 3 && parts[0].len() == 10 && parts[0].starts_with('t'), "{fingerprint}");
    assert!(parts[1..].iter().all(|hash| hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())), "{fingerprint}");
    let with_more = [data, b"more"].concat();
    assert_eq!(of_records(&with_more).as_ref(), Some(&fingerprint));
    // The same message, a record for each few bytes.
    let (mut message, mut rest) = (Vec::new(), data);
    while let Some((head, after)) = rest.split_first_chunk::<5>() {
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let Some((fragment, after)) = after.split_at_checked(length).filter(|_| head[0] == 22 && length > 0) else { break };
        message.extend_from_slice(fragment);
        rest = after;
    }
    first_message(&message);
    if let Seen::Whole(wanted) = seen(&message) {
        assert!(wanted.name.is_none() || fingerprint.as_bytes()[3] == b'd', "{wanted:?} {fingerprint}");
    }
    if message.len() <= HELLO_BYTES_MAX {
        let length = |part: &[u8]| u8::try_from(part.len()).expect("seven at most");
        let cut = message.chunks(7).flat_map(|part| [&[22, 3, 3, 0, length(part)][..], part].concat());
        assert_eq!(of_records(&cut.collect::<Vec<u8>>()), Some(fingerprint));
    }
}

/// The first message without records, as QUIC carries it: what is whole is so whatever follows, and not before.
fn first_message(data: &[u8]) {
    let Seen::Whole(wanted) = seen(data) else { return };
    let length = 4 + u32::from_be_bytes([0, data[1], data[2], data[3]]) as usize;
    for cut in [0, 1, 3, length / 2, length - 1] {
        assert_eq!(seen(&data[..cut]), Seen::Part, "{cut} of {length}");
    }
    assert_eq!(seen(&data[..length]), Seen::Whole(wanted));
}

/// A visitor's certificate: what is known of it can stand in a line and in a field of a request, and is of all of it or of nothing.
pub fn visitor_certificate(data: &[u8]) {
    let shown = read_certificate(data);
    assert!(shown.verified_by.is_none());
    assert!(*shown.der == *data || shown.der.is_empty());
    if data.len() > CERTIFICATE_BYTES_MAX {
        assert!(shown.der.is_empty());
    }
    let names = [&shown.subject, &shown.issuer].map(|name| [&*name.rfc2253, &*name.legacy]);
    let texts = names.iter().flatten().copied().chain(shown.validity.iter().map(|text| &**text));
    for text in texts {
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(!shown.der.is_empty() || text.is_empty(), "{text:?} of what did not parse");
    }
}
