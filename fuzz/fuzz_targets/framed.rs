//! Framed bodies, in two pieces cut where the first byte says.
#![no_main]
use bytes::Bytes;
use poterne_tunnel_proto::framed::Decoder;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, data)) = data.split_first() else { return };
    let (first, second) = data.split_at(usize::from(*cut).min(data.len()));
    let mut decoder = Decoder::new();
    for piece in [first, second] {
        let mut input = Bytes::copy_from_slice(piece);
        while let Ok(Some(_)) = decoder.decode(&mut input) {}
    }
    let _ = decoder.finish();
});
