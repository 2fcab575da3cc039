//! The reader of IDX files takes any bytes: it answers an array as long as its shape says, or an
//! error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topedge_data::idx;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(array) = idx::parse(bytes) {
        assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
    }
});
