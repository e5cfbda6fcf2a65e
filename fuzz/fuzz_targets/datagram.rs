//! Datagrams of both versions.
#![no_main]
use bytes::Bytes;
use poterne_tunnel_proto::datagram::{v2, v3};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(datagram) = v2::decode(bytes.clone()) {
        assert_eq!(v2::encode(&datagram), Ok(bytes.clone()));
    }
    if let Ok(datagram) = v3::decode(bytes) {
        assert_eq!(v3::decode(v3::encode(&datagram).expect("it was decoded")), Ok(datagram));
    }
});
