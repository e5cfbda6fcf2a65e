//! Tokens and credentials files.
#![no_main]
use poterne_tunnel_proto::token::{Credentials, TunnelToken};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Credentials::parse(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(token) = TunnelToken::parse(text)
    {
        assert_eq!(TunnelToken::parse(&token.encode()), Ok(token));
    }
});
