//! Configurations as JSON; what is valid compiles and matches.
#![no_main]
use poterne_tunnel_proto::config::{Matcher, TunnelConfig};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(config) = TunnelConfig::from_json(data) {
        let matcher = Matcher::new(&config).expect("a valid configuration compiles");
        let _ = matcher.find("app.example.org:80", "/a/b");
    }
});
