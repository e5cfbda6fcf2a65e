#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| poterne_fuzz::rpc::rpc_frame(data));
