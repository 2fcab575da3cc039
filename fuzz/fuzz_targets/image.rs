//! The reader of PNG and JPEG files takes any bytes: it answers as many pixels as were asked for, or an
//! error.

#![no_main]

use libfuzzer_sys::fuzz_target;
use topedge_data::parse_image;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(pixels) = parse_image(bytes, [3, 8, 8]) {
        assert_eq!(pixels.len(), 3 * 8 * 8);
    }
});
