use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).expect("the vector is hex")
}

const B1: &str = "0a36cd12a13e303100000000150000000000000001000200000000000000000005000000da0000001100000027000000
68747470733a2f2f6170702e6578616d706c652e746573742f7800000000000008000000000002000d0000005a000000
1100000022000000110000004a000000150000008a000000487474704d6574686f640000000000004745540000000000
48747470486f737400000000000000006170702e6578616d706c652e746573740000000000000000";

const B2: &str = "0a36cd12a13e303100000000330000000000000000000200000000000000000001000000770000001c00000000000200
350000005a0000003900000022000000390000009a0000004100000012000000410000009a0000004900000012000000
49000000d2000000550000002200000055000000920000005d000000da00000069000000820000006d000000f2000000
79000000a200000081000000220000004874747053746174757300000000000032303000000000004874747048656164
65723a582d4d756c74690000000000006100000000000000487474704865616465723a582d4d756c7469000000000000
6200000000000000487474704865616465723a436f6e74656e742d4c656e677468000000000000003136350000000000
487474704865616465723a5365727665720000000000000042617365485454502f302e3620507974686f6e2f332e3131
2e37000000000000487474704865616465723a44617465005475652c203234204e6f7620323032362030323a33393a32
3620474d54000000487474704865616465723a582d4f726967696e00000000007965730000000000";

const B3: &str = "0a36cd12a13e3031000000001c0000000000000001000200000000000000000005000000da0000001100000037000000
68747470733a2f2f6170702e6578616d706c652e746573742f700000000000000c00000000000200150000005a000000
190000002a000000190000004a0000001d0000008a00000025000000d20000003100000012000000487474704d657468
6f64000000000000504f53540000000048747470486f737400000000000000006170702e6578616d706c652e74657374
0000000000000000487474704865616465723a436f6e74656e742d4c656e677468000000000000003500000000000000";

const B4: &str = "0a36cd12a13e303100000000090000000000000000000200000000000000000001000000170000000400000000000200
050000005a0000000900000022000000487474705374617475730000000000003430340000000000";

const C1: &str = "0a36cd12a13e3031000000000b0000000000000001000200020000000000000005000000820000000900000017000000
3132372e302e302e313a3139393938000400000000000200050000003a000000050000003a000000466c6f7749440000
6162633132330000";

const C2: &str = "0a36cd12a13e303100000000040000000000000000000200000000000000000001000000070000000000000000000200";

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

/// The vector decodes to `request`, takes all its bytes, and is what the encoder makes of it.
fn both_ways(vector: &str, request: &ConnectRequest) {
    let bytes = hex(vector);
    assert_eq!(parse_request(&bytes), Ok(Parsed::Complete { value: request.clone(), consumed: bytes.len() }));
    assert_eq!(hex::encode(encode_request(request)), hex::encode(bytes));
}

#[test]
fn requests_are_the_recorded_bytes() {
    both_ways(
        B1,
        &ConnectRequest {
            dest: "https://app.example.test/x".into(),
            kind: ConnectionType::Http,
            metadata: pairs(&[("HttpMethod", "GET"), ("HttpHost", "app.example.test")]),
        },
    );
    both_ways(
        B3,
        &ConnectRequest {
            dest: "https://app.example.test/p".into(),
            kind: ConnectionType::Http,
            metadata: pairs(&[("HttpMethod", "POST"), ("HttpHost", "app.example.test"), ("HttpHeader:Content-Length", "5")]),
        },
    );
    both_ways(
        C1,
        &ConnectRequest { dest: "127.0.0.1:19998".into(), kind: ConnectionType::Tcp, metadata: pairs(&[("FlowID", "abc123")]) },
    );
}

#[test]
fn responses_are_the_recorded_bytes() {
    let bytes = hex(B2);
    let Ok(Parsed::Complete { value, consumed }) = parse_response(&bytes) else { panic!("B2 is whole") };
    assert_eq!(consumed, bytes.len());
    assert_eq!(value.metadata.len(), 7);
    assert_eq!(value.metadata[0], ("HttpStatus".into(), "200".into()));
    assert_eq!(value.metadata[2], ("HttpHeader:X-Multi".into(), "b".into()));
    // The recorded agent points empty texts at a lone NUL; ours are null pointers, which read the same.
    assert_eq!(
        parse_response(&encode_response(&value)),
        Ok(Parsed::Complete { value: value.clone(), consumed: encode_response(&value).len() })
    );
    let Ok(Parsed::Complete { value, .. }) = parse_response(&hex(B4)) else { panic!("B4 is whole") };
    assert_eq!(value, ConnectResponse { error: String::new(), metadata: pairs(&[("HttpStatus", "404")]) });
    let Ok(Parsed::Complete { value, consumed }) = parse_response(&hex(C2)) else { panic!("C2 is whole") };
    assert_eq!((value, consumed), (ConnectResponse::default(), 48));
    assert_eq!(hex::encode(encode_response(&ConnectResponse::default())), hex::encode(hex(C2)));
}

#[test]
fn a_head_is_incomplete_until_its_last_byte() {
    for vector in [B1, B3, C1] {
        let bytes = hex(vector);
        for cut in 0..bytes.len() {
            assert_eq!(parse_request(&bytes[..cut]), Ok(Parsed::Incomplete), "cut at {cut}");
        }
    }
}

#[test]
fn oversized_heads_are_refused_before_their_body_arrives() {
    let mut bytes = DATA_SIGNATURE.to_vec();
    bytes.extend(VERSION);
    bytes.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(parse_request(&bytes), Err(StreamError::Wire(WireError::TooLarge { .. }))));
    bytes[8] = 0xff;
    assert!(matches!(parse_request(&bytes), Err(StreamError::Wire(WireError::TooLarge { .. }))));
    assert!(matches!(parse_request(b"GET / HTTP/1.1"), Err(StreamError::Signature(_))));
}

proptest! {
    #[test]
    fn any_head_survives_the_way(dest in ".{0,80}", metadata in prop::collection::vec((".{0,40}", ".{0,40}"), 0..40)) {
        let dest = dest.replace('\0', "");
        let request = ConnectRequest { dest, kind: ConnectionType::WebSocket, metadata };
        let bytes = encode_request(&request);
        prop_assert_eq!(parse_request(&bytes), Ok(Parsed::Complete { value: request, consumed: bytes.len() }));
    }

    #[test]
    fn no_bytes_panic(tail in prop::collection::vec(any::<u8>(), 0..400), flip in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = DATA_SIGNATURE.to_vec();
        bytes.extend(VERSION);
        bytes.extend(&tail);
        let _ = parse_request(&bytes);
        let _ = parse_response(&bytes);
        let mut vector = hex(B2);
        let at = flip.index(vector.len());
        vector[at] = value;
        let _ = parse_response(&vector);
        let _ = parse_request(&vector);
    }
}
