//! Heads of data streams, as either end reads them.
#![no_main]
use poterne_tunnel_proto::{metadata, stream};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = stream::parse_opening(data);
    let _ = stream::parse_response(data);
    let _ = metadata::parse_request_head(data);
    let _ = metadata::parse_response_head(data);
    if let Ok(stream::Parsed::Complete { value, .. }) = stream::parse_request(data) {
        let bytes = stream::encode_request(&value);
        let again = stream::Parsed::Complete { value, consumed: bytes.len() };
        assert_eq!(stream::parse_request(&bytes), Ok(again));
    }
});
