#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| poterne_fuzz::telemetry::traceparent(data));
