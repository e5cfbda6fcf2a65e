//! The bounded reader's view of an RPC stream.
#![no_main]
use poterne_tunnel_rpc::bounded::Scanner;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut scanner = Scanner::default();
    for piece in data.chunks(7) {
        if scanner.scan(piece, 64 * 1024).is_err() {
            break;
        }
    }
});
