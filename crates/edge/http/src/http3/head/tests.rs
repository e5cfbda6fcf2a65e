//! Heads as visitors write them; the rules that need a stream around them are in `tests/http3.rs`.

use bytes::BytesMut;
use http::StatusCode;

use super::{super::qpack::encode_trailers, *};

/// Pseudo-fields and fields, all written out.
fn section(fields: &[(&str, &str)]) -> Bytes {
    let mut section = vec![0, 0];
    for (name, value) in fields {
        // Lengths below what fits a prefix, or one octet after it.
        match u8::try_from(name.len()).unwrap() {
            length @ 0..7 => section.push(0x20 | length),
            length => section.extend([0x27, length - 7]),
        }
        section.extend_from_slice(name.as_bytes());
        section.push(u8::try_from(value.len()).unwrap());
        section.extend_from_slice(value.as_bytes());
    }
    section.into()
}

const PLAIN: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/a?b")];

fn read(fields: &[(&str, &str)]) -> Result<(Parts, Kind, Option<u64>), StatusCode> {
    let limits = Limits::default();
    let status = |error| match error {
        HeadError::Refused(refusal) => refusal.status(),
        HeadError::Undecodable(reason) => panic!("{reason}"),
    };
    let mut head = read_head(section(fields), &limits).map_err(status)?;
    let (kind, length) = head.judge(&limits).map_err(Refusal::status)?;
    Ok((head.parts, kind, length))
}

#[test]
fn a_head_is_what_it_says() {
    let fields = [&PLAIN[..], &[("content-length", "5"), ("te", "trailers"), ("cookie", "a=b"), ("cookie", "c=d")]].concat();
    let (parts, kind, length) = read(&fields).unwrap();
    assert_eq!((parts.method, parts.version, kind, length), (Method::GET, Version::HTTP_3, Kind::Http, Some(5)));
    assert_eq!(parts.uri, "https://a.test/a?b");
    assert_eq!(parts.headers.get_all("cookie").iter().collect::<Vec<_>>(), ["a=b; c=d"]);
    assert_eq!(parts.headers["te"], "trailers");
}

#[test]
fn a_host_may_stand_in_the_place_of_the_authority() {
    let (parts, ..) = read(&[PLAIN[0], PLAIN[1], PLAIN[3], ("host", "a.test")]).unwrap();
    assert_eq!((parts.uri.authority(), parts.uri.path()), (None, "/a"));
    let (parts, ..) = read(&[(":method", "OPTIONS"), PLAIN[1], PLAIN[2], (":path", "*")]).unwrap();
    assert_eq!(parts.uri.path_and_query().unwrap(), "*");
    assert_eq!(parts.uri.authority().unwrap(), "a.test");
}

#[test]
fn a_wrong_line_does_not_hide_that_the_section_is_none() {
    let mut broken = section(&[("x", "y"), (":path", "/")]).to_vec();
    broken.push(0x80);
    assert!(matches!(read_head(broken.into(), &Limits::default()), Err(HeadError::Undecodable(_))));
}

#[test]
fn a_websocket_is_a_get_with_a_key() {
    let open =
        [(":method", "CONNECT"), (":protocol", "websocket"), PLAIN[1], PLAIN[2], PLAIN[3], ("sec-websocket-version", "13")];
    let (parts, kind, length) = read(&open).unwrap();
    assert_eq!((parts.method, kind, length), (Method::GET, Kind::WebSocket, None));
    assert_eq!(parts.headers["sec-websocket-key"].len(), 24);
    assert_eq!(read(&open[..5]).unwrap_err(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(read(&[(":method", "CONNECT"), PLAIN[2]]).unwrap_err(), StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn trailers_have_no_pseudo_fields_and_no_words_of_heads() {
    let mut fields = HeaderMap::new();
    for name in ["x-sum", "grpc-status", "content-length", "x-forwarded-for"] {
        fields.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
    }
    let mut section = BytesMut::new();
    encode_trailers(&mut section, &fields);
    let trailers = read_trailers(section.freeze(), &Limits::default()).unwrap();
    assert_eq!(trailers.len(), 2);
    let pseudo = Bytes::from_static(b"\0\0\xd9");
    assert!(matches!(read_trailers(pseudo, &Limits::default()), Err(HeadError::Refused(_))));
}
