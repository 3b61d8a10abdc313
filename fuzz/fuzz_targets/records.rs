#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runner_cache_fuzz::records::run(bytes));
