//! Serialised headers and configuration pushes of the HTTP/2 transport.
#![no_main]
use poterne_tunnel_proto::h2;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = h2::parse_push(data);
    let _ = h2::parse_push_answer(data);
    if let Ok(headers) = h2::parse_headers(data) {
        assert_eq!(h2::parse_headers(h2::serialize_headers(&headers).as_bytes()), Ok(headers));
    }
});
