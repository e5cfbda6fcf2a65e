//! Checks of `poterne-keys`.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use poterne_keys::{CaSpec, LocalCa, Request};

/// A request for a certificate in PEM form: whatever is taken can be signed, for the names that are said beside it.
pub fn request(data: &[u8]) {
    static CA: OnceLock<LocalCa> = OnceLock::new();
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(request) = Request::parse(text) else { return };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let spec = CaSpec { name: "fuzz".into(), permitted: Vec::new() };
    let ca = CA.get_or_init(|| LocalCa::generate(&spec, now).expect("an authority"));
    let signed = ca.sign(&request, &["*.example.com".to_owned()], now, Duration::from_secs(60)).expect("it was taken");
    assert!(signed.pem.starts_with("-----BEGIN CERTIFICATE-----") && signed.not_after == now + Duration::from_secs(60));
}
